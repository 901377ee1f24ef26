"""Pods of backup jobs: what each task gets to see, where it finds it, and with which rights it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lastgood.api.backupjob import CREDENTIALS, VOLUMES, RestoreJob, Task
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.api.base import KeyRef
from lastgood.api.probes import CertificateSource
from lastgood.api.repositories import Repository
from lastgood.domain.backups.accounts import GROUP, PASSWD
from lastgood.domain.backups.names import RECEIVER_LABEL, SCHEDULE_LABEL, TASK_LABEL, child, method_of
from lastgood.domain.backups.rights import account_for, account_of, has_token
from lastgood.domain.ports import Object
from lastgood.domain.quantity import quantity

SPEC_FOLDER = "/etc/lastgood/job"
SPEC_FILE = f"{SPEC_FOLDER}/spec.json"
"""Where a job finds its JobSpec."""

READS_SOURCE: frozenset[Task] = frozenset(
    {"full", "incremental", "receive", "restore-test", "full-check", "verify", "safety", "restore", "swap", "validate"}
)
"""Tasks that get the source's credentials. A restore test connects to nothing: the DSN names the database that it is
about."""
WRITES_SOURCE: frozenset[Task] = frozenset({"restore", "swap", "validate"})
"""Tasks that get a Restore's own credentials, where it names some."""
USES_REPOSITORIES: frozenset[Task] = frozenset(
    {"full", "incremental", "data-sample", "restore-test", "full-check", "prune", "verify", "safety", "restore"}
)
"""Tasks that get the repositories and their key."""
USES_SPOOL: frozenset[Task] = frozenset({"full", "incremental", "receive", "safety"})
"""Tasks of method wal that mount the spool."""
MOUNTS_SOURCE: frozenset[Task] = frozenset({"full", "incremental", "safety"})
"""Tasks that mount the source's claims, read-only."""

_TEMPORARY = "256Mi"
_USUAL_MEMORY = "64Mi"
"""What a job asks for; up to its limit it may use more."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A BackupSchedule: what names its objects, and what it asks for."""

    namespace: str
    name: str
    uid: str
    spec: BackupScheduleSpec


@dataclass(frozen=True, slots=True)
class Options:
    """What the installation says of jobs."""

    image: str
    roles: str = "lastgood"
    """Prefix of the ClusterRoles that are bound to the jobs' ServiceAccounts."""


def service_account(declared: Declared) -> str:
    """Name of the ServiceAccount that the jobs run as."""
    return account_of(declared.name, declared.spec)


def spool_claim(declared: Declared) -> str:
    """Name of the claim for segments on their way; empty where none is used."""
    postgres = declared.spec.source.postgres
    if postgres is None or method_of(declared.spec) != "wal":
        return ""
    return postgres.spool or child(declared.name, "spool")


def uses_repositories(spec: BackupScheduleSpec, task: Task) -> bool:
    """Whether a task gets the repositories; declared objects are validated by comparing them with what is stored."""
    return task in USES_REPOSITORIES or (task == "validate" and spec.source.config is not None)


def repositories_of(spec: BackupScheduleSpec) -> Iterable[tuple[str, Repository]]:
    """Repositories by name."""
    yield "primary", spec.repositories.primary
    for other in spec.repositories.secondary:
        yield other.name, other


def credentials(spec: BackupScheduleSpec, task: Task, dsn: KeyRef | None = None) -> dict[str, tuple[str, KeyRef, bool]]:
    """What a task is given: path below the credentials' folder to (kind, key of it, whether it may be missing).

    ``dsn`` is a Restore's own connection string.
    """
    found: dict[str, tuple[str, KeyRef, bool]] = {}

    def authority(path: str, source: CertificateSource | None) -> None:
        if source is not None and source.secret_key_ref is not None:
            found[path] = ("Secret", source.secret_key_ref, False)
        elif source is not None and source.config_map_key_ref is not None:
            found[path] = ("ConfigMap", source.config_map_key_ref, False)

    if task in READS_SOURCE:
        postgres, redis = spec.source.postgres, spec.source.redis
        if postgres is not None:
            found["source/dsn"] = ("Secret", postgres.dsn, False)
            authority("source/ca.crt", postgres.ca)
        if redis is not None:
            found["source/url"] = ("Secret", redis.url, False)
            authority("source/ca.crt", redis.ca)
    if task in WRITES_SOURCE and dsn is not None:
        found["source/restore-dsn"] = ("Secret", dsn, False)
    if uses_repositories(spec, task):
        found["key/current"] = ("Secret", spec.encryption.secret_key_ref, False)
        if spec.encryption.previous is not None:
            # Once the key was changed everywhere, its predecessor may go.
            found["key/previous"] = ("Secret", spec.encryption.previous, True)
        for name, repository in repositories_of(spec):
            folder = f"repositories/{name}"
            if repository.s3 is not None:
                found[f"{folder}/access-key-id"] = ("Secret", repository.s3.access_key_id, False)
                found[f"{folder}/secret-access-key"] = ("Secret", repository.s3.secret_access_key, False)
                authority(f"{folder}/ca.crt", repository.s3.ca)
            if repository.sftp is not None:
                found[f"{folder}/private-key"] = ("Secret", repository.sftp.private_key, False)
                found[f"{folder}/known-hosts"] = ("Secret", repository.sftp.known_hosts, False)
    return found


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim in a pod."""

    name: str
    path: str
    """Below the folder of volumes."""
    read_only: bool = False
    kept_as_is: bool = False
    """Its files' owners and modes must not be touched."""


def claims(declared: Declared, task: Task, restore: RestoreJob | None = None) -> list[Claim]:
    """Claims that a task mounts."""
    spec = declared.spec
    found = []
    if uses_repositories(spec, task):
        for name, repository in repositories_of(spec):
            if repository.volume is not None:
                found.append(Claim(repository.volume.claim, f"repositories/{name}"))
    if task in MOUNTS_SOURCE and spec.source.volume is not None:
        found += [Claim(name, f"source/{name}", read_only=True, kept_as_is=True) for name in spec.source.volume.claims]
    if task in USES_SPOOL and (spool := spool_claim(declared)):
        found.append(Claim(spool, "spool"))
    if restore is not None and task in {"restore", "validate"}:
        read_only = task == "validate"
        server = restore.spec.server
        if name := restore.spec.new_claim:
            found.append(Claim(name, f"target/{name}", read_only=read_only))
        elif spec.source.volume is not None:
            found += [
                Claim(name, f"server/{name}", read_only=read_only, kept_as_is=True)
                for name in spec.source.volume.claims
            ]
        if server is not None and task == "restore":
            found.append(Claim(server.claim, f"server/{server.claim}", kept_as_is=True))
    return found


def _projected(wanted: dict[str, tuple[str, KeyRef, bool]]) -> list[Object]:
    """Sources of a projected volume: one for each object, the whole at exactly these paths."""
    by_object: dict[tuple[str, str, bool], list[Object]] = {}
    for path, (kind, ref, optional) in wanted.items():
        by_object.setdefault((kind, ref.name, optional), []).append({"key": ref.key, "path": path})
    return [
        {
            "secret" if kind == "Secret" else "configMap": {
                "name": name,
                "items": items,
                **({"optional": True} if optional else {}),
            }
        }
        for (kind, name, optional), items in by_object.items()
    ]


def pod_labels(declared: Declared, task: Task, **more: str) -> dict[str, str]:
    """Labels of pods, and of the Jobs that make them."""
    return {
        "app.kubernetes.io/name": "lastgood-backup",
        "app.kubernetes.io/managed-by": "lastgood",
        SCHEDULE_LABEL: declared.uid,
        TASK_LABEL: task,
        **more,
    }


def _affinity(declared: Declared, mounted: list[Claim]) -> Object:
    """Where a pod may be: a volume that one node at a time has is with the pod that holds it."""
    here = {"topologyKey": "kubernetes.io/hostname"}

    def prefer(weight: int, labels: dict[str, str]) -> Object:
        return {"weight": weight, "podAffinityTerm": {**here, "labelSelector": {"matchLabels": labels}}}

    wishes = [prefer(50, {SCHEDULE_LABEL: declared.uid})]
    volume = declared.spec.source.volume
    if volume is not None and volume.mounted_by and any(claim.path.startswith("source/") for claim in mounted):
        # Not required: an application that is scaled to 0 holds nothing, and is backed up all the same.
        wishes = [prefer(100, dict(sorted(volume.mounted_by.items()))), *wishes]
    beside: Object = {"preferredDuringSchedulingIgnoredDuringExecution": wishes}
    if any(claim.path == "spool" for claim in mounted):
        beside["requiredDuringSchedulingIgnoredDuringExecution"] = [
            {**here, "labelSelector": {"matchLabels": {RECEIVER_LABEL: declared.uid}}}
        ]
    return {"podAffinity": beside}


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def pod_spec(
    declared: Declared,
    task: Task,
    options: Options,
    *,
    config_map: str,
    config_key: str,
    restore: RestoreJob | None = None,
) -> Object:
    """The spec of a pod that carries out one task.

    It may write its scratch space, and the claims that its task is about; it runs as the user that the schedule names,
    never as root. A server's own volume keeps its owners and modes: with an fsGroup the server would refuse to start.
    """
    spec = declared.spec
    mounted = claims(declared, task, restore)
    user = spec.job.run_as_user
    wanted = credentials(spec, task, restore.spec.dsn if restore is not None else None)
    items = [{"key": config_key, "path": "spec.json"}, *({"key": key, "path": key} for key in (PASSWD, GROUP))]
    volumes: list[Object] = [
        {"name": "job", "configMap": {"name": config_map, "items": items}},
        {"name": "scratch", "emptyDir": {"sizeLimit": spec.verification.restore_test.scratch_size}},
        {"name": "tmp", "emptyDir": {"sizeLimit": _TEMPORARY}},
    ]
    mounts: list[Object] = [
        {"name": "job", "mountPath": SPEC_FOLDER, "readOnly": True},
        *({"name": "job", "mountPath": f"/etc/{file}", "subPath": file, "readOnly": True} for file in (PASSWD, GROUP)),
        {"name": "scratch", "mountPath": f"{VOLUMES}/scratch"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of this pod alone
    ]
    if wanted:
        # Readable by whatever user the pod runs as; nobody else is in it.
        volumes.append({"name": "credentials", "projected": {"defaultMode": 0o444, "sources": _projected(wanted)}})
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True})
    by_claim: dict[str, str] = {}
    for claim in mounted:
        # One claim may be in a pod once as a volume, and be mounted at several places: read-only only where all are.
        read_only = all(c.read_only for c in mounted if c.name == claim.name)
        if claim.name not in by_claim:
            by_claim[claim.name] = f"claim-{len(by_claim)}"
            source: Object = {"claimName": claim.name, **({"readOnly": True} if read_only else {})}
            volumes.append({"name": by_claim[claim.name], "persistentVolumeClaim": source})
        mount: Object = {"name": by_claim[claim.name], "mountPath": f"{VOLUMES}/{claim.path}"}
        mounts.append({**mount, "readOnly": True} if claim.read_only else mount)
    security: Object = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    # A volume that is in the pod read-only is left alone by the kubelet; one that is written to, and somebody else's,
    # must be.
    if not any(claim.kept_as_is and not claim.read_only for claim in mounted):
        security |= {"fsGroup": user, "fsGroupChangePolicy": "OnRootMismatch"}
    container: dict[str, Any] = {
        "name": "job",
        "image": options.image,
        "args": ["job", "--spec", SPEC_FILE],
        "env": [
            _field("JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
            _field("POD_NAME", "metadata.name"),
            _field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
        ],
        "volumeMounts": mounts,
        "resources": {
            "requests": {"cpu": spec.job.cpu, "memory": min(_USUAL_MEMORY, spec.job.memory, key=quantity)},
            "limits": {"memory": spec.job.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    return {
        "serviceAccountName": account_for(declared.name, spec, task, restore),
        "automountServiceAccountToken": has_token(spec, task, restore),
        "enableServiceLinks": False,
        "securityContext": security,
        "containers": [container],
        "volumes": volumes,
        # Enough to end a dump in good order and to give the repository's lock back.
        "terminationGracePeriodSeconds": 60,
        **({"nodeSelector": dict(sorted(spec.job.node_selector.items()))} if spec.job.node_selector else {}),
        **({} if task == "receive" else {"affinity": _affinity(declared, mounted)}),
    }
