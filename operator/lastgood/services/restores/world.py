"""Gathers what a decision about a Restore looks at. Reads only."""

import time
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from lastgood.api.backupjob import Task
from lastgood.domain.health import green_since
from lastgood.domain.observed import selector_text
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.restores.observed import (
    autoscaler_of,
    backups_seen,
    claim_seen,
    job_seen,
    restore_seen,
    schedule_seen,
    tied,
    workload_seen,
)
from lastgood.domain.restores.state import (
    Case,
    ClaimSeen,
    JobSeen,
    Other,
    Place,
    RestoreSeen,
    ScheduleSeen,
    ServiceSeen,
    WorkloadSeen,
    World,
    all_places,
    job_name,
    touches,
    written_claims,
)
from lastgood.services.table import Table

TASKS: tuple[Task, ...] = ("verify", "safety", "restore", "validate", "swap")
JOB_LABEL = "batch.kubernetes.io/job-name"
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class RestoreWorld:
    """What surrounds Restores. All calls raise ClusterError."""

    def __init__(self, cluster: Cluster, table: Table) -> None:
        self._cluster, self._table = cluster, table

    async def look(self, restore: RestoreSeen, body: Object) -> Case:
        """Everything as it is this moment. ``body`` may be of a Restore that does not exist yet, without a UID."""
        namespace, spec = restore.namespace, restore.spec
        schedule = schedule_seen(await self._cluster.get("backupschedules", namespace, spec.schedule))
        backups = backups_seen(await self._cluster.list_objects("backups", namespace))
        workloads = await self._workloads(restore)
        # After the workloads and their pods: one that ends in between must not be taken for a stranger that goes on.
        pods: Sequence[Object] = ()
        if restore.holds or restore.held:
            pods = await self._cluster.list_objects("pods", namespace)
        rollback = None
        if spec.rollback:
            rollback = tied(spec.rollback, await self._cluster.get("rollbacks", namespace, spec.rollback))
        world = World(
            workloads=workloads,
            claims=await self._claims(restore, schedule, pods),
            jobs=await self._jobs(restore),
            others=await self._others(restore, body),
            services=await self._services(namespace, spec.services),
            rollback=rollback,
            account=await self._account(restore),
        )
        return Case(restore, schedule, backups, world, time.time())

    async def _workloads(self, restore: RestoreSeen) -> Mapping[Place, WorkloadSeen]:
        found = {}
        autoscalers: Sequence[Object] = ()
        if not restore.holds and all_places(restore.spec):
            autoscalers = await self._autoscalers(restore.namespace)
        for kind, name in all_places(restore.spec):
            body = await self._cluster.get(PLURALS[kind], restore.namespace, name)
            if body is None:
                continue
            selector = selector_text(body["spec"].get("selector") or {})
            pods = await self._cluster.list_objects("pods", restore.namespace, selector) if restore.holds else ()
            found[kind, name] = workload_seen(kind, body, pods, autoscaler_of(kind, name, autoscalers))
        return found

    async def _autoscalers(self, namespace: str) -> Sequence[Object]:
        try:
            return await self._cluster.list_objects("horizontalpodautoscalers", namespace)
        except ClusterError as error:
            # Only told, not needed: at 0 replicas an autoscaler rests, and wakes when there are some again.
            if error.status in {403, 404}:
                return ()
            raise

    async def _account(self, restore: RestoreSeen) -> bool:
        name = restore.spec.service_account
        if name is None or restore.holds or restore.final:
            return True
        try:
            return await self._cluster.get("serviceaccounts", restore.namespace, name) is not None
        except ClusterError as error:
            # A person who asks for a plan may not see it; the pod would say that it is not there.
            if error.status == 403:
                return True
            raise

    async def _claims(
        self, restore: RestoreSeen, schedule: ScheduleSeen | None, pods: Sequence[Object]
    ) -> Mapping[str, ClaimSeen]:
        found = {}
        for name in written_claims(restore.spec, schedule.spec if schedule else None):
            body = await self._cluster.get("persistentvolumeclaims", restore.namespace, name)
            if body is not None:
                found[name] = claim_seen(body, pods)
        return found

    async def _jobs(self, restore: RestoreSeen) -> Mapping[Task, JobSeen]:
        found: dict[Task, JobSeen] = {}
        if not restore.uid or restore.final:
            return found
        for task in TASKS:
            name = job_name(restore, task)
            job = await self._cluster.get("jobs", restore.namespace, name)
            if job is not None:
                pods = await self._cluster.list_objects("pods", restore.namespace, f"{JOB_LABEL}={name}")
                found[task] = job_seen(job, pods)
        return found

    async def _others(self, restore: RestoreSeen, body: Object) -> Sequence[Other]:
        """Other Restores, read anew: the watch may not have told yet that one has passed the gate."""
        if restore.holds and not restore.spec.rollback:
            return ()
        schedules = {
            s["metadata"]["name"]: schedule_seen(s)
            for s in await self._cluster.list_objects("backupschedules", restore.namespace)
        }
        found = []
        for other in await self._cluster.list_objects("restores", restore.namespace):
            if other["metadata"]["name"] == body["metadata"].get("name"):
                continue
            try:
                seen = restore_seen(other)
            except ValidationError:
                continue
            schedule = schedules.get(seen.spec.schedule)
            found.append(Other(seen, touches(seen.spec, schedule.spec if schedule else None)))
        return found

    async def _services(self, namespace: str, names: Sequence[str]) -> Mapping[str, ServiceSeen]:
        found = {}
        for name in names:
            known = self._table.services.get((namespace, name))
            if known is None:
                if await self._cluster.get("monitoredservices", namespace, name) is not None:
                    found[name] = ServiceSeen()
                continue
            probes, plan = known.memory.probes, known.plan
            green = green_since(probes) is not None and known.memory.health.state == "True"
            found[name] = ServiceSeen(
                suspended=plan.suspend,
                green_at=min(p.last_pass for p in probes.values()) if green else None,
                allowed=plan.rollout_timeout + plan.validation_timeout,
            )
        return found
