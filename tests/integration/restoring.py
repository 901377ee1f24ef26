"""Schedules, backups and restores in a namespace without nodes.

Pods stay Pending there. What a job's pod would say at its end is written into its status by hand, here; the Job's own
status is then the job controller's doing.
"""

import json
import time
from typing import Any

from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Object

IMAGE = "docker.io/local/lastgood-backup:test"
DAY = 24 * 3600


def at(ago: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))


def lastgood(kind: str, name: str, spec: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def schedule(name: str = "db", **source: Any) -> Object:
    """Suspended: the tests make the points themselves."""
    dsn = {"secretKeyRef": {"name": "db", "key": "dsn"}, "name": "db", "key": "dsn"}
    return lastgood(
        "BackupSchedule",
        name,
        {
            "suspend": True,
            "source": source or {"postgres": {"dsn": {"name": dsn["name"], "key": dsn["key"]}, "method": "logical"}},
            "repositories": {"primary": {"volume": {"claim": "backups"}}},
            "encryption": {"secretKeyRef": {"name": "key", "key": "passphrase"}},
            "job": {"serviceAccount": "default"},
        },
    )


def restore(name: str = "back", **spec: Any) -> Object:
    body = {"schedule": "db", "stop": [{"kind": "Deployment", "name": "shop"}], "needsApproval": False, **spec}
    return lastgood("Restore", name, body)


class Restoring:
    """Plays the jobs, and reads how Restores stand."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def point(self, name: str, ago: float, schedule: str = "db", **status: Any) -> None:
        """A Backup that succeeded. Before the operator starts: one without status is a wish to back up now."""
        self.cluster.create(lastgood("Backup", name, {"schedule": schedule}))
        told = {
            "phase": "Succeeded",
            "method": "logical",
            "point": at(ago),
            "sizeBytes": 412 * 2**20,
            "contents": ["shop"],
            "copies": [{"repository": "primary", "state": "Present", "snapshots": [f"snap-{name}"]}],
            **status,
        }
        self.cluster.patch("Backup", name, {"status": told}, status=True)

    def job(self, restore: str, task: str, *, within: float = 30) -> Object:
        """The Job of a task, once it has a pod."""
        body = until(lambda: self.cluster.get("Restore", restore), within=within, says=f"{restore} is there")
        uid = body["metadata"]["uid"]

        def there() -> Object | None:
            for job in self.cluster.all("Job"):
                labels = job["metadata"]["labels"]
                if (labels.get("lastgood.dev/restore-uid"), labels.get("lastgood.dev/task")) == (uid, task):
                    return job if self._pod(job) else None
            return None

        return until(there, within=within, says=f"{restore} runs {task}; it stands {self.status(restore)}")

    def _pod(self, job: Object) -> Object | None:
        name = job["metadata"]["name"]
        pods = [p for p in self.cluster.all("Pod") if p["metadata"]["labels"].get("job-name") == name]
        return pods[0] if pods else None

    def play(self, restore: str, task: str, *, says: Object | None = None, ended: Object | None = None) -> Object:
        """Have a job end: well, with these words, or as ``ended`` says of its container."""
        job = self.job(restore, task)
        pod = self._pod(job)
        assert pod is not None
        told = {
            "ok": True,
            "task": task,
            "reason": "Done",
            "message": f"{task} was played",
            "seconds": 1,
            **(says or {}),
        }
        code = 0 if told["ok"] else 1
        terminated = ended or {"exitCode": code, "reason": "Completed", "message": json.dumps(told)}
        container = {"name": "job", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
        phase = "Succeeded" if terminated["exitCode"] == 0 else "Failed"
        status = {"phase": phase, "containerStatuses": [{**container, "state": {"terminated": terminated}}]}
        self.cluster.patch("Pod", pod["metadata"]["name"], {"status": status}, status=True)
        return job

    def status(self, name: str) -> Object:
        return (self.cluster.get("Restore", name) or {}).get("status") or {}

    def steps(self, name: str) -> dict[str, str]:
        return {s["name"]: s["state"] for s in self.status(name).get("steps") or ()}

    def reason(self, name: str) -> str:
        return next((c["reason"] for c in self.status(name).get("conditions") or () if c["type"] == "Complete"), "")

    def reached(self, name: str, *, within: float = 30, **wanted: str) -> Object:
        """Wait for a phase, a reason, or states of steps."""

        def there() -> bool:
            status, steps = self.status(name), self.steps(name)
            seen = {"phase": status.get("phase"), "reason": self.reason(name), **steps}
            return all(seen.get(key) == value for key, value in wanted.items())

        try:
            until(there, within=within, says=f"{name}: {wanted}")
        except AssertionError as error:
            msg = f"{error}; it stands {json.dumps(self.status(name), indent=1)}"
            raise AssertionError(msg) from None
        return self.status(name)

    def replicas(self, name: str = "shop", kind: str = "Deployment") -> int:
        return int(self.cluster.get(kind, name)["spec"]["replicas"])  # type: ignore[index]

    def finalizers(self, name: str) -> list[str]:
        return list((self.cluster.get("Restore", name) or {"metadata": {}})["metadata"].get("finalizers") or ())
