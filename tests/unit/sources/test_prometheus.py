"""A server with the API of Prometheus that answers as a test says."""

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.unit.probes.servers import Peer, Script, Server, Values, answer, ok, serving
from tests.unit.sources.making import objective, sample

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Counts, Gauge, Nothing, Sample, Silence
from lastgood.domain.ports import BadProbe

VALUE = {"value": {"series": {"query": "up"}}}
BAD = {"ratio": {"bad": {"query": "bad"}, "total": {"query": "total"}}}
GOOD = {"ratio": {"good": {"query": "bad"}, "total": {"query": "total"}}}


def success(kind: str, result: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def vector(*values: str, at: float = 0, **more: Any) -> dict[str, Any]:
    """A result whose times are seconds from now, until ``sent`` makes them absolute."""
    return success("vector", [{"metric": {"n": str(n)}, "value": [at, v]} for n, v in enumerate(values)], **more)


def sent(document: Any) -> bytes:
    def absolute(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: absolute(value) for key, value in part.items()}
        if isinstance(part, list) and len(part) == 2 and isinstance(part[0], int):
            return [time.time() + part[0], part[1]]
        return [absolute(value) for value in part] if isinstance(part, list) else part

    return json.dumps(absolute(document)).encode()


def error(kind: str) -> dict[str, Any]:
    return {"status": "error", "errorType": kind, "error": "c4n4ry"}


def api(answers: dict[str, dict[str, Any]], seen: list[tuple[bytes, dict[str, list[str]]]]) -> Script:
    """Answers by query."""

    async def script(peer: Peer) -> None:
        head, _, body = (await peer.request()).partition(b"\r\n\r\n")
        form = parse_qs(body.decode())
        seen.append((head, form))
        await peer.send(ok(sent(answers[form["query"][0]])))

    return script


async def ask(
    server: Server, indicator: dict[str, Any] = VALUE, values: Values | None = None, *, path: str = "", **more: Any
) -> Sample:
    source = {"url": f"http://127.0.0.1:{server.port}{path}", **more}
    return await sample(objective(indicator=indicator, prometheus=source), values)


async def told(document: dict[str, Any], *, status: str = "200 OK") -> Sample:
    async with serving(answer(ok(sent(document), status=status))) as server:
        return await ask(server)


NUMBERS: list[tuple[str, dict[str, Any], float]] = [
    ("one series", vector("1.5"), 1.5),
    ("several", vector("1.5", "2", "3e0"), 6.5),
    ("a scalar", success("scalar", [0, "4"]), 4),
    ("with infos", vector("1", infos=["PromQL info: metric might not be a counter"]), 1),
    ("with a warning about the query", vector("1", warnings=["PromQL warning: bucket label"]), 1),
    ("whole", vector("1", isPartial=False), 1),
    ("of a clock ahead of ours", vector("1", at=60), 1),
    ("of two intervals ago", vector("1", at=-20), 1),
]


@pytest.mark.parametrize(("document", "number"), [pytest.param(*rest, id=name) for name, *rest in NUMBERS])
async def test_a_number(document: dict[str, Any], number: float) -> None:
    assert await told(document) == Gauge(number)


NOTHING: list[tuple[str, dict[str, Any], str, Silence, str]] = [
    ("empty", vector(), "200 OK", Silence.NO_DATA, "or vector(0)"),
    ("NaN", vector("NaN"), "200 OK", Silence.NO_DATA, "finite"),
    ("infinite", vector("+Inf"), "200 OK", Silence.NO_DATA, "finite"),
    ("one of them NaN", vector("1", "NaN"), "200 OK", Silence.NO_DATA, "finite"),
    ("old", vector("1", at=-40), "200 OK", Silence.NO_DATA, "old"),
    ("a range", success("matrix", [{"values": [[1, "1"]]}]), "200 OK", Silence.NOT_UNDERSTOOD, "no number"),
    ("a text", success("string", [0, "c4n4ry"]), "200 OK", Silence.NOT_UNDERSTOOD, "no number"),
    ("a histogram", success("vector", [{"histogram": [1, {}]}]), "200 OK", Silence.NOT_UNDERSTOOD, "no number"),
    ("crooked", success("vector", [{"value": ["c4n4ry"]}]), "200 OK", Silence.NOT_UNDERSTOOD, "no number"),
    ("no result", {"status": "success", "data": {}}, "200 OK", Silence.NOT_UNDERSTOOD, "no number"),
    ("another API", {"hello": "c4n4ry"}, "200 OK", Silence.NOT_UNDERSTOOD, "none of the API"),
    ("partial", vector("1", isPartial=True), "200 OK", Silence.SOURCE_DOWN, "part of the data"),
    ("a store is away", vector("1", warnings=["c4n4ry"]), "200 OK", Silence.SOURCE_DOWN, "part of the data"),
    ("a bad query", error("bad_data"), "400 Bad Request", Silence.NOT_UNDERSTOOD, "bad_data"),
    ("a failing query", error("execution"), "422 x", Silence.NOT_UNDERSTOOD, "execution"),
    ("too slow", error("timeout"), "503 x", Silence.SOURCE_DOWN, "timeout"),
    ("broken", error("internal"), "500 x", Silence.SOURCE_DOWN, "internal"),
    ("an unknown kind", error("c4n4ry"), "400 x", Silence.NOT_UNDERSTOOD, "status 400"),
    ("an unknown kind with 200", error("c4n4ry"), "200 x", Silence.NOT_UNDERSTOOD, "none of the API"),
    ("unauthorized", error("bad_data"), "401 x", Silence.DENIED, "401"),
    ("forbidden", {}, "403 x", Silence.DENIED, "403"),
    ("too many", {}, "429 x", Silence.SOURCE_DOWN, "429"),
    ("away", {}, "503 x", Silence.SOURCE_DOWN, "503"),
    ("elsewhere", {}, "302 x", Silence.NOT_UNDERSTOOD, "302"),
]


@pytest.mark.parametrize(
    ("document", "status", "reason", "says"), [pytest.param(*rest, id=name) for name, *rest in NOTHING]
)
async def test_nothing(document: dict[str, Any], status: str, reason: Silence, says: str) -> None:
    silent = await told(document, status=status)
    assert isinstance(silent, Nothing)
    assert silent.reason is reason
    assert says in silent.detail
    assert "c4n4ry" not in silent.detail


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>c4n4ry", Silence.NOT_UNDERSTOOD),
        (b"[1]", Silence.NOT_UNDERSTOOD),
        (b"[" * 100_000, Silence.NOT_UNDERSTOOD),
        (b'{"a": "' + b"x" * (2 << 20) + b'"}', Silence.NOT_UNDERSTOOD),
        (b"", Silence.NOT_UNDERSTOOD),
    ],
)
async def test_no_json(body: bytes, reason: Silence) -> None:
    async with serving(answer(ok(body))) as server:
        silent = await ask(server)
        assert isinstance(silent, Nothing)
        assert silent.reason is reason


@pytest.mark.parametrize(
    ("indicator", "part", "total", "expected"),
    [
        (BAD, "0.5", "10", Counts(5, 100)),
        (GOOD, "9.5", "10", Counts(5, 100)),
        (BAD, "0", "0", Counts(0, 0)),
        (BAD, "11", "10", Counts(100, 100)),
        (GOOD, "11", "10", Counts(0, 100)),
        (BAD, "-1", "10", Counts(0, 100)),
    ],
)
async def test_a_ratio_of_rates_is_events_in_an_interval(
    indicator: dict[str, Any], part: str, total: str, expected: Counts
) -> None:
    async with serving(api({"bad": vector(part), "total": vector(total)}, [])) as server:
        assert await ask(server, indicator) == expected


async def test_codes_are_counted_where_the_query_for_all_keeps_their_label() -> None:
    now = time.time()
    rows = [({"code": "200"}, "9"), ({"code": "503", "pod": "a"}, "0.6"), ({"code": "503", "pod": "b"}, "0.4")]
    total = success("vector", [{"metric": labels, "value": [now, value]} for labels, value in rows])
    async with serving(api({"bad": vector("1"), "total": total}, [])) as server:
        told = await ask(server, BAD)
    assert isinstance(told, Counts)
    assert told.codes == pytest.approx({200: 90, 503: 10})


@pytest.mark.parametrize(("bad", "total", "which"), [((), ("1",), "bad"), (("1",), (), "total")])
async def test_a_ratio_of_which_one_is_missing(bad: tuple[str, ...], total: tuple[str, ...], which: str) -> None:
    async with serving(api({"bad": vector(*bad), "total": vector(*total)}, [])) as server:
        silent = await ask(server, BAD)
        assert isinstance(silent, Nothing)
        assert silent.detail.startswith(f"the query for {which} gave no series")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", b"/api/v1/query"),
        ("/", b"/api/v1/query"),
        ("/prometheus/", b"/prometheus/api/v1/query"),
        ("/a%20b", b"/a%20b/api/v1/query"),
        ("/select/0/prometheus?extra=1", b"/select/0/prometheus/api/v1/query?extra=1"),
    ],
)
async def test_where_it_asks(path: str, asked: bytes) -> None:
    seen: list[tuple[bytes, dict[str, list[str]]]] = []
    query = 'sum(rate(x{a="b&c=d+e"}[1m]))'
    async with serving(api({query: vector("1")}, seen)) as server:
        assert await ask(server, {"value": {"series": {"query": query}}}, path=path) == Gauge(1)
        ((head, form),) = seen
        assert head.startswith(b"POST " + asked + b" HTTP/1.1\r\n")
        assert b"Content-Type: application/x-www-form-urlencoded\r\n" in head + b"\r\n"
        assert form == {"query": [query], "timeout": ["5000ms"], "partial_response": ["false"]}


async def test_how_it_says_who_it_is() -> None:
    values = {("Secret", "s", "k"): "gehéim".encode(), ("Secret", "s", "t"): b"token\n"}
    password, token = ({"secretKeyRef": {"name": "s", "key": key}} for key in "kt")
    for more, header in (
        ({"bearerToken": token}, b"Authorization: Bearer token"),
        (
            {"basicAuth": {"username": "me", "password": password}},
            b"Authorization: Basic " + base64.b64encode("me:gehéim".encode()),
        ),
        ({"headers": [{"name": "X-Scope-OrgID", "value": "shop"}]}, b"X-Scope-OrgID: shop"),
        ({"headers": [{"name": "X-Api-Key", "valueFrom": token}]}, b"X-Api-Key: token"),
    ):
        seen: list[tuple[bytes, dict[str, list[str]]]] = []
        async with serving(api({"up": vector("1")}, seen)) as server:
            assert await ask(server, values=values, **more) == Gauge(1)
            assert header in seen[0][0].split(b"\r\n")


async def test_nobody_there_and_nobody_allowed() -> None:
    source = {"url": "http://127.0.0.1:1"}
    spec = objective(indicator=VALUE, prometheus=source)
    assert await sample(spec) == Nothing(Silence.SOURCE_DOWN, "the port is closed")
    denied = await sample(spec, policy=AddressPolicy.of())
    assert isinstance(denied, Nothing)
    assert denied.reason is Silence.DENIED


@pytest.mark.parametrize(
    ("indicator", "more", "says"),
    [
        ({"value": {}}, {}, "names its queries"),
        ({"value": {"series": {"metric": "x"}}}, {}, "names its queries"),
        ({"average": {}}, {}, "names its queries"),
        (VALUE, {"url": "ftp://x"}, "no absolute"),
        (VALUE, {"url": "http://x:99999"}, "no absolute"),
        (VALUE, {"bearerToken": {"secretKeyRef": {"name": "s", "key": "none"}}}, "does not exist"),
        (VALUE, {"tls": {"insecureSkipVerify": True}}, "https"),
        (VALUE, {"headers": [{"name": "X", "value": "a\nb"}]}, "line break"),
        (
            VALUE,
            {
                "bearerToken": {"secretKeyRef": {"name": "s", "key": "t"}},
                "headers": [{"name": "authorization", "value": "x"}],
            },
            "write one of them",
        ),
    ],
)
async def test_what_cannot_be_sampled(indicator: dict[str, Any], more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadProbe, match=says):
        await sample(
            objective(indicator=indicator, prometheus={"url": "http://x", **more}), {("Secret", "s", "t"): b"t"}
        )
