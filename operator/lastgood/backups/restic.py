"""The port `Repository` over the program `restic`, 0.14 or newer."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lastgood.backups.process import Listener, piped
from lastgood.backups.restic_call import Call, Settings
from lastgood.backups.restic_copy import copy
from lastgood.backups.restic_errors import damage
from lastgood.backups.restic_keys import rotate
from lastgood.backups.restic_listing import Listing
from lastgood.backups.restic_location import Location
from lastgood.backups.restic_output import having
from lastgood.backups.restic_storing import said, store, store_output
from lastgood.domain.backups.ownership import claim
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot


class Restic:
    """One repository."""

    def __init__(self, location: Location, settings: Settings) -> None:
        self.call = Call(location, settings)
        self._settings = settings
        self._listing = Listing(self.call)

    @property
    def name(self) -> str:
        """See the port."""
        return self.call.location.name

    def changed(self) -> None:
        """Another has changed what it holds."""
        self._listing.forget()

    async def ensure(self, like: Repository | None = None) -> None:
        """See the port."""
        self._key_is_there()
        found: Sequence[Snapshot] | None = None
        try:
            # One call says that it is there, that the key opens it, and what it holds.
            found = await self._listing.read()
        except JobFailed as error:
            if error.reason == "NoRepository":
                await self._make(like)
                found = ()
            elif error.reason != "WrongKey" or self._settings.previous is None:
                raise
        if self._settings.previous is not None:
            opens = found is not None and not self.call.unchanged
            await rotate(self.call, self._settings.key, self._settings.previous, opens=opens)
            self.call.unchanged = False
        await self._claim(await self._listing.read() if found is None else found)

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
                claim(owner, await self._listing.read(), self._settings.now())
        except JobFailed as error:
            if error.reason == "RepositoryShared":
                raise JobFailed(error.reason, f"repository {self.call.location.shown}: {error.message}") from error
            raise

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="lastgood-", dir=self._settings.scratch) as name:
            yield Path(name)

    async def snapshots(self, tags: Mapping[str, str], *, fresh: bool = False) -> Sequence[Snapshot]:
        """See the port."""
        return having(await (self._listing.read() if fresh else self._listing.recent()), tags)

    async def store(self, folder: Path, *, tags: Mapping[str, str], exclude: Sequence[str] = ()) -> Snapshot:
        """See the port."""
        made, unread = await store(self.call, self._listing, folder, tags, exclude)
        if unread:
            await self.forget([made.id])
            more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
            message = f"{unread[0]}{more} cannot be read by the job's user: set job.runAsUser, or exclude it"
            raise JobFailed("SourceUnreadable", message)
        return made

    async def store_output(
        self, command: Sequence[str], *, file: str, tags: Mapping[str, str], environment: Mapping[str, str]
    ) -> Snapshot:
        """See the port."""
        return await store_output(self.call, self._listing, command, file, tags, environment)

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
        try:
            await copy(self.call, other.call, snapshots, self._settings)
        finally:
            # The copies have ids of their own.
            other.changed()

    async def forget(self, snapshots: Sequence[str]) -> None:
        """See the port."""
        if snapshots:
            with self._listing.unsure():
                await self.call.locking("forget", *snapshots)
            self._listing.removed(snapshots)

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


def _weigh(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(root) / file).stat().st_size
    return total
