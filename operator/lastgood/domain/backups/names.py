"""Names and labels of the objects that a BackupSchedule has made. A retry finds them again and never doubles them."""

import hashlib

from lastgood.api.backupjob import Task
from lastgood.api.backupschedule import BackupScheduleSpec

SCHEDULE_LABEL = "lastgood.dev/schedule-uid"
"""On every object of a schedule, and on the pods: the schedule's UID, which is short enough for a label."""
TASK_LABEL = "lastgood.dev/task"
RESTORE_LABEL = "lastgood.dev/restore-uid"
"""On the Jobs of a Restore besides."""
HOLDER_ANNOTATION = "lastgood.dev/stopped-by"
REPLICAS_ANNOTATION = "lastgood.dev/replicas"
"""On a workload that a Restore has scaled to 0: for whom, and how many replicas it had."""
RECEIVER_LABEL = "lastgood.dev/receiver"
"""On the receiver's pods: the schedule's UID. Jobs that mount the spool want to be beside it."""

CRON_JOB_NAME = 52
"""Longest name of a CronJob: its Jobs are named after it, with 11 characters more."""
JOB_NAME = 63
"""Longest name of a Job: it becomes a label of its pods."""


def fitting(name: str, most: int) -> str:
    """The name, or as much of it as fits and a hash of all of it."""
    if len(name) <= most:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: most - 9].rstrip('-.')}-{digest}"


def child(schedule: str, suffix: str, most: int = CRON_JOB_NAME) -> str:
    """Name of an object of a schedule: the schedule's and what it is for; the latter is never cut off."""
    return f"{fitting(schedule, most - len(suffix) - 1)}-{suffix}"


def slot_of(uid: str) -> str:
    """Name of the replication slot of a schedule: lower-case letters, digits and underscores, 63 at most."""
    plain = "".join(c for c in uid.lower() if c.isalnum())
    return f"lastgood_{plain}"[:63]


def method_of(spec: BackupScheduleSpec) -> str:
    """How the source is backed up: logical, wal, physical, redis, volume, logs or config."""
    source = spec.source
    if source.postgres is not None:
        return source.postgres.method or ("wal" if spec.rpo else "logical")
    return next(kind for kind in ("redis", "volume", "logs", "config") if getattr(source, kind) is not None)


def task_of_type(kind: str) -> Task:
    """The task that makes a Backup of this type."""
    return "incremental" if kind == "Incremental" else "full"
