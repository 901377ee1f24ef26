"""Logs of pods, since the run before, as plain text: restic finds in it what it has already."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupschedule import LogsSource, Workload
from lastgood.backups.folders import status_of, test_folders
from lastgood.domain.backups.ports import JobFailed, KubeApi, Point, Repository
from lastgood.domain.backups.texts import moment, stamp

PART = "logs"
_PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


class LogsEngine:
    """See the ports `Engine` and `Tester`."""

    def __init__(self, source: LogsSource, namespace: str, api: KubeApi, now: Callable[[], float]) -> None:
        self._source = source
        self._namespace = namespace
        self._api = api
        self._now = now

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port. At the seam of two runs a second's lines may be in both; none is left out."""
        at = self._now()
        since = max((_until(s.tags) for s in await repository.snapshots({"part": PART})), default=None)
        contents, missing = [], []
        for workload in self._source.workloads:
            try:
                lines = await self._workload(work, workload, since)
            except JobFailed as error:
                if error.reason != "ObjectMissing":
                    raise
                missing.append(f"{workload.kind}/{workload.name}")
                continue
            contents.append(f"{workload.kind}/{workload.name}: {lines} containers")
        if not contents:
            raise JobFailed("ObjectMissing", f"none of these is there: {', '.join(missing)}")
        (work / "SINCE").write_text((stamp(since) if since else "the start of each container") + "\n", encoding="utf-8")
        made = await repository.store(work, tags={**tags, "part": PART, "until": stamp(at)})
        return status_of("logs", at, [made], [*contents, *(f"{m}: not there" for m in missing)])

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port: what came since the run before, as always."""
        return await self.full(work, repository, tags)

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """See the port."""
        return await test_folders(work, repository, point)

    async def _workload(self, work: Path, workload: Workload, since: float | None) -> int:
        """Write the logs of all its containers; how many those are."""
        plural = _PLURALS[workload.kind]
        found = await self._api.get(f"/apis/apps/v1/namespaces/{self._namespace}/{plural}/{workload.name}")
        query = {"labelSelector": selector(found["spec"]["selector"])}
        pods = await self._api.get(f"/api/v1/namespaces/{self._namespace}/pods", query)
        count = 0
        for pod in pods["items"]:
            for container, restarts in containers(pod):
                folder = work / f"{workload.kind}-{workload.name}" / pod["metadata"]["name"]
                folder.mkdir(parents=True, exist_ok=True)
                await self._save(pod, container, since, folder / f"{container}.log", previous=False)
                if restarts:
                    await self._save(pod, container, since, folder / f"{container}.previous.log", previous=True)
                count += 1
        return count

    async def _save(
        self, pod: Mapping[str, Any], container: str, since: float | None, into: Path, *, previous: bool
    ) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}/log"
        query = {"container": container, "timestamps": "true"}
        if previous:
            query["previous"] = "true"
        if since is not None:
            query["sinceTime"] = datetime.fromtimestamp(int(since), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._api.save(path, query, into)
        except JobFailed as error:
            # One that has not started has no log, one that was taken away meanwhile neither.
            if error.reason not in {"ObjectMissing", "ClusterRefused"}:
                raise
            into.write_text(f"no log: {error.message}\n", encoding="utf-8")


def _until(tags: Mapping[str, str]) -> float:
    try:
        return moment(tags.get("until", ""))
    except ValueError:
        return 0.0


def selector(declared: Mapping[str, Any]) -> str:
    """A label selector as a query has it."""
    parts = [f"{key}={value}" for key, value in (declared.get("matchLabels") or {}).items()]
    for each in declared.get("matchExpressions") or []:
        values = ",".join(each.get("values") or [])
        match each["operator"]:
            case "In":
                parts.append(f"{each['key']} in ({values})")
            case "NotIn":
                parts.append(f"{each['key']} notin ({values})")
            case "Exists":
                parts.append(each["key"])
            case _:
                parts.append(f"!{each['key']}")
    return ",".join(parts)


def containers(pod: Mapping[str, Any]) -> Sequence[tuple[str, int]]:
    """Names of a pod's containers with how often each was restarted."""
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    restarts = {s["name"]: int(s.get("restartCount", 0)) for s in every}
    spec = pod["spec"]
    names = [c["name"] for c in [*(spec.get("initContainers") or []), *spec["containers"]]]
    return [(name, restarts.get(name, 0)) for name in names]
