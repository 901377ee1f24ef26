"""Rollbacks under way: begun, taken further, and noted when they have ended."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from lastgood.domain.decide import StartRollback, mark_ended, mark_started, with_mark
from lastgood.domain.model import Key, Mark
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.services.fleet import Fleet
from lastgood.services.objects import rollback_object
from lastgood.services.rollbacks.ahead import Facts, at_once
from lastgood.services.rollbacks.executor import Rollbacks
from lastgood.services.rollbacks.records import AWAITING_APPROVAL, ended_as, is_final, phase_of
from lastgood.services.table import Service, Table
from lastgood.services.teller import Teller
from lastgood.services.workqueue import WorkQueue

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begun:
    """A Rollback that was just written."""

    name: str
    facts: Facts | None
    """What was read for its first step meanwhile."""


class UnderWay:
    """Follows the Rollbacks of services."""

    def __init__(
        self, *, cluster: Cluster, table: Table, rollbacks: Rollbacks, teller: Teller, fleet: Fleet, queue: WorkQueue
    ) -> None:
        self._cluster, self._table, self._rollbacks, self._teller = cluster, table, rollbacks, teller
        self._fleet, self._queue = fleet, queue

    async def start(self, service: Service, action: StartRollback) -> Begun:
        """Write the Rollback that was decided on, or adopt it where it was written before. Raises ClusterError."""
        body = rollback_object(service, action)
        created, facts = await at_once(self._written(service, action, body), self._rollbacks.first_look(body, service))
        self._table.put_rollback(created)
        service.memory = mark_started(service.memory, action, time.time())
        _log.warning("rollback started", service=service.key, rollback=action.name, message=action.message)
        # One that was taken further by a process before this one is judged by what its step looks at.
        return Begun(action.name, None if created.get("status") else facts)

    async def _written(self, service: Service, action: StartRollback, body: Object) -> Object:
        namespace = service.key[0]
        try:
            created = await self._cluster.create("rollbacks", namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise
            found = await self._cluster.get("rollbacks", namespace, action.name)
            if found is None:
                raise
            return found
        self._teller.event(service, "Warning", "RollbackStarted", f"Rollback {action.name}: {action.message}")
        return created

    async def carry_on(
        self, service: Service, told: asyncio.Future[None] | None = None, begun: Begun | None = None
    ) -> float | None:
        """Take the service's Rollbacks a step further, one at a time; when to look again, if that is known.

        ``told`` is a write of the service's own status: nothing is put back before it has succeeded. ``begun`` is the
        one that was written just now.
        """
        again: list[float] = []
        await self._miss_deleted(service)
        for body in self._table.rollbacks_of(service.key):
            name = body["metadata"]["name"]
            known = any(m.name == name for m in service.memory.marks)
            if is_final(body):
                if any(m.name == name and not m.outcome for m in service.memory.marks):
                    service.memory = mark_ended(service.memory, name, ended_as(body), time.time())
                    service.litter = True
                    self._queue.add(service.key)
                continue
            if not known:
                bad_key = (body["spec"].get("trigger") or {}).get("badKey") or (
                    service.memory.current.key if service.memory.current else ""
                )
                mark = Mark(name, bad_key, time.time())
                service.memory = with_mark(service.memory, mark)
            facts = begun.facts if begun is not None and begun.name == name else None
            after, at = await self._rollbacks.carry_on(body, service, told, facts)
            if at is not None:
                again.append(at)
            if after is not body:
                # The poke makes validation as quick as the target answers.
                self._fleet.poke(service.key)
                self._queue.add(service.key)
            if not is_final(after) and phase_of(after) != AWAITING_APPROVAL:
                # One at a time: the next begins when this one has ended. One that waits for a person stops nobody.
                break
        return min(again) if again else None

    async def _miss_deleted(self, service: Service) -> None:
        """A Rollback that a person deleted has ended; without this the service would wait for it for ever."""
        namespace = service.key[0]
        for mark in service.memory.marks:
            if mark.outcome or (namespace, mark.name) in self._table.rollbacks:
                continue
            found = await self._cluster.get("rollbacks", namespace, mark.name)
            if found is None:
                service.memory = mark_ended(service.memory, mark.name, "Deleted", time.time())
                self._queue.add(service.key)
            else:
                self._table.put_rollback(found)

    async def orphans(self, key: Key) -> None:
        """Rollbacks that name a service which is not in the table."""
        for body in self._table.rollbacks_of(key):
            if not is_final(body) and await self._cluster.get("monitoredservices", *key) is None:
                await self._rollbacks.carry_on(body, None)
