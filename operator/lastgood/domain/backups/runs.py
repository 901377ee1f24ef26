"""The newest run of each task, as Jobs and Backups tell it; and whether a run that was due took place.

A CronJob that is no longer started never fails. So the times at which it should have been are compared with what ran.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lastgood.api.backupjob import Task
from lastgood.domain.backups.crontab import last_before
from lastgood.domain.backups.seen import JobSeen, Points
from lastgood.domain.clock import from_text, to_text

GRACE = 180.0
"""For how long after its time a run may be missing before it is called missed, seconds."""
_EARLY = 5.0
"""How much the clocks of two machines may differ, seconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """The newest run of one task."""

    name: str
    last_success: float | None = None
    last_failure: float | None = None
    reason: str = ""
    """Of the newest failure."""
    message: str = ""
    seconds: int = 0
    """How long the newest that succeeded took."""

    @property
    def seen(self) -> bool:
        """Whether there ever was one."""
        return self.last_success is not None or self.last_failure is not None

    @property
    def failing(self) -> bool:
        """Whether the newest failed."""
        return self.last_failure is not None and self.last_failure > (self.last_success or 0.0)

    def covers(self, due: float, jobs: Iterable[JobSeen], now: float) -> bool:
        """Whether something ran that was due then, or was under way and so kept the next from starting."""
        if max(self.last_success or 0.0, self.last_failure or 0.0) >= due:
            return True
        return any(
            job.task == self.name and (job.created >= due - _EARLY or (job.finished or now) >= due) for job in jobs
        )

    def to_status(self) -> dict[str, Any]:
        """As status holds it."""
        entry = {
            "name": self.name,
            "lastSuccess": None if self.last_success is None else to_text(self.last_success),
            "lastFailure": None if self.last_failure is None else to_text(self.last_failure),
            "reason": self.reason if self.failing else "",
            "message": self.message if self.failing else "",
            "seconds": self.seconds,
        }
        return {name: value for name, value in entry.items() if value is not None}


def _of_status(entry: Mapping[str, Any]) -> Run:
    success, failure = entry.get("lastSuccess"), entry.get("lastFailure")
    return Run(
        name=entry["name"],
        last_success=from_text(success) if success else None,
        last_failure=from_text(failure) if failure else None,
        reason=entry.get("reason") or "",
        message=entry.get("message") or "",
        seconds=int(entry.get("seconds") or 0),
    )


def follow(
    tasks: Iterable[str], before: Sequence[Mapping[str, Any]], jobs: Sequence[JobSeen], points: Points
) -> dict[str, Run]:
    """Runs by task: what status remembers, and what has ended since. Jobs and Backups may be gone by now."""
    remembered = {entry["name"]: _of_status(entry) for entry in before}
    found = {task: remembered.get(task, Run(task)) for task in tasks}
    for job in sorted(jobs, key=lambda j: j.finished or 0.0):
        run, at = found.get(job.task), job.finished
        if run is None or at is None:
            continue
        # A Job's times are whole seconds, so that one may seem to end before the Backup that it wrote.
        if job.state == "Succeeded" and at + 1 > (run.last_success or 0.0):
            found[job.task] = replace(run, last_success=max(at, run.last_success or 0.0), seconds=job.seconds)
        elif job.state == "Failed" and at > (run.last_failure or 0.0):
            found[job.task] = replace(run, last_failure=at, reason=job.reason, message=job.message)
    for point in points.all:
        task: Task = "incremental" if point.type == "Incremental" else "full"
        run = found.get(task)
        if run is not None and point.phase == "Succeeded" and (point.finished or 0.0) > (run.last_success or 0.0):
            found[task] = replace(run, last_success=point.finished)
    return found


def expected(tasks: Mapping[Task, str], zone: str, since: Mapping[str, float], now: float) -> dict[str, float]:
    """By task: the last time at which it should have started, of those that are long enough ago to be sure."""
    found: dict[str, float] = {}
    for task, expression in tasks.items():
        at = last_before(expression, zone, now - GRACE)
        if at is not None and task in since and at >= since[task]:
            found[task] = at
    return found
