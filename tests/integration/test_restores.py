"""Restores on a real API server with real controllers; the jobs' pods are played (see ``restoring``)."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Kubelet
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.restoring import DAY, IMAGE, Restoring, restore, schedule
from tests.lab import Lab

pytestmark = pytest.mark.integration
APPROVE = {"spec": {"approval": "Approved"}}


@pytest.fixture
def play(cluster: Cluster, kubelet: Kubelet) -> Restoring:
    """A shop with two pods, its schedule, and two points."""
    cluster.put(schedule(), deployment("shop", replicas=2))
    restoring = Restoring(cluster)
    restoring.point("old", 3 * DAY)
    restoring.point("new", 3600)
    until(lambda: len(pods(cluster)) == 2, within=20, says="the shop has its pods")
    return restoring


def pods(cluster: Cluster) -> list[str]:
    return [p["metadata"]["name"] for p in cluster.all("Pod") if p["metadata"]["labels"].get("app") == "shop"]


def begin(spawn: Callable[..., Operator]) -> Operator:
    operator = spawn("--backup-image", IMAGE)
    operator.wait_for_log('"leading"')
    return operator


def test_swap_from_the_asking_to_the_start(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster, kubectl: Kube
) -> None:
    operator = begin(spawn)
    cluster.create(restore(needsApproval=True))
    play.play("back", "verify")
    waiting = play.reached("back", phase="AwaitingApproval")
    assert 'Backup "new"' in waiting["steps"][0]["message"]
    assert (play.replicas(), play.finalizers("back")) == (2, []), "nothing is touched before somebody agrees"
    assert "kubectl patch restore back" in kubectl.run("get", "rst", "back", "-o", "yaml").stdout
    cluster.patch("Restore", "back", APPROVE)
    play.job("back", "safety")
    assert (play.replicas(), pods(cluster)) == (0, [])
    assert play.finalizers("back") == ["lastgood.dev/workloads-stopped"]
    play.play("back", "safety", says={"backup": "before-it"})
    play.play("back", "restore")
    play.play("back", "validate")
    assert play.replicas() == 0
    play.play("back", "swap")
    done = play.reached("back", phase="Succeeded")
    assert set(play.steps("back").values()) == {"Done"}
    assert (done["backup"], done["safetyBackup"]) == ("new", "before-it")
    assert done["keptDatabase"].startswith("shop_before_")
    assert done["stopped"] == [{"kind": "Deployment", "name": "shop", "replicas": 2, "autoscaler": ""}]
    assert (play.replicas(), play.finalizers("back")) == (2, [])
    assert "lastgood.dev/replicas" not in cluster.get("Deployment", "shop")["metadata"]["annotations"]  # type: ignore[index]
    assert operator.total("lastgood_restores_total", result="Succeeded") == 1

    def told() -> bool:
        reasons = {e["reason"] for e in cluster.all("Event") if e["regarding"].get("name") in {"back", "shop"}}
        return {"Identified", "Verified", "Stopped", "RestoreSucceeded", "StoppedForRestore"} <= reasons

    until(told, within=10, says="the Events tell it all")
    assert "Traceback" not in operator.log


SERVER = {"statefulSet": "pg", "claim": "data-pg-0"}


def stateful(name: str = "pg", **metadata: object) -> dict[str, object]:
    """A database server of the user's own, with one claim."""
    labels = {"app": name, "app.kubernetes.io/version": "15"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "pg", "image": "example/pg:15"}], "terminationGracePeriodSeconds": 0},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def test_in_place_that_dies_leaves_the_shop_stopped_and_its_way_back_works(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster, kubectl: Kube
) -> None:
    begin(spawn)
    cluster.create(restore(into={"inPlace": True}))
    play.play("back", "verify")
    play.play("back", "safety", says={"backup": "new"})
    play.play("back", "restore", ended={"exitCode": 137, "reason": "OOMKilled"})
    failed = play.reached("back", phase="Failed", reason="OutOfMemory", Restored="Failed")
    assert (play.replicas(), play.finalizers("back")) == (0, [])
    assert "may be half restored" in failed["wayBack"]
    assert {c["type"]: c["status"] for c in failed["conditions"]}["DataWhole"] == "False"
    # The command in it, as a person would paste it.
    command = failed["wayBack"].split("before: echo '")[1].split("' | kubectl create -f -")[0]
    made = kubectl.run("create", "-f", "-", "-o", "name", stdin=command).stdout.strip().split("/")[1]
    play.play(made, "verify")
    play.play(made, "restore")
    play.play(made, "validate")
    play.reached(made, phase="Succeeded", SafetyBackup="Skipped")
    assert play.replicas() == 2, "what was before the restore that failed"


def test_swap_that_fails_before_the_rename_starts_the_shop_again(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster
) -> None:
    begin(spawn)
    cluster.create(restore(assertions=[{"name": "orders", "sql": "SELECT count(*) > 0 FROM orders"}]))
    for task in ("verify", "safety", "restore"):
        play.play("back", task, says={"backup": "safe"} if task == "safety" else {})
    said = {"ok": False, "reason": "ValidationFailed", "message": "orders: is false, not true"}
    play.play("back", "validate", says=said)
    failed = play.reached("back", phase="Failed", reason="ValidationFailed", Validated="Failed", Started="Skipped")
    assert play.replicas() == 2
    assert 'database "shop" was not touched; deployment/shop is started again' in failed["wayBack"]


def test_second_restore_of_the_same_workload_waits(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster
) -> None:
    begin(spawn)
    cluster.put(schedule("files", volume={"claims": ["uploads"]}))
    cluster.create(restore("first"))
    play.play("first", "verify")
    play.job("first", "safety")
    cluster.create(restore("second", to={"backup": "old"}))
    play.play("second", "verify")
    waiting = play.reached("second", phase="Waiting", reason="WaitingForRestore")
    assert "Restore first" in waiting["conditions"][0]["message"]
    play.play("first", "safety", says={"backup": "safe"})
    for task in ("restore", "validate", "swap"):
        play.play("first", task)
    play.reached("first", phase="Succeeded")
    play.job("second", "safety")
    assert play.replicas() == 0
    assert play.status("second")["stopped"][0]["replicas"] == 2


@pytest.mark.parametrize("at", ["Stopped", "Restored"])
def test_deleted_half_way(spawn: Callable[..., Operator], play: Restoring, cluster: Cluster, at: str) -> None:
    begin(spawn)
    cluster.create(restore(into={"inPlace": True}))
    play.play("back", "verify")
    play.job("back", "safety")
    assert play.replicas() == 0
    if at == "Restored":
        play.play("back", "safety", says={"backup": "safe"})
        play.job("back", "restore")
    cluster.delete("Restore", "back")
    until(lambda: cluster.get("Restore", "back") is None, within=30, says="gone")
    if at == "Stopped":
        assert play.replicas() == 2
        return
    assert play.replicas() == 0, "not on half a database"

    def told() -> bool:
        return any(e["reason"] == "LeftStopped" and e["regarding"]["name"] == "shop" for e in cluster.all("Event"))

    until(told, within=10, says="an Event on the Deployment says so")


def test_namespace_goes_while_a_restore_is_under_way(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster
) -> None:
    begin(spawn)
    cluster.create(restore())
    play.play("back", "verify")
    play.job("back", "safety")
    cluster.request("DELETE", f"/api/v1/namespaces/{cluster.namespace}")
    until(lambda: cluster.get("Restore", "back") is None, within=60, says="the Restore goes")


def test_killed_at_each_step(spawn: Callable[..., Operator], play: Restoring, cluster: Cluster) -> None:
    """Between two jobs nobody is there; the next process goes on from what stands."""
    operator = begin(spawn)
    cluster.create(restore())
    for task in ("verify", "safety", "restore", "validate", "swap"):
        play.job("back", task)
        operator.kill()
        play.play("back", task, says={"backup": "safe"} if task == "safety" else {})
        operator = begin(spawn)
    play.reached("back", phase="Succeeded", within=60)
    assert play.replicas() == 2
    made = [j["metadata"]["labels"]["lastgood.dev/task"] for j in cluster.all("Job")]
    assert sorted(made) == sorted(["verify", "safety", "restore", "validate", "swap"])


def test_server_of_its_own_is_stopped_for_its_volume_and_started_before_the_shop(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster
) -> None:
    wal = schedule("wal", postgres={"dsn": {"name": "db", "key": "dsn"}, "method": "wal"})
    cluster.put(wal, stateful())
    play.point("base", 7200, schedule="wal", method="wal", earliest="2026-01-01T00:00:00Z")
    until(lambda: cluster.get("PersistentVolumeClaim", "data-pg-0"), within=20, says="the claim is made")
    until(lambda: [p for p in cluster.all("Pod") if p["metadata"]["name"] == "pg-0"], within=20, says="pg-0")
    begin(spawn)
    cluster.create(restore(schedule="wal", server=SERVER))
    play.play("back", "verify")
    play.play("back", "safety", says={"backup": "safe"})
    job = play.job("back", "restore")
    claims = [v.get("persistentVolumeClaim", {}).get("claimName") for v in job["spec"]["template"]["spec"]["volumes"]]
    assert "data-pg-0" in claims
    assert (play.replicas("pg", "StatefulSet"), play.replicas()) == (0, 0)
    play.play("back", "restore")
    play.job("back", "validate")
    assert (play.replicas("pg", "StatefulSet"), play.replicas()) == (1, 0)
    play.play("back", "validate")
    play.reached("back", phase="Succeeded")
    assert (play.replicas("pg", "StatefulSet"), play.replicas()) == (1, 2)


def test_server_of_another_operator_is_refused(
    spawn: Callable[..., Operator], play: Restoring, cluster: Cluster
) -> None:
    cluster.put(schedule("wal", postgres={"dsn": {"name": "db", "key": "dsn"}, "method": "wal"}))
    cluster.put(stateful(labels={"application": "spilo", "cluster-name": "shop"}))
    play.point("base", 7200, schedule="wal", method="wal", earliest="2026-01-01T00:00:00Z")
    begin(spawn)
    cluster.create(restore(schedule="wal", server=SERVER))
    failed = play.reached("back", phase="Failed", reason="ServerManaged")
    message = next(c["message"] for c in failed["conditions"] if c["type"] == "Complete")
    assert "Zalando" in message
    assert "spec.clone" in message
    assert failed["wayBack"] == "nothing was changed"
    assert play.replicas() == 2


def test_plan_is_shown_before_anything_is_done(lab: Lab, play: Restoring, cluster: Cluster, tmp_path: Path) -> None:
    """No operator runs."""
    body = restore(needsApproval=True, services=[])
    manifest = tmp_path / "restore.yaml"
    manifest.write_text(json.dumps(body))

    def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lastgood.cli.main", "restore", "plan", *arguments]
        command += ["-n", cluster.namespace, "--kubeconfig", str(lab.kubeconfig)]
        path = {**os.environ, "PYTHONPATH": "operator"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=path)

    shown = plan("-f", str(manifest))
    assert shown.returncode == 0, shown.stderr
    told = {line[2:16].strip(): line[16:] for line in shown.stdout.splitlines()[1:]}
    assert told["backup"] == "new"
    assert told["point"].endswith("1h ago")
    assert told["size"] == "412.0 MiB: shop"
    assert told["stops"] == "deployment/shop: 2 replicas"
    assert told["approval"] == "needed before anything is stopped"
    assert cluster.get("Restore", "back") is None
    cluster.create(restore("early", to={"time": "2020-01-01T00:00:00Z"}))
    refused = plan("early")
    assert refused.returncode == 1
    assert "cannot be: BeforeOldestPoint" in refused.stdout
    assert plan("nobody").returncode == 2
    assert play.status("early") == {}
