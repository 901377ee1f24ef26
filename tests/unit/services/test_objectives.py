"""What a source's sample does besides being judged: codes are counted and named, budgets that burn are told."""

from dataclasses import replace
from typing import Any, cast

import pytest
from tests.unit.domain.build import plan
from tests.unit.sources.build import spec

from lastgood.domain.budget import BudgetTold
from lastgood.domain.measure import Counts
from lastgood.domain.objective import Standing
from lastgood.domain.objective_plan import objective_plan
from lastgood.domain.track import Track
from lastgood.history.memory import Memory as History
from lastgood.services import objectives as module
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.objectives import Objectives
from lastgood.services.table import Service, Table

KEY = ("shop", "api")


def objectives(table: Table, metrics: Metrics, said: list[str], events: list[tuple[str, ...]]) -> Objectives:
    return Objectives(
        cluster=cast("Any", None),
        table=table,
        factory=cast("Any", None),
        metrics=metrics,
        minutes=Minutes(History(), metrics),
        look=lambda _: None,
        look_at=lambda *_: None,
        on_flip=lambda *flip: said.append(flip[3].message),
        on_event=lambda _, *event: events.append(event),
    )


def test_a_budget_that_burns_is_told_once_and_not_before_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    table, metrics, events, now = Table(), Metrics(), list[tuple[str, ...]](), 1.8e9
    monkeypatch.setattr(module.time, "time", lambda: now)
    measuring = objectives(table, metrics, [], events)
    written = spec({"probe": {}}, indicator="ratio", below="1%", budget={"objective": "99%", "period": "7d"})
    service = Service(KEY, "u", 1, plan(objectives=("errors",)), b"{}", {}, loaded=True)
    track = service.tracks["errors"] = Track(objective_plan("errors", written), "d")
    service.memory = replace(service.memory, budgets={"errors": BudgetTold("20%", "critical")})
    table.put_service(service)
    left = b"lastgood_objective_budget_left{"

    def samples(bad: float, seconds: int) -> None:
        nonlocal now
        for _ in range(seconds // 10):
            now += 10
            measuring.on_sample(KEY, "errors", "scrape", Counts(bad, 100))

    track.awaiting = True
    samples(0, 120)
    assert events == []
    assert service.memory.budgets["errors"] == BudgetTold("20%", "critical"), "status knows better"
    assert left not in metrics.page()
    track.filled()
    samples(0, 360)
    assert [event[:2] for event in events] == [("Normal", "BudgetCalm")]
    samples(100, 600)
    assert [event[:2] for event in events[1:]] == [("Warning", "BudgetBurning")]
    assert service.memory.budgets["errors"].burning == "critical"
    labels = b'namespace="shop",objective="errors",service="api",severity="critical"'
    assert b"lastgood_objective_budget_burning{" + labels + b"} 1.0" in metrics.page()
    assert left in metrics.page()
    samples(0, 7200)
    # First the short windows of the fast alerts are over, then those of the slow ones.
    assert [event[1] for event in events] == ["BudgetCalm", "BudgetBurning", "BudgetBurning", "BudgetCalm"]
    assert "(warning)" in events[2][2]
    assert service.memory.budgets["errors"].burning == ""


def test_codes_of_a_sample_are_counted_and_named() -> None:
    table, metrics, flips = Table(), Metrics(), list[str]()
    measuring = objectives(table, metrics, flips, [])
    alerts = [{"severity": "critical", "threshold": "5%"}]
    written = spec({"scrape": {"port": 80}}, indicator="value", below="1%", alerts=alerts)
    ratio = {"bad": {"metric": "bad"}, "total": {"metric": "all"}}
    written = type(written).model_validate(written.model_dump(by_alias=True) | {"indicator": {"ratio": ratio}})
    service = Service(KEY, "u", 1, plan(objectives=("errors",)), b"{}", {}, loaded=True)
    service.tracks = {"errors": Track(objective_plan("errors", written), "d")}
    table.put_service(service)
    for _ in range(2):
        measuring.on_sample(KEY, "errors", "scrape", Counts(43, 100, {200: 57, 500: 2, 503: 41}))
    assert service.memory.objectives["errors"].state is Standing.BREACHED
    assert [message.rpartition(" (")[2] for message in flips] == ["503: 41, 500: 2)"]
    page = metrics.page().decode()
    labels = 'namespace="shop",objective="errors",service="api"'
    assert f'lastgood_http_answers_total{{class="5xx",code="503",{labels}}} 82.0\n' in page
    assert f'lastgood_http_answers_total{{class="2xx",code="200",{labels}}} 114.0\n' in page
