"""ServiceLevelObjective, and the triggers that refer to it, on a real API server: every rule both ways, as offline."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster, refusal
from tests.integration.manifests import service
from tests.unit.api import objectives, test_rules
from tests.unit.api.test_rules import Place

from lastgood.api.objective import ServiceLevelObjective
from lastgood.api.schema import structural
from lastgood.api.validation import validate

pytestmark = pytest.mark.integration

PLACES = [
    place
    for place in test_rules.PLAIN
    if place[0] == "ServiceLevelObjective"
    or place[1] == "spec"
    or ".triggers." in place[1]
    or ".objectives" in place[1]
]


@pytest.fixture(scope="module")
def shared(lab: Any, namespace_for: Callable[[], str]) -> Iterator[Cluster]:
    cluster = Cluster(lab.kubeconfig, namespace_for())
    yield cluster
    cluster.close()


def cases(right: int) -> list[Any]:
    """(place, value) of every case of one side."""
    return [pytest.param(p, v, id=f"{p[1]}={v} ({p[2][:30]})") for p in PLACES for v in test_rules.cases(p)[right]]


@pytest.mark.parametrize(("place", "value"), cases(0))
def test_taken_by_both(shared: Cluster, place: Place, value: Any) -> None:
    body = test_rules.at(place, value)
    said = refusal(shared, body)
    assert not any(sentence.endswith(place[2]) for sentence in said)
    assert set(validate(body)) == said


@pytest.mark.parametrize(("place", "value"), cases(1))
def test_refused_by_both_in_one_sentence(shared: Cluster, place: Place, value: Any) -> None:
    body = test_rules.at(place, value)
    said = refusal(shared, body)
    assert any(sentence.endswith(place[2]) for sentence in said), said
    assert set(validate(body)) == said


@pytest.mark.parametrize("name", objectives.SPECS)
def test_every_source_is_taken(shared: Cluster, name: str) -> None:
    assert refusal(shared, objectives.objective(objectives.SPECS[name])) == set()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"alerts": [objectives.alert("critical", "90%"), objectives.alert("critical", "95%")]}, "Duplicate value"),
        ({"alerts": [objectives.alert("fatal", "90%")]}, "Unsupported value"),
        ({"targets": {}}, 'unknown field "spec.targets"'),
        ({"target": None}, "spec.target: Required value"),
        ({"source": None}, "spec.source: Required value"),
        ({"budget": {"objective": "99%", "period": "90d"}}, "Unsupported value"),
        ({"source": {"resources": {"resource": "gpu"}}}, "Unsupported value"),
        ({"interval": 30}, "must be of type string"),
    ],
    ids=str,
)
def test_shape(shared: Cluster, change: dict[str, Any], says: str) -> None:
    body = objectives.objective(objectives.but("cpu", **change))
    said = refusal(shared, body)
    assert any(says in sentence for sentence in said), said
    assert set(validate(body)) == said


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({f"l{n}": "x" for n in range(17)}, "Too many: 17: must have at most 16 items"),
        ({"code": "x" * 257}, "Too long: may not be more than 256"),
        ({"code": 5}, "must be of type string"),
    ],
    ids=["seventeen", "long", "number"],
)
def test_labels_are_kept_and_bounded(shared: Cluster, labels: dict[str, Any], says: str) -> None:
    good = objectives.objective(objectives.SPECS["scraped value"])
    kept = shared.create(good, dry_run=True)["spec"]["indicator"]["value"]["series"]["labels"]
    assert kept == {"code": "5.."}
    good["spec"]["indicator"]["value"]["series"]["labels"] = labels
    said = refusal(shared, good)
    assert any(says in sentence for sentence in said), said
    assert set(validate(good)) == said


def test_defaults_are_filled_in(cluster: Cluster) -> None:
    smallest = objectives.objective(objectives.SPECS["cpu"])
    smallest["spec"].update(alerts=[{"severity": "critical", "threshold": "90%"}], budget={"objective": "99%"})
    spec = cluster.create(smallest)["spec"]
    assert spec == {
        "description": "",
        "source": {"resources": {"resource": "cpu", "of": "Limit"}},
        "indicator": {"average": {}},
        "interval": "10s",
        "timeout": "5s",
        "window": "1m",
        "target": {"below": "80%"},
        "alerts": [{"severity": "critical", "threshold": "90%", "for": "0s", "minSamples": 1}],
        "budget": {"objective": "99%", "period": "30d", "burnAlerts": True},
    }
    assert ServiceLevelObjective.model_validate({"spec": spec}) == ServiceLevelObjective.model_validate(smallest)
    triggers = {
        "errorRate": {},
        "degradation": {},
        "objectives": [{"name": "slo"}],
        "burnRates": [{"name": "slo"}],
        "signals": [{"type": "SecurityIncident"}],
    }
    judged = service("judged", rollback={"triggers": triggers}, objectives=[{"name": "slo"}])
    assert cluster.create(judged)["spec"]["rollback"]["triggers"] == {
        "healthFailing": {"for": "5m"},
        "errorRate": {"above": "10%", "for": "10m"},
        "degradation": {"above": "50%", "for": "5m", "minSamples": 30, "leastChange": "5%"},
        "objectives": [{"name": "slo", "severity": "critical", "for": "0s"}],
        "burnRates": [{"name": "slo", "above": "14.4"}],
        "signals": [{"type": "SecurityIncident", "skipCooldown": False}],
    }


def test_columns_short_name_and_category(kubectl: Kube, cluster: Cluster) -> None:
    cluster.create(objectives.objective(objectives.SPECS["probe latency"]))
    now = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": now}
    status = {"status": {"observedGeneration": 1, "conditions": [ready]}}
    assert cluster.patch("ServiceLevelObjective", "slo", status, status=True)["metadata"]["generation"] == 1
    head, row = kubectl.run("get", "slo").stdout.splitlines()
    assert head.split() == ["NAME", "BELOW", "ABOVE", "WINDOW", "BUDGET", "AGE"]
    assert row.split()[:4] == ["slo", "2s", "24h", "99.9%"]
    assert "READY" in kubectl.run("get", "slo", "-o", "wide").stdout
    assert "servicelevelobjective.lastgood.dev/slo" in kubectl.run("get", "lastgood", "-o", "name").stdout


def test_status_of_a_service_takes_what_is_known_of_objectives(cluster: Cluster) -> None:
    cluster.create(service())
    at = "2026-01-01T00:00:00Z"
    status = {
        "objectives": [
            {
                "name": "slo",
                "state": "Breached",
                "severity": "critical",
                "since": at,
                "reason": "x",
                "failingSince": [f"critical={at}"],
            }
        ],
        "signals": [{"type": "SecurityIncident", "id": "a", "at": at, "by": "somebody", "reason": "x"}],
    }
    written = cluster.patch("MonitoredService", "app", {"status": status}, status=True)["status"]
    assert written["objectives"][0]["failingSince"] == [f"critical={at}"]
    assert written["signals"][0]["by"] == "somebody"


def test_the_shape_says_what_a_series_is() -> None:
    series = structural(ServiceLevelObjective)["properties"]["spec"]["properties"]["indicator"]["properties"]["value"]
    labels = series["properties"]["series"]["properties"]["labels"]
    assert (labels["maxProperties"], labels["additionalProperties"]) == (16, {"maxLength": 256, "type": "string"})
