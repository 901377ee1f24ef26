"""PostgreSQL's tools as child processes, in an environment of their own."""

import os
from collections.abc import Sequence
from pathlib import Path

from lastgood.backups import process
from lastgood.backups.postgres.errors import translated
from lastgood.backups.process import Ended
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_PASSED_ON = ("PATH", "TMPDIR", "HOME", "LD_LIBRARY_PATH", "LD_PRELOAD", "NSS_WRAPPER_PASSWD", "NSS_WRAPPER_GROUP")
_LONGEST = 64 * 1024


def environment() -> dict[str, str]:
    """What a tool sees: no PG… variable of the pod's, and messages in English, since they are read."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "lastgood"}


async def run(command: Sequence[str], *, cwd: Path | None = None) -> Ended:
    """Run a tool to its end."""
    return await process.run(command, environment=environment(), cwd=cwd)


async def succeed(
    command: Sequence[str], *, doing: str, cwd: Path | None = None, otherwise: PgReason = PgReason.SOURCE_FAILED
) -> str:
    """Run a tool and give its output. Raises JobFailed with the reason that its errors stand for."""
    done = await run(command, cwd=cwd)
    if done.status != 0:
        raise translated(done.error or done.output or f"exit status {done.status}", doing=doing, otherwise=otherwise)
    return done.output


def heard(command: Sequence[str], errors: Path) -> list[str]:
    """The same command, with what it says on standard error in a file: who runs it keeps a line of that, or none."""
    return ["sh", "-c", 'errors=$1; shift; exec "$@" 2>"$errors"', "sh", str(errors), *command]


def retold(failed: JobFailed, errors: Path, *, doing: str, otherwise: PgReason = PgReason.SOURCE_FAILED) -> JobFailed:
    """The reason of a command that failed while the repository ran it, by its own words. Other failures stay."""
    if failed.reason != "CommandFailed":
        return failed
    text = errors.read_text(errors="replace")[-_LONGEST:] if errors.exists() else ""
    return translated(text or failed.message, doing=doing, otherwise=otherwise)
