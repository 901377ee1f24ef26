"""What runs in a job's pod: one task of one schedule, from its start to one result."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import structlog

from lastgood.api.backup import BackupStatus, Copy, Verified
from lastgood.api.backupjob import JobResult
from lastgood.api.base import seconds
from lastgood.domain.backups.answers import complete, repository_failed, with_condition
from lastgood.domain.backups.ports import JobFailed, Repository
from lastgood.domain.backups.texts import stamp
from lastgood.services.jobs.copies import copy_all, tell_caught_up
from lastgood.services.jobs.proofs import data_sample, full_check, restore_test
from lastgood.services.jobs.prune import prune
from lastgood.services.jobs.receive import receive, tidy
from lastgood.services.jobs.restoring import restore, swap, validate, verify
from lastgood.services.jobs.tools import PRIMARY, Parts, read_record, write_record

_log = structlog.get_logger(__name__)
PROGRESS_SECONDS = 10.0
_COPY_SHARE = 0.9
"""Of the deadline: by then copying ends, so that there is time to say how."""
Task = Callable[[Parts], Awaitable[JobResult]]


class Progress:
    """What a run is at; written now and then."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, text: str) -> None:
        """Say it; cheap."""
        self.text = text

    async def follow(self, parts: Parts, status: Callable[[], BackupStatus]) -> None:
        """Write it into the Backup at most every ten seconds, while it changes."""
        written = ""
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            if self.text != written:
                written = self.text
                await parts.records.tell(parts.name, status().model_copy(update={"progress": written}))


async def run(parts: Parts, progress: Progress) -> JobResult:
    """Run the task. Never raises besides CancelledError of a second cancellation: how it ended is the result."""
    began = parts.now()
    try:
        result = await _task(parts, progress)
    except JobFailed as error:
        result = _failed(parts, error.reason, error.message, untouched=error.untouched)
    except asyncio.CancelledError:
        result = _failed(parts, "Interrupted", "the job was told to end before it was done: deadline, node or a person")
    except BaseExceptionGroup as group:
        result = _unexpected(parts, group)
    except Exception as error:  # noqa: BLE001 - the result must be written whatever happened
        result = _unexpected(parts, error)
    return result.model_copy(update={"seconds": max(0, round(parts.now() - began))})


def _failed(parts: Parts, reason: str, message: str, *, untouched: bool = False) -> JobResult:
    _log.error("failed", task=parts.spec.task, reason=reason, message=message)
    return JobResult(ok=False, task=parts.spec.task, reason=reason, message=message[:1024], untouched=untouched)


def _unexpected(parts: Parts, error: BaseException) -> JobResult:
    # A JobFailed inside a group of tasks is still what it says.
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    if isinstance(inner, JobFailed):
        return _failed(parts, inner.reason, inner.message)
    _log.error("unexpected", exc_info=error)
    # Its text may hold anything, a connection string too.
    return _failed(parts, "InternalError", f"an error of Lastgood's own, {type(inner).__name__}: see the pod's log")


async def _task(parts: Parts, progress: Progress) -> JobResult:
    tasks: Mapping[str, Task] = {
        "data-sample": data_sample,
        "restore-test": restore_test,
        "full-check": full_check,
        "prune": prune,
        "verify": verify,
        "restore": restore,
        "swap": swap,
        "validate": validate,
        "receive": receive,
    }
    if parts.spec.task in {"full", "incremental", "safety"}:
        try:
            return await _backup(parts, progress)
        finally:
            await tidy(parts)
    return await tasks[parts.spec.task](parts)


async def _backup(parts: Parts, progress: Progress) -> JobResult:
    """Back up, check, make it complete, and only then copy: from there on it stands, whatever becomes of the copies."""
    began = parts.now()
    status = BackupStatus(phase="Running", job=parts.name, started_at=stamp(began), progress="starting")
    await parts.records.begin(parts.name, status)
    following = asyncio.create_task(progress.follow(parts, lambda: status))
    try:
        primary = parts.repositories[PRIMARY]()
        made = await _made(parts, primary, progress)
        status = made.model_copy(
            update={"phase": "Succeeded", "job": parts.name, "started_at": stamp(began), "progress": ""}
        )
        status = _ended(status, parts.now(), ok=True, reason="Done", message="")
        await parts.records.tell(parts.name, status)
    except (Exception, asyncio.CancelledError) as error:
        reason, message = "InternalError", "see the pod's log"
        if isinstance(error, JobFailed):
            reason, message = error.reason, error.message
        elif isinstance(error, asyncio.CancelledError):
            reason, message = "Interrupted", "the job was told to end before it was done"
        failed = _ended(
            status.model_copy(update={"phase": "Failed"}), parts.now(), ok=False, reason=reason, message=message
        )
        await _last_word(parts, failed.model_copy(update={"progress": ""}))
        raise
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    return await _copied(parts, primary, status, began)


async def _last_word(parts: Parts, status: BackupStatus) -> None:
    """Write how it failed, and do not hold up the end of the pod for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(15):
            await parts.records.tell(parts.name, status)


def _ended(status: BackupStatus, at: float, *, ok: bool, reason: str, message: str) -> BackupStatus:
    condition = complete(ok=ok, reason=reason, message=message, at=at)
    return status.model_copy(
        update={"finished_at": stamp(at), "conditions": with_condition(status.conditions, condition)}
    )


async def _made(parts: Parts, primary: Repository, progress: Progress) -> BackupStatus:
    """The backup, complete in the primary; made before by an earlier pod of this job, it is taken as it is."""
    progress("opening the repository")
    await primary.ensure()
    before = next((h for h in await parts.held(primary) if h.backup == parts.name), None)
    if before is not None:
        return await read_record(parts, primary, before)
    remains = [s.id for s in await primary.snapshots({"backup": parts.name})]
    await primary.forget(remains)
    kind = "incremental" if parts.spec.task == "incremental" else "full"
    tags = parts.tags(kind)
    engine = parts.engine()
    with parts.work() as work:
        make = engine.incremental if kind == "incremental" else engine.full
        made = await make(work, primary, tags)
    progress("checking the repository")
    started = parts.now()
    await primary.check()
    structure = Verified(
        how="Structure",
        passed=True,
        at=stamp(parts.now()),
        seconds=round(parts.now() - started),
        message="the repository's structure is whole",
    )
    made = made.model_copy(update={"verified": [structure, *made.verified]})
    if not any(c.repository == PRIMARY for c in made.copies):
        ids = [s.id for s in await primary.snapshots({"backup": parts.name})]
        made = made.model_copy(
            update={"copies": [Copy(repository=PRIMARY, state="Present", snapshots=ids), *made.copies]}
        )
    await write_record(parts, primary, tags, made)
    return made


async def _copied(parts: Parts, primary: Repository, status: BackupStatus, began: float) -> JobResult:
    """Copy, and say how it went. Nothing here takes the backup back."""
    until = began + _COPY_SHARE * seconds(parts.spec.spec.schedule.deadline)
    result = JobResult(
        ok=True,
        task=parts.spec.task,
        reason="Done",
        backup=parts.name,
        point=status.point,
        size_bytes=status.size_bytes,
        stored_bytes=status.stored_bytes,
        verified=status.verified,
        copies=status.copies,
    )
    try:
        done = await copy_all(parts, primary, parts.name, until=until, sizes=parts.spec.task != "incremental")
    except (JobFailed, asyncio.CancelledError) as error:
        reason = error.reason if isinstance(error, JobFailed) else "Interrupted"
        lost = [Copy(repository=name, state="Failed", reason=reason) for name in parts.secondaries]
        copies = [*status.copies, *lost]
        await _last_word(parts, status.model_copy(update={"copies": copies}))
        states = [repository_failed(name, reason, "the copies were not finished") for name in parts.secondaries]
        return result.model_copy(
            update={"copies": copies, "repositories": states, "message": "the copies are not made"}
        )
    copies = [*(c for c in status.copies if c.repository == PRIMARY), *done.copies]
    await parts.records.tell(parts.name, status.model_copy(update={"copies": copies}))
    await tell_caught_up(parts, done)
    missing = [c.repository for c in copies if c.state != "Present"]
    message = f"not copied to {', '.join(missing)}" if missing else ""
    return result.model_copy(update={"copies": copies, "repositories": done.repositories, "message": message})
