"""The task `receive`, which runs until it is told to end, and what becomes of the slot after it and after jobs."""

import asyncio

import structlog

from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.leaving import Fate, Leave, leave
from lastgood.domain.backups.ports import JobFailed, Receiver
from lastgood.services.jobs.tools import Parts

_log = structlog.get_logger(__name__)
DECIDE_SECONDS = 10.0
"""For the API server to say what has become of the schedule. All of it must fit into the pod's 60 seconds."""
_RELEASE_SECONDS = 25.0
_LOOK_SECONDS = 0.25


async def receive(parts: Parts) -> JobResult:
    """Receive until cancelled; then see to the slot. Raises JobFailed."""
    engine = parts.engine()
    if not isinstance(engine, Receiver):
        raise JobFailed("NotSupported", "this source has nothing that is received all the time")
    following = None if parts.schedule is None else asyncio.create_task(parts.schedule.follow())
    try:
        with parts.work() as work:
            try:
                await engine.receive(work, None)
            except asyncio.CancelledError:
                return await _end(parts, engine)
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    return _ended("ended")


def _ended(message: str) -> JobResult:
    return JobResult(ok=True, task="receive", reason="Done", message=message)


async def tidy(parts: Parts) -> None:
    """After a job that may have made the slot anew: see that it leaves none that nobody reads. Raises nothing.

    The receiver may have ended, and dropped its slot, while the job ran.
    """
    if parts.schedule is None:
        return
    decided = leave(parts.spec, await parts.schedule.standing())
    if decided.fate in {Fate.KEEP, Fate.UNKNOWN}:
        return
    try:
        engine = parts.engine()
        if isinstance(engine, Receiver):
            await _released(parts, engine, decided)
    except JobFailed as error:
        _log.warning("slot not released", slot=parts.spec.slot, reason=error.reason, message=error.message)


async def _end(parts: Parts, engine: Receiver) -> JobResult:
    decided = await _decided(parts)
    if decided.fate in {Fate.KEEP, Fate.UNKNOWN}:
        _log.info("slot kept", slot=parts.spec.slot, why=decided.why)
        return _ended(f"slot {parts.spec.slot} is kept: {decided.why}")
    return _ended(f"{decided.why}: {await _released(parts, engine, decided)}")


async def _released(parts: Parts, engine: Receiver, decided: Leave) -> str:
    try:
        async with asyncio.timeout(_RELEASE_SECONDS):
            done = await engine.release(unlimited_only=decided.fate is Fate.DROP_UNLIMITED)
    except (JobFailed, TimeoutError) as error:
        failed = error if isinstance(error, JobFailed) else JobFailed("Unreachable", "the server took too long")
        command = f"SELECT pg_drop_replication_slot('{parts.spec.slot}')"
        message = f"{decided.why}, but slot {parts.spec.slot} may still be there ({failed.message}): run {command}"
        raise JobFailed(failed.reason, message) from None
    _log.info("slot released", slot=parts.spec.slot, why=decided.why, done=done)
    return done


async def _decided(parts: Parts) -> Leave:
    """Ask until it is known, for a while: the namespace's and the schedule's end may come a moment after ours."""
    if parts.schedule is None:
        return Leave(Fate.UNKNOWN, "there is no API server to ask whether the schedule is still there")
    loop = asyncio.get_running_loop()
    until = loop.time() + DECIDE_SECONDS
    while True:
        decided = leave(parts.spec, await parts.schedule.standing())
        if decided.fate is not Fate.UNKNOWN or loop.time() > until:
            return decided
        await asyncio.sleep(_LOOK_SECONDS)
