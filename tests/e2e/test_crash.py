"""Killed anywhere, the next process finishes the same Rollback and patches once."""

import json
from collections.abc import Callable

import pytest
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, config_map, monitored, service
from tests.e2e.operator_process import Operator
from tests.e2e.test_rollback import become_good, rollbacks, running_version

pytestmark = pytest.mark.e2e

# What the log says just before the kill; the Rollback is then at this step or between it and the next.
MOMENTS = ["rollback started", '"Identified"', '"Prepared"', '"Executed"', '"Validated"']


def template_changes(kube: Kube) -> int:
    """How many pod templates this Deployment has had: its revision number counts each change once."""
    body = kube.get("deployment", "app")
    assert body is not None
    return int(body["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_each_step(kube: Kube, spawn: Callable[[], Operator], moment: str) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    kube.apply(config_map("settings", status="200"), app(config="settings"), service())
    become_good(kube)
    kube.apply(config_map("settings", status="503"), app(version="v2.0.0", config="settings"))
    first.wait_for_log(moment, within=60)
    first.kill()

    spawn()
    until(lambda: rollbacks(kube), within=90, says="the same Rollback succeeded")
    assert len(kube.all("rollbacks")) == 1
    assert running_version(kube) == "v1.0.0"
    # v1, v2, v1 again: a second patch would have made a fourth.
    assert template_changes(kube) == 3
    until(lambda: "RollbackSucceeded" in dict(kube.events()), within=10, says="an Event tells of it")


def test_failing_time_survives_a_kill(kube: Kube, spawn: Callable[[], Operator]) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    kube.apply(app(), service())
    become_good(kube, rollback={"triggers": {"healthFailing": {"for": "30s"}}})
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: kube.condition("app", "Healthy").get("status") == "False", within=60, says="v2 fails")
    since = kube.get("monitoredservice", "app")["status"]["health"]["since"]  # type: ignore[index]
    first.kill()
    spawn()
    done = until(lambda: rollbacks(kube), within=90, says="rolled back")
    assert done[0]["spec"]["trigger"]["since"][:16] >= since[:16]
    trigger, started = done[0]["spec"]["trigger"]["since"], done[0]["status"]["startedAt"]
    from lastgood.domain.clock import from_text

    # 30 s of failing that somebody saw: the gap without a leader is neither counted nor does it begin anew.
    assert 29 <= from_text(started) - from_text(trigger) <= 40
    assert from_text(started) - from_text(since) <= 60


def test_two_replicas_and_the_leader_killed(kube: Kube, spawn: Callable[[], Operator]) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    second = spawn()
    second.wait_for_log('"started"')
    kube.apply(app(), service())
    become_good(kube)
    assert '"leading"' not in second.log
    first.kill()
    second.wait_for_log('"leading"', within=15)
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: rollbacks(kube), within=90, says="the second rolled back")
    assert len(kube.all("rollbacks")) == 1
    assert template_changes(kube) == 3


def test_lost_lease_writes_nothing_more(kube: Kube, spawn: Callable[[], Operator]) -> None:
    operator = spawn()
    operator.wait_for_log('"leading"')
    kube.apply(app(), service())
    become_good(kube)
    until(
        lambda: kube.run(
            "patch",
            "lease",
            "lastgood",
            "--type=merge",
            "-p",
            json.dumps({"spec": {"holderIdentity": "somebody-else", "renewTime": "2099-01-01T00:00:00.000000Z"}}),
        ),
        within=10,
        says="the Lease taken",
    )
    operator.wait_for_log("leadership lost", within=15)
    kube.apply(monitored(namespace=kube.namespace, suspend=True))
    kube.apply(app(version="v2.0.0", status=503))
    # It watches on, and takes over again once the other one is silent for as long as the Lease holds.
    operator.wait_for_log('"leading"', within=30)
    assert operator.running
