"""What a source's sample does besides being judged: status codes are counted, and named when it is a breach."""

from typing import Any, cast

from tests.unit.domain.build import plan
from tests.unit.sources.build import spec

from lastgood.domain.measure import Counts
from lastgood.domain.objective import Standing
from lastgood.domain.objective_plan import objective_plan
from lastgood.domain.track import Track
from lastgood.history.memory import Memory as History
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.objectives import Objectives
from lastgood.services.table import Service, Table

KEY = ("shop", "api")


def test_codes_of_a_sample_are_counted_and_named() -> None:
    table, metrics, flips = Table(), Metrics(), []
    objectives = Objectives(
        cluster=cast("Any", None),
        table=table,
        factory=cast("Any", None),
        metrics=metrics,
        minutes=Minutes(History(), metrics),
        look=lambda _: None,
        look_at=lambda *_: None,
        on_flip=lambda *flip: flips.append(flip[3].message),
    )
    alerts = [{"severity": "critical", "threshold": "5%"}]
    written = spec({"scrape": {"port": 80}}, indicator="value", below="1%", alerts=alerts)
    ratio = {"bad": {"metric": "bad"}, "total": {"metric": "all"}}
    written = type(written).model_validate(written.model_dump(by_alias=True) | {"indicator": {"ratio": ratio}})
    service = Service(KEY, "u", 1, plan(objectives=("errors",)), b"{}", {}, loaded=True)
    service.tracks = {"errors": Track(objective_plan("errors", written), "d")}
    table.put_service(service)
    for _ in range(2):
        objectives.on_sample(KEY, "errors", "scrape", Counts(43, 100, {200: 57, 500: 2, 503: 41}))
    assert service.memory.objectives["errors"].state is Standing.BREACHED
    assert [message.rpartition(" (")[2] for message in flips] == ["503: 41, 500: 2)"]
    page = metrics.page().decode()
    labels = 'namespace="shop",objective="errors",service="api"'
    assert f'lastgood_http_answers_total{{class="5xx",code="503",{labels}}} 82.0\n' in page
    assert f'lastgood_http_answers_total{{class="2xx",code="200",{labels}}} 114.0\n' in page
