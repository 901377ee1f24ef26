"""The judgement over one BackupSchedule: conditions, status, and when to look again. Pure and deterministic.

Unknown is never good: what was not seen to be there is not counted as a backup, and a backup that was never restored is
not called verified.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from lastgood.api.backupjob import Task
from lastgood.api.base import seconds
from lastgood.domain.backups.crontab import next_after
from lastgood.domain.backups.names import method_of
from lastgood.domain.backups.plan import MAKES_POINTS, times
from lastgood.domain.backups.pods import Declared, repositories_of
from lastgood.domain.backups.runs import GRACE, Run, expected, follow
from lastgood.domain.backups.seen import JobSeen, Point, Points, Proof
from lastgood.domain.clock import from_text, to_text
from lastgood.domain.decide import Condition
from lastgood.domain.model import Problem

_MISSED = frozenset({"BadCron", "BadTimeZone"})
"""Problems with which nothing can be said of times."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was gathered."""

    created: float
    """When the schedule was."""
    points: Sequence[Point] = ()
    jobs: Sequence[JobSeen] = ()
    since: Mapping[str, float] = field(default_factory=dict)
    """By task: since when its CronJob starts Jobs at these times."""
    problems: Sequence[Problem] = ()
    """Why it is not carried out, or not well; the gravest first."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows."""

    conditions: tuple[Condition, ...]
    status: dict[str, Any]
    """Fields of status besides conditions and observedGeneration, as JSON."""
    recheck_at: float | None
    ages: Mapping[str, float | None]
    """By repository: the last time that can be recovered."""
    restored_at: float | None = None
    """When a restore test last passed."""


def judge(declared: Declared, seen: Seen, before: Mapping[str, Any], now: float) -> Judgement:
    """Judge a schedule by what was seen; ``before`` is its status."""
    spec = declared.spec
    points = Points(seen.points)
    readable = not any(problem.reason in _MISSED for problem in seen.problems)
    planned = times(spec, declared.uid) if readable else {}
    runs = follow(planned or _tasks(before), before.get("runs") or (), seen.jobs, points)
    until = {name: _newest(points, name) for name, _ in repositories_of(spec)}
    restore = _restore_seconds(points)
    due = expected(planned, spec.schedule.time_zone, seen.since, now) if not spec.suspend else {}
    told = [_ready(declared, seen)]
    if spec.rpo is not None:
        told.append(_rpo(spec.rpo, until["primary"], seen, runs, now))
    if spec.rto is not None:
        told.append(_rto(spec.rto, restore, points))
    told += [_verified(points), _on_time(spec.suspend, planned, due, runs, seen, now), _running(seen.jobs)]
    proof = _restore_proof(points)
    repositories = _repositories(declared, points, before.get("repositories") or (), seen.jobs)
    usable = points.usable("primary")
    last = max((p.finished or p.made for p in points.all if p.phase == "Succeeded"), default=None)
    upcoming = [next_after(planned[task], spec.schedule.time_zone, now) for task in MAKES_POINTS if task in planned]
    comes = min((at for at in upcoming if at is not None), default=None) if not spec.suspend else None
    primary = next((r for r in repositories if r["name"] == "primary"), {})
    status: dict[str, Any] = {
        "method": method_of(spec),
        "lastSuccess": _text(last) or before.get("lastSuccess"),
        "nextRun": _text(comes),
        "lastVerified": _text(proof.at) if proof is not None else before.get("lastVerified"),
        "points": len(usable),
        "size": shown_bytes(int(primary.get("sizeBytes") or 0)),
        "repositories": repositories,
        "runs": [run.to_status() for run in runs.values() if run.seen],
        "restoreSeconds": restore or 0,
    }
    return Judgement(
        conditions=tuple(told),
        status=status,
        recheck_at=_recheck(declared, {} if spec.suspend else planned, until["primary"], seen, now),
        ages=until,
        restored_at=from_text(status["lastVerified"]) if status["lastVerified"] else None,
    )


def _tasks(before: Mapping[str, Any]) -> dict[str, str]:
    return {run["name"]: "" for run in before.get("runs") or ()}


def _text(at: float | None) -> str | None:
    return None if at is None else to_text(at)


def _at(at: float) -> str:
    """A time for a person, to the second."""
    return to_text(at).split(".")[0].replace("T", " ") + "Z"


def shown_bytes(size: int) -> str:
    """A size for a person: "412 MiB"; empty for none."""
    if size <= 0:
        return ""
    value, unit = float(size), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def _newest(points: Points, repository: str) -> float | None:
    usable = points.usable(repository)
    return usable[-1].point if usable else None


def _ready(declared: Declared, seen: Seen) -> Condition:
    if seen.problems:
        message = "; ".join(problem.message for problem in seen.problems)
        return Condition("Ready", "False", seen.problems[0].reason, message)
    if declared.spec.suspend:
        return Condition("Ready", "False", "Suspended", "spec.suspend is true: nothing runs, what is kept stays")
    return Condition("Ready", "True", "Accepted", f"backed up by method {method_of(declared.spec)}")


def _rpo(rpo: str, newest: float | None, seen: Seen, runs: Mapping[str, Run], now: float) -> Condition:
    allowed = seconds(rpo)
    why = _last_failure(runs, MAKES_POINTS)
    because = f": {why}" if why else ""
    if newest is None:
        if now <= seen.created + allowed and not why:
            message = f"no point yet; the schedule is younger than its rpo of {rpo}"
            return Condition("RPOMet", "Unknown", "NoPointYet", message)
        message = f"the primary repository holds no point that can be used, and rpo is {rpo}{because}"
        return Condition("RPOMet", "False", "NoUsablePoint", message)
    if now - newest <= allowed:
        return Condition("RPOMet", "True", "PointFresh", f"recoverable up to {_at(newest)}, within the rpo of {rpo}")
    message = f"recoverable up to {_at(newest)} only, longer ago than the rpo of {rpo}{because}"
    return Condition("RPOMet", "False", "PointTooOld", message)


def _rto(rto: str, restore: int | None, points: Points) -> Condition:
    newest = next((proof for _, proof in points.proofs() if proof.how == "RestoreTest"), None)
    if newest is not None and not newest.passed:
        message = f"the restore test of {_at(newest.at)} failed: {newest.message or 'see its Backup'}"
        return Condition("RTOMet", "False", "RestoreTestFailed", message)
    if restore is None:
        return Condition("RTOMet", "Unknown", "NoRestoreTest", "no restore test has told yet how long a restore takes")
    text = f"the last restore test, scaled to today's size, takes {restore} s; rto is {rto}"
    if restore <= seconds(rto):
        return Condition("RTOMet", "True", "RestoreFastEnough", text)
    return Condition("RTOMet", "False", "RestoreTooSlow", text)


def _restore_proof(points: Points) -> Proof | None:
    tests = {"RestoreTest", "FullCheck"}
    return next((proof for _, proof in points.proofs() if proof.how in tests and proof.passed), None)


def _restore_seconds(points: Points) -> int | None:
    """What the newest restore test that passed took, in proportion to what the newest point holds."""
    for point, proof in points.proofs():
        if proof.how == "RestoreTest" and proof.passed:
            tested, usable = points.size_of(point), points.usable("primary")
            today = points.size_of(usable[-1]) if usable else tested
            grown = today / tested if tested and today > tested else 1.0
            return max(1, ceil(proof.seconds * grown))
    return None


def _verified(points: Points) -> Condition:
    newest: dict[tuple[str, str], tuple[Point, Proof]] = {}
    for point, proof in points.proofs():
        newest.setdefault((proof.how, proof.repository), (point, proof))
    failed = [(point, proof) for point, proof in newest.values() if not proof.passed]
    if failed:
        point, proof = max(failed, key=lambda entry: (entry[1].at, entry[1].how, entry[1].repository))
        message = (
            f"{proof.how} of Backup {point.name} in {proof.repository} failed at {_at(proof.at)}: "
            f"{proof.message or 'see its job'}"
        )
        return Condition("Verified", "False", "VerificationFailed", message)
    restored = next(((p, v) for p, v in points.proofs() if v.how in {"RestoreTest", "FullCheck"}), None)
    if restored is None:
        return Condition("Verified", "Unknown", "NotRestoredYet", "no point was restored yet to see whether it can be")
    point, proof = restored
    return Condition("Verified", "True", "Restored", f"Backup {point.name} was restored and looked at {_at(proof.at)}")


def _on_time(
    suspend: bool,
    planned: Mapping[Task, str],
    due: Mapping[str, float],
    runs: Mapping[str, Run],
    seen: Seen,
    now: float,
) -> Condition:
    if suspend:
        return Condition("RunsOnTime", "Unknown", "Suspended", "nothing is scheduled")
    if not planned:
        return Condition("RunsOnTime", "Unknown", "NotScheduled", "the times of the runs cannot be read: see Ready")
    missed = [
        f"{task} was due at {_at(at)} and did not run"
        for task, at in due.items()
        if not runs[task].covers(at, seen.jobs, now)
    ]
    if missed:
        text = "; ".join(missed) + ": see the CronJob's events, and whether the controller manager runs"
        return Condition("RunsOnTime", "False", "RunMissed", text)
    failed = _last_failure(runs, planned)
    if failed:
        return Condition("RunsOnTime", "False", "RunFailed", failed)
    if not any(run.last_success for run in runs.values()):
        return Condition("RunsOnTime", "Unknown", "NotRunYet", "nothing was due yet")
    return Condition("RunsOnTime", "True", "OnTime", "all that was due has run")


def _last_failure(runs: Mapping[str, Run], tasks: Iterable[str]) -> str:
    """Of the tasks whose newest run failed: what it said."""
    told = [
        f"{task}: {runs[task].reason}, {runs[task].message}" for task in tasks if task in runs and runs[task].failing
    ]
    return "; ".join(told)


def _running(jobs: Sequence[JobSeen]) -> Condition:
    active = sorted(f"{job.task} ({job.name})" for job in jobs if job.state == "Running")
    if active:
        return Condition("Running", "True", "JobsActive", ", ".join(active))
    return Condition("Running", "False", "Idle", "no job is under way")


def _repositories(
    declared: Declared, points: Points, before: Sequence[Mapping[str, Any]], jobs: Sequence[JobSeen]
) -> list[dict[str, Any]]:
    """State of each repository: what the newest point says of it, unless a job has said something since."""
    old = {entry["name"]: entry for entry in before}
    ended = sorted((job for job in jobs if job.result is not None and job.finished), key=lambda j: j.finished or 0)
    told = {r.name: (job, r) for job in ended for r in (job.result.repositories if job.result else ())}
    newest = next((p for p in reversed(points.all) if p.phase == "Succeeded"), None)
    found = []
    for name, _ in repositories_of(declared.spec):
        usable = points.usable(name)
        state, reason, message = ("Unknown", "", "no point yet")
        if newest is not None:
            state, reason, message = _copy_state((newest.copies or {}).get(name), newest)
        job, said = told.get(name, (None, None))
        if said is not None and job is not None and said.state == "Failed":
            after = newest is None or (newest.finished or newest.made) <= (job.finished or 0)
            state, reason, message = ("Failed", said.reason, said.message) if after else (state, reason, message)
        size = said.size_bytes if said is not None and said.size_bytes else int(old.get(name, {}).get("sizeBytes") or 0)
        oldest = min((p.earliest or p.point for p in usable if p.point is not None), default=None)
        entry = {
            "name": name,
            "state": state,
            "reason": reason,
            "message": message,
            "recoverableUntil": _text(usable[-1].point) if usable else None,
            "oldest": _text(oldest),
            "points": len(usable),
            "sizeBytes": size,
        }
        found.append({key: value for key, value in entry.items() if value is not None})
    return found


def _copy_state(copy: tuple[str, str, str] | None, newest: Point) -> tuple[str, str, str]:
    match copy:
        case ("Present", _, _):
            return "Ready", "", ""
        case ("Failed", reason, message):
            return "Failed", reason, message
        case _:
            return "Behind", "CopyMissing", f"Backup {newest.name} is not there yet"


def _recheck(
    declared: Declared, planned: Mapping[Task, str], newest: float | None, seen: Seen, now: float
) -> float | None:
    """The next time at which something may flip by itself: a run is due, or missed, or the newest point is too old."""
    zone, rpo = declared.spec.schedule.time_zone, declared.spec.rpo
    wishes = []
    for expression in planned.values():
        due, missed = next_after(expression, zone, now), next_after(expression, zone, now - GRACE)
        wishes += [] if due is None else [due + 1]
        wishes += [] if missed is None else [missed + GRACE + 1]
    if rpo is not None:
        wishes.append((newest if newest is not None else seen.created) + seconds(rpo) + 1)
    return min((at for at in wishes if at > now), default=None)
