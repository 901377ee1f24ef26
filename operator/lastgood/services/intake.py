"""Watched objects into the table, and the keys that they make dirty."""

import json
import time
from collections.abc import Iterable
from typing import Any

import structlog
from pydantic import ValidationError

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.model import Key
from lastgood.domain.objective_plan import objective_plan
from lastgood.domain.observed import Sketch, sketch, version_number, written_at
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.revision import MISSING, config_hash
from lastgood.domain.status import plan_of
from lastgood.services.controller import Controller
from lastgood.services.metrics import Metrics
from lastgood.services.table import ObjectiveKnown, Service, Table, shared

_log = structlog.get_logger(__name__)


def _key(body: Object) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


class Intake:
    """What the watches call. Never raises: a failed handler is not called again."""

    def __init__(self, table: Table, controller: Controller, metrics: Metrics) -> None:
        self._table, self._controller, self._metrics = table, controller, metrics
        self._first: dict[Key, Sketch] = {}
        """All Deployments, while the first look lasts and nobody knows whose targets they are."""
        self._read: dict[Key, int] = {}
        """Resource versions of targets that the first look read and the watch has not told yet."""

    async def first_look(self, cluster: Cluster) -> None:
        """Read what there is, before the watches tell it one by one at several times the cost.

        Deployments first: a watch that tells of them before it tells of their services tells in vain, and asking for
        each takes long. What changes meanwhile the watches tell; what goes is pruned.
        """
        try:
            async for body in cluster.each("deployments"):
                self._first[_key(body)] = sketch(body)
            for kind, take in (
                ("rollbacks", self.rollback),
                ("servicelevelobjectives", self.objective),
                ("monitoredservices", self.service),
            ):
                async for body in cluster.each(kind):
                    take(body, deleted=False)
        except (ClusterError, KeyError, ValueError, TypeError) as error:
            _log.info("not all read at once, the watches will tell", error=str(error))
        finally:
            self._first = {}

    def service(self, body: Object, *, deleted: bool) -> None:
        """A MonitoredService came, changed or went."""
        key = _key(body)
        if deleted or body["metadata"].get("deletionTimestamp"):
            self._drop_service(key)
            return
        uid, generation = body["metadata"]["uid"], int(body["metadata"].get("generation") or 1)
        known = self._table.services.get(key)
        if known is not None and known.uid == uid and known.generation == generation:
            if not self._controller.leading:
                known.status = shared(body.get("status") or {})
            elif known.loaded:
                self._controller.evidence.signals(known, body.get("status") or {})
            return
        try:
            plan = plan_of(MonitoredServiceSpec.model_validate(body["spec"]))
        except (ValidationError, ValueError, KeyError) as error:
            # The schema refuses what the models do not take; this is an object from before the schema, or newer.
            _log.error("spec not understood", namespace=key[0], service=key[1], error=type(error).__name__)
            return
        status = shared(body.get("status") or {})
        spec = json.dumps(body["spec"]).encode()
        if known is not None and known.uid == uid:
            # An edit, made in place: a reconcile that is under way must not go on with an object of yesterday.
            self._table.drop_service(key)
            known.generation, known.plan, known.spec = generation, plan, spec
            if not known.loaded:
                known.status = status
            self._table.put_service(known)
            if known.loaded and self._controller.leading:
                # One event may tell of an edit and of a signal: of several changes only the last is seen.
                self._controller.evidence.signals(known, status)
        else:
            fresh = Service(key=key, uid=uid, generation=generation, plan=plan, spec=spec, status=status)
            self._table.put_service(fresh)
            target = (key[0], plan.target)
            if target in self._first:
                self._table.put_deployment(target, self._first[target])
                self._read[target] = self._first[target].resource_version
        self._metrics.services.set(len(self._table.services))
        self._objectives_of(key[0], plan.objectives)
        self._controller.queue.add(key)
        for other in self._table.dependents.get(key, ()):
            self._controller.queue.add(other)

    def rollback(self, body: Object, *, deleted: bool) -> None:
        """A Rollback came, changed or went."""
        place = _key(body)
        service = (body.get("spec") or {}).get("service")
        if deleted:
            self._table.rollbacks.pop(place, None)
        elif not service:
            # From before the schema. Kept out of the table, where everybody may rely on what the schema requires.
            _log.error("rollback not understood", namespace=place[0], rollback=place[1])
        else:
            self._table.put_rollback(body)
        if service:
            self._controller.queue.add((place[0], service))

    def restore(self, body: Object, *, deleted: bool) -> None:
        """A Restore came, changed or went."""
        place = _key(body)
        if deleted:
            self._table.restores.pop(place, None)
            self._controller.restores.queue.forget(place)
        else:
            self._table.put_restore(body)
            self._controller.restores.queue.add(place)
        rollback = self._table.rollbacks.get((place[0], (body.get("spec") or {}).get("rollback") or ""))
        if rollback is not None:
            # The Rollback that it is a part of goes on as it does.
            self._controller.queue.add((place[0], rollback["spec"]["service"]))

    def deployment(self, body: Object, *, deleted: bool) -> None:
        """A Deployment came, changed or went."""
        place = _key(body)
        users = self._table.by_target.get(place)
        if not users:
            return
        read = self._read.pop(place, 0)
        if deleted:
            self._table.deployments.pop(place, None)
        elif read and read == version_number(body):
            # As the first look found it; those whose target it is have looked at it, or will.
            return
        else:
            try:
                self._table.put_deployment(place, sketch(body))
            except (KeyError, ValueError, TypeError) as error:
                # The API server would not have taken it; ask anew when it matters.
                _log.error("deployment not understood", namespace=place[0], name=place[1], error=type(error).__name__)
                self._table.deployments.pop(place, None)
        for key in users:
            self._controller.queue.add(key)

    def config_map(self, body: Object, *, deleted: bool) -> None:
        """A ConfigMap came, changed or went."""
        place = _key(body)
        users = self._table.config_users.get(place)
        if not users:
            return
        new = MISSING if deleted else config_hash(body)
        if self._table.put_config(place, new, version_number(body), time.time(), written_at(body)):
            for key in users:
                self._controller.queue.add(key)

    async def prune(self, cluster: Cluster) -> None:
        """Drop what is gone: after a 410 the watch lists anew and tells nothing of what was deleted meanwhile."""
        try:
            for kind, drop in (
                ("monitoredservices", self._drop_service),
                ("rollbacks", self._drop_rollback),
                ("servicelevelobjectives", self._drop_objective),
                ("deployments", self._drop_deployment),
                *((("restores", self._drop_restore),) if self._table.backups.enabled else ()),
            ):
                known = self._known(kind)
                there = await cluster.list_names(kind)
                # One that was made anew while we asked is another one, under the same name.
                for entry in (known - there) & self._known(kind):
                    drop((entry[0], entry[1]))
        except ClusterError as error:
            _log.info("not pruned", error=str(error))

    def _known(self, kind: str) -> set[tuple[str, str, str]]:
        if kind == "rollbacks":
            return {(*place, rb["metadata"]["uid"]) for place, rb in self._table.rollbacks.items()}
        if kind == "restores":
            return {(*place, r["metadata"]["uid"]) for place, r in self._table.restores.items()}
        if kind == "servicelevelobjectives":
            return {(*key, objective.uid) for key, objective in self._table.objectives.items()}
        if kind == "deployments":
            return {(*place, seen.uid) for place, seen in self._table.deployments.items()}
        return {(*key, service.uid) for key, service in self._table.services.items()}

    def _drop_service(self, key: Key) -> Any:
        gone = self._table.drop_service(key)
        if gone is not None:
            self._controller.forget(gone)
            self._objectives_of(gone.key[0], gone.plan.objectives)

    def objective(self, body: Object, *, deleted: bool) -> None:
        """A ServiceLevelObjective came, changed or went."""
        place = _key(body)
        if deleted or body["metadata"].get("deletionTimestamp"):
            self._table.objectives.pop(place, None)
        else:
            known = self._table.objectives.get(place)
            uid, generation = body["metadata"]["uid"], int(body["metadata"].get("generation") or 1)
            if known is not None and (known.uid, known.generation) == (uid, generation):
                known.status = shared(body.get("status") or {})
                return
            spec = b""
            try:
                objective_plan(place[1], ServiceLevelObjectiveSpec.model_validate(body["spec"]))
                spec = json.dumps(body["spec"]).encode()
            except (ValidationError, ValueError, KeyError) as error:
                # From before the schema, or newer: status says so.
                _log.error("objective not understood", namespace=place[0], name=place[1], error=type(error).__name__)
            status = shared(body.get("status") or {})
            self._table.objectives[place] = ObjectiveKnown(place, uid, generation, spec, status)
        for key in self._table.measured_by.get(place, ()):
            self._controller.queue.add(key)
        self._controller.objective_queue.add(place)

    def _objectives_of(self, namespace: str, names: Iterable[str]) -> None:
        """Whether anybody is measured by it is said in an objective's status."""
        for name in names:
            if (namespace, name) in self._table.objectives:
                self._controller.objective_queue.add((namespace, name))

    def _drop_deployment(self, place: Key) -> Any:
        self.deployment({"metadata": {"namespace": place[0], "name": place[1]}}, deleted=True)

    def _drop_objective(self, place: Key) -> Any:
        self.objective({"metadata": {"namespace": place[0], "name": place[1]}}, deleted=True)

    def _drop_restore(self, place: Key) -> Any:
        self._table.restores.pop(place, None)

    def _drop_rollback(self, place: Key) -> Any:
        self._table.rollbacks.pop(place, None)
