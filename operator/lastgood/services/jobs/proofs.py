"""Proving backups: reading stored data, and restoring it into something that is thrown away."""

import structlog

from lastgood.api.backup import Verified
from lastgood.api.backupjob import JobResult
from lastgood.api.backupschedule import RepositoryStatus
from lastgood.api.base import amount
from lastgood.domain.backups.answers import (
    proven,
    repository_failed,
    repository_status,
    with_condition,
    with_verified,
)
from lastgood.domain.backups.points import Held, point, usable
from lastgood.domain.backups.ports import JobFailed, Repository, Tester
from lastgood.domain.backups.texts import stamp
from lastgood.services.jobs.tools import PRIMARY, Parts

_log = structlog.get_logger(__name__)
_WRONG = frozenset(
    [
        "RepositoryDamaged",
        "SnapshotMissing",
        "RestoreTestFailed",
        "ChainBroken",
        "PointIncomplete",
        "BaseDamaged",
        "DumpUnreadable",
        "DumpDamaged",
        "WalGap",
        "TimeUnreachable",
    ]
)
"""Reasons that say something of the point; with any other, it could not be tried."""


async def data_sample(parts: Parts) -> JobResult:
    """Read a share of the primary's data."""
    repository = parts.repositories[PRIMARY]()
    share = amount(parts.spec.spec.verification.data_sample.share)
    newest = await _newest(parts, repository)
    proof = await _read(parts, repository, "DataSample", share)
    return await _proved(parts, {newest.backup: [proof]}, newest, [])


async def restore_test(parts: Parts) -> JobResult:
    """Restore the newest point of the primary into something thrown away, and look at it."""
    repository = parts.repositories[PRIMARY]()
    newest = await _newest(parts, repository)
    proof = await _restored(parts, repository, newest)
    return await _proved(parts, {newest.backup: [proof]}, newest, [])


async def full_check(parts: Parts) -> JobResult:
    """Read all data of every repository, and restore the newest point from each; one that fails hides no other."""
    proofs: dict[str, list[Verified]] = {}
    states: list[RepositoryStatus] = []
    shown: Held | None = None
    reason = ""
    newest_of_primary: float | None = None
    for name, make in parts.repositories.items():
        try:
            repository = make()
            there = usable(await parts.held(repository))
            newest = await _newest(parts, repository)
            found = [await _read(parts, repository, "FullCheck", 1.0)]
            if found[0].passed:
                found.append(await _restored(parts, repository, newest))
            size = await repository.size()
        except JobFailed as error:
            _log.warning("not checked", repository=name, reason=error.reason, message=error.message)
            reason = reason or error.reason
            states.append(repository_failed(name, error.reason, error.message))
            continue
        shown = shown or newest
        proofs.setdefault(newest.backup, []).extend(found)
        if all(v.passed for v in found):
            states.append(repository_status(name, there, size_bytes=size, newest=newest_of_primary))
        else:
            bad = next(v for v in found if not v.passed)
            states.append(repository_failed(name, "RepositoryDamaged", bad.message))
        if name == PRIMARY:
            newest_of_primary = there[-1].at if there else None
    result = await _proved(parts, proofs, shown, states)
    failed = [s for s in states if s.state == "Failed"]
    if not failed:
        return result
    message = "; ".join(f"{s.name}: {s.message}" for s in failed)
    return result.model_copy(update={"ok": False, "reason": failed[0].reason or reason, "message": message[:1024]})


async def _newest(parts: Parts, repository: Repository) -> Held:
    there = usable(await parts.held(repository))
    if not there:
        raise JobFailed("NoPoint", f"repository {repository.name} holds no usable point yet")
    return there[-1]


async def _read(parts: Parts, repository: Repository, how: str, share: float) -> Verified:
    began = parts.now()
    try:
        await repository.check(share=share)
    except JobFailed as error:
        if error.reason != "RepositoryDamaged":
            raise
        passed, message = False, error.message
    else:
        passed, message = True, f"{share:.0%} of the stored data was read and is whole"
    return Verified.model_validate(
        {
            "how": how,
            "passed": passed,
            "repository": repository.name,
            "at": stamp(parts.now()),
            "seconds": round(parts.now() - began),
            "message": message[:1024],
        }
    )


async def _restored(parts: Parts, repository: Repository, newest: Held) -> Verified:
    """The engine's own test. What cannot be fetched out of the repository is a failed test, not a test not made."""
    engine = parts.engine()
    if not isinstance(engine, Tester):
        raise JobFailed("NotSupported", "there is no restore test for this source")
    began = parts.now()
    try:
        one = point(await parts.held(repository), newest)
        with parts.work() as work:
            made = await engine.test(work, repository, one)
    except JobFailed as error:
        if error.reason not in _WRONG:
            raise
        made = Verified(how="RestoreTest", passed=False, at=stamp(parts.now()), message=error.message[:1024])
    took = round(parts.now() - began)
    return made.model_copy(update={"repository": repository.name, "at": stamp(parts.now()), "seconds": took})


async def _proved(
    parts: Parts, proofs: dict[str, list[Verified]], newest: Held | None, states: list[RepositoryStatus]
) -> JobResult:
    """Write proofs into their Backups; a proof that failed fails the job."""
    for backup, found in proofs.items():
        status = await parts.records.read(backup)
        if status is not None:
            verified = with_verified(status.verified, found)
            conditions = with_condition(status.conditions, proven(verified, parts.now()))
            await parts.records.tell(backup, status.model_copy(update={"verified": verified, "conditions": conditions}))
    every = [v for found in proofs.values() for v in found]
    failed = next((v for v in every if not v.passed), None)
    reason = "Done" if failed is None else "RestoreTestFailed" if failed.how == "RestoreTest" else "RepositoryDamaged"
    return JobResult(
        ok=failed is None,
        task=parts.spec.task,
        reason=reason,
        message=(failed or every[-1]).message if every else "",
        backup=newest.backup if newest else "",
        point=stamp(newest.at) if newest else None,
        verified=every,
        repositories=states,
    )
