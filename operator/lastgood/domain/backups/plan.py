"""Which tasks a BackupSchedule runs, and when."""

from collections.abc import Mapping

from lastgood.api.backupjob import Task
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.api.base import seconds
from lastgood.domain.backups.crontab import delay_of, every, later
from lastgood.domain.backups.names import method_of

PRUNE = "20 3 * * *"
"""When the retention is applied, later by up to half an hour: apart from what starts on the hour."""
_PRUNE_SPREAD = 29 * 60.0
_INTERVALS = (60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
"""Minutes that an hour is a multiple of."""

MAKES_POINTS: tuple[Task, ...] = ("full", "incremental")


def incremental_of(spec: BackupScheduleSpec) -> str:
    """When increments run, as declared or as it follows; empty when there are none.

    Hourly for PostgreSQL. Where increments are cheap (wal, physical) at least twice within the RPO: once within it is
    too late by the time that the run takes.
    """
    if spec.schedule.incremental is not None:
        return spec.schedule.incremental
    if spec.source.postgres is None:
        return ""
    often = 60
    if spec.rpo and method_of(spec) in {"wal", "physical"}:
        often = next((m for m in _INTERVALS if m * 60 * 2 <= seconds(spec.rpo)), 1)
    return every(often, spec.schedule.full)


def declared_times(spec: BackupScheduleSpec) -> dict[Task, str]:
    """Cron expression by task, as declared; for checks of what was written."""
    found: dict[Task, str] = {
        "full": spec.schedule.full,
        "data-sample": spec.verification.data_sample.schedule,
        "restore-test": spec.verification.restore_test.schedule,
        "full-check": spec.verification.full_check.schedule,
    }
    if spec.schedule.incremental is not None:
        found["incremental"] = spec.schedule.incremental
    return found


def times(spec: BackupScheduleSpec, uid: str) -> Mapping[Task, str]:
    """Cron expression by task, with the delay of this schedule. Expects expressions that are good."""
    found = declared_times(spec)
    incremental = incremental_of(spec)
    if incremental:
        found["incremental"] = incremental
    delay = delay_of(uid, seconds(spec.schedule.jitter))
    delayed = {task: later(expression, delay) for task, expression in found.items()}
    return {**delayed, "prune": later(PRUNE, delay_of(uid, _PRUNE_SPREAD))}
