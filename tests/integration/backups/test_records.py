"""Backups written on a real API server."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.backups.conftest import Pod
from tests.integration.backups.jobs import Job
from tests.integration.cluster import Cluster
from tests.integration.probes.conftest import free_port
from tests.lab import Lab

from lastgood.api.backup import BackupStatus, Copy
from lastgood.kube.plain import PlainApi
from lastgood.kube.records import KubeRecords

BACKUPS = "/apis/lastgood.dev/v1alpha1/namespaces/{}/backups"


def records(api: PlainApi | None, namespace: str, *, incremental: bool = False) -> KubeRecords:
    return KubeRecords(api, namespace=namespace, schedule="orders", uid="u-1", incremental=incremental)


async def test_a_backup_is_made_told_read_and_removed(api: PlainApi, namespace: str) -> None:
    writer = records(api, namespace, incremental=True)
    await writer.begin("b-1", BackupStatus(phase="Running", progress="starting", job="b-1"))
    made = await api.get(BACKUPS.format(namespace) + "/b-1")
    assert (made["spec"]["type"], made["metadata"]["labels"]) == ("Incremental", {"lastgood.dev/schedule-uid": "u-1"})
    assert made["status"]["progress"] == "starting"
    status = BackupStatus(
        phase="Succeeded", point="2026-11-25T18:30:53Z", copies=[Copy(repository="primary", state="Present")]
    )
    await writer.tell("b-1", status)
    found = await writer.read("b-1")
    assert found is not None
    assert (found.phase, found.progress, found.point) == ("Succeeded", "", "2026-11-25T18:30:53Z")
    assert await writer.names("orders") == ["b-1"]
    assert await writer.names("others") == []
    assert await writer.read("none") is None
    assert await writer.remove("b-1")
    assert await writer.remove("b-1")
    assert await writer.names("orders") == []


async def test_one_that_a_person_made_is_adopted(api: PlainApi, namespace: str) -> None:
    body = {"apiVersion": "lastgood.dev/v1alpha1", "kind": "Backup", "metadata": {"name": "by-hand"}}
    spec = {"schedule": "orders", "reason": "before the migration"}
    await api.request("POST", BACKUPS.format(namespace), body={**body, "spec": spec})
    await records(api, namespace).begin("by-hand", BackupStatus(phase="Running"))
    found = await api.get(BACKUPS.format(namespace) + "/by-hand")
    assert (found["spec"]["reason"], found["status"]["phase"]) == ("before the migration", "Running")


async def test_one_that_could_not_be_begun_is_made_when_it_is_told(api: PlainApi, namespace: str) -> None:
    await records(api, namespace).tell("late", BackupStatus(phase="Succeeded"))
    found = await records(api, namespace).read("late")
    assert found is not None
    assert found.phase == "Succeeded"


@pytest.fixture
def job(pod: Pod, files: Path, tmp_path: Path, lab: Lab, namespace: str) -> Job:
    shutil.copytree(files, pod.places.source("data"))
    (tmp_path / "out").mkdir()
    job = Job(pod, tmp_path / "out")
    job.kubeconfig, job.namespace = Path(lab.kubeconfig), namespace
    return job


def test_a_job_writes_its_backup_proves_it_and_takes_it_away(job: Job, lab: Lab, namespace: str) -> None:
    cluster = Cluster(lab.kubeconfig, namespace)

    def backups() -> dict[str, Any]:
        found = cluster.request("GET", BACKUPS.format(namespace))["items"]
        return {b["metadata"]["name"]: b["status"] for b in found}

    job.second()
    assert job.run("full", "orders-1").ok
    first = backups()["orders-1"]
    assert first["phase"] == "Succeeded"
    assert [(c["repository"], c["state"]) for c in first["copies"]] == [("primary", "Present"), ("second", "Present")]
    assert [(c["type"], c["status"], c["reason"]) for c in first["conditions"]] == [("Complete", "True", "Done")]
    assert job.run("restore-test", "test").ok
    proven = backups()["orders-1"]
    assert [v["how"] for v in proven["verified"]] == ["RestoreTest", "Structure"]
    assert {c["type"]: c["reason"] for c in proven["conditions"]} == {"Complete": "Done", "Verified": "RestoreTest"}
    shutil.move(job.pod.places.source("data"), job.pod.places.volumes / "away")
    assert job.run("full", "orders-2").reason == "SourceMissing"
    failed = backups()["orders-2"]
    assert (failed["phase"], failed["conditions"][0]["reason"]) == ("Failed", "SourceMissing")
    shutil.move(job.pod.places.volumes / "away", job.pod.places.source("data"))
    assert job.run("full", "orders-3").ok
    job.spec["retention"] = {"last": 1}
    assert job.run("prune", "prune").removed == ["orders-1"]
    assert sorted(backups()) == ["orders-2", "orders-3"]


def test_an_api_server_that_is_away_fails_no_backup(job: Job, tmp_path: Path) -> None:
    assert job.kubeconfig is not None
    config = yaml.safe_load(job.kubeconfig.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    job.kubeconfig = tmp_path / "away.yaml"
    job.kubeconfig.write_text(json.dumps(config))
    result = job.run("full")
    assert (result.ok, [c.state for c in result.copies]) == (True, ["Present"])
