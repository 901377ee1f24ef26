"""Child processes of PostgreSQL's tools: an environment of their own, bounded output, ended when the job is."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lastgood.backups.postgres.errors import translated
from lastgood.domain.backups.pgreasons import PgReason

_KEPT = 64 * 1024
"""Bytes of a tool's standard error that are kept, the last ones: that is where the failure is told."""
_GRACE = 10.0
"""Seconds that a tool has to end by itself after SIGTERM."""

_PASSED_ON = ("PATH", "TMPDIR", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "NSS_WRAPPER_PASSWD", "NSS_WRAPPER_GROUP")


def environment() -> dict[str, str]:
    """What a tool sees: no PG… variable of the pod's, and messages in English, since they are read."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "lastgood"}


@dataclass(frozen=True, slots=True)
class Done:
    """How a tool ended."""

    code: int
    output: str
    errors: str


async def tail(stream: asyncio.StreamReader) -> str:
    """The last of what a stream gives, read to its end."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[-_KEPT:]
    return kept.decode(errors="replace")


async def end(process: asyncio.subprocess.Process) -> None:
    """End a child that is no longer wanted, politely at first."""
    ending = asyncio.ensure_future(_ended(process))
    for stop in (process.terminate, process.kill):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                stop()
        await asyncio.wait([ending], timeout=_GRACE)
        if ending.done():
            return
    await ending


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for a child, and read what is left: asyncio sees the end of one only when its pipes are empty."""
    for stream in (process.stdout, process.stderr):
        while stream is not None and await stream.read(65536):
            pass
    await process.wait()


async def run(command: Sequence[str], *, cwd: Path | None = None) -> Done:
    """Run a tool to its end; the last 64 KB of what it prints are kept."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=cwd,
    )
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    try:
        output, errors = await asyncio.gather(tail(process.stdout), tail(process.stderr))
        return Done(await process.wait(), output, errors)
    finally:
        await asyncio.shield(end(process))


async def succeed(
    command: Sequence[str], *, doing: str, cwd: Path | None = None, otherwise: PgReason = PgReason.SOURCE_FAILED
) -> str:
    """Run a tool and give its output. Raises JobFailed with the reason that its errors stand for."""
    done = await run(command, cwd=cwd)
    if done.code != 0:
        raise translated(done.errors or done.output or f"exit status {done.code}", doing=doing, otherwise=otherwise)
    return done.output
