"""One call of restic: its environment and arguments, and how long it may go on trying."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lastgood.backups.process import Ended, Listener, run
from lastgood.backups.restic_errors import hopeless, line_of, meaning, retried
from lastgood.backups.restic_location import Location
from lastgood.domain.backups.ownership import Owner
from lastgood.domain.backups.ports import JobFailed

T = TypeVar("T")
HOST = "lastgood"
"""Of all snapshots: restic looks for the one before by host and path, and each pod has a host name of its own."""
_LOCK_POLL_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_NO_SESSION = "unable to start the sftp session"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Settings:
    """What all repositories of a job have in common."""

    owner: Owner
    key: Path
    """File with the passphrase."""
    previous: Path | None
    """File with the one before it, while keys are changed."""
    scratch: Path
    progress: Callable[[str], None]
    now: Callable[[], float]
    """Seconds since the epoch."""
    lock_seconds: float = 2100.0
    """How long another's lock is waited for: longer than the 30 minutes after which a dead one's counts as such."""
    patience_seconds: float = 120.0
    """How long a server may not answer, once restic has said that it tries again."""
    memory: str = "120MiB"
    """What restic's collector keeps to where it can."""
    program: str = "restic"


@dataclass(slots=True)
class Call:
    """Calls of restic on one repository."""

    location: Location
    settings: Settings
    unchanged: bool = field(default=False, init=False)
    """The key is being changed, and this repository still has the one before: a task that changes none uses that."""
    hindered: int = field(default=0, init=False)
    """How often another's lock was in the way: what that one has changed is not known."""

    def environment(self, key: Path | None = None) -> dict[str, str]:
        """All that a restic of this repository sees: of the job's own environment it has only what it needs."""
        kept = {name: os.environ[name] for name in ("PATH", *_PROXIES) if name in os.environ}
        return {
            **kept,
            "TZ": "UTC",
            "HOME": str(self.settings.scratch),
            "TMPDIR": str(self.settings.scratch),
            "RESTIC_PASSWORD_FILE": str(key or self.key),
            "RESTIC_CACHE_DIR": str(self.settings.scratch / "restic-cache"),
            "RESTIC_PROGRESS_FPS": "0.2",
            "GOGC": "25",
            "GOMEMLIMIT": self.settings.memory,
            **self.location.environment,
        }

    @property
    def key(self) -> Path:
        """File with the passphrase that opens it, as far as is known."""
        previous = self.settings.previous
        return previous if self.unchanged and previous is not None else self.settings.key

    def command(self, *arguments: str) -> list[str]:
        """A command line of restic on this repository."""
        return [self.settings.program, "-r", self.location.url, *self.location.options, *arguments]

    def failure(self, ended: Ended) -> JobFailed:
        """What a restic that failed meant."""
        if ended.status < 0 and not ended.error:
            return JobFailed("RepositoryFailed", f"repository {self.location.shown}: restic was {ended.how}")
        return meaning(ended.error, self.location.shown, self.location.secrets)

    async def reachable(self) -> None:
        """Raises JobFailed Unreachable when the server does not answer: restic itself tries for 15 minutes."""
        if self.location.server is None:
            return
        host, port = self.location.server
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            said = f"{host}:{port} does not answer ({line_of(str(error)) or type(error).__name__})"
            message = f"repository {self.location.shown}: {said}: check the address and the network"
            raise JobFailed("Unreachable", message) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def guarded(self, work: Callable[[Listener], Awaitable[T]], *watched: "Call") -> T:
        """Do a piece of work, and end it when restic goes on trying what cannot succeed.

        ``work`` is given a listener for restic's standard error. ``watched`` are other repositories that it uses.
        Raises JobFailed.
        """
        trying, found = asyncio.Event(), list[JobFailed]()

        def listen(line: str) -> None:
            if retried(line):
                cause = hopeless(line, self.location.shown, self.location.secrets)
                if cause is not None:
                    found.append(cause)
                trying.set()

        async def ensure(task: asyncio.Future[T]) -> None:
            await trying.wait()
            if found:
                task.cancel()
                return
            while not task.done():
                for call in (self, *watched):
                    cause = await call._unanswered()  # noqa: SLF001 - it is one of us
                    if cause is not None:
                        found.append(cause)
                        task.cancel()
                        return
                await asyncio.sleep(_CONNECT_SECONDS)

        for call in (self, *watched):
            await call.reachable()
        task = asyncio.ensure_future(work(listen))
        guard = asyncio.create_task(ensure(task))
        try:
            return await task
        except asyncio.CancelledError:
            if found:
                raise found[0] from None
            raise
        finally:
            guard.cancel()
            if not task.done():
                task.cancel()
            await asyncio.gather(guard, task, return_exceptions=True)

    async def _unanswered(self) -> JobFailed | None:
        """Why the server has not answered for as long as one has patience; None as soon as it has."""
        until = asyncio.get_running_loop().time() + self.settings.patience_seconds
        while True:
            try:
                await self.reachable()
            except JobFailed as error:
                if asyncio.get_running_loop().time() >= until:
                    return error
                await asyncio.sleep(min(2.0, self.settings.patience_seconds))
            else:
                return None

    async def unlocked(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until no other's lock is in the way.

        Locks of the dead are removed by restic's own rule: made on this host by a process that is gone, or not renewed
        for 30 minutes, which a living one does every 5. Any other is waited for.
        """
        until = self.settings.now() + self.settings.lock_seconds
        while True:
            try:
                return await attempt()
            except JobFailed as error:
                if error.reason == "CommandFailed":
                    # A restic is ended with the command beside it. In the moment in which it writes its lock it leaves
                    # that, to be waited for by all others.
                    with contextlib.suppress(JobFailed):
                        await self.once("unlock")
                if error.reason != "RepositoryLocked":
                    raise
                self.hindered += 1
                await self.once("unlock")
                if self.settings.now() >= until:
                    raise
                self.settings.progress(f"waiting for a lock of {self.location.name}")
                await asyncio.sleep(min(_LOCK_POLL_SECONDS, self.settings.lock_seconds))

    async def once(
        self,
        *arguments: str,
        key: Path | None = None,
        cwd: Path | None = None,
        on_output: Listener | None = None,
        good: Sequence[int] = (0,),
        more: dict[str, str] | None = None,
    ) -> Ended:
        """Call restic once. Raises JobFailed unless it exits with a good status."""

        async def work(listen: Listener) -> Ended:
            environment = {**self.environment(key), **(more or {})}
            command = self.command(*arguments)
            return await run(command, environment=environment, cwd=cwd, on_output=on_output, on_error=listen)

        ended = await self.guarded(work)
        if ended.status in good:
            return ended
        failure, previous = await self._explained(self.failure(ended), ended), self.settings.previous
        if failure.reason != "WrongKey" or key is not None or self.unchanged or previous is None:
            raise failure
        if not previous.is_file():
            raise failure
        self.unchanged = True
        try:
            return await self.once(*arguments, cwd=cwd, on_output=on_output, good=good, more=more)
        except JobFailed as error:
            self.unchanged = error.reason != "WrongKey"
            raise

    async def _explained(self, failure: JobFailed, ended: Ended) -> JobFailed:
        """With ssh's own words, where it ended at once: restic may be gone before it has passed them on."""
        if failure.reason != "RepositoryFailed" or _NO_SESSION not in ended.error or not self.location.ssh:
            return failure
        try:
            async with asyncio.timeout(2 * _CONNECT_SECONDS):
                said = await run(self.location.ssh, environment=self.environment())
        except TimeoutError:
            return failure
        heard = meaning(said.error, self.location.shown, self.location.secrets)
        return heard if said.status and heard.reason != "RepositoryFailed" else failure

    async def locking(self, *arguments: str, **more: object) -> Ended:
        """Call restic as ``once``, and wait for locks of others."""
        return await self.unlocked(lambda: self.once(*arguments, **more))  # type: ignore[arg-type]
