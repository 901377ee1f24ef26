"""Restores on a real API server with real controllers; the jobs' pods are played (see ``restoring``)."""

from collections.abc import Callable

import pytest
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Kubelet
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.restoring import DAY, IMAGE, Restoring, restore, schedule

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
    told = {e["reason"] for e in cluster.all("Event") if e["regarding"].get("name") in {"back", "shop"}}
    assert {"Identified", "Verified", "Stopped", "RestoreSucceeded", "StoppedForRestore"} <= told
    assert "Traceback" not in operator.log
