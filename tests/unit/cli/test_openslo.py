"""`lastgood import openslo`: what comes out, what is said of the rest, and the exit status."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastgood.api.validation import validate
from lastgood.cli.main import main

FOLDER = Path(__file__).parent / "openslo"
URL = "http://prometheus:9090"


def metric(query: str = "up", **source: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **source}}


RATIO: dict[str, Any] = {"ratioMetric": {"bad": metric("bad"), "total": metric("total")}}


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def slo(indicator: dict[str, Any] = RATIO, **spec: Any) -> dict[str, Any]:
    body = {"indicator": {"spec": indicator}, "objectives": [{"target": 0.99}], **spec}
    return document("SLO", "a", **{k: v for k, v in body.items() if v is not None})


def threshold(**objective: Any) -> dict[str, Any]:
    return slo({"thresholdMetric": metric("p95")}, objectives=[{"target": 0.9, **objective}])


def run(capsys: pytest.CaptureFixture[str], place: Path, *bodies: Any) -> tuple[int, list[Any], list[str]]:
    """Exit status, manifests, lines of stderr."""
    file = place / "openslo.yaml"
    file.write_text(yaml.safe_dump_all(copy.deepcopy(bodies)))
    status = main(["import", "openslo", "--prometheus-url", URL, str(file)])
    out, err = capsys.readouterr()
    made = list(yaml.safe_load_all(out))
    assert [problem for manifest in made for problem in validate(manifest)] == []
    return status, made, err.splitlines()


def test_what_can_be_carried_over_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "openslo", str(FOLDER / "checkout.yaml")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert list(yaml.safe_load_all(out)) == list(yaml.safe_load_all((FOLDER / "checkout.out.yaml").read_text()))


@pytest.mark.parametrize(
    ("indicator", "made", "target"),
    [
        (RATIO, {"ratio": {"bad": {"query": "bad"}, "total": {"query": "total"}}}, {"below": "1%"}),
        (
            {"ratioMetric": {"counter": True, "good": metric("g"), "total": metric("increase(t[1m])")}},
            {"ratio": {"good": {"query": "sum(increase((g)[1m:15s]))"}, "total": {"query": "increase(t[1m])"}}},
            {"below": "1%"},
        ),
    ],
)
def test_ratios(capsys: pytest.CaptureFixture[str], tmp_path: Path, indicator: Any, made: Any, target: Any) -> None:
    status, (manifest,), left = run(capsys, tmp_path, slo(indicator))
    assert (status, left) == (0, [])
    assert manifest["spec"]["indicator"] == made
    assert manifest["spec"]["target"] == target
    assert manifest["spec"]["budget"] == {"objective": "99%", "period": "30d", "burnAlerts": False}
    assert manifest["spec"]["source"] == {"prometheus": {"url": URL}}


@pytest.mark.parametrize(
    ("body", "target", "said"),
    [
        (threshold(op="lte", value=0.5), {"below": "0.5"}, []),
        (threshold(op="gte", value=10), {"above": "10"}, []),
        (
            threshold(op="lt", value=1e-7),
            {"below": "0.0000001"},
            ["SLO/a: op lt: the target is met at the very number, too"],
        ),
    ],
)
def test_thresholds_have_no_budget(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, body: Any, target: Any, said: list[str]
) -> None:
    status, (manifest,), left = run(capsys, tmp_path, body)
    assert (status, manifest["spec"]["target"]) == (1, target)
    assert manifest["spec"]["indicator"] == {"value": {"series": {"query": "p95"}}}
    assert left == [*said, "SLO/a: a budget of 90%: a single number has a target, a ratio has a budget"]


@pytest.mark.parametrize(("kind", "target"), [("success", {"above": "99%"}), ("failure", {"below": "1%"})])
def test_raw_ratios(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, target: Any) -> None:
    status, (manifest,), left = run(capsys, tmp_path, slo({"ratioMetric": {"rawType": kind, "raw": metric("r")}}))
    assert (status, len(left)) == (1, 1)
    assert manifest["spec"]["target"] == target


def policy(**changes: Any) -> dict[str, Any]:
    condition = {
        "kind": "burnrate",
        "op": "gte",
        "threshold": 6,
        "lookbackWindow": "6h",
        **changes.pop("condition", {}),
    }
    return {"metadata": {"name": "p"}, "spec": {"conditions": [{"spec": {"condition": condition}}], **changes}}


RATES = "burnAlerts come at 14.4 over 1h, 6 over 6h, 3 over 1d and 1 over 3d"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"timeWindow": [{"duration": "1M", "calendar": {"timeZone": "UTC"}}]},
            "SLO/a: a calendar window of 1M: the budget's period is the last 30 days",
        ),
        (
            {"timeWindow": [{"duration": "90d", "isRolling": True}]},
            "SLO/a: a window of 90d: the budget's period is 7d, 28d or 30d, here 30d",
        ),
        (
            {"budgetingMethod": "Timeslices"},
            "SLO/a: budgetingMethod Timeslices: good events are counted, not time slices",
        ),
        ({"objectives": [{"target": 1}]}, "SLO/a: a target of 100% leaves no budget to spend"),
        (
            {"alertPolicies": [policy(alertWhenNoData=True)]},
            "SLO/a: AlertPolicy/p: alertWhenNoData: what is not known is Unknown here and alerts nobody",
        ),
        (
            {"alertPolicies": [policy(notificationTargets=[{"targetRef": "mail"}])]},
            "SLO/a: AlertPolicy/p: notificationTargets: Lastgood routes alerts elsewhere",
        ),
        (
            {"alertPolicies": [policy(condition={"threshold": 2})]},
            f"SLO/a: alert on burnrate 2 over 6h: {RATES}",
        ),
        (
            {"alertPolicies": [policy(condition={"alertAfter": "5m"})]},
            "SLO/a: alertAfter 5m: a short window guards each burn rate instead",
        ),
        ({"alertPolicies": ["gone"]}, 'AlertPolicy "gone" was not read: its alerts are left out'),
    ],
)
def test_what_is_lost_of_an_objective_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, spec: dict[str, Any], said: str
) -> None:
    status, made, left = run(capsys, tmp_path, slo(**spec))
    assert (status, len(made), left) == (1, 1, [said])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (slo(objectives=[]), "it has no objectives"),
        (slo(objectives=[{"target": 0.9, "indicatorRef": "x"}]), "a composite SLO: import each of its parts by itself"),
        (slo(indicator=None, indicatorRef="x"), 'indicatorRef "x" names no SLI that was read'),
        (slo({}), "its indicator has neither ratioMetric nor thresholdMetric"),
        (threshold(value=1), "an objective on a threshold has op lte, lt, gte or gt"),
        (threshold(op="lte"), "an objective has a number as value"),
        (slo(objectives=[{"target": "most"}]), "an objective has a number as target"),
        (slo(objectives=["most"]), "an objective has a number as target"),
        (slo({"ratioMetric": {}}), "a ratio has total, and bad or good, of one Prometheus"),
        (
            slo({"thresholdMetric": metric("x", type="Datadog")}),
            "data source of type Datadog: only Prometheus is asked",
        ),
        (
            slo({"thresholdMetric": {"metricSource": {"metricSourceRef": "m", "spec": {"query": "x"}}}}),
            'metricSourceRef "m" names no DataSource that was read',
        ),
        (slo({"thresholdMetric": metric("")}), "a metric source of type Prometheus has spec.query"),
    ],
)
def test_what_cannot_be_carried_over_is_left_out_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, body: Any, said: str
) -> None:
    assert run(capsys, tmp_path, body) == (1, [], [f"SLO/a: {said}: left out"])


def test_the_rest_is_carried_over(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = {**slo(), "metadata": {"name": "b"}}
    status, made, left = run(
        capsys, tmp_path, slo(objectives=[]), other, document("SLI", "unused"), slo(), {"kind": "Pod"}
    )
    assert (status, [m["metadata"]["name"] for m in made]) == (1, ["b"])
    assert [line.partition(": ")[2] if line.startswith(str(tmp_path)) else line for line in left] == [
        "SLO/a: there already: left out",
        "Pod/: no kind of openslo/v1 (apiVersion None): left out",
        "SLO/a: it has no objectives: left out",
        "SLI/unused: no SLO that was carried over names it: left out",
    ]


def test_what_the_cluster_would_refuse_is_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, made, left = run(capsys, tmp_path, slo(objectives=[{"target": 1.5}]))
    assert (status, made) == (1, [])
    assert left
    assert all(line.startswith("SLO/a: ") for line in left)


def test_credentials_stay_behind(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = document("DataSource", "m", type="prometheus", connectionDetails={"url": URL, "password": "hunter2"})
    body = slo({"thresholdMetric": {"metricSource": {"metricSourceRef": "m", "spec": {"query": "x"}}}},
               objectives=[{"target": 0.9, "op": "lte", "value": 1}])  # fmt: skip
    status, made, left = run(capsys, tmp_path, source, body)
    assert status == 1
    assert "DataSource/m: password: goes into a Secret that source.prometheus names" in left
    assert "hunter2" not in str(made) + str(left)


def test_no_address(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(slo()))
    assert main(["import", "openslo", str(file)]) == 1
    assert "no address of Prometheus: give its DataSource, or --prometheus-url" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a: [", "[" * 5000, "kind: SLO\napiVersion: openslo/v1alpha\n", "- 1\n", "\x00"])
def test_nothing_could_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert main(["import", "openslo", str(file), str(tmp_path / "absent.yaml")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{tmp_path / 'absent.yaml'}: cannot be read" in err
    assert err.endswith("nothing of openslo/v1 in there\n")
