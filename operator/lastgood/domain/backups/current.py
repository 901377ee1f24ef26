"""What the schedules of a service's data mean for it: whether they are current, and which points belong to it."""

from collections.abc import Sequence
from dataclasses import replace

from lastgood.domain.model import Memory, ScheduleStands

Told = tuple[str, str, str]
"""Status, reason and message of a condition."""


def current(schedules: Sequence[ScheduleStands]) -> Told:
    """How the data of a service is backed up, by the RPO of each schedule; by its runs where none is declared."""
    told: dict[str, list[str]] = {}
    for schedule in schedules:
        status, message = _of_one(schedule)
        told.setdefault(status, []).append(f"{schedule.name}: {message}")
    for status, reason in (("False", "BackupsBehind"), ("Unknown", "BackupsUnknown")):
        if status in told:
            return status, reason, "; ".join(told[status])
    return "True", "BackupsFresh", "; ".join(told.get("True", ()))


def _of_one(schedule: ScheduleStands) -> tuple[str, str]:
    if not schedule.known:
        return "Unknown", "no such BackupSchedule"
    by_type = {condition["type"]: condition for condition in schedule.conditions}
    shown = by_type.get("RPOMet") or by_type.get("RunsOnTime")
    if shown is None:
        ready = by_type.get("Ready")
        return "Unknown", str(ready["message"]) if ready is not None else "it was not judged yet"
    return str(shown["status"]), str(shown.get("message") or shown["reason"])


def with_points(memory: Memory, schedules: Sequence[ScheduleStands]) -> Memory:
    """The memory with the newest point of each schedule noted at the revision that runs and is the newest good one.

    Only while the service is well: a point that was made while it was not belongs to no good revision. What is noted
    changes when a Backup succeeds, and at no other time.
    """
    running = memory.current
    if running is None or not memory.ledger or memory.ledger[0].key != running.key or memory.health.state != "True":
        return memory
    good = memory.ledger[0]
    noted = {point.schedule: point for point in good.points}
    wanted = []
    for schedule in schedules:
        before, newest = noted.get(schedule.name), schedule.newest
        later = newest is not None and (before is None or newest.at > before.at)
        if newest is not None and later:
            wanted.append(newest)
        elif before is not None:
            wanted.append(before)
    points = tuple(wanted)
    return (
        memory if points == good.points else replace(memory, ledger=(replace(good, points=points), *memory.ledger[1:]))
    )
