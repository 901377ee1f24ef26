"""What the operator and the pods of backup jobs say to each other. Not a kind of its own.

A job's pod finds one JobSpec as JSON (a ConfigMap, no secret in it), its credentials as files, and says how it ended
in one JobResult on /dev/termination-log (4,096 bytes at most). A job that makes a backup also writes the Backup
object itself, so that backups are recorded while the operator is down.
"""

from typing import Annotated, Literal

from pydantic import Field

from lastgood.api.backup import Copy, Verified
from lastgood.api.backupschedule import BackupScheduleSpec, RepositoryStatus
from lastgood.api.base import Model
from lastgood.api.restore import RestoreSpec

Task = Literal[
    "full",  # a full backup, copied to the secondaries; for wal and physical a new base
    "incremental",  # what the schedule's method does between fulls
    "receive",  # wal: receives until it is ended; the receiver's Deployment
    "data-sample",  # reads a share of the stored data
    "restore-test",  # restores the newest point into a throw-away server and looks at it
    "full-check",  # reads all data of every repository, and restores from each
    "prune",  # applies the retention to every repository
    "verify",  # Restore: the chosen point is whole in the chosen repository
    "safety",  # Restore: a full backup of what is there, wherever the data goes
    "restore",  # Restore: puts the data where it is wanted, and says what stands
    "swap",  # Restore into.swap: gives the fresh database the name, keeps the old one under another
    "validate",  # Restore: assertions on what was restored
]

CREDENTIALS = "/etc/lastgood/credentials"
"""Folder of files mounted from Secrets. Relative to it:

- ``source/dsn`` (postgres), ``source/url`` (redis), ``source/ca.crt``; for restores ``source/restore-dsn`` where given
- ``key/current``, ``key/previous``: passphrases of the repositories
- ``repositories/NAME/`` with NAME "primary" or a secondary's: ``access-key-id``, ``secret-access-key``, ``ca.crt``
  (s3); ``private-key``, ``known-hosts`` (sftp)
"""

VOLUMES = "/volumes"
"""``/volumes/repositories/NAME`` (claim of a volume repository), ``/volumes/source/CLAIM`` (read-only),
``/volumes/spool`` (wal), ``/volumes/scratch`` (room to work), ``/volumes/server/CLAIM`` and ``/volumes/target/CLAIM``
(restores, writable)."""


class RestoreJob(Model):
    """What a job of a Restore needs besides the schedule."""

    name: str
    uid: str
    spec: RestoreSpec
    backup: str = ""
    """Backup chosen by the operator."""
    snapshots: list[str] = []
    """Its snapshots in the chosen repository, the base's first."""
    base_snapshots: list[str] = []
    time: str | None = None
    """wal: recover up to here."""
    database: str = ""
    """The fresh database's name, chosen by the operator (deterministic), for swap and newDatabase."""
    kept_database: str = ""
    """The name that the old one is given by a swap."""


class JobSpec(Model):
    """One job."""

    task: Task
    namespace: str
    schedule: str
    schedule_uid: str
    backup: str = ""
    """Name of the Backup to write; empty: that of the Job (label batch.kubernetes.io/job-name of the pod)."""
    spec: BackupScheduleSpec
    slot: str = ""
    """wal: name of the replication slot, made from the schedule's UID."""
    restore: RestoreJob | None = None


class JobResult(Model):
    """How a job ended."""

    ok: bool
    task: Task
    reason: Annotated[str, Field(max_length=64)] = ""
    """A documented word, such as WrongPassword or RepositoryLocked; "Done" when ok."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """One sentence for a person: what was wrong, where, what to do. Never a secret."""
    seconds: int = 0
    untouched: bool = False
    """A restore over what is there failed before it wrote anything."""
    backup: str = ""
    point: str | None = None
    size_bytes: int = 0
    stored_bytes: int = 0
    repositories: list[RepositoryStatus] = []
    copies: list[Copy] = []
    verified: list[Verified] = []
    removed: list[str] = []
    """prune: names of Backups whose snapshots are gone."""
