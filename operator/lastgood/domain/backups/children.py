"""The objects that a BackupSchedule is made into. They go on working while the operator is down."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lastgood.api.backupjob import Task
from lastgood.api.base import seconds
from lastgood.domain.backups.accounts import accounts
from lastgood.domain.backups.manifests import job_body, job_spec, owner_reference
from lastgood.domain.backups.names import RECEIVER_LABEL, TASK_LABEL, child, method_of
from lastgood.domain.backups.plan import times
from lastgood.domain.backups.pods import Declared, Options, pod_labels, pod_spec, service_account, spool_claim
from lastgood.domain.ports import Object
from lastgood.domain.quantity import quantity

HASH = "lastgood.dev/spec-hash"
"""Annotation: of what was wanted when it was written. Tells what was taken out since."""
SINCE = "lastgood.dev/scheduled-since"
"""Annotation of a CronJob: since when it starts Jobs at these times. Earlier ones were nobody's to keep."""

KINDS = ("configmaps", "serviceaccounts", "rolebindings", "persistentvolumeclaims", "deployments", "cronjobs")
"""Plural names of what a schedule has, in the order in which it is made: what is needed comes first."""
_KEPT_JOBS = 3


def children(declared: Declared, options: Options) -> list[tuple[str, Object]]:
    """(plural name, object) of all that a schedule has, what is needed first."""
    made = _objects(declared, options)
    for _, body in made:
        wanted = json.dumps(body, sort_keys=True).encode()
        digest = hashlib.blake2b(wanted, digest_size=8).hexdigest()
        body["metadata"]["annotations"] = {**body["metadata"].get("annotations", {}), HASH: digest}
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(made, key=lambda entry: order[entry[0]])


def _objects(declared: Declared, options: Options) -> list[tuple[str, Object]]:
    planned = times(declared.spec, declared.uid)
    receives = method_of(declared.spec) == "wal"
    jobs = child(declared.name, "jobs")
    tasks: list[Task] = [*planned, *(("receive",) if receives else ())]
    data = {f"{task}.json": job_spec(declared, task) for task in sorted(tasks)}
    data |= accounts(declared.spec.job.run_as_user)
    made: list[tuple[str, Object]] = [("configmaps", {**_head(declared, "v1", "ConfigMap", jobs), "data": data})]
    if declared.spec.job.service_account is None:
        made += _account(declared, options)
    made += [("cronjobs", _cron_job(declared, task, cron, options, jobs)) for task, cron in planned.items()]
    if receives:
        made += _receiver(declared, options, jobs)
    return made


def _head(declared: Declared, version: str, kind: str, name: str, **labels: str) -> Object:
    common = {k: v for k, v in pod_labels(declared, "full").items() if k != TASK_LABEL}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": declared.namespace,
            "labels": {**common, **labels},
            "ownerReferences": [owner_reference("BackupSchedule", declared.name, declared.uid)],
        },
    }


def roles(declared: Declared) -> list[str]:
    """Rights that the jobs need, each a ClusterRole of the installation, by the end of its name."""
    source = declared.spec.source
    found = ["backup-job"]
    if method_of(declared.spec) == "wal":
        found.append("backup-receive")
    if source.logs is not None:
        found.append("backup-logs")
    if source.config is not None:
        found.append("backup-config")
        if source.config.secrets:
            found.append("backup-secrets")
    return found


def _account(declared: Declared, options: Options) -> list[tuple[str, Object]]:
    name = service_account(declared)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": declared.namespace}
    made = [
        ("serviceaccounts", {**_head(declared, "v1", "ServiceAccount", name), "automountServiceAccountToken": False})
    ]
    for role in roles(declared):
        head = _head(declared, "rbac.authorization.k8s.io/v1", "RoleBinding", child(declared.name, role))
        reference = {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"{options.roles}-{role}",
        }
        made.append(("rolebindings", {**head, "roleRef": reference, "subjects": [subject]}))
    return made


def _cron_job(declared: Declared, task: Task, cron: str, options: Options, config_map: str) -> Object:
    schedule = declared.spec.schedule
    labels = pod_labels(declared, task)
    body = job_body(declared, task, options, config_map=config_map, config_key=f"{task}.json", labels=labels)
    return {
        **_head(declared, "batch/v1", "CronJob", child(declared.name, task), **{TASK_LABEL: task}),
        "spec": {
            "schedule": cron,
            "timeZone": schedule.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": max(10, int(seconds(schedule.starting_deadline))),
            "suspend": declared.spec.suspend,
            "successfulJobsHistoryLimit": _KEPT_JOBS,
            "failedJobsHistoryLimit": _KEPT_JOBS,
            "jobTemplate": {"metadata": {"labels": labels}, "spec": body},
        },
    }


def _receiver(declared: Declared, options: Options, config_map: str) -> list[tuple[str, Object]]:
    postgres = declared.spec.source.postgres
    made: list[tuple[str, Object]] = []
    if postgres is not None and postgres.spool is None:
        claim = {
            **_head(declared, "v1", "PersistentVolumeClaim", spool_claim(declared)),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": postgres.spool_size}},
            },
        }
        made.append(("persistentvolumeclaims", claim))
    labels = pod_labels(declared, "receive", **{RECEIVER_LABEL: declared.uid})
    # It reads what it is told at its start only; of that it needs no more than the source.
    told = hashlib.blake2b(declared.spec.source.model_dump_json().encode(), digest_size=8).hexdigest()
    pod = pod_spec(declared, "receive", options, config_map=config_map, config_key="receive.json")
    deployment = {
        **_head(declared, "apps/v1", "Deployment", child(declared.name, "receive")),
        "spec": {
            "replicas": 0 if declared.spec.suspend else 1,
            "selector": {"matchLabels": {RECEIVER_LABEL: declared.uid}},
            # Two receivers on one slot and one volume would each keep the other from working.
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": labels, "annotations": {"lastgood.dev/source": told}}, "spec": pod},
        },
    }
    return [*made, ("deployments", deployment)]


def is_ours(actual: Mapping[str, Any], uid: str) -> bool:
    """Whether an object belongs to the schedule with this UID."""
    return any(owner.get("uid") == uid for owner in actual["metadata"].get("ownerReferences") or ())


def differs(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether what is there is not what is wanted: something was taken out, or somebody changed it.

    What the API server and others have added does not count.
    """
    if wanted["kind"] == "PersistentVolumeClaim":
        # Next to nothing of a claim can be changed, and nothing of it has to be.
        return False
    was = (actual["metadata"].get("annotations") or {}).get(HASH)
    # Of what a list holds the API server does not say what it is.
    asked = {name: value for name, value in wanted.items() if name not in {"apiVersion", "kind"}}
    return was != wanted["metadata"]["annotations"][HASH] or not _covers(actual, asked)


def _covers(actual: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(_covers(actual.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(_covers(a, w) for a, w in zip(actual, wanted, strict=True))
        )
    # False and 0 are left out by the API server where that means the same.
    return actual == wanted or (not wanted and not actual) or _same_quantity(actual, wanted)


def _same_quantity(actual: Any, wanted: Any) -> bool:
    """The API server writes quantities in a form of its own: "1024Mi" as "1Gi"."""
    try:
        return quantity(str(actual)) == quantity(str(wanted))
    except ValueError:
        return False


def to_write(actual: Mapping[str, Any] | None, wanted: Object, now: str) -> Object:
    """The object to create, or to put in the place of what is there.

    What others wrote into its metadata stays. ``now`` is RFC 3339.
    """
    body: Object = {**wanted, "metadata": dict(wanted["metadata"])}
    notes = dict(body["metadata"].get("annotations") or {})
    if wanted["kind"] == "CronJob":
        before = (actual or {}).get("spec") or {}
        planned = ("schedule", "timeZone", "suspend")
        same = all((before.get(name) or False) == (wanted["spec"][name] or False) for name in planned)
        kept = ((actual or {}).get("metadata", {}).get("annotations") or {}).get(SINCE)
        notes[SINCE] = kept if actual is not None and same and kept else now
    if actual is not None:
        metadata = actual["metadata"]
        notes = {**(metadata.get("annotations") or {}), **notes}
        body["metadata"]["labels"] = {**(metadata.get("labels") or {}), **body["metadata"]["labels"]}
        body["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    body["metadata"]["annotations"] = notes
    return body
