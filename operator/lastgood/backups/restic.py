"""The port `Repository` over the program `restic`, 0.14 or newer."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lastgood.backups.process import Ended, Listener, piped, run
from lastgood.backups.restic_call import HOST, Call, Settings
from lastgood.backups.restic_copy import copy
from lastgood.backups.restic_errors import damage, line_of
from lastgood.backups.restic_keys import rotate
from lastgood.backups.restic_location import Location
from lastgood.backups.restic_output import Summing, having, snapshots_of, tag_arguments
from lastgood.domain.backups.ownership import claim
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot

_BACKUP = ("backup", "--json", "--host", HOST)
_UNREAD = 3
"""Exit status of a backup that left out what it could not read."""


class Restic:
    """One repository."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.call = Call(location, settings)
        self._settings = settings

    @property
    def name(self) -> str:
        """See the port."""
        return self.call.location.name

    async def ensure(self, like: Repository | None = None) -> None:
        """See the port."""
        self._key_is_there()
        found: Sequence[Snapshot] | None = None
        try:
            found = await self._list()
        except JobFailed as error:
            if error.reason == "NoRepository":
                await self._make(like)
            elif error.reason != "WrongKey" or self._settings.previous is None:
                raise
        if self._settings.previous is not None:
            await rotate(self.call, self._settings.key, self._settings.previous)
            self.call.unchanged = False
        await self._claim(await self._list() if found is None else found)

    def _key_is_there(self) -> None:
        key = self._settings.key
        try:
            missing = not key.read_bytes().strip()
        except OSError:
            missing = True
        if missing:
            message = (
                "the Secret with the repositories' passphrase is missing or empty: bring back the one that they were "
                "made with; without it no backup can be read"
            )
            raise JobFailed("KeyMissing", message)

    async def _make(self, like: Repository | None) -> None:
        folder = self.call.location.folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                reason = "DiskFull" if error.errno in {28, 122} else "AccessDenied"
                message = f"repository {self.call.location.shown}: {error.strerror}: may the job's user write there?"
                raise JobFailed(reason, message) from error
        arguments, more = ["init"], {}
        if isinstance(like, Restic) and like.call.location.goes_with(self.call.location):
            theirs = like.call.location
            arguments += ["--copy-chunker-params", "--from-repo", theirs.url, *theirs.options]
            more = {**theirs.environment, "RESTIC_FROM_PASSWORD_FILE": str(self._settings.key)}
        await self.call.locking(*arguments, more=more)

    async def _claim(self, found: Sequence[Snapshot]) -> None:
        """Write whose it is, or see that it is ours; after writing look again: another may have written meanwhile."""
        owner = self._settings.owner
        try:
            what = claim(owner, found, self._settings.now())
            if what.write:
                with self._folder() as folder:
                    text = json.dumps({"namespace": owner.namespace, "schedule": owner.schedule, "uid": owner.uid})
                    (folder / "owner.json").write_text(text + "\n", encoding="utf-8")
                    await self.store(folder, tags=owner.tags())
            if what.remove:
                await self.forget(what.remove)
            if what.write:
                claim(owner, await self._list(), self._settings.now())
        except JobFailed as error:
            if error.reason == "RepositoryShared":
                raise JobFailed(error.reason, f"repository {self.call.location.shown}: {error.message}") from error
            raise

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="lastgood-", dir=self._settings.scratch) as name:
            yield Path(name)

    async def _list(self) -> list[Snapshot]:
        # Without a lock: what is only read here is one file a snapshot, and each of those is whole.
        ended = await self.call.once("snapshots", "--json", "--no-lock")
        return snapshots_of(ended.output)

    async def snapshots(self, tags: Mapping[str, str]) -> Sequence[Snapshot]:
        """See the port."""
        return having(await self._list(), tags)

    async def store(self, folder: Path, *, tags: Mapping[str, str], exclude: Sequence[str] = ()) -> Snapshot:
        """See the port."""
        if not folder.is_dir():
            raise JobFailed("SourceMissing", f"there is no folder {folder}: is the volume mounted?")
        patterns = [f"--exclude={pattern}" for pattern in exclude]
        arguments = [*_BACKUP, *tag_arguments(tags), *patterns, "."]

        async def attempt() -> Summing:
            heard = Summing(self._settings.progress)

            async def work(listen: Listener) -> Summing:
                def hear(line: str) -> None:
                    heard.error(line)
                    listen(line)

                ended = await run(
                    self.call.command(*arguments),
                    environment=self.call.environment(),
                    cwd=folder,
                    on_output=heard.output,
                    on_error=hear,
                )
                if ended.status not in {0, _UNREAD} or not heard.summary:
                    raise self.call.failure(ended)
                return heard

            return await self.call.guarded(work)

        heard = await self.call.unlocked(attempt)
        made = await self._made(heard)
        if heard.unread:
            await self.forget([made.id])
            more = f" and {len(heard.unread) - 1} more" if len(heard.unread) > 1 else ""
            message = f"{heard.unread[0]}{more} cannot be read by the job's user: set job.runAsUser, or exclude it"
            raise JobFailed("SourceUnreadable", message)
        return made

    async def store_output(
        self, command: Sequence[str], *, file: str, tags: Mapping[str, str], environment: Mapping[str, str]
    ) -> Snapshot:
        """See the port."""
        sink = self.call.command(*_BACKUP, *tag_arguments(tags), "--stdin", "--stdin-filename", file)

        async def attempt() -> Summing:
            heard = Summing(self._settings.progress)

            async def work(listen: Listener) -> Summing:
                fed, stored = await piped(
                    command,
                    sink,
                    source_environment=environment,
                    sink_environment=self.call.environment(),
                    hold=True,
                    on_output=heard.output,
                    on_error=listen,
                )
                # The command of a restic that has died ends too, by that; the cause is restic's.
                if stored is not None and "snapshot is empty" in stored.error:
                    raise JobFailed("CommandFailed", f"{Path(command[0]).name} printed nothing")
                if stored is not None and (stored.status != 0 or not heard.summary):
                    raise self.call.failure(stored)
                if fed is None or fed.status != 0 or stored is None:
                    raise JobFailed("CommandFailed", said(command[0], fed))
                return heard

            return await self.call.guarded(work)

        return await self._made(await self.call.unlocked(attempt))

    async def _made(self, heard: Summing) -> Snapshot:
        """The snapshot that a backup made, by its full id."""
        short = str(heard.summary["snapshot_id"])
        ended = await self.call.once("snapshots", "--json", "--no-lock", short)
        made = snapshots_of(ended.output)
        if len(made) != 1:
            raise JobFailed("RepositoryFailed", f"repository {self.call.location.shown}: snapshot {short} is not there")
        return replace(
            made[0],
            size_bytes=int(heard.summary.get("total_bytes_processed", 0)),
            # What is left after compression is told by newer ones only.
            stored_bytes=int(heard.summary.get("data_added_packed", heard.summary.get("data_added", 0))),
        )

    async def measure(self, snapshot: str) -> tuple[int, int]:
        """See the port."""
        files = weight = 0

        def hear(line: str) -> None:
            nonlocal files, weight
            node = json.loads(line)
            if node.get("struct_type") == "node" and node["type"] == "file":
                files, weight = files + 1, weight + int(node.get("size", 0))

        await self.call.locking("ls", "--json", snapshot, on_output=hear)
        return files, weight

    async def fetch(self, snapshot: str, into: Path, *, include: Sequence[str] = ()) -> None:
        """See the port."""
        into.mkdir(parents=True, exist_ok=True)
        only = [f"--include={pattern}" for pattern in include]
        await self.call.locking("restore", snapshot, "--target", str(into), "--verify", *only)

    async def read(self, snapshot: str, file: str, into: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """See the port."""
        await self._feed(("dump", snapshot, f"/{file.lstrip('/')}"), into, environment)

    async def head(self, snapshot: str, file: str, into: Path, *, size_bytes: int) -> None:
        """See the port."""
        # Without a lock: head goes when it has enough, and a restic that nobody listens to dies and leaves its lock.
        source = ("dump", "--no-lock", snapshot, f"/{file.lstrip('/')}")
        sink = ["sh", "-c", 'exec head -c "$1" > "$2"', "sh", str(size_bytes), str(into)]
        await self._feed(source, sink, {"PATH": os.environ.get("PATH", os.defpath)})

    async def _feed(self, source: Sequence[str], into: Sequence[str], environment: Mapping[str, str]) -> None:
        async def work(listen: Listener) -> None:
            fed, eaten = await piped(
                self.call.command(*source),
                into,
                source_environment=self.call.environment(),
                sink_environment=environment,
                hold=True,
                on_source_error=listen,
            )
            if eaten is not None and eaten.status != 0:
                raise JobFailed("CommandFailed", said(into[0], eaten))
            if fed is not None and fed.status != 0:
                raise self.call.failure(fed)

        await self.call.unlocked(lambda: self.call.guarded(work))

    async def copy_to(self, other: Repository, snapshots: Sequence[str]) -> None:
        """See the port."""
        if not isinstance(other, Restic):
            raise JobFailed("RepositoryUnknown", f"repository {other.name} is no restic repository")
        await copy(self.call, other.call, snapshots, self._settings)

    async def forget(self, snapshots: Sequence[str]) -> None:
        """See the port."""
        if snapshots:
            await self.call.locking("forget", *snapshots)

    async def prune(self) -> None:
        """See the port."""
        await self.call.locking("prune")

    async def check(self, *, share: float = 0.0) -> None:
        """See the port.

        First without a lock: it would keep backups out for as long as it takes to read. What another job changes
        meanwhile may look like damage, so that only what is found with the lock held counts.
        """
        part = [f"--read-data-subset={share * 100:.4f}%"] if 0 < share < 1 else ["--read-data"] if share >= 1 else []
        try:
            await self.call.once("check", "--no-lock", *part)
        except JobFailed as error:
            if error.reason in {"Unreachable", "AccessDenied", "WrongKey", "NoRepository"}:
                raise
            try:
                await self.call.locking("check", *part)
            except JobFailed as again:
                raise damage(again) from error

    async def size(self) -> int:
        """See the port."""
        if self.call.location.folder is not None:
            return await asyncio.to_thread(_weigh, self.call.location.folder)
        ended = await self.call.locking("stats", "--json", "--mode", "raw-data")
        return int(json.loads(ended.output)["total_size"])


def said(program: str, ended: Ended | None) -> str:
    """What a command that failed said at last."""
    status = ended.how if ended else "ended too early"
    return f"{Path(program).name} failed ({status}): {line_of(ended.error) if ended else ''}".rstrip(": ")


def _weigh(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(root) / file).stat().st_size
    return total
