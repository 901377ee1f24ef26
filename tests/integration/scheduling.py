"""BackupSchedules for integration tests, and the part of their jobs: on a control plane without nodes no pod runs."""

import datetime as dt
import json
from typing import Any

from tests.e2e.kube import until
from tests.integration.cluster import Cluster

Object = dict[str, Any]
IMAGE = "docker.io/local/lastgood-backup:test"


def now(seconds: float = 0) -> str:
    """RFC 3339."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def schedule(name: str = "shop", **spec: Any) -> Object:
    base = {
        "source": {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}},
        "repositories": {"primary": {"volume": {"claim": "backups"}}},
        "encryption": {"secretKeyRef": {"name": "backup-key", "key": "passphrase"}, "create": True},
    }
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "BackupSchedule",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


def claim(name: str = "backups") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def backup(name: str, *, of: str = "shop", kind: str = "Full", reason: str = "") -> Object:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Backup",
        "metadata": {"name": name},
        "spec": {"schedule": of, "type": kind, "reason": reason},
    }


class Jobs:
    """Plays the jobs' part: their Backups, and the ends of their pods, are written as they would write them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def succeed(
        self,
        name: str,
        *,
        at: float = 0,
        finished: float = 0,
        repositories: tuple[str, ...] = ("primary",),
        **more: Any,
    ) -> None:
        """The Backup of a job that went well, made if there is none."""
        if self.cluster.get("Backup", name) is None:
            self.cluster.create(backup(name))
        copies = [{"repository": r, "state": "Present", "snapshots": ["5f" * 32]} for r in repositories]
        status = {
            "phase": "Succeeded",
            "job": name,
            "point": now(at),
            "finishedAt": now(finished),
            "sizeBytes": 1000,
            "copies": copies,
            **more,
        }
        self.cluster.patch("Backup", name, {"status": status}, status=True)

    def end(self, job: str, *, ok: bool, result: Object | None = None, deadline: bool = False) -> None:
        """Have a Job's pod end, as the kubelet tells it; the Job controller does the rest."""
        pods = until(lambda: self.pods(job), within=20, says=f"a pod of {job}")
        for pod in pods:
            name = pod["metadata"]["name"]
            ended = {
                "exitCode": 0 if ok else 1,
                "reason": "Completed" if ok else "Error",
                "message": json.dumps(result) if result else "",
                "startedAt": now(-5),
                "finishedAt": now(),
            }
            container = {
                "name": "job",
                "image": IMAGE,
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "started": False,
                "state": {"terminated": ended},
            }
            status = {"phase": "Succeeded" if ok else "Failed", "containerStatuses": [container]}
            self.cluster.patch("Pod", name, {"status": status}, status=True)

    def pods(self, job: str) -> list[Object]:
        """Pods of a Job that have not ended."""
        return [
            pod
            for pod in self.cluster.all("Pod")
            if pod["metadata"]["labels"].get("batch.kubernetes.io/job-name") == job
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        ]


def names(cluster: Cluster, kind: str) -> set[str]:
    return {body["metadata"]["name"] for body in cluster.all(kind)}


def condition(cluster: Cluster, kind: str, name: str, of_type: str) -> Object:
    status = (cluster.get(kind, name) or {}).get("status") or {}
    return next((c for c in status.get("conditions") or () if c["type"] == of_type), {})
