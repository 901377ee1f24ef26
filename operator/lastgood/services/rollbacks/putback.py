"""What a rollback writes besides its own status: the configuration, then the pod template."""

import time

import structlog

from lastgood.domain.model import Good
from lastgood.domain.observed import version_number, written_at
from lastgood.domain.ports import Cluster, Object
from lastgood.domain.revision import RESTART_ANNOTATION, ROLLBACK_ANNOTATION, clean_template, config_hash
from lastgood.services.secrets import SecretCopies
from lastgood.services.table import Service, Table

_log = structlog.get_logger(__name__)


class PutBack:
    """Puts the configuration of a good revision back."""

    def __init__(self, cluster: Cluster, table: Table, copies: SecretCopies) -> None:
        self._cluster, self._table, self._copies = cluster, table, copies

    async def configuration(self, service: Service, target: Good, kept: Object) -> str:
        """Secrets and ConfigMaps, as far as the service wants it; returns what is in the way, before any is written."""
        namespace = service.key[0]
        if service.plan.restore_config_maps:
            changes, problem = await self._changes(namespace, kept["data"].get("configMaps") or {})
            if problem:
                return problem
            for old, new in changes:
                await self._write(namespace, old, new)
        if service.plan.copy_secrets:
            restored = await self._copies.restore(namespace, target)
            if restored:
                _log.warning("secrets made anew", service=service.key, secrets=restored)
        return ""

    async def _changes(self, namespace: str, config_maps: Object) -> tuple[list[tuple[Object | None, Object]], str]:
        changes: list[tuple[Object | None, Object]] = []
        for name, kept in sorted(config_maps.items()):
            found = await self._cluster.get("configmaps", namespace, name)
            if found is not None and config_hash(found) == config_hash(kept):
                continue
            if found is not None and found.get("immutable"):
                return (
                    [],
                    f"ConfigMap {name} is immutable and differs from the good one: delete it, and roll back by hand",
                )
            content = {k: v for k, v in kept.items() if k in {"data", "binaryData", "immutable"}}
            frame: Object = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace},
            }
            if found is not None:
                frame = {k: v for k, v in found.items() if k not in {"data", "binaryData"}}
            changes.append((found, {**frame, **content}))
        return changes, ""

    async def _write(self, namespace: str, old: Object | None, new: Object) -> None:
        write = self._cluster.create if old is None else self._cluster.replace
        written = await write("configmaps", namespace, new)
        place = (namespace, written["metadata"]["name"])
        self._table.put_config(place, config_hash(written), version_number(written), time.time(), written_at(written))


def template_patch(deployment: Object, kept: Object, body: Object, target: Good, *, restart: bool) -> list[Object]:
    """JSON Patch that puts a kept pod template into a Deployment as it was read, and into no other.

    ``body`` is the Rollback; its UID in an annotation tells a later process that the patch was made. ``restart``: the
    template is the same and only ConfigMaps differ, so pods must be made to start anew.
    """
    metadata, uid = deployment["metadata"], body["metadata"]["uid"]
    template = clean_template(kept["data"]["template"])
    if restart:
        template.setdefault("metadata", {}).setdefault("annotations", {})[RESTART_ANNOTATION] = uid
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    if not metadata.get("annotations"):
        patch.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    cause = f"Lastgood: rollback to {target.label} by {body['metadata']['name']}"
    for name, value in ((ROLLBACK_ANNOTATION, uid), ("kubernetes.io/change-cause", cause)):
        patch.append({"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value})
    return patch
