"""The reconcile of one BackupSchedule, and of one Backup that was made by hand. Level-based, and only while leading."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from lastgood.domain.backups.accept import rpo_problems, shared_problems, spec_problems
from lastgood.domain.backups.judge import Judgement, Seen, judge
from lastgood.domain.backups.pods import Options
from lastgood.domain.backups.seen import JobSeen
from lastgood.domain.decide import Condition
from lastgood.domain.model import Key, Problem
from lastgood.domain.ports import Cluster
from lastgood.domain.status import merge_conditions
from lastgood.services.backups.needs import Children, Jobs, Needs
from lastgood.services.backups.records import BackupRecords
from lastgood.services.backups.table import BackupTable, ScheduleKnown
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.workqueue import WorkQueue

_log = structlog.get_logger(__name__)
LOOK_SECONDS = 600.0
"""How often a schedule's objects are looked at when nothing was heard of them."""
HEAL_SECONDS = 15.0
"""The same, and what it refers to, while something is missing."""
NEEDS_SECONDS = 300.0
"""How often it is looked whether what it refers to is still there."""
RUNNING_SECONDS = 60.0
"""How often Jobs under way are looked at when nothing is heard of them."""
_STOPS = frozenset({"BadCron", "BadTimeZone", "KeepsNothing", "RepositoryShared", "KeyMissing"})
"""Problems with which a schedule's objects are left as they are."""
_SILENT = frozenset({"Running"})


class BackupController:
    """Reconciles schedules and Backups while this process leads."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        table: BackupTable,
        metrics: Metrics,
        options: Options,
        look: Callable[[Key], None],
    ) -> None:
        self._cluster, self._table, self._metrics, self._look = cluster, table, metrics, look
        self._children, self._needs, self._jobs = Children(cluster, options), Needs(cluster), Jobs(cluster)
        self._records = BackupRecords(cluster, table, options)
        self._events = Events(cluster)
        self.queue = WorkQueue(self.reconcile)
        self.backup_queue = WorkQueue(self._carry_out)
        self.leading = False

    async def lead(self) -> None:
        """Take over: what status and the objects say is what we go on from."""
        self.leading = True
        self.look_at_all()

    async def resume(self) -> None:
        """The API server is back and nobody else led."""
        self.look_at_all()

    def look_at_all(self) -> None:
        """Look at all schedules anew, and at all Backups that have not ended."""
        for schedule in self._table.schedules.values():
            schedule.looked_at = 0.0
            self.queue.add(schedule.key)
        for key, point in self._table.points.items():
            if not point.ended:
                self.backup_queue.add(key)

    async def follow(self) -> None:
        """Stop acting, go on watching."""
        self.leading = False
        self.queue.clear()
        self.backup_queue.clear()
        for key, schedule in self._table.schedules.items():
            schedule.loaded, schedule.made_for = False, -1
            self._metrics.backups.pop(key, None)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self.backup_queue.run())

    def forget(self, key: Key) -> None:
        """A schedule was deleted. Its objects go with it, what is in the repositories stays."""
        self.queue.forget(key)
        self._metrics.backups.pop(key, None)

    def told(self, key: Key) -> None:
        """Something became known of a schedule: who lists it wants to hear."""
        for service in self._table.protects.get(key, ()):
            self._look(service)

    async def _carry_out(self, key: Key) -> None:
        if self.leading and self._table.complete:
            again = await self._records.carry_out(key)
            if again is not None:
                self.backup_queue.add_at(key, again)

    async def reconcile(self, key: Key) -> None:
        """Bring one schedule to where it should be, and tell how it stands."""
        schedule = self._table.schedules.get(key)
        if not self.leading or schedule is None or not self._table.complete:
            return
        if not schedule.loaded:
            schedule.said = {c["type"]: (c["status"], c["reason"]) for c in schedule.status.get("conditions") or ()}
            schedule.loaded = True
        now = time.time()
        generation, declared = schedule.generation, schedule.declared
        if declared is None:
            message = "this version of Lastgood does not understand the spec: see kubectl explain bs.spec"
            await self._write(schedule, {}, [Condition("Ready", "False", "NotUnderstood", message)], now)
            return
        points = self._table.points_of_schedule(key)
        others = [(k[0], k[1], other.places) for k, other in self._table.schedules.items() if k != key]
        problems = spec_problems(declared.spec) + shared_problems(declared, others)
        jobs = await self._jobs.look(schedule)
        fresh = schedule.made_for == generation and time.monotonic() - schedule.needs_at < NEEDS_SECONDS
        if not problems and not (fresh and schedule.needs_at):
            written = bool(schedule.status.get("lastSuccess")) or any(p.phase == "Succeeded" for p in points)
            problems = await self._needs.look(declared, written=written)
            schedule.needs_at = 0.0 if problems else time.monotonic()
        if not any(problem.reason in _STOPS for problem in problems) and self._due(schedule):
            problems += await self._children.sync(schedule, declared, now)
            schedule.made_for, schedule.looked_at = generation, time.monotonic()
            if any(p.reason in {"NameTaken", "ChildRefused"} for p in problems):
                schedule.made_for = -1
        if not any(p.reason in {"BadCron", "BadTimeZone"} for p in problems):
            took = {run["name"]: float(run.get("seconds") or 0) for run in schedule.status.get("runs") or ()}
            problems += rpo_problems(declared, took, now)
        seen = Seen(schedule.created, points, jobs, schedule.since, problems)
        judgement = judge(declared, seen, schedule.status, now)
        await self._write(schedule, judgement.status, list(judgement.conditions), now)
        self._metrics.show_backups(key, judgement.ages, judgement.restored_at, schedule.status)
        waits = await self._records.settle(schedule, jobs)
        self._again(schedule, problems, jobs, judgement, now)
        if waits is not None:
            self.queue.add_at(key, waits)

    @staticmethod
    def _due(schedule: ScheduleKnown) -> bool:
        stale = time.monotonic() - schedule.looked_at >= LOOK_SECONDS or not schedule.looked_at
        return schedule.made_for != schedule.generation or stale

    def _again(
        self,
        schedule: ScheduleKnown,
        problems: list[Problem],
        jobs: list[JobSeen],
        judgement: Judgement,
        now: float,
    ) -> None:
        wishes = [LOOK_SECONDS + 1]
        if any(problem.reason != "RPOUnreachable" for problem in problems):
            wishes.append(HEAL_SECONDS)
        if any(job.state == "Running" for job in jobs):
            wishes.append(RUNNING_SECONDS)
        if judgement.recheck_at is not None:
            wishes.append(judgement.recheck_at - now)
        self.queue.add_at(schedule.key, min(wishes))

    async def _write(
        self, schedule: ScheduleKnown, status: dict[str, Any], conditions: list[Condition], now: float
    ) -> None:
        """Write what flipped, and nothing when nothing did."""
        before = schedule.status
        wanted = {
            **status,
            "observedGeneration": schedule.generation,
            "conditions": merge_conditions(before.get("conditions") or (), conditions, schedule.generation, now),
        }
        change = {k: v for k, v in wanted.items() if before.get(k) != v and (v or before.get(k))}
        if not change:
            return
        answer = await self._cluster.merge_status("backupschedules", *schedule.key, change)
        schedule.status = answer.get("status") or {}
        self._metrics.count_runs(schedule.key, before.get("runs") or (), status.get("runs") or ())
        self._tell(schedule, conditions)
        self.told(schedule.key)

    def _tell(self, schedule: ScheduleKnown, conditions: list[Condition]) -> None:
        for condition in conditions:
            said, before = (condition.status, condition.reason), schedule.said.get(condition.type)
            schedule.said[condition.type] = said
            if said == before or condition.type in _SILENT or (before is None and condition.status != "False"):
                continue
            _log.info(
                "condition",
                schedule=schedule.key,
                type=condition.type,
                status=condition.status,
                reason=condition.reason,
                message=condition.message,
            )
            kind = "Warning" if condition.status == "False" and condition.reason != "Suspended" else "Normal"
            self._events.tell(schedule.reference(), kind, condition.reason, condition.message)
