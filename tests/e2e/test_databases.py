"""PostgreSQL and Redis, real servers in pods, stopped and started: the shop that needs them is not to blame."""

from typing import Any

import pytest
import yaml
from tests.demo.cluster import DEBIAN_BASE, ROOT, SHOP_IMAGE, SHOP_PACKAGES
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.operator_process import Operator

pytestmark = pytest.mark.e2e
SERVICES = ("postgres", "redis", "backend")


def shop(namespace: str, **replicas: int) -> list[dict[str, Any]]:
    """The demo's shop in another namespace, one pod each."""
    text = (ROOT / "manifests" / "demo" / "shop.yaml").read_text().replace(".shop:", f".{namespace}:")
    found = []
    for body in yaml.safe_load_all(text):
        if body["kind"] == "Namespace" or body["metadata"]["name"] == "frontend":
            continue
        del body["metadata"]["namespace"]
        if body["kind"] == "Deployment":
            body["spec"]["replicas"] = replicas.get(body["metadata"]["name"], 1)
        found.append(body)
    return found


def watched(namespace: str) -> list[dict[str, Any]]:
    """The demo's services, quick enough for a test, and all with the policy Automatic."""
    text = (ROOT / "manifests" / "demo" / "services.yaml").read_text().replace(".shop:", f".{namespace}:")
    found = []
    for body in yaml.safe_load_all(text):
        if body["metadata"]["name"] not in SERVICES:
            continue
        del body["metadata"]["namespace"]
        probe = body["spec"]["probes"][0]
        probe |= {"interval": "1s", "timeout": "900ms", "failureThreshold": 2}
        body["spec"]["stability"] = {"soak": "3s"}
        trigger = {"healthFailing": {"for": "4s"}}
        body["spec"]["rollback"] = {"policy": "Automatic", "triggers": trigger, "cooldown": "0s"}
        found.append(body)
    return found


def healthy(kube: Kube) -> bool:
    return all(kube.condition(name, "Healthy").get("status") == "True" for name in SERVICES)


@pytest.mark.long
def test_databases_stop_and_start(cluster: Cluster, kube: Kube, operator: Operator) -> None:
    folder = ROOT / "manifests" / "demo" / "image"
    cluster.load(folder / "Dockerfile", folder, SHOP_IMAGE, DEBIAN_BASE, SHOP_PACKAGES)
    kube.apply(*shop(kube.namespace), *watched(kube.namespace))

    def all_good() -> bool:
        return all((kube.get("monitoredservice", n) or {}).get("status", {}).get("lastGood") for n in SERVICES)

    until(all_good, within=120, says="all three were seen to be good")

    for server, said in (("postgres", "Connection"), ("redis", "Connection")):
        # A release that was not seen to be good yet, so that nothing but the dependency speaks for it.
        version = f"v1.1.0-{server}"
        patch = {"spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/version": version}}}}}
        # First the release: of one that comes after the breach began it is said that the cause is older.
        kube.run("patch", "deployment", "backend", "--type=merge", "-p", yaml.safe_dump(patch))
        kube.run("scale", f"deployment/{server}", "--replicas=0")
        until(
            lambda: kube.condition("backend", "RollingBack").get("reason") == "DependencyUnhealthy",
            within=60,
            says=f"the backend fails, and {server} is blamed",
        )
        assert server in kube.condition("backend", "RollingBack")["message"]
        down = kube.condition(server, "Healthy")
        assert down["status"] == "False"
        assert said in down["message"] or "Timeout" in down["message"], down
        until(
            lambda s=server: kube.condition(s, "RollingBack").get("reason") == "ScaledToZero",
            within=30,
            says="nothing runs, so no revision is at fault",
        )
        kube.run("scale", f"deployment/{server}", "--replicas=1")
        until(lambda: healthy(kube), within=90, says=f"all healthy again with {server}")
        until(
            lambda v=version: (kube.get("monitoredservice", "backend") or {})["status"]["lastGood"] == v,
            within=60,
            says="the release was good all the time, and is seen to be",
        )
    assert not kube.all("rollbacks")
    # A password that was right stays out of every word that is said.
    events = "\n".join(note for _, note in kube.events())
    assert "only-for-the-demo" not in events + kube.run("get", "ms", "-o", "yaml").stdout + operator.log
