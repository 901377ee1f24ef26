"""Backup objects: the one that a person made becomes a Job, the one whose Job died is brought to its end."""

import time

import structlog

from lastgood.api import API_VERSION
from lastgood.domain.backups.manifests import job_for, owner_reference
from lastgood.domain.backups.names import JOB_NAME, SCHEDULE_LABEL, fitting, method_of, task_of_type
from lastgood.domain.backups.pods import Options
from lastgood.domain.backups.seen import JobSeen, Point
from lastgood.domain.clock import to_text
from lastgood.domain.decide import Condition
from lastgood.domain.model import Key
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.status import merge_conditions
from lastgood.services.backups.table import BackupTable, ScheduleKnown

_log = structlog.get_logger(__name__)
WAIT_SECONDS = 30.0
"""How often it is looked whether what a Backup waits for is there."""
GONE_SECONDS = 120.0
"""For how long a Job may be missing before its Backup is called failed: what was told last may be of before."""

RECORD_AFTER, RECORD_UNTIL = 30.0, 3600.0
"""How long after its Job's end a Backup that was not recorded is; later, it may be one that was removed since."""


class BackupRecords:
    """Writes Backups that nobody else can write, and starts those made by hand."""

    def __init__(self, cluster: Cluster, table: BackupTable, options: Options) -> None:
        self._cluster, self._table, self._options = cluster, table, options

    async def carry_out(self, key: Key) -> float | None:
        """Have a Backup made that has no Job yet; returns after how many seconds to look again, None for never."""
        point = self._table.points.get(key)
        if point is None or point.ended or point.job:
            return None
        schedule = self._table.schedules.get((key[0], point.schedule))
        declared = schedule.declared if schedule is not None else None
        if declared is None:
            message = f'BackupSchedule "{point.schedule}" does not exist here: create it, or name another'
            await self._say(key, point, Condition("Complete", "Unknown", "UnknownSchedule", message))
            return WAIT_SECONDS
        name = fitting(key[1], JOB_NAME)
        found = await self._cluster.get("jobs", key[0], name)
        if found is None:
            # Named after the Backup, so that whoever comes a second time finds it. Its record has the Backup's name.
            made = job_for(
                task_of_type(point.type),
                declared,
                self._options,
                name=name,
                owner=owner_reference("Backup", key[1], point.uid),
                backup=key[1],
            )
            try:
                await self._create("configmaps", key[0], made.config_map)
                found = await self._create("jobs", key[0], made.job)
            except ClusterError as error:
                if error.status not in {400, 403, 422}:
                    raise
                message = f"the API server refuses its Job: {error.message}"
                await self._say(key, point, Condition("Complete", "False", "JobRefused", message), failed=True)
                return None
            _log.info("backup started", namespace=key[0], backup=key[1], job=name)
        if (found["metadata"].get("labels") or {}).get(SCHEDULE_LABEL) != declared.uid:
            message = f"a Job {name} exists that is not of this schedule: give the Backup another name"
            await self._say(key, point, Condition("Complete", "False", "NameTaken", message), failed=True)
            return None
        await self._cluster.merge_status("backups", *key, {"job": name})
        return None

    async def _create(self, kind: str, namespace: str, body: Object) -> Object:
        """Create, or take what is there: an earlier try got so far."""
        try:
            return await self._cluster.create(kind, namespace, body)
        except ClusterError as error:
            name = body["metadata"]["name"]
            found = await self._cluster.get(kind, namespace, name) if error.status == 409 else None
            if found is None:
                raise
            return found

    async def _say(self, key: Key, point: Point, condition: Condition, *, failed: bool = False) -> None:
        """Write the condition, unless it says so already."""
        if point.why == condition.reason:
            return
        now = time.time()
        change: dict[str, object] = {"conditions": merge_conditions((), [condition], 1, now)}
        if failed:
            change |= {"phase": "Failed", "finishedAt": to_text(now)}
        await self._cluster.merge_status("backups", *key, change)

    async def settle(self, schedule: ScheduleKnown, jobs: list[JobSeen]) -> float | None:
        """End the Backups whose Job has ended without doing so, and record those that a Job could not record.

        Returns after how many seconds to look again; None when there is nothing to wait for.
        """
        namespace = schedule.key[0]
        by_name = {job.name: job for job in jobs}
        now = time.time()
        for point in self._table.points_of_schedule(schedule.key):
            job = by_name.get(point.job or point.name)
            if point.ended or not point.job:
                continue
            if job is not None and job.state == "Failed":
                await self._end(namespace, point, job.reason, job.message)
            elif job is None and now - point.made > GONE_SECONDS and await self._gone(namespace, point.job):
                await self._end(namespace, point, "JobGone", f"its Job {point.job} was removed before it ended")
        ended = [job for job in jobs if job.state == "Succeeded"]
        for job in ended:
            await self._record(schedule, job)
        waiting = [job for job in ended if job.name not in schedule.recorded]
        fresh = [now - (job.finished or 0.0) for job in waiting if now - (job.finished or 0.0) < RECORD_AFTER]
        return RECORD_AFTER - min(fresh) + 1 if fresh else None

    async def _gone(self, namespace: str, job: str) -> bool:
        return await self._cluster.get("jobs", namespace, job) is None

    async def _end(self, namespace: str, point: Point, reason: str, message: str) -> None:
        _log.warning("backup failed", namespace=namespace, backup=point.name, reason=reason)
        await self._say((namespace, point.name), point, Condition("Complete", "False", reason, message), failed=True)

    async def _record(self, schedule: ScheduleKnown, job: JobSeen) -> None:
        """Write the Backup of a Job that succeeded and could not reach the API server to say so.

        Of wal and physical only fulls: what an increment builds upon is not in the Job's last word, and the next one
        holds all that it does.
        """
        result, declared = job.result, schedule.declared
        if result is None or not result.ok or not result.backup or not result.point or declared is None:
            return
        if job.task not in {"full", "incremental"}:
            return
        kind = "Incremental" if job.task == "incremental" else "Full"
        if kind == "Incremental" and method_of(declared.spec) in {"wal", "physical"}:
            return
        key = (schedule.key[0], result.backup)
        point, age = self._table.points.get(key), time.time() - (job.finished or 0.0)
        if point is not None and point.ended:
            schedule.recorded.add(job.name)
        if job.name in schedule.recorded or not RECORD_AFTER <= age <= RECORD_UNTIL:
            return
        found = await self._cluster.get("backups", *key)
        schedule.recorded.add(job.name)
        if found is not None and (found.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            return
        if found is None:
            body = {
                "apiVersion": API_VERSION,
                "kind": "Backup",
                "metadata": {"name": key[1], "namespace": key[0]},
                "spec": {"schedule": schedule.key[1], "type": kind},
            }
            await self._create("backups", key[0], body)
        complete = Condition("Complete", "True", "Succeeded", "recorded by the operator: the job could not")
        status = {
            "phase": "Succeeded",
            "method": method_of(declared.spec),
            "job": job.name,
            "finishedAt": to_text(job.finished or time.time()),
            "point": result.point,
            "sizeBytes": result.size_bytes,
            "storedBytes": result.stored_bytes,
            "copies": [copy.model_dump(mode="json", by_alias=True) for copy in result.copies],
            "verified": [proof.model_dump(mode="json", by_alias=True) for proof in result.verified],
            "conditions": merge_conditions((), [complete], 1, time.time()),
        }
        await self._cluster.merge_status("backups", *key, status)
