"""What the tasks of a job share: its parts, its folders, and the repositories' state."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lastgood.api.backup import BackupStatus
from lastgood.api.backupjob import JobSpec
from lastgood.domain.backups.points import RECORD_FILE, Held, held, record_tags
from lastgood.domain.backups.ports import Engine, JobFailed, Places, Records, Repository, Schedule
from lastgood.domain.backups.texts import moment

PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a job is made of."""

    spec: JobSpec
    name: str
    """Of the Backup that it writes, and of the Job."""
    places: Places
    repositories: Mapping[str, Callable[[], Repository]]
    """By name, the primary first; to make one raises JobFailed when a credential of it is missing."""
    engine: Callable[[], Engine]
    """Raises JobFailed when a credential of the source is missing."""
    records: Records
    now: Callable[[], float]
    """Seconds since the epoch."""
    schedule: Schedule | None = None
    """Of what holds a slot: the schedule that it works for; None without an API server."""

    @property
    def secondaries(self) -> Sequence[str]:
        """Names of all repositories but the first."""
        return [name for name in self.repositories if name != PRIMARY]

    def tags(self, kind: str) -> dict[str, str]:
        """The tags of all that this job stores."""
        return {
            "schedule": self.spec.schedule,
            "uid": self.spec.schedule_uid,
            "backup": self.name,
            "type": kind,
        }

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder that is gone afterwards."""
        self.places.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="work-", dir=self.places.scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def held(self, repository: Repository, *, fresh: bool = False) -> list[Held]:
        """The complete backups in a repository; ``fresh``: with what another job has done this moment."""
        return held(await repository.snapshots({"schedule": self.spec.schedule}, fresh=fresh))


async def write_record(parts: Parts, repository: Repository, tags: Mapping[str, str], status: BackupStatus) -> None:
    """Make a backup complete: its record comes last."""
    if status.point is None:
        raise JobFailed("InternalError", "the engine named no point in time")
    with parts.work() as folder:
        (folder / RECORD_FILE).write_text(record_text(parts, status), encoding="utf-8")
        at = moment(status.point)
        await repository.store(folder, tags=record_tags(tags, at=at, base=status.base))


def record_text(parts: Parts, status: BackupStatus) -> str:
    """What a record says: enough to write the Backup anew in an empty cluster."""
    document = {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Backup",
        "metadata": {"name": parts.name, "namespace": parts.spec.namespace},
        "spec": {"schedule": parts.spec.schedule},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"progress"}),
    }
    return json.dumps(document, indent=1) + "\n"


async def read_record(parts: Parts, repository: Repository, one: Held) -> BackupStatus:
    """What the record of a backup says."""
    with parts.work() as folder:
        await repository.fetch(one.record.id, folder)
        try:
            document = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            return BackupStatus.model_validate(document["status"])
        except (OSError, ValueError, KeyError) as error:
            raise JobFailed("RepositoryDamaged", f"the record of backup {one.backup} cannot be read") from error
