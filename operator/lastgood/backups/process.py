"""Child processes of a job: none outlives it, and what one says on standard error is kept in part."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lastgood.domain.backups.ports import JobFailed

GRACE_SECONDS = 10.0
"""After SIGINT, before SIGKILL: restic needs a moment to take back its lock, which it does for no other signal."""
_KEPT_LINES = 60
_KEPT_CHARACTERS = 2000
_LIMIT = 1 << 20

Listener = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    status: int
    """Exit status; negative for a signal."""
    output: str
    error: str
    """The first and the last lines of standard error: a cause often stands first, a consequence last."""

    @property
    def how(self) -> str:
        """The status in words: who was killed has said nothing of it."""
        return f"exit status {self.status}" if self.status >= 0 else f"killed by signal {-self.status}"


@dataclass(slots=True)
class Child:
    """A process that runs."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    def hear(self, line: str) -> None:
        """Keep one line of standard error."""
        line = line[:_KEPT_CHARACTERS]
        if len(self.lines) < _KEPT_LINES:
            self.lines.append(line)
        else:
            self.last.append(line)

    @property
    def error(self) -> str:
        """What it said on standard error."""
        return "\n".join([*self.lines, *self.last]).strip()


async def follow(stream: asyncio.StreamReader, listener: Listener) -> None:
    """Tell each line of a stream; one that is too long is told in pieces."""
    while True:
        try:
            raw = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                listener(end.partial.decode(errors="replace"))
            return
        except asyncio.LimitOverrunError as long:
            raw = await stream.readexactly(max(long.consumed, 1))
        listener(raw.decode(errors="replace").rstrip("\n"))


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process and all that it started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # The leader alone: with its ssh gone at once, restic could not take back a lock over sftp.
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # the group may outlive its leader
    await process.wait()


@asynccontextmanager
async def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.PIPE,
) -> AsyncIterator[Child]:
    """A child in a process group of its own, which is ended when the block is left.

    Raises JobFailed ToolMissing when there is no such program here.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LIMIT,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise JobFailed("SourceMissing", f"there is no folder {cwd}: is the volume mounted?") from error
        raise JobFailed("ToolMissing", f"there is no program {command[0]} in the job's image") from error
    except PermissionError as error:
        raise JobFailed("SourceUnreadable", f"{error.filename} may not be used by this user") from error
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            ending = asyncio.ensure_future(end(process))
            # A second cancellation must not leave it running.
            while not ending.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(ending)


async def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    on_output: Listener | None = None,
    on_error: Listener | None = None,
) -> Ended:
    """Run to the end. What it prints is kept whole, unless ``on_output`` takes it line by line."""
    parts: list[str] = []
    async with started(command, environment=environment, cwd=cwd, stdin=stdin) as child:
        await finish(child, on_output or parts.append, on_error)
    return Ended(child.process.returncode or 0, "\n".join(parts), child.error)


async def finish(child: Child, on_output: Listener | None, on_error: Listener | None = None) -> int:
    """Follow both streams to their ends, then the process to its own; its exit status."""

    def hear(line: str) -> None:
        child.hear(line)
        if on_error is not None:
            on_error(line)

    async with asyncio.TaskGroup() as group:
        if child.process.stderr is not None:
            group.create_task(follow(child.process.stderr, hear))
        if child.process.stdout is not None and on_output is not None:
            group.create_task(follow(child.process.stdout, on_output))
    return await child.process.wait()


async def piped(
    source: Sequence[str],
    sink: Sequence[str],
    *,
    source_environment: Mapping[str, str],
    sink_environment: Mapping[str, str],
    hold: bool,
    sink_cwd: Path | None = None,
    on_output: Listener | None = None,
    on_error: Listener | None = None,
    on_source_error: Listener | None = None,
) -> tuple[Ended | None, Ended | None]:
    """Run ``source | sink``.

    With ``hold`` the sink does not see the end of its input before the source has exited 0: of one that fails it is
    killed while it still waits, so that it never takes a half for a whole; its own end is then None. A sink that ends
    first has had enough or has died: the source's end is then None. Listeners hear the sink, but for the last one.
    """
    read, write = os.pipe()
    opened = {read, write}

    def close(descriptor: int) -> None:
        if descriptor in opened:
            opened.discard(descriptor)
            os.close(descriptor)

    parts: list[str] = []
    try:
        async with (
            started(sink, environment=sink_environment, cwd=sink_cwd, stdin=read) as eater,
            started(source, environment=source_environment, stdout=write) as feeder,
        ):
            close(read)
            if not hold:
                close(write)
            eating = asyncio.create_task(finish(eater, on_output or parts.append, on_error))
            feeding = asyncio.create_task(finish(feeder, None, on_source_error))
            try:
                await asyncio.wait({eating, feeding}, return_when=asyncio.FIRST_COMPLETED)
                if feeding.done() and feeding.result() != 0 and _cut_off(feeding.result(), feeder.error):
                    # The sink is gone, or goes: it closed its end.
                    await asyncio.wait({eating}, timeout=GRACE_SECONDS)
                if eating.done() and (not feeding.done() or feeding.result() != 0):
                    await end(feeder.process)
                    await feeding
                    return None, Ended(eating.result(), "\n".join(parts), eater.error)
                fed = Ended(await feeding, "", feeder.error)
                if fed.status != 0 and hold:
                    await end(eater.process)
                    await eating
                    return fed, None
                close(write)
                return fed, Ended(await eating, "\n".join(parts), eater.error)
            finally:
                for task in (eating, feeding):
                    task.cancel()
                await asyncio.gather(eating, feeding, return_exceptions=True)
    finally:
        for descriptor in tuple(opened):
            close(descriptor)


def _cut_off(status: int, error: str) -> bool:
    """Whether a process failed because nobody reads on."""
    return status in {-signal.SIGPIPE, 128 + signal.SIGPIPE} or "broken pipe" in error.lower()
