"""Copying what the primary holds to the secondaries, each with a state of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from lastgood.api.backup import Copy
from lastgood.api.backupschedule import RepositoryStatus
from lastgood.domain.backups.answers import copy_of, repository_failed, repository_status
from lastgood.domain.backups.points import Held, usable
from lastgood.domain.backups.ports import JobFailed, Repository
from lastgood.services.jobs.tools import PRIMARY, Parts

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Copied:
    """What became of the copies."""

    copies: list[Copy] = field(default_factory=list)
    """Of this job's backup."""
    repositories: list[RepositoryStatus] = field(default_factory=list)
    caught_up: dict[str, list[Copy]] = field(default_factory=dict)
    """By Backup: copies of earlier ones that were made now."""


async def copy_all(parts: Parts, primary: Repository, backup: str, *, until: float, sizes: bool) -> Copied:
    """Bring every secondary to what the primary holds, until a time. Never raises JobFailed: what failed is told."""
    done = Copied()
    there = await parts.held(primary)
    newest = usable(there)[-1].at if there else None
    size = await _size(primary) if sizes else 0
    done.repositories.append(repository_status(PRIMARY, usable(there), size_bytes=size))
    for name in parts.secondaries:
        try:
            async with asyncio.timeout(max(until - parts.now(), 1.0)):
                second = parts.repositories[name]()
                await second.ensure(primary)
                before = {h.backup for h in await parts.held(second)}
                await _copy(primary, second, [h for h in there if h.backup not in before])
                after = await parts.held(second)
                size = await _size(second) if sizes else 0
        except (JobFailed, TimeoutError) as error:
            reason, message = (
                (error.reason, error.message)
                if isinstance(error, JobFailed)
                else ("DeadlineExceeded", f"repository {name}: not copied within the run's deadline")
            )
            _log.warning("not copied", repository=name, reason=reason, message=message)
            done.copies.append(Copy(repository=name, state="Failed", reason=reason, message=message[:512]))
            done.repositories.append(repository_failed(name, reason, message))
            continue
        by_name = {h.backup: h for h in after}
        done.copies.append(copy_of(name, by_name.get(backup)))
        for each in by_name.keys() - before - {backup}:
            done.caught_up.setdefault(each, []).append(copy_of(name, by_name[each]))
        done.repositories.append(repository_status(name, usable(after), size_bytes=size, newest=newest))
    return done


async def _size(repository: Repository) -> int:
    """What it takes; 0 when that cannot be told just now, which is no reason to call a copy failed."""
    try:
        return await repository.size()
    except JobFailed as error:
        _log.warning("not weighed", repository=repository.name, reason=error.reason, message=error.message)
        return 0


async def _copy(primary: Repository, second: Repository, missing: Sequence[Held]) -> None:
    """The oldest first, and of each the record last: what is cut off is no complete backup there."""
    for each in missing:
        await primary.copy_to(second, [s.id for s in each.snapshots])
        await primary.copy_to(second, [each.record.id])


async def tell_caught_up(parts: Parts, done: Copied) -> None:
    """Write earlier Backups' new copies into their objects."""
    for backup, copies in done.caught_up.items():
        status = await parts.records.read(backup)
        if status is None:
            continue
        names = {c.repository for c in copies}
        rest = [c for c in status.copies if c.repository not in names]
        await parts.records.tell(backup, status.model_copy(update={"copies": [*rest, *copies]}))
