"""Applying the retention to every repository, and taking away Backups that are nowhere any more."""

from collections.abc import Mapping, Sequence

import structlog

from lastgood.api.backup import BackupStatus, Copy
from lastgood.api.backupjob import JobResult
from lastgood.api.backupschedule import RepositoryStatus
from lastgood.api.base import seconds
from lastgood.domain.backups.answers import copy_of, repository_failed, repository_status
from lastgood.domain.backups.points import Held, held, unfinished, usable
from lastgood.domain.backups.ports import JobFailed, Repository
from lastgood.domain.backups.retention import Age, kept
from lastgood.domain.backups.texts import moment
from lastgood.services.jobs.tools import PRIMARY, Parts

_log = structlog.get_logger(__name__)
_GRACE_SECONDS = 3600.0
"""Besides the deadline: what is younger may be a run's that is under way."""
_FAILED_SECONDS = 14 * 86400.0
"""How long a failed run is on record."""


async def prune(parts: Parts) -> JobResult:
    """Each repository by itself: one that does not answer keeps what it has, and its Backups stay."""
    states: list[RepositoryStatus] = []
    there: dict[str, list[Held]] = {}
    answering: list[Repository] = []
    for name, make in parts.repositories.items():
        try:
            repository = make()
            there[name] = await _prune(parts, repository)
            newest = there[PRIMARY][-1].at if there.get(PRIMARY) and name != PRIMARY else None
            size = await repository.size()
            states.append(repository_status(name, usable(there[name]), size_bytes=size, newest=newest))
            answering.append(repository)
        except JobFailed as error:
            _log.warning("not pruned", repository=name, reason=error.reason, message=error.message)
            there.pop(name, None)
            states.append(repository_failed(name, error.reason, error.message))
    removed = await _tell(parts, answering)
    failed = [s for s in states if s.state == "Failed"]
    message = "; ".join(f"{s.name}: {s.message}" for s in failed)
    return JobResult(
        ok=not failed,
        task="prune",
        reason=failed[0].reason if failed else "Done",
        message=message[:1024],
        repositories=states,
        removed=removed,
    )


async def _prune(parts: Parts, repository: Repository) -> list[Held]:
    """What is left in one repository."""
    now = parts.now()
    snapshots = await repository.snapshots({"schedule": parts.spec.schedule}, fresh=True)
    every = held(snapshots)
    ages = [Age(h.backup, h.at, h.base) for h in usable(every)]
    keep = kept(ages, parts.spec.spec.retention, now)
    grace = seconds(parts.spec.spec.schedule.deadline) + _GRACE_SECONDS
    going = [h for h in every if h.backup not in keep]
    # What lacks its base can never be restored, but its base may be on its way in a copy.
    going = [h for h in going if h in usable(every) or h.record.time < now - grace]
    # The record first: what is cut off half-way is then no complete backup any more, and is taken up next time.
    await repository.forget([h.record.id for h in going])
    left = [s.id for h in going for s in h.snapshots]
    await repository.forget([*left, *unfinished(snapshots, now - grace)])
    await repository.prune()
    return await parts.held(repository)


async def _tell(parts: Parts, answering: Sequence[Repository]) -> list[str]:
    """Delete Backups that are nowhere any more, and write into the others where they still are."""
    # Pruning takes long, and other jobs go on meanwhile. What Backups say is read first and what is there after that:
    # one says that it succeeded, or was copied, only once it is there.
    said = {backup: await parts.records.read(backup) for backup in await parts.records.names(parts.spec.schedule) or ()}
    there = {repository.name: await _now(parts, repository) for repository in answering}
    removed = []
    for backup, status in said.items():
        if status is None:
            continue
        copies = _copies(parts, backup, status, {name: held for name, held in there.items() if held is not None})
        if copies == status.copies or await parts.records.read(backup) != status:
            # One that another job writes just now is looked at next time.
            continue
        if copies is not None:
            await parts.records.tell(backup, status.model_copy(update={"copies": copies}))
        elif await parts.records.remove(backup):
            removed.append(backup)
    return removed


def _copies(parts: Parts, backup: str, status: BackupStatus, there: Mapping[str, Sequence[Held]]) -> list[Copy] | None:
    """Where a backup still is; None when the Backup itself is to go."""
    if status.phase != "Succeeded":
        old = status.finished_at is not None and moment(status.finished_at) < parts.now() - _FAILED_SECONDS
        return None if status.phase == "Failed" and old else status.copies
    # A repository that did not answer may hold it: what was said last counts. One that was taken out does not.
    copies = {c.repository: c for c in status.copies if c.repository in parts.repositories}
    for name, points in there.items():
        one = next((h for h in points if h.backup == backup), None)
        if one is not None or name in copies:
            copies[name] = copy_of(name, one, copies.get(name))
    return None if all(c.state in {"Removed", "Missing"} for c in copies.values()) else list(copies.values())


async def _now(parts: Parts, repository: Repository) -> list[Held] | None:
    """What it holds now; None without an answer."""
    try:
        return await parts.held(repository, fresh=True)
    except JobFailed as error:
        _log.warning("not looked at again", repository=repository.name, reason=error.reason, message=error.message)
        return None
