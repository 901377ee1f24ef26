"""Queries to a real Prometheus, and scrapes of its own endpoint."""

import asyncio
import time
from typing import Any

import pytest
from tests.integration.sources.prometheus import PASSWORD, USER, Application, Prometheus
from tests.unit.sources.making import Pods, factory, objective, pod, prepared, sample

from lastgood.domain.measure import Counts, Gauge, Nothing, Sample, Silence, Spread

pytestmark = pytest.mark.integration

SECRET = {("Secret", "s", "right"): PASSWORD.encode(), ("Secret", "s", "wrong"): b"c4n4ry"}


async def until(prometheus: Prometheus, query: str) -> None:
    """Wait until a query has a result."""
    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(prometheus.query, query):
        assert time.monotonic() < deadline, f"{query} stays empty"
        await asyncio.sleep(0.2)


async def value(prometheus: Prometheus, query: str) -> Sample:
    source = {"url": f"http://127.0.0.1:{prometheus.port}"}
    return await sample(objective(indicator={"value": {"series": {"query": query}}}, prometheus=source))


async def test_numbers(prometheus: Prometheus) -> None:
    await until(prometheus, 'up{job="app"} == 1')
    assert await value(prometheus, 'up{job="app"}') == Gauge(1)
    assert await value(prometheus, "scalar(up) + 1") == Gauge(2)
    assert await value(prometheus, "40 + 2") == Gauge(42)
    assert await value(prometheus, 'label_replace(up, "n", "1", "", "") or up') == Gauge(2)


@pytest.mark.parametrize(
    ("query", "reason", "says"),
    [
        ("no_such_metric", Silence.NO_DATA, "no series"),
        ("vector(0) / 0", Silence.NO_DATA, "finite"),
        ("1 / 0", Silence.NO_DATA, "finite"),
        ("sum(", Silence.NOT_UNDERSTOOD, "bad_data"),
        ('label_replace(up, "n", "1", "(", "(")', Silence.NOT_UNDERSTOOD, "execution"),
        ("up[1m]", Silence.NOT_UNDERSTOOD, "no number"),
        ('"text"', Silence.NOT_UNDERSTOOD, "no number"),
    ],
)
async def test_nothing(prometheus: Prometheus, query: str, reason: Silence, says: str) -> None:
    await until(prometheus, "up")
    told = await value(prometheus, query)
    assert isinstance(told, Nothing)
    assert told.reason is reason, told
    assert says in told.detail


async def test_events_of_an_interval(prometheus: Prometheus, application: Application) -> None:
    """Requests go on all the while: what rate() says times the interval is what there were in it."""
    going = True

    async def requests() -> None:
        began, done = time.monotonic(), 0
        while going:
            due = int((time.monotonic() - began) * 50)
            for number in range(done, due):
                application.requests.labels("500" if number % 10 == 0 else "200").inc()
            done = due
            await asyncio.sleep(0.02)

    load = asyncio.create_task(requests())
    try:
        rate = "sum(rate(http_requests_total{0}[5s]))"
        await until(prometheus, rate.format("") + " > 45")
        await until(prometheus, rate.format('{code="500"}') + " > 4")
        for name, query in (("bad", '{code="500"}'), ("good", '{code!="500"}')):
            indicator = {"ratio": {name: {"query": rate.format(query)}, "total": {"query": rate.format("")}}}
            source = {"url": f"http://127.0.0.1:{prometheus.port}/"}
            told = await sample(objective(indicator=indicator, prometheus=source))
            assert isinstance(told, Counts)
            assert told.total == pytest.approx(500, rel=0.2)
            assert told.bad == pytest.approx(50, rel=0.5)
    finally:
        going = False
        await load


async def test_a_password_over_tls(guarded: Prometheus) -> None:
    values = {**SECRET, ("ConfigMap", "ca", "ca.crt"): guarded.authority.pem}
    tls = {"ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}, "serverName": "prometheus.test"}
    indicator = {"value": {"series": {"query": "1"}}}

    async def ask(**more: Any) -> Sample:
        source = {"url": f"https://127.0.0.1:{guarded.port}", "tls": tls, **more}
        return await sample(objective(indicator=indicator, prometheus=source), values)

    def auth(key: str) -> dict[str, Any]:
        return {"basicAuth": {"username": USER, "password": {"secretKeyRef": {"name": "s", "key": key}}}}

    assert await ask(**auth("right")) == Gauge(1)
    for denied in (await ask(**auth("wrong")), await ask()):
        assert denied == Nothing(Silence.DENIED, "the server answered with status 401")
    wrong_port = await ask(url=f"http://127.0.0.1:{guarded.port}", tls=None, **auth("right"))
    assert isinstance(wrong_port, Nothing)
    assert wrong_port.reason is Silence.NOT_UNDERSTOOD


async def test_its_own_endpoint_is_scraped(prometheus: Prometheus) -> None:
    """client_golang's handler: OpenMetrics, packed, with counters and histograms of the real thing."""
    labels = {"handler": "/api/v1/query"}
    code = {**labels, "code": "400"}
    counter = "prometheus_http_requests_total"
    ratio = {"ratio": {"bad": {"metric": counter, "labels": code}, "total": {"metric": counter, "labels": labels}}}
    quantile = {
        "quantile": {"of": "95%", "series": {"metric": "prometheus_http_request_duration_seconds", "labels": labels}}
    }
    async with factory() as sources:
        made = [
            prepared(sources, objective(indicator=which, scrape={"port": prometheus.port}), pods=Pods(pod(1)))
            for which in (ratio, quantile)
        ]
        await value(prometheus, "1")
        for source in made:
            source._max_age = -1.0  # type: ignore[attr-defined]
            told = await source.sample()
            assert isinstance(told, Nothing)
            assert told.reason is Silence.FIRST_LOOK, told
        for query in ("1", "2", "sum("):
            await value(prometheus, query)
        assert await made[0].sample() == Counts(1, 3, {200: 2, 400: 1})
        told = await made[1].sample()
        assert isinstance(told, Spread)
        assert told.total == 3
        assert sum(told.bins.values()) == 3
        assert told.sum is not None
        assert 0 < told.sum < 3
        for source in made:
            await source.aclose()
