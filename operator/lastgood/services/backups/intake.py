"""Watched objects of backups into the table, and the keys that they make dirty."""

from typing import Any

import structlog
from pydantic import ValidationError

from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.domain.backups.accept import Place, places_of
from lastgood.domain.backups.names import SCHEDULE_LABEL
from lastgood.domain.backups.pods import Declared
from lastgood.domain.backups.seen import point_of
from lastgood.domain.clock import from_text
from lastgood.domain.model import Key
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.services.backups.controller import BackupController
from lastgood.services.backups.needs import version_of
from lastgood.services.backups.table import BackupTable, ScheduleKnown

_log = structlog.get_logger(__name__)


def _key(body: Object) -> Key:
    return body["metadata"]["namespace"], body["metadata"]["name"]


class BackupIntake:
    """What the watches call. Never raises: a failed handler is not called again."""

    def __init__(self, table: BackupTable, controller: BackupController) -> None:
        self._table, self._controller = table, controller

    async def first_look(self, cluster: Cluster) -> None:
        """Read what there is. Until all Backups are known, no schedule is judged: it would be called bare."""
        try:
            async for body in cluster.each("backups"):
                self.backup(body, deleted=False)
            async for body in cluster.each("backupschedules"):
                self.schedule(body, deleted=False)
        except (ClusterError, KeyError, ValueError, TypeError) as error:
            _log.info("backups not read yet", error=str(error))
            return
        self._table.complete = True
        self._controller.look_at_all()

    def schedule(self, body: Object, *, deleted: bool) -> None:
        """A BackupSchedule came, changed or went."""
        key = _key(body)
        if deleted or body["metadata"].get("deletionTimestamp"):
            self._drop_schedule(key)
            return
        metadata = body["metadata"]
        uid, generation = metadata["uid"], int(metadata.get("generation") or 1)
        known = self._table.schedules.get(key)
        if known is not None and known.uid == uid and known.generation == generation:
            if not self._controller.leading:
                known.status = body.get("status") or {}
                self._controller.told(key)
            return
        spec: BackupScheduleSpec | None = None
        places: tuple[Place, ...] = ()
        try:
            spec = BackupScheduleSpec.model_validate(body["spec"])
            places = tuple(place for _, place in places_of(Declared(key[0], key[1], uid, spec)))
        except (ValidationError, ValueError, KeyError) as error:
            # From before the schema, or newer: status says so.
            _log.error("schedule not understood", namespace=key[0], schedule=key[1], error=type(error).__name__)
        if known is not None and known.uid == uid:
            # An edit, made in place: a reconcile that is under way must not go on with an object of yesterday.
            known.generation, known.spec, known.places = generation, spec, places
        else:
            created = from_text(metadata["creationTimestamp"])
            status = body.get("status") or {}
            self._table.put_schedule(ScheduleKnown(key, uid, generation, created, spec, status, places))
        self._controller.queue.add(key)
        for backup in self._table.points_of.get(key, ()):
            if not self._table.points[backup].ended:
                self._controller.backup_queue.add(backup)
        self._controller.told(key)
        self._neighbours(key)

    def _neighbours(self, key: Key) -> None:
        """Who shares a place with a schedule that changed must hear of it."""
        mine = self._table.schedules.get(key)
        places = {place[:-1] for place in mine.places} if mine is not None else None
        for other in self._table.schedules.values():
            if other.key != key and (places is None or any(place[:-1] in places for place in other.places)):
                self._controller.queue.add(other.key)

    def backup(self, body: Object, *, deleted: bool) -> None:
        """A Backup came, changed or went."""
        key = _key(body)
        if deleted:
            self._drop_backup(key)
            return
        try:
            point = point_of(body)
        except (ValidationError, ValueError, KeyError) as error:
            _log.error("backup not understood", namespace=key[0], backup=key[1], error=type(error).__name__)
            return
        if self._table.points.get(key) == point:
            return
        self._table.put_point(key, point)
        if not point.ended and not body["metadata"].get("deletionTimestamp"):
            self._controller.backup_queue.add(key)
        self._controller.queue.add((key[0], point.schedule))

    def child(self, kind: str, body: Object, *, deleted: bool) -> None:
        """A Job of a schedule, or an object that it has, came, changed or went. ``kind`` is a plural name."""
        key = self._table.by_uid.get((body["metadata"].get("labels") or {}).get(SCHEDULE_LABEL, ""))
        known = self._table.schedules.get(key) if key is not None else None
        if known is None:
            return
        if kind == "jobs":
            self._controller.queue.add(known.key)
            return
        place = (kind, body["metadata"]["name"])
        if place in known.versions and (deleted or known.versions[place] != version_of(body)):
            # Somebody changed it, or it was our own write: a look tells.
            known.looked_at = 0.0
            self._controller.queue.add(known.key)

    async def prune(self, cluster: Cluster) -> None:
        """Drop what is gone: after a 410 the watch lists anew and tells nothing of what was deleted meanwhile."""
        if not self._table.complete:
            await self.first_look(cluster)
        try:
            for kind, drop in (("backupschedules", self._drop_schedule), ("backups", self._drop_backup)):
                known = self._known(kind)
                there = await cluster.list_names(kind)
                # One that was made anew while we asked is another one, under the same name.
                for namespace, name, _ in (known - there) & self._known(kind):
                    drop((namespace, name))
        except ClusterError as error:
            _log.info("not pruned", error=str(error))

    def _known(self, kind: str) -> set[tuple[str, str, str]]:
        if kind == "backups":
            return {(*key, point.uid) for key, point in self._table.points.items()}
        return {(*key, schedule.uid) for key, schedule in self._table.schedules.items()}

    def _drop_schedule(self, key: Key) -> Any:
        if self._table.drop_schedule(key) is not None:
            self._controller.forget(key)
            self._controller.told(key)
            self._neighbours(key)

    def _drop_backup(self, key: Key) -> Any:
        point = self._table.drop_point(key)
        self._controller.backup_queue.forget(key)
        if point is not None:
            self._controller.queue.add((key[0], point.schedule))
