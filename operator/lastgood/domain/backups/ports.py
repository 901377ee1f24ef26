"""What a backup job needs from outside, as protocols. Adapters implement them and decide nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lastgood.api.backup import BackupStatus


class JobFailed(Exception):
    """A job, or a step of it, cannot go on.

    ``reason`` is a documented word (WrongPassword, VersionMismatch, DiskFull, RepositoryLocked, WrongKey, Unreachable,
    …); ``message`` is one sentence for a person: what was wrong, where, what to do. Neither holds a secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One restic snapshot."""

    id: str
    """Full id in this repository; a copy in another has an id of its own and the same tags."""
    time: float
    """When it was made, seconds since the epoch."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Written as "key=value" tags; always with schedule, backup and part."""
    size_bytes: int = 0
    """Of the data as restored."""
    stored_bytes: int = 0
    """That this snapshot added to the repository; 0 when it was read and not made."""


class Repository(Protocol):
    """One encrypted restic repository. All calls raise JobFailed; a lock left by a dead run is cleared safely."""

    @property
    def name(self) -> str:
        """Name of a secondary, or "primary"."""
        ...

    async def ensure(self, like: "Repository | None" = None) -> None:
        """Make it when it does not exist, with the chunker of ``like``; refuse a wrong key; carry out a rotation."""
        ...

    async def store(self, folder: Path, *, tags: Mapping[str, str], exclude: Sequence[str] = ()) -> Snapshot:
        """Back up one folder (paths in the snapshot are relative to it)."""
        ...

    async def store_output(
        self, command: Sequence[str], *, file: str, tags: Mapping[str, str], environment: Mapping[str, str]
    ) -> Snapshot:
        """Back up what a command prints, as one file.

        The snapshot counts only when the command exits 0: what is left of a failed one is forgotten, and JobFailed is
        raised with what the command said.
        """
        ...

    async def snapshots(self, tags: Mapping[str, str]) -> Sequence[Snapshot]:
        """Snapshots that have all of these tags, oldest first."""
        ...

    async def fetch(self, snapshot: str, into: Path, *, include: Sequence[str] = ()) -> None:
        """Restore a snapshot's files into a folder, verified."""
        ...

    async def read(self, snapshot: str, file: str, into: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """Feed one file of a snapshot to a command's standard input; JobFailed unless both exit 0."""
        ...

    async def copy_to(self, other: "Repository", snapshots: Sequence[str]) -> None:
        """Copy these snapshots, as far as the other does not have them."""
        ...

    async def forget(self, snapshots: Sequence[str]) -> None:
        """Remove these snapshots' entries; their data goes with ``prune``."""
        ...

    async def prune(self) -> None:
        """Remove data that no snapshot needs."""
        ...

    async def check(self, *, share: float = 0.0) -> None:
        """Check the structure, and read this share (0 to 1) of the data; RepositoryDamaged names what is bad."""
        ...

    async def size(self) -> int:
        """Bytes that it takes."""
        ...


class Records(Protocol):
    """Backup objects, as the job's own ServiceAccount may write them. Without an API server a backup still runs."""

    async def begin(self, name: str, status: BackupStatus) -> None:
        """Create the Backup, or adopt it where a person or an earlier pod of this job made it."""
        ...

    async def tell(self, name: str, status: BackupStatus) -> None:
        """Write its status; retried for a while, then given up with a line in the log."""
        ...


class Engine(Protocol):
    """How one kind of source is backed up and brought back. All calls raise JobFailed.

    ``work`` is an empty folder of its own on the scratch volume.
    """

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Back up all; the status has point, sizes, contents, lsn and the like, and primary's Copy."""
        ...

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """What the method does between fulls."""
        ...
