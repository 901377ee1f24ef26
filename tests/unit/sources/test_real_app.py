"""An application with prometheus-client, whose server negotiates the format and packs with gzip."""

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, start_http_server
from tests.unit.sources.making import Pods, factory, objective, pod, prepared, sample

from lastgood.domain import measure
from lastgood.domain.measure import Counts, Nothing, Silence, Spread


class App:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests.", ["code", "path"], registry=self.registry)
        self.latency = Histogram("latency_seconds", "Latency.", ["path"], buckets=(0.1, 1), registry=self.registry)
        self.size = Summary("size_bytes", "Size.", registry=self.registry)
        self.queue = Gauge("queue_depth", 'Depth of "queues"\nand more.', ["queue"], registry=self.registry)
        self.server, self.thread = start_http_server(0, "127.0.0.1", self.registry)
        self.port: int = self.server.server_port

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def app() -> Iterator[App]:
    running = App()
    yield running
    running.close()


async def test_all_that_an_application_tells(app: App) -> None:
    pods = Pods(pod(1))
    ratio = {
        "ratio": {
            "bad": {"metric": "http_requests_total", "labels": {"code": "5.."}},
            "total": {"metric": "http_requests_total"},
        }
    }
    quantile = {"quantile": {"of": "95%", "series": {"metric": "latency_seconds", "labels": {"path": "/a.*"}}}}
    average = {"average": {"series": {"metric": "size_bytes"}}}
    app.requests.labels("200", "/a").inc(100)
    async with factory() as sources:
        made = [
            prepared(sources, objective(indicator=indicator, scrape={"port": app.port}), pods=pods)
            for indicator in (ratio, quantile, average)
        ]
        for source in made:
            source._max_age = -1.0  # type: ignore[attr-defined]
            told = await source.sample()
            assert isinstance(told, Nothing)
            assert told.reason is Silence.FIRST_LOOK
        app.requests.labels("200", "/a").inc(7)
        app.requests.labels("500", 'a "strange" \\ path\n').inc(3)
        for value in (0.05, 0.5, 0.5, 5):
            app.latency.labels("/a/b").observe(value)
        app.latency.labels("/z").observe(0.01)
        app.size.observe(10)
        app.size.observe(20)
        assert [await source.sample() for source in made] == [
            Counts(3, 10, {200: 7, 500: 3}),
            Spread({0.1: 1, 1: 2, math.inf: 1}, 4, 6.05),
            Spread({math.inf: 2}, 2, 30),
        ]
        for source in made:
            await source.aclose()


async def test_a_gauge(app: App) -> None:
    app.queue.labels("mail").set(3)
    app.queue.labels("jobs").set(4.5)
    for labels, expected in (({}, 7.5), ({"queue": "mail"}, 3)):
        indicator = {"value": {"series": {"metric": "queue_depth", "labels": labels}}}
        told = await sample(objective(indicator=indicator, scrape={"port": app.port}))
        assert told == measure.Gauge(expected)
