"""The steps of a Restore that run in a pod."""

from lastgood.api.backup import Verified
from lastgood.api.backupjob import JobResult, RestoreJob
from lastgood.domain.backups.ports import Comparer, JobFailed, Repository, Restorer, Swapper, Verifier
from lastgood.domain.backups.texts import stamp
from lastgood.services.jobs.tools import Parts


def _asked(parts: Parts) -> RestoreJob:
    if parts.spec.restore is None:
        raise JobFailed("InternalError", f"task {parts.spec.task} needs a restore in the job's spec")
    return parts.spec.restore


def _repository(parts: Parts, asked: RestoreJob) -> Repository:
    make = parts.repositories.get(asked.spec.repository)
    if make is None:
        raise JobFailed("RepositoryUnknown", f"the schedule has no repository {asked.spec.repository}")
    return make()


async def verify(parts: Parts) -> JobResult:
    """The chosen point is there with all that it needs, and the repository's structure is whole."""
    asked = _asked(parts)
    repository = _repository(parts, asked)
    began = parts.now()
    there = {s.id for s in await repository.snapshots({"schedule": parts.spec.schedule})}
    wanted = [*asked.base_snapshots, *asked.snapshots]
    missing = [s for s in wanted if s not in there]
    if missing or not wanted:
        what = ", ".join(s[:8] for s in missing) or "any snapshot"
        raise JobFailed("SnapshotMissing", f"repository {repository.name} lacks {what} of backup {asked.backup}")
    await repository.check()
    said = await _engines_word(parts, repository, asked)
    proof = Verified(
        how="Structure",
        passed=True,
        repository=repository.name,
        at=stamp(parts.now()),
        seconds=round(parts.now() - began),
        message=f"all {len(wanted)} snapshots are there, and the repository's structure is whole{said}"[:1024],
    )
    return JobResult(
        ok=True, task="verify", reason="Done", message=proof.message, backup=asked.backup, verified=[proof]
    )


async def _engines_word(parts: Parts, repository: Repository, asked: RestoreJob) -> str:
    """What the engine says of the point, where it has a word to say and can be made without the source."""
    try:
        engine = parts.engine()
    except JobFailed:
        # This task is not given the source's credentials; the snapshots were looked at all the same.
        return ""
    if not isinstance(engine, Verifier):
        return ""
    with parts.work() as work:
        return f"; {await engine.verify(work, repository, asked)}"


async def restore(parts: Parts) -> JobResult:
    """Put the data where it is wanted."""
    asked = _asked(parts)
    engine = _restorer(parts)
    with parts.work() as work:
        message = await engine.restore(work, _repository(parts, asked), asked)
    return _done(parts, message)


async def validate(parts: Parts) -> JobResult:
    """Look at what was restored."""
    asked = _asked(parts)
    engine = _restorer(parts)
    with parts.work() as work:
        if isinstance(engine, Comparer):
            return _done(parts, await engine.compare(work, _repository(parts, asked), asked))
        return _done(parts, await engine.validate(work, asked))


async def swap(parts: Parts) -> JobResult:
    """Give the fresh database its name."""
    asked = _asked(parts)
    engine = parts.engine()
    if not isinstance(engine, Swapper):
        raise JobFailed("NotSupported", "only logical backups of PostgreSQL are restored beside what is used")
    with parts.work() as work:
        return _done(parts, await engine.swap(work, asked))


def _restorer(parts: Parts) -> Restorer:
    engine = parts.engine()
    if not isinstance(engine, Restorer):
        raise JobFailed("NotSupported", "this source is not restored: read its files with restic")
    return engine


def _done(parts: Parts, message: str) -> JobResult:
    asked = _asked(parts)
    return JobResult(ok=True, task=parts.spec.task, reason="Done", message=message[:1024], backup=asked.backup)
