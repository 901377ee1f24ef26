"""The operator when the API server goes away, and when its kinds had another schema."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.kube import until
from tests.integration.cluster import Refused
from tests.integration.manifests import service
from tests.integration.process import Operator
from tests.integration.stage import Stage
from tests.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("alone")]

OUTCOMES = "lastgood_probe_outcomes_total"


@contextmanager
def away(lab: Lab) -> Iterator[None]:
    """Without an API server for the time of the block."""
    lab.stop("kube-apiserver", kill=True)
    try:
        yield
    finally:
        lab.start("kube-apiserver")
        # Its watches would wait for up to half a minute before they try again; a test has no time for that.
        lab.restart("kube-controller-manager", kill=True)


def test_api_server_away_for_a_moment(operator: Operator, stage: Stage, lab: Lab) -> None:
    stage.become_good("steady", "breaks")
    with away(lab):
        operator.more(OUTCOMES, 4)
        stage.target.answers("breaks", 503)
        operator.more(OUTCOMES, 3, reason="UnexpectedStatus")
        assert operator.running
    stage.wait("breaks", "Healthy", "ProbesFailing", status="False")
    stage.wait("steady", "Healthy", "ProbesPassing", status="True")
    stage.wait("breaks", "RollingBack", "AlreadyOnLastGood")
    # The watches are back, too.
    stage.release_bad("steady")
    stage.rolled_back("steady")
    assert not stage.rollbacks("breaks")
    assert operator.running


def test_api_server_away_for_longer_than_the_lease(operator: Operator, stage: Stage, lab: Lab) -> None:
    """Probing and judging go on, nothing is written; then writes catch up, on what was seen all the time."""
    patient = {"triggers": {"healthFailing": {"for": "12s"}}}
    stage.become_good("app", "edited")
    stage.become_good("breaks", rollback=patient)
    stage.release_bad("breaks")
    stage.wait("breaks", "RollingBack", "BreachPending")
    since = stage.status("breaks")["health"]["since"]
    with away(lab):
        stage.target.answers("app", 503)
        operator.wait_for_log("cut off from the API server", within=20)
        operator.more(OUTCOMES, 10)
        assert operator.running
        assert operator.page("/healthz").text == "ok\n"
        assert operator.page("/readyz").text == "follower\n"
        stage.target.answers("app", 200)
        operator.more(OUTCOMES, 10)
    until(lambda: operator.page("/readyz").text == "leader\n", within=20, says="it leads again")
    done = stage.rolled_back("breaks")
    assert done["spec"]["trigger"]["since"] == since, "the time without an API server was looked at, too"
    operator.more(OUTCOMES, 4)
    stage.wait("app", "Healthy", "ProbesPassing", status="True")
    assert not stage.rollbacks("app")
    assert "leading again" in operator.log
    stage.cluster.delete("MonitoredService", "edited")
    until(lambda: operator.total("lastgood_services") == 2, within=20, says="the watches are back")
    assert "Traceback" not in operator.log


def test_object_from_before_the_schema(operator: Operator, stage: Stage, lab: Lab) -> None:
    """Written while another schema was in force, and in no form that the models know."""
    stage.become_good("bystander")
    place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/monitoredservices.lastgood.dev"
    good = yaml.safe_load(Path("crds/lastgood.dev_monitoredservices.yaml").read_text())
    loose = json.loads(json.dumps(good))
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = anything

    def replace(crd: dict[str, Any]) -> None:
        now = stage.cluster.request("GET", place)
        stage.cluster.request("PUT", place, json={**now, "spec": crd["spec"]})

    specs: dict[str, Any] = {"text": "spec", "list": [1, [2]], "half": {"probes": 7}, "empty": {}, "none": None}
    try:
        replace(loose)
        for name, spec in specs.items():
            body = {**service(name), "spec": spec}

            def accepted(body: dict[str, Any] = body) -> bool:
                try:
                    stage.cluster.create(body)
                except Refused as error:
                    return error.status == 409
                return True

            until(accepted, within=20, says="the loose schema is in force")
        until(lambda: operator.log.count("not understood") >= len(specs), within=20, says="all are seen")
    finally:
        for name in specs:
            stage.cluster.delete("MonitoredService", name)
        replace(good)

    def refused() -> bool:
        try:
            stage.cluster.create({**service("probe"), "spec": {}}, dry_run=True)
        except Refused:
            return True
        return False

    until(refused, within=20, says="the schema is in force again")
    stage.release_bad("bystander")
    stage.rolled_back("bystander")
    assert operator.running
