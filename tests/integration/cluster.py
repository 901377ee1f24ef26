"""Requests to the lab's API server as plain JSON: a test asks hundreds of times, and kubectl takes a tenth of a second."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.reader import client_of

Object = dict[str, Any]

_PATHS = {
    "MonitoredService": "/apis/lastgood.dev/v1alpha1/namespaces/{}/monitoredservices",
    "ServiceLevelObjective": "/apis/lastgood.dev/v1alpha1/namespaces/{}/servicelevelobjectives",
    "BackupSchedule": "/apis/lastgood.dev/v1alpha1/namespaces/{}/backupschedules",
    "Backup": "/apis/lastgood.dev/v1alpha1/namespaces/{}/backups",
    "Restore": "/apis/lastgood.dev/v1alpha1/namespaces/{}/restores",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Rollback": "/apis/lastgood.dev/v1alpha1/namespaces/{}/rollbacks",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ControllerRevision": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Event": "/apis/events.k8s.io/v1/namespaces/{}/events",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
}


class Refused(Exception):
    """The API server's no, with its sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Cluster:
    """One namespace of one API server, as the administrator of its kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.namespace = namespace
        self._client = client_of(kubeconfig)

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, **more: Any) -> Object:
        # An API server that has just started refuses so, until it has read what it serves.
        for _ in range(100):
            response = self._client.request(method, path, **more)
            if response.status_code != 429:
                break
            time.sleep(0.2)
        if response.status_code >= 400:
            raise Refused(response.status_code, response.json().get("message", "") if response.content else "")
        answer: Object = response.json()
        return answer

    def path(self, kind: str, name: str = "") -> str:
        return _PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> Object | None:
        try:
            return self.request("GET", self.path(kind, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def all(self, kind: str) -> list[Object]:
        return list(self.request("GET", self.path(kind))["items"])

    def create(self, body: Object, *, dry_run: bool = False) -> Object:
        """Create under strict validation, as kubectl does."""
        params = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return self.request("POST", self.path(body["kind"]), params=params, json=body)

    def patch(self, kind: str, name: str, change: Object, *, status: bool = False) -> Object:
        """Merge-patch."""
        return self.request(
            "PATCH",
            self.path(kind, name) + ("/status" if status else ""),
            content=json.dumps(change),
            headers={"Content-Type": "application/merge-patch+json"},
            params={"fieldValidation": "Strict"},
        )

    def put(self, *bodies: Object) -> None:
        """Create each, or merge it into what is there."""
        for body in bodies:
            try:
                self.create(body)
            except Refused as error:
                if error.status != 409:
                    raise
                self.patch(body["kind"], body["metadata"]["name"], body)

    def delete(self, kind: str, name: str) -> None:
        try:
            self.request("DELETE", self.path(kind, name), params={"propagationPolicy": "Background"})
        except Refused as error:
            if error.status != 404:
                raise

    def conditions(self, service: str) -> dict[str, Object]:
        """Condition type to condition of a MonitoredService."""
        status = (self.get("MonitoredService", service) or {}).get("status") or {}
        return {c["type"]: c for c in status.get("conditions") or []}

    def condition(self, service: str, kind: str) -> Object:
        return self.conditions(service).get(kind, {})


def refusal(cluster: Cluster, body: dict[str, Any]) -> set[str]:
    """What the API server says against a manifest, each problem with its place; empty when it takes it."""
    path = cluster.path(body["kind"])
    answer = cluster._client.post(path, params={"dryRun": "All", "fieldValidation": "Strict"}, json=body)
    if answer.status_code == 201:
        return set()
    assert answer.status_code in {400, 422}, answer.text
    status = answer.json()
    if answer.status_code == 400:
        return set(status["message"].split("strict decoding error: ")[1].split(", "))
    return {
        f"{cause['field']}: {cause['message']}"
        for cause in status["details"]["causes"]
        # Rules wait until the shape is right; offline, too, and there is nothing to say of that.
        if "some validation rules were not checked" not in cause["message"]
    }


class Kubelet:
    """Plays the kubelet: pods of the namespace are ready as soon as they are there, unless told otherwise."""

    def __init__(self, make: Callable[[], Cluster]) -> None:
        self._cluster = make()
        self._stop = threading.Event()
        self.idle_for: set[str] = set()
        """Values of the label `app` whose pods stay Pending."""
        self.running: dict[str, set[str]] = {}
        """Value of the label `app` to versions of its running pods."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Kubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._cluster.close()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            try:
                running: dict[str, set[str]] = {}
                for pod in self._cluster.all("Pod"):
                    labels = pod["metadata"]["labels"]
                    if "app" not in labels:
                        # A backup job's: its test says how it ends.
                        continue
                    if self._made_ready(pod):
                        running.setdefault(labels["app"], set()).add(labels["app.kubernetes.io/version"])
                self.running = running
            except (httpx.HTTPError, Refused):
                # A test has stopped the API server, or the pod has just gone: look again.
                continue

    def _made_ready(self, pod: Object) -> bool:
        if pod["status"].get("phase") == "Running":
            return True
        if pod["metadata"].get("deletionTimestamp") or pod["metadata"]["labels"]["app"] in self.idle_for:
            return False
        ready = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "Initialized")]
        name = pod["metadata"]["name"]
        self._cluster.patch("Pod", name, {"status": {"phase": "Running", "conditions": ready}}, status=True)
        return True
