"""A bad release goes back to the last good revision: the whole path, on a real node."""

from typing import Any

import pytest
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, config_map, monitored, service
from tests.e2e.operator_process import Operator

pytestmark = pytest.mark.e2e


def become_good(kube: Kube, version: str = "v1.0.0", *, name: str = "app", **spec: Any) -> None:
    kube.apply(monitored(name, kube.namespace, **spec))
    wait_good(kube, version, name=name)


def wait_good(kube: Kube, version: str, *, name: str = "app") -> None:
    until(
        lambda: (kube.get("monitoredservice", name) or {}).get("status", {}).get("lastGood") == version,
        within=60,
        says=f"{version} seen to be good",
    )


def rollbacks(kube: Kube, phase: str = "Succeeded") -> list[dict[str, Any]]:
    return [r for r in kube.all("rollbacks") if r.get("status", {}).get("phase") == phase]


def running_version(kube: Kube, name: str = "app") -> str:
    deployment = kube.get("deployment", name)
    assert deployment is not None
    return str(deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"])


def test_bad_release_goes_back_with_its_config(kube: Kube, operator: Operator) -> None:
    kube.apply(config_map("settings", status="200", color="green"), app(config="settings"), service())
    become_good(kube)

    bad = app(version="v2.0.0", config="settings", env={"EXTRA": "1"}, sidecar=True)
    kube.apply(config_map("settings", status="503", color="red", more="x"), bad)

    done = until(lambda: rollbacks(kube), within=90, says="a Rollback succeeded")
    assert len(kube.all("rollbacks")) == 1
    deployment = kube.get("deployment", "app")
    assert deployment is not None
    spec = deployment["spec"]["template"]["spec"]
    assert running_version(kube) == "v1.0.0"
    assert [c["name"] for c in spec["containers"]] == ["app"]
    assert "EXTRA" not in {e["name"] for e in spec["containers"][0]["env"]}
    restored = kube.get("configmap", "settings")
    assert restored is not None
    assert restored["data"] == {"status": "200", "color": "green"}
    steps = {s["name"]: s["state"] for s in done[0]["status"]["steps"]}
    assert steps == dict.fromkeys(("Identified", "Prepared", "Executed", "Validated", "Documented"), "Done")
    until(lambda: kube.condition("app", "Healthy").get("status") == "True", within=30, says="healthy again")
    story = {"RevisionGood", "Unhealthy", "RollbackStarted", "RollbackSucceeded", "Healthy"}
    until(lambda: story <= {reason for reason, _ in kube.events()}, within=10, says="the Events tell the story")


def test_two_bad_releases_in_a_row_go_back_to_the_good_one(kube: Kube, operator: Operator) -> None:
    kube.apply(app(history=0), service())
    become_good(kube)
    for number, version in enumerate(("v2.0.0", "v3.0.0"), start=1):
        kube.apply(app(version=version, status=503, history=0))
        until(lambda count=number: len(rollbacks(kube)) == count, within=90, says=f"rollback from {version}")
        assert running_version(kube) == "v1.0.0"
    body = kube.get("monitoredservice", "app")
    assert body is not None
    assert [g["version"] for g in body["status"]["goodRevisions"]] == ["v1.0.0"]


def test_second_bad_release_before_the_first_is_rolled_back(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube, rollback={"triggers": {"healthFailing": {"for": "10s"}}})
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: kube.condition("app", "Healthy").get("status") == "False", within=60, says="v2 fails")
    kube.apply(app(version="v3.0.0", status=500))
    until(lambda: rollbacks(kube), within=90, says="rollback to v1")
    assert running_version(kube) == "v1.0.0"
    assert len(kube.all("rollbacks")) == 1
