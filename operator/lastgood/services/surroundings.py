"""What else matters to a decision: dependencies, our own connectivity, how many fail at once."""

import time
from collections import deque
from collections.abc import Mapping

from lastgood.domain.breadth import mass_breach
from lastgood.domain.model import Key, Memory, Problem, ScheduleStands, Surroundings
from lastgood.domain.ports import Cluster
from lastgood.domain.triggers import Looked
from lastgood.services.rollbacks.records import AWAITING_APPROVAL, is_final, phase_of
from lastgood.services.table import Service, Table

CHECK_TTL = 5.0
"""How old a check of our own connectivity may be when a verdict rests on it, seconds."""


RECOVERED = 2000
"""How many recoveries are remembered."""

COUNT_TTL = 1.0
"""How old a count of the failing services may be, seconds."""


def gravely(memory: Memory) -> bool:
    """Whether an objective is breached so that others suffer: a pool that has run out, a disk that is full."""
    return any(o.confirmed and o.severity in {"critical", "emergency"} for o in memory.objectives.values())


class Around:
    """Gathers Surroundings."""

    def __init__(self, cluster: Cluster, table: Table, *, storm_limit: int) -> None:
        self._cluster, self._table, self._storm_limit = cluster, table, storm_limit
        self._checked_at, self._trouble = 0.0, ""
        self.trouble_at: float | None = None
        """When the API server could last not be reached."""
        self._counted_at, self._failing_since = 0.0, list[float]()
        self._recovered: deque[tuple[float, float]] = deque(maxlen=RECOVERED)
        """Since when services failed that are well again, and since when they are."""
        self._began: dict[Key, float] = {}
        self._failing: set[Key] = set()
        self._healthy: set[Key] = set()

    def note(self, key: Key, state: str, since: float = 0.0) -> None:
        """Keep count of which services are well ("True") and which are not ("False", since when)."""
        service = self._table.services.get(key)
        if key in self._failing and state == "True" and service is not None and service.memory.ledger:
            self._recovered.append((self._began.get(key, time.time()), time.time()))
        if state == "False" and service is not None:
            self._began[key] = since
        else:
            self._began.pop(key, None)
        (self._failing.add if state == "False" else self._failing.discard)(key)
        (self._healthy.add if state == "True" else self._healthy.discard)(key)

    async def look(
        self,
        service: Service,
        *,
        since: float | None,
        missing: tuple[str, ...],
        objectives: Mapping[str, Looked],
    ) -> Surroundings:
        """Surroundings of a service.

        ``since`` is when the breach began that a rollback may follow, which is worth asking the network for; else None.
        """
        problems = [*service.problems, *service.measure_problems]
        failing, unknown, healthy = [], [], []
        for name in service.plan.depends_on:
            other = self._table.services.get((service.key[0], name))
            if other is None:
                text = (
                    f'dependsOn names MonitoredService "{name}", which does not exist here: create it or mend the name'
                )
                problems.append(Problem("UnknownDependency", text))
            elif other.memory.health.state == "False" or gravely(other.memory):
                failing.append(name)
            elif other.memory.health.state == "Unknown" and not other.plan.suspend:
                unknown.append(name)
            elif other.memory.health.state == "True":
                healthy.append((name, other.memory.health.since))
        schedules = await self._schedules(service)
        for schedule in schedules:
            if not schedule.known:
                text = (
                    f'backups names BackupSchedule "{schedule.name}", which does not exist here: '
                    "create it or mend the name"
                )
                problems.append(Problem("UnknownSchedule", text))
        cycle = self._table.cycle_through(service.key) if service.plan.depends_on else []
        if cycle:
            text = f"dependsOn goes in a circle ({' -> '.join(cycle)}): leave one of them out"
            problems.append(Problem("DependencyCycle", text))
            # In a circle each would wait for the other for ever.
            failing, unknown, healthy = [], [], []
        return Surroundings(
            problems=tuple(problems),
            failing_dependencies=tuple(failing),
            unknown_dependencies=tuple(unknown),
            healthy_dependencies=tuple(healthy),
            connectivity=await self._connectivity() if since is not None else "",
            trouble_at=self.trouble_at,
            mass_breach=self._mass(service, since) if since is not None else "",
            rollbacks_under_way=self._under_way(),
            storm_limit=self._storm_limit,
            awaiting_approval=tuple(
                body["metadata"]["name"]
                for body in self._table.rollbacks_of(service.key)
                if phase_of(body) == AWAITING_APPROVAL
            ),
            missing_configs=missing,
            schedules=schedules,
            objectives=objectives,
        )

    async def _schedules(self, service: Service) -> tuple[ScheduleStands, ...]:
        """How the schedules of its data stand. Asked for, before one is said not to exist: its watch may be late."""
        found = []
        for name in service.plan.backups:
            stands = self._table.backups.stands((service.key[0], name))
            if not stands.known:
                body = await self._cluster.get("backupschedules", service.key[0], name)
                conditions = ((body or {}).get("status") or {}).get("conditions") or ()
                stands = ScheduleStands(name, known=body is not None, conditions=conditions)
            found.append(stands)
        return tuple(found)

    async def _connectivity(self) -> str:
        now = time.monotonic()
        if now - self._checked_at >= CHECK_TTL or self._trouble:
            self._trouble = await self._cluster.alive()
            self._checked_at = time.monotonic()
        if self._trouble:
            self.trouble_at = time.time()
        return self._trouble

    def _under_way(self) -> int:
        return sum(
            not is_final(body) and phase_of(body) != AWAITING_APPROVAL for body in self._table.rollbacks.values()
        )

    def _mass(self, service: Service, since: float) -> str:
        now = time.monotonic()
        if now - self._counted_at >= COUNT_TTL:
            # Once a second: when all fail, all ask.
            others = ((key, self._table.services.get(key)) for key in self._failing)
            worked = (key for key, other in others if other is not None and other.memory.ledger)
            self._failing_since = sorted(self._began.get(key, time.time()) for key in worked)
            self._counted_at = now
        lately = time.time() - service.plan.failing_for
        recovered = sorted(began for began, at in self._recovered if at >= lately)
        return mass_breach(since, self._failing_since, recovered, len(self._healthy))
