"""From objects as the API server gives them to what decisions about Restores look at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lastgood.api.backup import Backup
from lastgood.api.backupjob import JobResult
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.api.restore import RestoreSpec, RestoreStatus
from lastgood.domain.backups.names import HOLDER_ANNOTATION, REPLICAS_ANNOTATION, RESTORE_LABEL
from lastgood.domain.restores.foreign import owner_of
from lastgood.domain.restores.state import ClaimSeen, JobSeen, RestoreSeen, ScheduleSeen, Tied, WorkloadSeen
from lastgood.domain.rollback import FINAL as ROLLBACK_FINAL

FINALIZER = "lastgood.dev/workloads-stopped"
"""On a Restore while workloads are stopped for it, so that deleting it does not leave them so."""

_ENDED = frozenset({"Succeeded", "Failed"})
_MOST = 300


def restore_seen(body: Mapping[str, Any]) -> RestoreSeen:
    """A Restore. Raises ValidationError for one that the schema would refuse."""
    metadata = body["metadata"]
    return RestoreSeen(
        namespace=metadata.get("namespace") or "default",
        name=metadata.get("name") or metadata.get("generateName") or "",
        uid=metadata.get("uid") or "",
        spec=RestoreSpec.model_validate(body["spec"]),
        status=RestoreStatus.model_validate(body.get("status") or {}),
        created=metadata.get("creationTimestamp") or "",
        deleting=bool(metadata.get("deletionTimestamp")),
        held=FINALIZER in (metadata.get("finalizers") or ()),
    )


def schedule_seen(body: Mapping[str, Any] | None) -> ScheduleSeen | None:
    """A BackupSchedule; None for none, and for one that is being deleted or that the schema would refuse."""
    if body is None or body["metadata"].get("deletionTimestamp"):
        return None
    try:
        spec = BackupScheduleSpec.model_validate(body["spec"])
    except ValidationError:
        return None
    measured = int((body.get("status") or {}).get("restoreSeconds") or 0)
    return ScheduleSeen(body["metadata"]["name"], body["metadata"]["uid"], spec, measured)


def backups_seen(bodies: Iterable[Mapping[str, Any]]) -> dict[str, Backup]:
    """Backups by name; those that the schema would refuse, or that are being deleted, are no points."""
    found = {}
    for body in bodies:
        if body["metadata"].get("deletionTimestamp"):
            continue
        try:
            found[body["metadata"]["name"]] = Backup.model_validate(dict(body))
        except ValidationError:
            continue
    return found


def _belongs(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    owners = tuple(
        (o["apiVersion"], o["kind"], o["name"])
        for o in metadata.get("ownerReferences") or ()
        # A claim may belong to its StatefulSet: what matters is whose that is.
        if o.get("controller") and not o["apiVersion"].startswith("apps/")
    )
    return owner_of(metadata.get("labels") or {}, owners)


def workload_seen(
    kind: str, body: Mapping[str, Any], pods: Iterable[Mapping[str, Any]] = (), autoscaler: str = ""
) -> WorkloadSeen:
    """A Deployment or StatefulSet with its pods."""
    metadata, spec = body["metadata"], body["spec"]
    annotations = metadata.get("annotations") or {}
    was = annotations.get(REPLICAS_ANNOTATION, "")
    return WorkloadSeen(
        kind=kind,
        name=metadata["name"],
        replicas=int(spec.get("replicas", 1)),
        ready=int((body.get("status") or {}).get("readyReplicas") or 0),
        pods=tuple(sorted(p["metadata"]["name"] for p in pods if not ended(p))),
        autoscaler=autoscaler,
        holder=annotations.get(HOLDER_ANNOTATION, ""),
        was=int(was) if was.isdecimal() and len(was) < 6 else None,
        belongs=_belongs(metadata),
        claims=frozenset(_claims(metadata["name"], spec)),
        uid=metadata["uid"],
    )


def _claims(name: str, spec: Mapping[str, Any]) -> Iterable[str]:
    """Claims that the pods of a StatefulSet mount: named in its template, and made of its claim templates."""
    for volume in spec["template"]["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
    first = int((spec.get("ordinals") or {}).get("start") or 0)
    for template in spec.get("volumeClaimTemplates") or ():
        for place in range(max(1, int(spec.get("replicas", 1)))):
            yield f"{template['metadata']['name']}-{name}-{first + place}"


def ended(pod: Mapping[str, Any]) -> bool:
    """Whether a pod runs nothing any more. One that is being deleted does until it is gone."""
    return (pod.get("status") or {}).get("phase") in _ENDED


def autoscaler_of(kind: str, name: str, autoscalers: Iterable[Mapping[str, Any]]) -> str:
    """Name of the HorizontalPodAutoscaler that scales a workload; empty for none."""
    for body in autoscalers:
        target = body["spec"].get("scaleTargetRef") or {}
        if (target.get("kind"), target.get("name")) == (kind, name):
            return str(body["metadata"]["name"])
    return ""


def claim_seen(body: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> ClaimSeen:
    """A PersistentVolumeClaim; ``pods`` are all of its namespace."""
    metadata = body["metadata"]
    users = [
        pod["metadata"]["name"]
        for pod in pods
        if not ended(pod)
        and RESTORE_LABEL not in (pod["metadata"].get("labels") or {})
        and any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == metadata["name"]
            for volume in pod["spec"].get("volumes") or ()
        )
    ]
    made_for = (metadata.get("labels") or {}).get(RESTORE_LABEL, "")
    return ClaimSeen(users=tuple(sorted(users)), belongs=_belongs(metadata), made_for=made_for)


def tied(name: str, body: Mapping[str, Any] | None) -> Tied:
    """The Rollback that a Restore is a part of."""
    if body is None:
        return Tied(name, over=True)
    spec, status = body["spec"], body.get("status") or {}
    steps = {s["name"]: s["state"] for s in status.get("steps") or ()}
    return Tied(
        name=name,
        cleared=not spec.get("needsApproval") or spec.get("approval") == "Approved",
        executed=steps.get("Executed") == "Done",
        over=status.get("phase") in ROLLBACK_FINAL,
    )


# -- jobs ---------------------------------------------------------------------------------------------------------


def job_seen(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> JobSeen:
    """A Job and how it ended, from its conditions and what its newest pod left as its last words."""
    status = job.get("status") or {}
    told = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    newest = max(
        pods, key=lambda p: (p["metadata"].get("creationTimestamp") or "", p["metadata"]["name"]), default=None
    )
    result = result_of(newest)
    if "Complete" in told:
        return JobSeen("Succeeded", result)
    if "Failed" not in told:
        return JobSeen("Running", None, waiting=_waiting(newest))
    name = job["metadata"]["name"]
    if told["Failed"].get("reason") == "DeadlineExceeded":
        return JobSeen("Failed", None, "JobTimeout", f"Job {name} was ended: it took longer than spec.timeout")
    reason, message = _cause(name, newest)
    return JobSeen("Failed", result, reason, message)


def result_of(pod: Mapping[str, Any] | None) -> JobResult | None:
    """What a pod said at its end; None when it said nothing that can be read."""
    for container in ((pod or {}).get("status") or {}).get("containerStatuses") or ():
        text = ((container.get("state") or {}).get("terminated") or {}).get("message") or ""
        try:
            return JobResult.model_validate_json(text)
        except ValidationError:
            continue
    return None


def _cause(name: str, pod: Mapping[str, Any] | None) -> tuple[str, str]:
    if pod is None:
        return "PodLost", f"the pod of Job {name} is gone, and did not say how it ended"
    status, who = pod.get("status") or {}, pod["metadata"]["name"]
    disrupted = next((c for c in status.get("conditions") or () if c["type"] == "DisruptionTarget"), None)
    if status.get("reason") == "Evicted" or (disrupted is not None and disrupted.get("status") == "True"):
        why = status.get("message") or (disrupted or {}).get("message") or ""
        return "PodEvicted", f"pod {who} was evicted: {_line(why)}"
    for container in status.get("containerStatuses") or ():
        ended_as = (container.get("state") or {}).get("terminated") or {}
        if ended_as.get("reason") == "OOMKilled":
            return "OutOfMemory", f"pod {who} took more memory than spec.job.memory of the schedule allows"
        if ended_as:
            return "JobFailed", f"pod {who} ended with exit status {ended_as.get('exitCode')} and did not say why"
    if status.get("reason") in {"NodeLost", "Terminated"}:
        return "PodLost", f"pod {who} went with its node"
    return "JobFailed", f"Job {name} failed, and its pod did not say why"


def _waiting(pod: Mapping[str, Any] | None) -> str:
    if pod is None:
        return ""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return ""
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] != "ContainerCreating":
            return f"{waiting['reason']}: {_line(waiting.get('message') or '')}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason') or 'Unschedulable'}: {_line(condition.get('message') or '')}"
    return ""


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST]
