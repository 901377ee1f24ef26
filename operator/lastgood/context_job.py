"""What a job's pod is made of. It imports nothing of the operator's: a job is small, and starts in a second."""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from lastgood.api.backupjob import JobSpec
from lastgood.api.repositories import Repository as Declared
from lastgood.backups.engines import engine_for
from lastgood.backups.restic import Restic
from lastgood.backups.restic_call import Settings
from lastgood.backups.restic_location import locate
from lastgood.domain.backups.ownership import Owner
from lastgood.domain.backups.ports import Places, Repository
from lastgood.kube.plain import ACCOUNT, PlainApi, from_kubeconfig, in_cluster
from lastgood.kube.records import KubeRecords
from lastgood.kube.standing import KubeSchedule
from lastgood.services.jobs.task import Progress
from lastgood.services.jobs.tools import PRIMARY, Parts


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What the command line says."""

    name: str
    """Of the Job."""
    places: Places = field(default_factory=Places)
    kubeconfig: Path | None = None
    """Instead of the pod's ServiceAccount."""
    lock_seconds: float | None = None


def make(spec: JobSpec, options: JobOptions) -> tuple[Parts, Progress, PlainApi | None]:
    """The parts of a job; whoever gets the last of the three closes it."""
    progress = Progress()
    door = from_kubeconfig(options.kubeconfig) if options.kubeconfig is not None else in_cluster()
    api = None if door is None else PlainApi(door)
    places = options.places
    previous = places.credential("key/previous") if spec.spec.encryption.previous is not None else None
    settings = Settings(
        owner=Owner(spec.namespace, spec.schedule, spec.schedule_uid, _cluster()),
        key=places.credential("key/current"),
        previous=previous,
        scratch=places.scratch,
        progress=progress,
        now=time.time,
    )
    declared: dict[str, Declared] = {PRIMARY: spec.spec.repositories.primary}
    declared |= {each.name: each for each in spec.spec.repositories.secondary}

    def repository(name: str) -> Repository:
        return Restic(locate(name, declared[name], places, spec.namespace, spec.schedule), settings)

    repositories: dict[str, Callable[[], Repository]] = {name: cache(partial(repository, name)) for name in declared}
    records = KubeRecords(
        api,
        namespace=spec.namespace,
        schedule=spec.schedule,
        uid=spec.schedule_uid,
        incremental=spec.task == "incremental",
    )
    parts = Parts(
        spec=spec,
        name=spec.backup or options.name,
        places=places,
        repositories=repositories,
        engine=cache(partial(engine_for, spec, places, api, time.time)),
        records=records,
        now=time.time,
        schedule=_schedule(spec, api),
    )
    return parts, progress, api


def _schedule(spec: JobSpec, api: PlainApi | None) -> KubeSchedule | None:
    if api is None or not spec.slot:
        return None
    return KubeSchedule(api, namespace=spec.namespace, name=spec.schedule, uid=spec.schedule_uid)


def _cluster() -> str:
    """Something that differs between clusters: of the certificate that this one's API server is trusted by."""
    try:
        return hashlib.sha256((ACCOUNT / "ca.crt").read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def job_name() -> str:
    """The Job that this pod is of: its label by way of the environment, or the pod's own name without its tail."""
    named = os.environ.get("JOB_NAME", "")
    return named or os.environ.get("HOSTNAME", "job").rpartition("-")[0] or "job"
