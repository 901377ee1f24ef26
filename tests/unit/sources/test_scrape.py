"""Scraping pods on loopback: each address of 127.0.0.0/8 is a pod."""

import asyncio
import gzip
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.probes.certs import Authority, server_context
from tests.unit.probes.servers import ok
from tests.unit.sources.making import Pods, factory, objective, pod, prepared, sample

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Counts, Gauge, Nothing, Sample, Silence, Spread
from lastgood.domain.ports import BadProbe

RATIO = {"ratio": {"bad": {"metric": "http_total", "labels": {"code": "5.."}}, "total": {"metric": "http_total"}}}


class App:
    """An endpoint on all loopback addresses; ``pages`` holds what each of them tells."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, str] = {}
        self.raw: dict[str, bytes] = {}
        self.hang: set[str] = set()
        self.requests: list[tuple[str, bytes]] = []
        self.busy = self.most = 0

    def scrape(self, **more: Any) -> dict[str, Any]:
        return {"port": self.port, **more}


@asynccontextmanager
async def app(**options: Any) -> AsyncIterator[App]:
    state = App(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("sockname")[0]
        state.busy += 1
        state.most = max(state.most, state.busy)
        try:
            state.requests.append((own, await reader.readuntil(b"\r\n\r\n")))
            if own in state.hang:
                await reader.read()
            elif own in state.raw:
                writer.write(state.raw[own])
            else:
                writer.write(ok(state.pages.get(own, "").encode()))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            state.busy -= 1
            writer.close()

    listener = await asyncio.start_server(talk, "0.0.0.0", 0, **options)
    state.port = listener.sockets[0].getsockname()[1]
    yield state
    listener.close()


async def after(state: App, first: dict[str, str], second: dict[str, str], indicator: dict[str, Any]) -> Sample:
    """What the second of two looks says, by page of each pod."""
    pods = Pods(*(pod(int(ip.rpartition(".")[2])) for ip in first))
    async with factory() as sources:
        source = prepared(sources, objective(indicator=indicator, interval="1s", scrape=state.scrape()), pods=pods)
        state.pages = first
        assert await source.sample() == Nothing(
            Silence.FIRST_LOOK, "a counter says something from its second reading on"
        )
        pods.now = [pod(int(ip.rpartition(".")[2])) for ip in second]
        state.pages = second
        source._max_age = -1.0  # type: ignore[attr-defined]
        try:
            return await source.sample()
        finally:
            await source.aclose()


def page(good: float, bad: float) -> str:
    return f'http_total{{code="200"}} {good}\nhttp_total{{code="500"}} {bad}\nother 5\n'


ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def counted(bad: float, total: float) -> Counts:
    """What pages with codes 200 and 500 add up to."""
    codes = {200: total - bad, 500: bad}
    return Counts(bad, total, {code: count for code, count in codes.items() if count} or None)


COUNTED: list[tuple[str, dict[str, str], dict[str, str], Counts]] = [
    ("one pod", {ONE: page(10, 1)}, {ONE: page(25, 3)}, counted(2, 17)),
    ("two pods", {ONE: page(10, 1), TWO: page(0, 0)}, {ONE: page(25, 3), TWO: page(1, 1)}, counted(3, 19)),
    ("a container restarted", {ONE: page(100, 50)}, {ONE: page(5, 1)}, counted(1, 6)),
    ("a new pod", {ONE: page(10, 1)}, {ONE: page(11, 1), TWO: page(900, 900)}, counted(0, 1)),
    ("a pod that vanished", {ONE: page(10, 1), TWO: page(900, 900)}, {ONE: page(12, 2)}, counted(1, 3)),
    ("nothing happened", {ONE: page(10, 1)}, {ONE: page(10, 1)}, counted(0, 0)),
    ("the first error", {ONE: 'http_total{code="200"} 9\n'}, {ONE: page(10, 1)}, counted(1, 2)),
    ("a series left out", {ONE: page(10, 5)}, {ONE: 'http_total{code="200"} 12\n'}, counted(0, 2)),
    ("series without a value", {ONE: page(10, 5)}, {ONE: page(12, math.nan)}, counted(0, 2)),
    ("a negative counter", {ONE: page(10, 5)}, {ONE: page(12, -3)}, counted(0, 2)),
]


@pytest.mark.parametrize(("first", "second", "expected"), [pytest.param(*rest, id=name) for name, *rest in COUNTED])
async def test_a_ratio(first: dict[str, str], second: dict[str, str], expected: Counts) -> None:
    async with app() as state:
        assert await after(state, first, second, RATIO) == expected


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        ('code="503"', {503: 4}),
        ('status="404",method="GET"', {404: 4}),
        ('http_response_status_code="200"', {200: 4}),
        ('status="error"', None),
        ('code="5xx"', None),
        ('code="0503"', None),
        ('method="503"', None),
    ],
)
async def test_codes_are_counted_where_a_label_tells_them(labels: str, codes: dict[int, float] | None) -> None:
    async with app() as state:
        pages = [{ONE: f"http_total{{{labels}}} {value}\n"} for value in (1, 5)]
        told = await after(state, *pages, RATIO)
        assert isinstance(told, Counts)
        assert (told.total, told.codes) == (4, codes)


async def test_a_ratio_of_good_ones() -> None:
    indicator = {"ratio": {"good": {"metric": "http", "labels": {"code": "2.."}}, "total": {"metric": "http_total"}}}
    async with app() as state:
        assert await after(state, {ONE: page(10, 1)}, {ONE: page(25, 3)}, indicator) == counted(2, 17)


async def test_good_ones_ahead_of_all_are_no_negative_bad_ones() -> None:
    indicator = {"ratio": {"good": {"metric": "good"}, "total": {"metric": "all"}}}
    async with app() as state:
        told = await after(state, {ONE: "good 5\nall 5\n"}, {ONE: "good 8\nall 7\n"}, indicator)
        assert told == Counts(0, 2)


async def test_labels_match_as_a_whole_and_what_is_absent_is_empty() -> None:
    text = 'x{a="5"} 1\nx{a="55"} 10\nx{b="5"} 100\nx{a="5",b="5"} 1000\n'
    async with app() as state:
        state.pages = {ONE: text}
        for labels, expected in [
            ({"a": "5"}, 1001),
            ({"a": ""}, 100),
            ({"a": "5.*", "b": ""}, 11),
            ({"c": ".*"}, 1111),
        ]:
            indicator = {"value": {"series": {"metric": "x", "labels": labels}}}
            assert await sample(objective(indicator=indicator, scrape=state.scrape())) == Gauge(expected)


@pytest.mark.parametrize(("across", "expected"), [("Sum", 12), ("Average", 4), ("Max", 6), ("Min", 1)])
async def test_a_gauge_across_pods(across: str, expected: float) -> None:
    pods = Pods(pod(1), pod(2), pod(3), pod(4))
    async with app() as state:
        state.pages = {ONE: 'x{a="1"} 2\nx{a="2"} 4\n', TWO: "x 5\n", THREE: "x 1\n", "127.0.0.4": "x NaN\n"}
        indicator = {"value": {"series": {"metric": "x"}, "across": across}}
        assert await sample(objective(indicator=indicator, scrape=state.scrape()), pods=pods) == Gauge(expected)


def histogram(*counts: int, total: float = 1.0, le: tuple[str, ...] = ("0.1", "1", "+Inf")) -> str:
    lines = [f'lat_bucket{{path="/",le="{bound}"}} {count}' for bound, count in zip(le, counts, strict=True)]
    return "\n".join([*lines, f'lat_sum{{path="/"}} {total}', f'lat_count{{path="/"}} {counts[-1]}']) + "\n"


QUANTILE = {"quantile": {"of": "95%", "series": {"metric": "lat"}}}
AVERAGE = {"average": {"series": {"metric": "lat", "labels": {"path": "/"}}}}

SPREAD: list[tuple[str, dict[str, str], dict[str, str], Spread]] = [
    (
        "bins alone",
        {ONE: histogram(1, 2, 3)},
        {ONE: histogram(2, 5, 7, total=3)},
        Spread({0.1: 1, 1: 2, math.inf: 1}, 4, 2),
    ),
    (
        "two pods",
        {ONE: histogram(1, 2, 3), TWO: histogram(0, 0, 0)},
        {ONE: histogram(2, 5, 7), TWO: histogram(1, 1, 1)},
        Spread({0.1: 2, 1: 2, math.inf: 1}, 5, 0),
    ),
    ("a restart", {ONE: histogram(5, 6, 9)}, {ONE: histogram(1, 1, 2)}, Spread({0.1: 1, 1: 0, math.inf: 1}, 2, 1)),
    (
        "nothing happened",
        {ONE: histogram(5, 6, 9)},
        {ONE: histogram(5, 6, 9)},
        Spread({0.1: 0, 1: 0, math.inf: 0}, 0, 0),
    ),
    (
        "bounds that changed with the release",
        {ONE: histogram(0, 0, 0), TWO: histogram(0, 0, 0, le=("0.5", "1", "+Inf"))},
        {ONE: histogram(1, 2, 3), TWO: histogram(3, 4, 4, le=("0.5", "1", "+Inf"))},
        Spread({1: 6, math.inf: 1}, 7, 0),
    ),
    (
        "no bin without a bound",
        {ONE: 'lat_bucket{le="1"} 3\nlat_count 4\nlat_sum 9\n'},
        {ONE: 'lat_bucket{le="1"} 5\nlat_count 7\nlat_sum 10\n'},
        Spread({1: 2, math.inf: 1}, 3, 1),
    ),
    (
        "not one yet",
        {ONE: "# TYPE lat histogram\n"},
        {ONE: histogram(1, 2, 3)},
        Spread({0.1: 1, 1: 1, math.inf: 1}, 3, 1),
    ),
]


@pytest.mark.parametrize(("first", "second", "expected"), [pytest.param(*rest, id=name) for name, *rest in SPREAD])
async def test_a_quantile(first: dict[str, str], second: dict[str, str], expected: Spread) -> None:
    async with app() as state:
        assert await after(state, first, second, QUANTILE) == expected


async def test_an_average_of_a_histogram_and_of_a_summary() -> None:
    async with app() as state:
        told = await after(state, {ONE: histogram(1, 2, 3)}, {ONE: histogram(2, 5, 7, total=3)}, AVERAGE)
        assert told == Spread({0.1: 1, 1: 2, math.inf: 1}, 4, 2)
        first, second = (
            f'lat{{quantile="0.5",path="/"}} 1\nlat_sum{{path="/"}} {total}\nlat_count{{path="/"}} {count}\n'
            for total, count in ((5, 2), (9, 5))
        )
        assert await after(state, {ONE: first}, {ONE: second}, AVERAGE) == Spread({math.inf: 3}, 3, 4)


async def test_an_average_of_a_gauge() -> None:
    async with app() as state:
        state.pages = {ONE: 'lat{path="/"} 2\nlat{path="/x"} 9\n', TWO: 'lat{path="/"} 4\n'}
        assert await sample(objective(indicator=AVERAGE, scrape=state.scrape()), pods=Pods(pod(1), pod(2))) == Gauge(3)


@pytest.mark.parametrize(
    ("indicator", "text", "reason", "says"),
    [
        (RATIO, "other 1\n", Silence.NO_DATA, '"http_total"'),
        (RATIO, "", Silence.NO_DATA, '"http_total"'),
        (RATIO, "# TYPE http_total counter\n", Silence.FIRST_LOOK, "second"),
        (RATIO, "# TYPE http counter\n", Silence.FIRST_LOOK, "second"),
        (QUANTILE, "other 1\n", Silence.NO_DATA, '"lat"'),
        (QUANTILE, "lat_sum 1\nlat_count 1\n", Silence.NO_DATA, "no buckets"),
        (QUANTILE, "lat 1\n", Silence.NO_DATA, "no buckets"),
        (AVERAGE, "other 1\n", Silence.NO_DATA, '"lat"'),
        (AVERAGE, "lat NaN\n", Silence.NO_DATA, "no series"),
        ({"value": {"series": {"metric": "x"}}}, "x NaN\n", Silence.NO_DATA, "no series"),
        ({"value": {"series": {"metric": "x"}}}, "x +Inf\n", Silence.NO_DATA, "no series"),
        ({"value": {"series": {"metric": "x"}}}, "y 1\n", Silence.NO_DATA, "no pod"),
        ({"value": {"series": {"metric": "x"}}}, "x one\n", Silence.NOT_UNDERSTOOD, "no number"),
        ({"value": {"series": {"metric": "x"}}}, 'x{a="1" "2"} 1\n', Silence.NOT_UNDERSTOOD, "labels"),
    ],
)
async def test_nothing(indicator: dict[str, Any], text: str, reason: Silence, says: str) -> None:
    async with app() as state:
        state.pages = {ONE: text}
        told = await sample(objective(indicator=indicator, scrape=state.scrape()))
        assert isinstance(told, Nothing)
        assert told.reason is reason
        assert says in told.detail


VALUE = {"value": {"series": {"metric": "x"}}}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", Silence.DENIED),
        (b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", Silence.DENIED),
        (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", Silence.NOT_UNDERSTOOD),
        (b"HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", Silence.SOURCE_DOWN),
        (b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", Silence.SOURCE_DOWN),
        (b"HTTP/1.1 302 x\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", Silence.NOT_UNDERSTOOD),
        (ok(b"<html>x 1", headers="Content-Type: text/html; charset=utf-8\r\n"), Silence.NOT_UNDERSTOOD),
        (ok(b"x 1\n", headers="Content-Encoding: br\r\n"), Silence.NOT_UNDERSTOOD),
        (ok(b"x 1\n", headers="Content-Encoding: gzip\r\n"), Silence.NOT_UNDERSTOOD),
        (ok(gzip.compress(b"x 1\n", mtime=0)[:-6], headers="Content-Encoding: gzip\r\n"), Silence.NOT_UNDERSTOOD),
        (ok(b"x 1\n", headers="Content-Type: application/openmetrics-text\r\n"), Silence.NOT_UNDERSTOOD),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx 12", Silence.NOT_UNDERSTOOD),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx 12\n", Silence.NOT_UNDERSTOOD),
        (b"garbage", Silence.NOT_UNDERSTOOD),
    ],
)
async def test_answers_that_are_none(answer: bytes, reason: Silence) -> None:
    async with app() as state:
        state.raw[ONE] = answer
        told = await sample(objective(indicator=VALUE, scrape=state.scrape()))
        assert isinstance(told, Nothing)
        assert told.reason is reason


@pytest.mark.parametrize(
    "answer",
    [
        ok(gzip.compress(b"x 7\n", mtime=0), headers="Content-Encoding: gzip\r\n"),
        ok(b"x 7\n# EOF\n", headers="Content-Type: application/openmetrics-text; version=1.0.0\r\n"),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx 7\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx \r\n2\r\n7\n\r\n0\r\n\r\n",
    ],
)
async def test_answers_that_are_some(answer: bytes) -> None:
    async with app() as state:
        state.raw[ONE] = answer
        assert await sample(objective(indicator=VALUE, scrape=state.scrape())) == Gauge(7)
        assert b"Accept-Encoding: gzip" in state.requests[0][1]
        assert b"application/openmetrics-text" in state.requests[0][1]


async def test_pods_that_are_down_do_not_silence_the_others() -> None:
    pods = Pods(pod(1), pod(2), pod(3), pod(4, ready=False))
    async with app() as state:
        state.pages = {ONE: "x 7\n", "127.0.0.4": "x 100\n"}
        state.hang = {TWO}
        state.raw[THREE] = b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"
        assert await sample(objective(indicator=VALUE, timeout="300ms", scrape=state.scrape()), pods=pods) == Gauge(7)
        assert {ip for ip, _ in state.requests} == {ONE, TWO, THREE}


async def test_many_pods_of_which_most_hang_leave_time_for_those_that_answer() -> None:
    pods = Pods(*(pod(number) for number in range(1, 26)))
    async with app() as state:
        state.hang = {f"127.0.0.{number}" for number in range(1, 25)}
        state.pages = {"127.0.0.25": "x 7\n"}
        assert await sample(objective(indicator=VALUE, timeout="1s", scrape=state.scrape()), pods=pods) == Gauge(7)
        assert state.most <= 10 + 1  # one that was given up may not have noticed yet


async def _down(state: App, **more: Any) -> Nothing:
    told = await sample(objective(indicator=VALUE, timeout="300ms", scrape=state.scrape()), **more)
    assert isinstance(told, Nothing)
    return told


async def test_why_nobody_answered() -> None:
    async with app() as state:
        closed = state.port
    state.port = closed
    assert (await _down(state)).reason is Silence.SOURCE_DOWN
    async with app() as state:
        state.hang = {ONE}
        assert (await _down(state)).reason is Silence.TIMEOUT
        state.raw[TWO] = b"garbage"
        assert (await _down(state, pods=Pods(pod(1), pod(2)))).reason is Silence.SOURCE_DOWN
        assert (await _down(state, policy=AddressPolicy.of())).reason is Silence.DENIED
        assert (await _down(state, pods=Pods())).reason is Silence.NO_PODS
        assert (await _down(state, pods=Pods(pod(1, ready=False)))).reason is Silence.NO_PODS
        pods = Pods(pod(1))
        pods.broken = True
        assert await _down(state, pods=pods) == Nothing(Silence.SOURCE_DOWN, "the pods could not be listed")


async def _pair(state: App, check: Callable[..., Any]) -> None:
    pods = Pods(pod(1), pod(2))
    async with factory() as sources:
        one = prepared(sources, objective(indicator=RATIO, scrape=state.scrape()), pods=pods)
        other = prepared(sources, objective(indicator=VALUE, timeout="1s", scrape=state.scrape()), pods=pods)
        try:
            await check(one, other)
        finally:
            await one.aclose()
            await other.aclose()
        assert not sources._endpoints._known


async def test_objectives_of_one_service_share_a_scrape() -> None:
    async with app() as state:
        state.pages = {ONE: page(1, 2) + "x 7\n", TWO: "x 8\n"}

        async def check(one: Any, other: Any) -> None:
            told = await asyncio.gather(one.sample(), other.sample())
            assert told[1] == Gauge(15)
            assert await other.sample() == Gauge(15)
            assert len(state.requests) == 2
            other._max_age = -1.0
            assert await other.sample() == Gauge(15)
            assert len(state.requests) == 4

        await _pair(state, check)


async def test_who_cannot_wait_as_long_takes_what_there_is() -> None:
    async with app() as state:
        state.pages = {ONE: page(1, 2) + "x 7\n"}
        state.hang = {TWO}

        async def check(one: Any, other: Any) -> None:
            slow = asyncio.create_task(one.sample())
            assert await asyncio.wait_for(other.sample(), 2) == Gauge(7)
            assert not slow.done()
            slow.cancel()

        await _pair(state, check)


async def test_who_came_later_is_not_told_of_a_scrape_that_did_not_look_for_it() -> None:
    pods = Pods(pod(1))
    async with app() as state, factory() as sources:
        state.pages = {ONE: "x 7\ny 8\n"}
        one = prepared(sources, objective(indicator=VALUE, scrape=state.scrape()), pods=pods)
        assert await one.sample() == Gauge(7)
        indicator = {"value": {"series": {"metric": "y"}}}
        other = prepared(sources, objective(indicator=indicator, scrape=state.scrape()), pods=pods)
        assert await other.sample() == Gauge(8)
        await one.aclose()
        await other.aclose()


async def test_other_paths_tokens_and_targets_share_nothing() -> None:
    values = {("Secret", "s", "a"): b"a", ("Secret", "s", "b"): b"b"}
    async with app() as state, factory() as sources:
        state.pages = {ONE: "x 7\n"}
        made = [
            prepared(sources, objective(indicator=VALUE, scrape=state.scrape(**more)), values)
            for more in (
                {},
                {"path": "/other"},
                {"bearerToken": {"secretKeyRef": {"name": "s", "key": "a"}}},
                {"bearerToken": {"secretKeyRef": {"name": "s", "key": "b"}}},
            )
        ]
        for source in made:
            assert await source.sample() == Gauge(7)
            await source.aclose()
        assert len(state.requests) == 4
        assert b"GET /other " in state.requests[1][1]
        assert b"Authorization: Bearer b\r\n" in state.requests[3][1]


async def test_a_change_of_token_is_another_endpoint_for_new_sources() -> None:
    ref = {"bearerToken": {"secretKeyRef": {"name": "s", "key": "a"}}}
    async with app() as state, factory() as sources:
        state.pages = {ONE: "x 7\n"}
        for token in (b"old", b"new"):
            source = prepared(
                sources, objective(indicator=VALUE, scrape=state.scrape(**ref)), {("Secret", "s", "a"): token}
            )
            await source.sample()
            await source.aclose()
        assert b"Bearer new" in state.requests[-1][1]


async def test_over_tls(tmp_path: Path, authority: Authority) -> None:
    context = server_context(tmp_path, authority.sign("backend.test"))
    values = {("ConfigMap", "ca", "ca.crt"): authority.pem}
    ca = {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}
    async with app(ssl=context) as state:
        state.pages = {ONE: "x 7\n"}
        named = state.scrape(scheme="https", tls={"ca": ca, "serverName": "backend.test"})
        assert await sample(objective(indicator=VALUE, scrape=named), values) == Gauge(7)
        by_address = state.scrape(scheme="https", tls={"ca": ca})
        told = await sample(objective(indicator=VALUE, scrape=by_address), values)
        assert isinstance(told, Nothing)
        assert told.detail.endswith("the certificate is for another host")


@pytest.mark.parametrize(
    ("indicator", "scrape", "says"),
    [
        ({"value": {}}, {}, "names its series"),
        ({"value": {"series": {"query": "up"}}}, {}, "not query"),
        ({"value": {"series": {"metric": "x", "labels": {"a": "("}}}}, {}, "no RE2 pattern"),
        (VALUE, {"bearerToken": {"secretKeyRef": {"name": "s", "key": "none"}}}, "does not exist"),
        (VALUE, {"bearerToken": {"secretKeyRef": {"name": "s", "key": "lines"}}}, "holds no token"),
        (VALUE, {"tls": {"insecureSkipVerify": True}}, "https"),
        (VALUE, {"scheme": "https", "tls": {"minDaysToExpiry": 3}}, "minDaysToExpiry"),
    ],
)
async def test_what_cannot_be_sampled(indicator: dict[str, Any], scrape: dict[str, Any], says: str) -> None:
    async with factory() as sources:
        with pytest.raises(BadProbe, match=says):
            prepared(
                sources,
                objective(indicator=indicator, scrape={"port": 80, **scrape}),
                {("Secret", "s", "lines"): b"a\r\nX: b"},
            )
