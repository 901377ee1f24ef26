"""Objectives on a real API server: measured by probes, breached by a slow release, told, and rolled back."""

import datetime as dt
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.kube import until
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.sources.prometheus import Prometheus, application, prometheus
from tests.integration.stage import Stage

__all__ = ["application", "prometheus"]
Object = dict[str, Any]


@pytest.fixture
def slow(stage: Stage) -> Iterator["Slow"]:
    with Slow(stage) as server:
        yield server


class Slow:
    """Answers 200 at once, and after half a second while a pod of v2 runs."""

    def __init__(self, stage: Stage) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/")
                if "v2" in stage.kubelet.running.get(name, ()):
                    time.sleep(0.5)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep the test's output for the test."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> "Slow":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"


def latency(**spec: Any) -> Object:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "ServiceLevelObjective",
        "metadata": {"name": "latency"},
        "spec": {
            "source": {"probe": {}},
            "indicator": {"quantile": {"of": "95%"}},
            "interval": "1s",
            "timeout": "900ms",
            "window": "5s",
            "target": {"below": "100ms"},
            "alerts": [{"severity": "critical", "threshold": "300ms", "for": "2s"}],
            **spec,
        },
    }


TRIGGERS = {
    "objective": {"objectives": [{"name": "latency", "severity": "critical"}]},
    "degradation": {"degradation": {"above": "50%", "for": "2s", "minSamples": 2}},
}


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_slow_release_is_rolled_back_though_its_probes_pass(
    stage: Stage, slow: Slow, operator: Operator, trigger: str
) -> None:
    stage.cluster.put(latency())
    stage.become_good(
        "slow",
        probe={"http": {"url": slow.url("slow")}},
        # Long enough for what a degradation is compared with.
        stability={"soak": "4s"},
        objectives=[{"name": "latency"}],
        rollback={"triggers": {"healthFailing": {"for": "1h"}, **TRIGGERS[trigger]}},
    )
    assert stage.wait("slow", "ObjectivesMet", "TargetsMet")["message"].startswith("latency: p95 is")
    stage.cluster.put(deployment("slow", "v2"))
    ended = stage.rolled_back("slow")
    assert ended["spec"]["trigger"]["type"] == {"objective": "Objective", "degradation": "Degradation"}[trigger]
    assert ended["spec"]["trigger"]["name"] == "latency"
    assert stage.version("slow") == "v1"
    stage.wait("slow", "ObjectivesMet", "TargetsMet")


def test_an_objective_that_is_not_there_is_said_and_heals(stage: Stage, slow: Slow, operator: Operator) -> None:
    stage.begin("app", probe={"http": {"url": slow.url("app")}}, objectives=[{"name": "latency"}])
    stage.wait("app", "Ready", "UnknownObjective")
    stage.wait("app", "ObjectivesMet", "ObjectiveUnknown", status="Unknown")
    stage.cluster.put(latency(budget={"objective": "99%"}))
    stage.wait("app", "Ready", "Accepted")
    stage.wait("app", "ObjectivesMet", "TargetsMet")
    stage.wait("app", "HistoryKept", "HistoryInMemory")
    stage.good("app")

    def accepted() -> bool:
        found = stage.cluster.get("ServiceLevelObjective", "latency") or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any(c["type"] == "Ready" and c["reason"] == "Accepted" for c in conditions)

    until(accepted, within=20, says="the objective says that it is measured")


def shares(prometheus: Prometheus, query: str) -> Object:
    """An objective on one number of a Prometheus."""
    return latency(
        source={"prometheus": {"url": f"http://127.0.0.1:{prometheus.port}"}},
        indicator={"value": {"series": {"query": query}}},
        alerts=[{"severity": "critical", "threshold": "300ms", "for": "1s"}],
        unknownAfter="6s",
    )


def test_a_prometheus_that_stops_is_neither_met_nor_a_breach(
    stage: Stage, operator: Operator, prometheus: Prometheus
) -> None:
    """It stands still for longer than the window, as a machine does that is out of memory, and comes back."""
    stage.cluster.put(shares(prometheus, "vector(0.01)"))
    stage.become_good(
        "app", objectives=[{"name": "latency"}], rollback={"triggers": {"objectives": [{"name": "latency"}]}}
    )
    stage.wait("app", "ObjectivesMet", "TargetsMet")
    prometheus.stand_still(True)
    try:
        stage.cluster.put(deployment("app", "v2"))
        said = stage.wait("app", "ObjectivesMet", "ObjectiveUnknown", status="Unknown", within=30)
        assert "latency" in said["message"]
        until(
            lambda: "waiting for objective latency" in stage.cluster.condition("app", "StableRevisionKnown")["message"],
            within=20,
            says="the new revision waits for it",
        )
        assert stage.status("app")["lastGood"] == "v1"
        assert stage.rollbacks("app") == []
    finally:
        prometheus.stand_still(False)
    stage.wait("app", "ObjectivesMet", "TargetsMet")
    stage.good("app", version="v2")


def test_a_restart_in_the_middle_of_an_alerts_time_begins_no_new_one(
    stage: Stage, slow: Slow, spawn: Callable[..., Operator]
) -> None:
    patience = 16
    first = spawn()
    first.wait_for_log('"leading"')
    alerts = [{"severity": "critical", "threshold": "300ms", "for": f"{patience}s"}]
    stage.cluster.put(latency(alerts=alerts, unknownAfter="1m"))
    stage.become_good(
        "slow",
        probe={"http": {"url": slow.url("slow")}},
        objectives=[{"name": "latency"}],
        rollback={"triggers": {"healthFailing": {"for": "1h"}, **TRIGGERS["objective"]}},
    )
    stage.cluster.put(deployment("slow", "v2"))

    def exceeded() -> str:
        found = next((o for o in stage.status("slow").get("objectives") or () if o["name"] == "latency"), {})
        return next((text.partition("=")[2] for text in found.get("failingSince") or ()), "")

    since = until(exceeded, within=30, says="the threshold is exceeded, and since when is written down")
    began = dt.datetime.fromisoformat(since).timestamp()
    half = patience / 2
    until(lambda: time.time() > began + half, within=patience, says="half of its time is over")
    first.kill()
    killed = time.time()
    spawn().wait_for_log('"leading"')
    led = time.time()
    # The time in which nobody looked does not count as exceeding; all before it does.
    until(lambda: exceeded() != since, within=10, says="the gap is taken out")
    moved = dt.datetime.fromisoformat(exceeded()).timestamp() - began
    assert 0 < moved <= led - killed + 2
    created = stage.rolled_back("slow")["metadata"]["creationTimestamp"]
    at = dt.datetime.fromisoformat(created).timestamp()
    assert began + patience + moved - 1 <= at < led + patience - half / 2, (at - began, moved, led - began)
    assert stage.version("slow") == "v1"
