"""Creates the Jobs of Restores, and the claim that one of them fills."""

from lastgood.api.backupjob import RestoreJob, Task
from lastgood.api.base import seconds
from lastgood.domain.backups.manifests import job_for, owner_reference
from lastgood.domain.backups.names import RESTORE_LABEL
from lastgood.domain.backups.pods import Declared, Options
from lastgood.domain.clock import to_text
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.restores.points import NoPoint, named
from lastgood.domain.restores.state import Case, databases_of, job_name

ONCE: frozenset[Task] = frozenset({"restore", "validate", "swap"})
"""Jobs whose pod is not tried anew: what the first one has done, or found, must be looked at first."""


class RestoreJobs:
    """Creator of Jobs. All calls raise ClusterError."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster, self._options = cluster, options

    async def create(self, case: Case, task: Task) -> None:
        """Create what the task needs, then its Job; what is there is adopted: its name has the Restore's UID."""
        restore, schedule = case.restore, case.schedule
        assert schedule is not None  # noqa: S101 - without a schedule nothing is run
        declared = Declared(restore.namespace, schedule.name, schedule.uid, schedule.spec)
        name = job_name(restore, task)
        made = job_for(
            task,
            declared,
            self._options,
            name=name,
            owner=owner_reference("Restore", restore.name, restore.uid),
            backup=name if task == "safety" else "",
            restore=_told(case),
            deadline=seconds(restore.spec.timeout),
            once=task in ONCE,
        )
        if task == "restore":
            await self._claim(case)
        await self._make("configmaps", restore.namespace, made.config_map)
        await self._make("jobs", restore.namespace, made.job)

    async def _make(self, kind: str, namespace: str, body: Object) -> None:
        try:
            await self._cluster.create(kind, namespace, body)
        except ClusterError as error:
            if error.status != 409:
                raise

    async def _claim(self, case: Case) -> None:
        into, restore = case.restore.spec.into, case.restore
        if into is None or into.new_volume is None:
            return
        wanted = into.new_volume
        body: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": wanted.claim,
                "namespace": restore.namespace,
                # No owner: what was restored stays when the Restore goes.
                "labels": {RESTORE_LABEL: restore.uid},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": wanted.size}},
                **({"storageClassName": wanted.storage_class} if wanted.storage_class else {}),
            },
        }
        await self._make("persistentvolumeclaims", restore.namespace, body)


def _told(case: Case) -> RestoreJob:
    restore, spec = case.restore, case.restore.spec
    point = named(restore.status.backup, schedule=spec.schedule, repository=spec.repository, backups=case.backups)
    _, fresh, kept = databases_of(restore, case.backups)
    # A moment is asked for by name only where the method can go to any; its Backup is the one that covers it.
    to_moment = spec.to.time is not None and case.method == "wal"
    at = restore.status.point
    return RestoreJob(
        name=restore.name,
        uid=restore.uid,
        spec=spec,
        backup=restore.status.backup,
        snapshots=[] if isinstance(point, NoPoint) else list(point.snapshots),
        base_snapshots=[] if isinstance(point, NoPoint) else list(point.base_snapshots),
        time=(at or to_text(case.now)) if to_moment else None,
        database=fresh if case.mode in {"swap", "newDatabase"} else "",
        kept_database=kept if case.mode == "swap" else "",
    )
