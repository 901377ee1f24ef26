"""Jobs of a BackupSchedule, of a Backup and of a Restore, as Kubernetes objects. Pure: nothing is read or written."""

import json
from dataclasses import dataclass
from typing import Any

from lastgood.api.backupjob import JobSpec, RestoreJob, Task
from lastgood.api.base import seconds
from lastgood.domain.backups.accounts import accounts
from lastgood.domain.backups.names import JOB_NAME, RESTORE_LABEL, fitting, method_of, slot_of
from lastgood.domain.backups.pods import Declared, Options, pod_labels, pod_spec
from lastgood.domain.backups.trying import BACKOFF_LIMIT, failure_policy
from lastgood.domain.ports import Object

_KEPT_SECONDS = 7 * 24 * 3600
"""How long a Job that was made once stays after its end, seconds. A CronJob's are kept by their number."""


def owner_reference(kind: str, name: str, uid: str) -> Object:
    """Of an object of ours that others go with. It never holds up the deletion of what it refers to."""
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def job_spec(declared: Declared, task: Task, *, backup: str = "", restore: RestoreJob | None = None) -> str:
    """What a job is told, as JSON."""
    told = JobSpec(
        task=task,
        namespace=declared.namespace,
        schedule=declared.name,
        schedule_uid=declared.uid,
        backup=backup,
        spec=declared.spec,
        slot=slot_of(declared.uid) if method_of(declared.spec) == "wal" else "",
        restore=restore,
    )
    return json.dumps(told.model_dump(mode="json", by_alias=True, exclude_none=True), sort_keys=True)


def job_body(
    declared: Declared,
    task: Task,
    options: Options,
    *,
    config_map: str,
    config_key: str,
    labels: dict[str, str],
    restore: RestoreJob | None = None,
    deadline: float | None = None,
    once: bool = False,
) -> dict[str, Any]:
    """The spec of a Job: of a CronJob's template too. See ``job_for``."""
    trying = {"backoffLimit": 0} if once else {"backoffLimit": BACKOFF_LIMIT, "podFailurePolicy": failure_policy()}
    return {
        **trying,
        "activeDeadlineSeconds": max(1, int(deadline or seconds(declared.spec.schedule.deadline))),
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                **pod_spec(declared, task, options, config_map=config_map, config_key=config_key, restore=restore),
                "restartPolicy": "Never",
            },
        },
    }


@dataclass(frozen=True, slots=True)
class Made:
    """A Job and the ConfigMap that tells it what to do. Create the ConfigMap first."""

    config_map: Object
    job: Object


def job_for(
    task: Task,
    declared: Declared,
    options: Options,
    *,
    name: str,
    owner: Object,
    backup: str = "",
    restore: RestoreJob | None = None,
    deadline: float | None = None,
    once: bool = False,
) -> Made:
    """A Job that runs once, for a Backup made by hand or a step of a Restore.

    ``name`` is that of both objects, cut to what a Job's name may be; the same name finds the Job again after a crash.
    ``owner`` is an owner reference (see ``owner_reference``): both go with what it names. ``backup`` is the Backup that
    the job writes; empty for one with the Job's name. ``deadline`` is in seconds, the schedule's when left out. What
    runs ``once`` is never begun again, whatever became of it.
    """
    name = fitting(name, JOB_NAME)
    more = {RESTORE_LABEL: restore.uid} if restore is not None else {}
    labels = pod_labels(declared, task, **more)
    metadata = {"name": name, "namespace": declared.namespace, "labels": labels, "ownerReferences": [owner]}
    key = "spec.json"
    return Made(
        config_map={
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {
                key: job_spec(declared, task, backup=backup, restore=restore),
                **accounts(declared.spec.job.run_as_user),
            },
        },
        job={
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                **job_body(
                    declared,
                    task,
                    options,
                    config_map=name,
                    config_key=key,
                    labels=labels,
                    restore=restore,
                    deadline=deadline,
                    once=once,
                ),
                "ttlSecondsAfterFinished": _KEPT_SECONDS,
            },
        },
    )
