"""What a backup job needs from outside, as protocols. Adapters implement them and decide nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import CREDENTIALS, VOLUMES, RestoreJob
from lastgood.domain.backups.leaving import Standing


@dataclass(frozen=True, slots=True)
class Places:
    """Where a job's pod finds things; tests put them elsewhere. ``backupjob`` says what lies there."""

    credentials: Path = Path(CREDENTIALS)
    volumes: Path = Path(VOLUMES)

    def credential(self, name: str) -> Path:
        """A file such as "source/dsn" or "key/current"."""
        return self.credentials / name

    def repository(self, name: str) -> Path:
        """The claim of a volume repository."""
        return self.volumes / "repositories" / name

    def source(self, claim: str) -> Path:
        """A claim that is backed up, read-only."""
        return self.volumes / "source" / claim

    def server(self, claim: str) -> Path:
        """The stopped server's claim, or the one that is restored in place."""
        return self.volumes / "server" / claim

    def target(self, claim: str) -> Path:
        """A claim that was made for a restore."""
        return self.volumes / "target" / claim

    @property
    def scratch(self) -> Path:
        """Room to work; empty at the start of a pod."""
        return self.volumes / "scratch"

    @property
    def spool(self) -> Path:
        """wal: segments on their way."""
        return self.volumes / "spool"


class JobFailed(Exception):
    """A job, or a step of it, cannot go on.

    ``reason`` is a documented word (WrongPassword, VersionMismatch, DiskFull, RepositoryLocked, WrongKey, Unreachable,
    …); ``message`` is one sentence for a person: what was wrong, where, what to do. Neither holds a secret.
    ``untouched``: a restore that was to write over what is there has failed before it wrote anything.
    """

    def __init__(self, reason: str, message: str, *, untouched: bool = False) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message, self.untouched = reason, message, untouched


@contextmanager
def before_writing() -> Iterator[None]:
    """Say of each failure in the block that what is in use was not written to. Not by an earlier attempt either."""
    try:
        yield
    except JobFailed as error:
        raise JobFailed(error.reason, error.message, untouched=True) from error


class ClusterAnswer(JobFailed):
    """The API server has not done what was asked."""

    def __init__(self, reason: str, message: str, *, status: int, said: str) -> None:
        super().__init__(reason, message)
        self.status, self.said = status, said
        """HTTP status, 0 for no answer; its own sentence."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One restic snapshot."""

    id: str
    """Full id in this repository; a copy in another has an id of its own and the same tags."""
    time: float
    """When it was made, seconds since the epoch."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Written as "key=value" tags, without commas. A job gives schedule, uid, backup and type; engines add part."""
    size_bytes: int = 0
    """Of the data as restored."""
    stored_bytes: int = 0
    """That this snapshot added to the repository; 0 when it was read and not made."""


@dataclass(frozen=True, slots=True)
class Point:
    """One backup as a repository holds it, with all that its restore needs."""

    backup: str
    """Name of the Backup."""
    at: float
    """The time whose state it restores, seconds since the epoch."""
    snapshots: Sequence[Snapshot] = ()
    """Its own."""
    needs: Sequence[Snapshot] = ()
    """Those of its base and of the increments between, the base's first. Empty for a full backup."""


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

        There is a snapshot only when the command exits 0: restic does not see the end of what a failed one printed.
        JobFailed is raised with what the command said.
        """
        ...

    async def snapshots(self, tags: Mapping[str, str], *, fresh: bool = False) -> Sequence[Snapshot]:
        """Snapshots that have all of these tags, oldest first.

        What this job does to it shows at once, what another does within seconds; ``fresh``: at once, too.
        """
        ...

    async def measure(self, snapshot: str) -> tuple[int, int]:
        """How many regular files a snapshot holds, and their bytes."""
        ...

    async def fetch(self, snapshot: str, into: Path, *, include: Sequence[str] = ()) -> None:
        """Restore a snapshot's files into a folder, verified."""
        ...

    async def read(self, snapshot: str, file: str, into: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """Feed one file of a snapshot to a command's standard input; JobFailed unless both exit 0."""
        ...

    async def head(self, snapshot: str, file: str, into: Path, *, size_bytes: int) -> None:
        """Write the beginning of one file of a snapshot to ``into``; all of it where it is not longer."""
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
        """Check the structure, read this share (0 to 1) of the data; JobFailed RepositoryDamaged says what is bad."""
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

    async def read(self, name: str) -> BackupStatus | None:
        """Its status; None when there is no such Backup, or no answer."""
        ...

    async def names(self, schedule: str) -> Sequence[str] | None:
        """Names of the Backups of a schedule; None without an answer."""
        ...

    async def remove(self, name: str) -> bool:
        """Delete the Backup; whether it is gone."""
        ...


class Schedule(Protocol):
    """The BackupSchedule that a receiver works for, as the API server knows it."""

    async def follow(self) -> None:
        """Keep up with it until it is gone, or until cancelled. Raises nothing."""
        ...

    async def standing(self) -> Standing:
        """Ask now; unknown without an answer within a few seconds, unless it was seen to be gone before."""
        ...


class KubeApi(Protocol):
    """The API server, for engines whose source it is. All calls raise ClusterAnswer."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON at a path."""
        ...

    async def save(self, path: str, query: Mapping[str, str], into: Path) -> int:
        """Write the text at a path to a file as it comes; its bytes."""
        ...

    async def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool) -> Any:
        """Create one object in the list at a path, fields that nobody knows refused; what it became."""
        ...

    async def patch(self, path: str, change: Mapping[str, Any], *, dry_run: bool) -> Any:
        """JSON merge patch of the object at a path, fields that nobody knows refused; what it became."""
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


@runtime_checkable
class Tester(Protocol):
    """An engine that can restore a point into something thrown away, and look at it."""

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """Restore and look. ``passed`` is False for what came out wrong; JobFailed when it could not be tried."""
        ...


@runtime_checkable
class Restorer(Protocol):
    """An engine that brings data back. The sentences that it returns say what was done and what stands now."""

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """Put the data where ``restore.spec.into`` says."""
        ...

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """Look at what was restored, with the assertions; JobFailed ValidationFailed when it is not as it must be."""
        ...


@runtime_checkable
class Comparer(Protocol):
    """An engine that compares what it brought back with what is stored; asked in the place of ``validate``."""

    async def compare(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that what is there is what the chosen point holds; JobFailed ValidationFailed where it is not."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """An engine that knows more of a point than which snapshots it is made of."""

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that the chosen point can be restored; nothing is changed. JobFailed when it cannot."""
        ...


@runtime_checkable
class Swapper(Protocol):
    """An engine whose restore goes beside what is used, which then takes its name."""

    async def swap(self, work: Path, restore: RestoreJob) -> str:
        """Give the fresh database the name, and the old one ``restore.kept_database``; done twice it is the same."""
        ...


@runtime_checkable
class Receiver(Protocol):
    """An engine with a part that always runs."""

    async def receive(self, work: Path, repository: Repository | None) -> None:
        """Receive until cancelled. A receiver is given no repository: what it receives waits in the spool."""
        ...

    async def release(self, *, unlimited_only: bool) -> str:
        """After the end: let the source keep nothing for us any more; a sentence on what was done.

        ``unlimited_only``: where the source itself limits what it keeps, leave it so. JobFailed when it cannot.
        """
        ...
