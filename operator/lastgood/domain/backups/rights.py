"""As whom a job's pod runs, and whether it may speak to the API server."""

from lastgood.api.backupjob import RestoreJob, Task
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.domain.backups.names import child

KEEPS_RECORDS: frozenset[Task] = frozenset(
    {"full", "incremental", "data-sample", "restore-test", "full-check", "prune", "safety"}
)
"""Tasks that write Backup objects."""
_ASKS_CLUSTER: frozenset[Task] = KEEPS_RECORDS | {"receive"}
"""Tasks that get a token. A receiver looks whether its schedule is still there when it is told to end."""
_WRITES_OBJECTS: frozenset[Task] = frozenset({"verify", "restore", "validate"})
"""Tasks of a Restore that write declared objects, try whether they could, or compare them."""


def writes_objects(spec: BackupScheduleSpec, task: Task, restore: RestoreJob | None) -> bool:
    """Whether a job puts declared objects back, and so runs as the ServiceAccount that its Restore names."""
    if restore is None or spec.source.config is None or task not in _WRITES_OBJECTS:
        return False
    return not restore.spec.new_claim


def account_of(name: str, spec: BackupScheduleSpec) -> str:
    """ServiceAccount of a schedule's jobs. It reads; what a Restore writes is written by another."""
    return spec.job.service_account or child(name, "backup")


def account_for(name: str, spec: BackupScheduleSpec, task: Task, restore: RestoreJob | None) -> str:
    """ServiceAccount that a job runs as."""
    if restore is not None and restore.spec.service_account and writes_objects(spec, task, restore):
        return restore.spec.service_account
    return account_of(name, spec)


def has_token(spec: BackupScheduleSpec, task: Task, restore: RestoreJob | None) -> bool:
    """Whether a job may speak to the API server."""
    return task in _ASKS_CLUSTER or writes_objects(spec, task, restore)
