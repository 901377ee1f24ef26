"""Backups written, and declared objects read and applied, on a real API server."""

import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.backups.conftest import TAGS, Pod, tree
from tests.integration.backups.jobs import Job
from tests.integration.cluster import Cluster
from tests.integration.probes.conftest import free_port
from tests.lab import Lab

from lastgood.api.backup import BackupStatus, Copy
from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import ConfigSource
from lastgood.backups.config import ConfigEngine
from lastgood.domain.backups.ports import JobFailed, Point
from lastgood.kube.plain import PlainApi, from_kubeconfig
from lastgood.kube.records import KubeRecords

BACKUPS = "/apis/lastgood.dev/v1alpha1/namespaces/{}/backups"


@pytest.fixture
def namespace(namespace_for: Callable[[], str]) -> str:
    return namespace_for()


@pytest.fixture
async def api(lab: Lab) -> AsyncIterator[PlainApi]:
    api = PlainApi(from_kubeconfig(Path(lab.kubeconfig)))
    yield api
    await api.aclose()


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


async def test_declared_objects_come_back_as_they_were(
    api: PlainApi, lab: Lab, namespace: str, pod: Pod, tmp_path: Path
) -> None:
    core = f"/api/v1/namespaces/{namespace}"
    meta = {
        "labels": {"app": "shop"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"},
    }
    for kind, plural, name, rest in (
        ("ConfigMap", "configmaps", "rules", {"data": {"rule": "old"}}),
        ("ConfigMap", "configmaps", "other", {"data": {"x": "ü\n"}}),
        ("Secret", "secrets", "hidden", {"stringData": {"k": "c4n4ry"}}),
        ("Service", "services", "web", {"spec": {"ports": [{"port": 80}], "selector": {"app": "shop"}}}),
    ):
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **meta}, **rest}
        await api.request("POST", f"{core}/{plural}", body=body)
    repository = pod.volume()
    await repository.ensure()
    source = ConfigSource.model_validate({"resources": ["configmaps", "services", "backups.lastgood.dev", "secrets"]})
    await records(api, namespace).tell("b-0", BackupStatus(phase="Failed"))
    engine = ConfigEngine(source, namespace, api, time.time)
    work = pod.places.scratch / "work"
    work.mkdir()
    made = await engine.full(work, repository, TAGS)
    assert made.contents == ["configmaps: 2", "services: 1", "backups.lastgood.dev: 1"]
    stored = tree(work)
    assert sorted(stored) == [
        *("backups.lastgood.dev/b-0.yaml", "configmaps/other.yaml", "configmaps/rules.yaml", "services/web.yaml"),
    ]
    rules = yaml.safe_load(stored["configmaps/rules.yaml"])
    assert rules == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rules", "namespace": namespace, "labels": {"app": "shop"}, "annotations": {"a": "b"}},
        "data": {"rule": "old"},
    }
    assert "clusterIP" not in yaml.safe_load(stored["services/web.yaml"])["spec"]
    assert "status" not in yaml.safe_load(stored["backups.lastgood.dev/b-0.yaml"])
    (snapshot,) = await repository.snapshots({"part": "config"})
    test = pod.places.scratch / "test"
    test.mkdir()
    proof = await engine.test(test, repository, Point("b-1", 0.0, [snapshot]))
    assert proof.message.startswith("4 objects came back")

    await api.request("DELETE", f"{core}/configmaps/other")
    patch = {"data": {"rule": "new", "more": "1"}}
    await api.request("PATCH", f"{core}/configmaps/rules", body=patch, content="application/merge-patch+json")
    asked = RestoreJob.model_validate(
        {
            "name": "back",
            "uid": "r",
            "spec": {"schedule": "orders", "to": {"latest": True}, "into": {"inPlace": True}},
            "snapshots": [snapshot.id],
        }
    )
    back = pod.places.scratch / "back"
    back.mkdir()
    assert (await engine.restore(back, repository, asked)).startswith("4 objects were applied")
    assert (await api.get(f"{core}/configmaps/rules"))["data"]["rule"] == "old"
    assert (await api.get(f"{core}/configmaps/other"))["data"] == {"x": "ü\n"}

    with_secrets = ConfigEngine(source.model_copy(update={"secrets": True}), namespace, api, time.time)
    more = pod.places.scratch / "more"
    more.mkdir()
    assert (await with_secrets.full(more, repository, {**TAGS, "backup": "b-2"})).contents[-1] == "secrets: 1"
    missing = ConfigEngine(source.model_copy(update={"resources": ["widgets.none.test"]}), namespace, api, time.time)
    none = pod.places.scratch / "none"
    none.mkdir()
    with pytest.raises(JobFailed) as caught:
        await missing.full(none, repository, TAGS)
    assert caught.value.reason == "ObjectMissing"
