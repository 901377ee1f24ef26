"""What of a revision is read from and kept in the cluster: its configuration, its snapshot, its ReplicaSet."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from lastgood.domain.arrival import Rollout, config_change, pod_times
from lastgood.domain.model import Good, Key, TargetSeen
from lastgood.domain.observed import Sketch, selector_text, sketch, target_seen, version_number, written_at
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.revision import (
    MISSING,
    ConfigSeen,
    altered,
    clean_template,
    config_hash,
    secret_fingerprint,
)
from lastgood.services.objects import OWNER_LABEL, owned_metadata
from lastgood.services.secrets import SecretCopies
from lastgood.services.table import Service, Table

MANY = 100
"""So many unknown targets are worth a list of all Deployments."""

LOOK_AGAIN_SECONDS, LOOK_LATER_SECONDS = 2.0, 300.0
"""How soon again: services may still be coming in; or those that are unknown do not exist."""


class Revisions:
    """Reads and keeps revisions of targets."""

    def __init__(self, cluster: Cluster, table: Table) -> None:
        self._cluster, self._table = cluster, table
        self.copies = SecretCopies(cluster)
        self._looking = asyncio.Lock()
        self._look_again_at = 0.0

    async def see(self, service: Service) -> TargetSeen | None:
        """The target as the watch last told it; asked for once when the watch has told nothing."""
        place = (service.key[0], service.plan.target)
        known = self._table.deployments.get(place)
        if known is None:
            await self._look_at_all()
            known = self._table.deployments.get(place)
        if known is None:
            return (await self.see_fresh(service))[0]
        return await self._with_configs(service, known, fresh=False)

    async def _look_at_all(self) -> None:
        """Read all Deployments, when many targets are not known.

        A watch that told of them before it told of the services told in vain, and one request for each takes long.
        """
        async with self._looking:
            table = self._table
            if time.monotonic() < self._look_again_at or len(table.by_target) - len(table.deployments) < MANY:
                return
            before = len(table.deployments)
            async for body in self._cluster.each("deployments"):
                place = (body["metadata"]["namespace"], body["metadata"]["name"])
                if place in table.by_target:
                    table.put_deployment(place, sketch(body))
            found = len(table.deployments) - before >= MANY
            self._look_again_at = time.monotonic() + (LOOK_AGAIN_SECONDS if found else LOOK_LATER_SECONDS)

    async def see_fresh(self, service: Service) -> tuple[TargetSeen | None, Object | None]:
        """The target as it is this moment, with its whole Deployment: what is about to be changed is read anew."""
        place = (service.key[0], service.plan.target)
        deployment = await self._cluster.get("deployments", *place)
        if deployment is None:
            self._table.deployments.pop(place, None)
            return None, None
        known = sketch(deployment)
        self._table.put_deployment(place, known)
        return await self._with_configs(service, known, fresh=True), deployment

    async def _with_configs(self, service: Service, known: Sketch, *, fresh: bool) -> TargetSeen:
        configs = await self._configs(service.key, known.named, fresh=fresh)
        told = [self._table.configs[(service.key[0], c.name)] for c in configs if c.kind == "ConfigMap"]
        changed = max((c.changed_at if c.changed_at is not None else c.since for c in told), default=None)
        compare = service.plan.restore_config_maps
        return target_seen(known, configs, compare_configs=compare, configs_changed=changed)

    async def _configs(self, key: Key, named: Iterable[ConfigSeen], *, fresh: bool) -> list[ConfigSeen]:
        seen = []
        for config in named:
            if config.kind != "ConfigMap":
                seen.append(config)
                continue
            place = (key[0], config.name)
            self._table.config_users.setdefault(place, set()).add(key)
            if fresh or place not in self._table.configs:
                await self._read_config(place)
            seen.append(replace(config, hash=self._table.configs[place].hash))
        return seen

    async def _read_config(self, place: Key) -> Object | None:
        before = self._table.configs.get(place)
        found = await self._cluster.get("configmaps", *place)
        if found is not None:
            self._table.put_config(place, config_hash(found), version_number(found), time.time(), written_at(found))
        elif self._table.configs.get(place) is before:
            # An absence has no version: what the watch told while we asked is newer.
            self._table.put_config(place, MISSING, before.version if before else 0, time.time())
        return found

    async def rollout(self, service: Service) -> Rollout:
        """What tells whether the pods that run have the ConfigMaps of their revision."""
        namespace = service.key[0]
        seen, deployment = await self.see_fresh(service)
        if seen is None or deployment is None:
            return Rollout((), ())
        changes = []
        for config in seen.configs:
            place = (namespace, config.name)
            found = await self._read_config(place) if config.kind == "ConfigMap" else None
            if found is not None:
                changes.append(config_change(config, found, self._table.configs[place].since))
        pods = await self._cluster.list_objects("pods", namespace, _selector(deployment)) if changes else ()
        return Rollout(tuple(changes), pod_times(pods))

    async def _fingerprints(self, namespace: str, configs: tuple[ConfigSeen, ...]) -> list[ConfigSeen]:
        """The same, with Secrets told by their version where the installation lets us read them."""
        out = []
        for config in configs:
            if config.kind != "Secret":
                out.append(config)
                continue
            try:
                found = await self._cluster.get("secrets", namespace, config.name)
                mark = MISSING if found is None else secret_fingerprint(found["metadata"])
            except ClusterError as error:
                if error.status != 403:
                    raise
                mark = ""
            out.append(replace(config, hash=mark))
        return out

    async def missing(self, service: Service, good: Good) -> tuple[str, ...]:
        """What a good revision names that is neither there nor kept. ConfigMaps are kept with the revision."""
        return (await self.whole(service, good))[2]

    async def whole(
        self, service: Service, good: Good, known: Object | None = None
    ) -> tuple[Object, str, tuple[str, ...]]:
        """The ControllerRevision of a good revision, what keeps it from being used, and all that is missing.

        ``known`` is that ControllerRevision where it was read and found whole a moment ago: its data never changes.
        """
        if known:
            return known, "", tuple(await self._secrets_gone(service, good))
        (found, problem), gone = await asyncio.gather(self.kept(service, good), self._secrets_gone(service, good))
        return found, problem, (*gone, problem) if problem else tuple(gone)

    async def _secrets_gone(self, service: Service, good: Good) -> list[str]:
        namespace, gone = service.key[0], list[str]()
        copies = await self.copies.kept(namespace, good) if service.plan.copy_secrets else {}
        for config in good.configs:
            if config.kind != "Secret" or config.hash in {"", MISSING}:
                continue
            try:
                there = config.name in copies or await self._cluster.get("secrets", namespace, config.name) is not None
                if not there:
                    gone.append(f"Secret {config.name}")
            except ClusterError as error:
                if error.status != 403:
                    raise
        return gone

    async def kept(self, service: Service, good: Good) -> tuple[Object, str]:
        """The ControllerRevision of a good revision, and what keeps it from being used; empty when nothing does."""
        found = await self._cluster.get("controllerrevisions", service.key[0], good.snapshot)
        if found is None:
            return {}, f"its ControllerRevision {good.snapshot}"
        wrong = altered(found, service.uid, good.template_hash, good.configs)
        return found, f"its ControllerRevision {good.snapshot} as it was (this one {wrong})" if wrong else ""

    async def sweep(self, service: Service) -> None:
        """Delete what was kept and is needed no more: by no good revision, no open Rollback, no record of one."""
        needed: set[str | None] = {good.snapshot for good in service.memory.ledger}
        for body in self._table.rollbacks_of(service.key):
            status = body.get("status") or {}
            needed |= {(status.get(side) or {}).get("snapshot") for side in ("from", "to")}
        namespace = service.key[0]
        selector = f"{OWNER_LABEL}={service.key[1][:63]}"
        for found in await self._cluster.list_objects("controllerrevisions", namespace, selector):
            metadata = found["metadata"]
            owners = {o.get("uid") for o in metadata.get("ownerReferences") or ()}
            if service.uid in owners and metadata["name"] not in needed:
                await self._cluster.delete("controllerrevisions", namespace, metadata["name"])

    async def keep(self, service: Service, expected_key: str, now: float) -> Good | None:
        """Keep the running revision; None when it is no longer the one that was seen to be good."""
        seen, deployment = await self.see_fresh(service)
        if seen is None or deployment is None or seen.key != expected_key or not seen.complete:
            return None
        namespace = service.key[0]
        name = await self.snapshot(service, seen, deployment, purpose="good")
        replica_set = await self._replica_set(deployment)
        labels = (replica_set or {}).get("metadata", {}).get("labels") or {}
        pod_hash = labels.get("pod-template-hash", "")
        return Good(
            key=seen.key,
            template_hash=seen.template_hash,
            revision=seen.revision,
            good_since=now,
            snapshot=name,
            version=seen.version,
            replica_set_uid=(replica_set or {}).get("metadata", {}).get("uid", ""),
            pod_template_hash=pod_hash,
            images=await self._images(namespace, deployment, pod_hash),
            configs=tuple(await self._fingerprints(namespace, seen.configs)),
        )

    async def snapshot(self, service: Service, seen: TargetSeen, deployment: Object, *, purpose: str) -> str:
        """Put template and ConfigMaps into a ControllerRevision of the service; its name is that of the revision."""
        namespace, owner = service.key
        name = f"{owner[:200]}-{seen.key}"
        config_maps = {}
        for config in seen.configs:
            if config.kind == "ConfigMap" and config.hash != MISSING:
                found = await self._cluster.get("configmaps", namespace, config.name)
                if found is not None:
                    config_maps[config.name] = {
                        k: found[k] for k in ("data", "binaryData", "immutable") if found.get(k)
                    }
        body = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {**owned_metadata(service, name), "annotations": {"lastgood.dev/purpose": purpose}},
            "revision": max(seen.revision, 1),
            "data": {"template": clean_template(deployment["spec"]["template"]), "configMaps": config_maps},
        }
        try:
            await self._cluster.create("controllerrevisions", namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise
            # The name is the content's hash: what is there is what we would write, if it is whole and ours.
            there = await self._cluster.get("controllerrevisions", namespace, name)
            if there is None or altered(there, service.uid, seen.template_hash, seen.configs):
                await self._cluster.delete("controllerrevisions", namespace, name)
                await self._cluster.create("controllerrevisions", namespace, body)
        return name

    async def _replica_set(self, deployment: Object) -> Object | None:
        namespace, uid = deployment["metadata"]["namespace"], deployment["metadata"]["uid"]
        wanted = (deployment["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision")
        for candidate in await self._cluster.list_objects("replicasets", namespace, _selector(deployment)):
            owners = {o["uid"] for o in candidate["metadata"].get("ownerReferences") or ()}
            revision = (candidate["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision")
            if uid in owners and revision == wanted:
                return candidate
        return None

    async def _images(self, namespace: str, deployment: Object, pod_hash: str) -> tuple[str, ...]:
        if not pod_hash:
            return ()
        text = _selector(deployment, f"pod-template-hash={pod_hash}")
        for pod in await self._cluster.list_objects("pods", namespace, text):
            statuses = pod.get("status", {}).get("containerStatuses") or ()
            if statuses and all(s.get("ready") for s in statuses):
                return tuple(f"{s['name']}={s.get('imageID') or s.get('image', '')}" for s in statuses)
        return ()


def _selector(deployment: Object, *more: str) -> str:
    """Label selector of a Deployment's own ReplicaSets and pods."""
    return ",".join([selector_text(deployment["spec"]["selector"]), *more])
