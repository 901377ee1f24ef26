"""Runs ``lastgood job`` as a pod would."""

import json
import os
from pathlib import Path
from typing import Any

from tests.integration.backups.conftest import Pod
from tests.warm import Warm

from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.trying import exit_status

SCHEDULE: dict[str, Any] = {
    "source": {"volume": {"claims": ["data"]}},
    "repositories": {"primary": {"volume": {"claim": "claim-primary"}}},
    "encryption": {"secretKeyRef": {"name": "key", "key": "passphrase"}},
}


class Job:
    """One schedule's jobs."""

    def __init__(self, pod: Pod, folder: Path, schedule: dict[str, Any] | None = None, **more: Any) -> None:
        self.pod, self.folder = pod, folder
        self.spec = {**SCHEDULE, **(schedule or {}), **more}
        self.kubeconfig: Path | None = None
        self.namespace = "shop"
        pod.places.repository("primary").mkdir(parents=True, exist_ok=True)

    def second(self, name: str = "second") -> None:
        """Another volume to copy to."""
        self.pod.places.repository(name).mkdir(parents=True, exist_ok=True)
        more = {"name": name, "volume": {"claim": f"claim-{name}"}}
        repositories = self.spec["repositories"]
        self.spec["repositories"] = {**repositories, "secondary": [*repositories.get("secondary", []), more]}

    def start(self, task: str, name: str = "orders-1", **more: Any) -> Warm:
        spec = {
            "task": task,
            "namespace": self.namespace,
            "schedule": "orders",
            "scheduleUid": "u-1",
            "spec": self.spec,
            **more,
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        arguments = [
            "job",
            *("--spec", str(self.folder / "spec.json"), "--result", str(self.folder / f"{name}.result")),
            *("--credentials", str(self.pod.places.credentials), "--volumes", str(self.pod.places.volumes)),
            *(("--kubeconfig", str(self.kubeconfig)) if self.kubeconfig else ()),
        ]
        return Warm(arguments, {"PATH": os.environ["PATH"], "JOB_NAME": name}, self.folder / f"{name}.log")

    def result(self, name: str = "orders-1") -> JobResult:
        text = (self.folder / f"{name}.result").read_text()
        assert len(text.encode()) <= 4096
        return JobResult.model_validate_json(text)

    def run(self, task: str, name: str = "orders-1", **more: Any) -> JobResult:
        process = self.start(task, name, **more)
        log, _ = process.communicate(timeout=300)
        assert "c4n4ry" not in log
        result = self.result(name)
        assert process.returncode == exit_status(ok=result.ok, reason=result.reason), log
        return result
