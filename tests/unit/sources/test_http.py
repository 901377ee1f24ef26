"""Numbers in JSON answers."""

from typing import Any

import pytest
from tests.unit.probes.servers import answer, ok, serving
from tests.unit.sources.making import objective, sample

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Gauge, Nothing, Silence
from lastgood.domain.ports import BadProbe


async def told(body: bytes, path: str = "$.n", *, status: str = "200 OK", indicator: str = "value", **more: Any) -> Any:
    async with serving(answer(ok(body, status=status))) as server:
        source = {"url": f"http://127.0.0.1:{server.port}/status", "path": path, **more}
        return await sample(objective(indicator={indicator: {}}, http=source))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("-0.25", -0.25),
        ("1e3", 1000),
        ('"97.5%"', 0.975),
        ('"97.5 %"', 0.975),
        ('" 12 "', 12),
        ('"-3"', -3),
        ('"+1.5e2"', 150),
        ('"250ms"', 0.25),
        ('"-5%"', -0.05),
        ('"2Gi"', 2 << 30),
        ('"0"', 0),
    ],
)
async def test_a_number(text: str, number: float) -> None:
    assert await told(f'{{"n": {text}}}'.encode()) == Gauge(pytest.approx(number))


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b'{"n": true}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": null}', "$.n", Silence.NO_DATA),
        (b'{"n": "c4n4ry"}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": "1_0"}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": "nan"}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": ""}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": "' + b"1" * 100 + b'"}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": 1e999}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": ' + b"1" * 400 + b"}", "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": ' + b"1" * 5000 + b"}", "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": NaN}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": [1]}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"n": {}}', "$.n", Silence.NOT_UNDERSTOOD),
        (b'{"m": 1}', "$.n", Silence.NO_DATA),
        (b"[1, 2]", "$[*]", Silence.NOT_UNDERSTOOD),
        (b"c4n4ry", "$.n", Silence.NOT_UNDERSTOOD),
        (b"", "$.n", Silence.NOT_UNDERSTOOD),
        (b"[" * 5000, "$.n", Silence.NOT_UNDERSTOOD),
        (b"[" + b"[1]," * 20_000 + b"1]", "$..[?@ == 2]", Silence.NOT_UNDERSTOOD),
        (b'{"n": "' + b"1" * (2 << 20) + b'"}', "$.n", Silence.NOT_UNDERSTOOD),
    ],
)
async def test_no_number(body: bytes, path: str, reason: Silence) -> None:
    nothing = await told(body, path)
    assert isinstance(nothing, Nothing)
    assert nothing.reason is reason
    assert "c4n4ry" not in nothing.detail


async def test_an_average_and_a_path_with_a_filter() -> None:
    body = b'{"queues": [{"name": "a", "depth": 3}, {"name": "b", "depth": 8}]}'
    assert await told(body, "$.queues[?@.name == 'b'].depth", indicator="average") == Gauge(8)


@pytest.mark.parametrize(
    ("body", "share"),
    [(b'{"n": 57, "all": 60}', 0.95), (b'{"n": 0, "all": 3}', 0), (b'{"n": "30s", "all": "2m"}', 0.25)],
)
async def test_a_share(body: bytes, share: float) -> None:
    assert await told(body, of="$.all") == Gauge(pytest.approx(share))
    assert await told(body, of="$.all", indicator="average") == Gauge(pytest.approx(share))


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        (b'{"n": 0, "all": 0}', Silence.NO_DATA, '"$.all" is 0'),
        (b'{"n": 1}', Silence.NO_DATA, '"$.all" selects nothing'),
        (b'{"all": 1}', Silence.NO_DATA, '"$.n" selects nothing'),
        (b'{"n": 1, "all": "many"}', Silence.NOT_UNDERSTOOD, '"$.all" is no number'),
        (b'{"n": 1e300, "all": 1e-300}', Silence.NOT_UNDERSTOOD, "is no share"),
    ],
)
async def test_no_share(body: bytes, reason: Silence, says: str) -> None:
    nothing = await told(body, of="$.all")
    assert isinstance(nothing, Nothing)
    assert nothing.reason is reason
    assert says in nothing.detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 x", Silence.DENIED),
        ("403 x", Silence.DENIED),
        ("404 x", Silence.NOT_UNDERSTOOD),
        ("500 x", Silence.SOURCE_DOWN),
        ("301 x", Silence.NOT_UNDERSTOOD),
    ],
)
async def test_a_status(status: str, reason: Silence) -> None:
    nothing = await told(b'{"n": 1}', status=status)
    assert isinstance(nothing, Nothing)
    assert nothing.reason is reason


async def test_headers_and_policy() -> None:
    seen: list[bytes] = []

    async def script(peer: Any) -> None:
        seen.append(await peer.request())
        await peer.send(ok(b"7"))

    async with serving(script) as server:
        headers = [{"name": "X-Key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
        source = {"url": f"http://127.0.0.1:{server.port}/a?b=c", "path": "$", "headers": headers}
        spec = objective(http=source)
        assert await sample(spec, {("Secret", "s", "k"): b"key"}) == Gauge(7)
        assert seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
        assert b"\r\nX-Key: key\r\n" in seen[0]
        denied = await sample(spec, {("Secret", "s", "k"): b"key"}, policy=AddressPolicy.of())
        assert isinstance(denied, Nothing)
        assert denied.reason is Silence.DENIED
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("more", "says"), [({"path": "n"}, "JSONPath"), ({"of": "n"}, "JSONPath"), ({"url": "http://"}, "no absolute")]
)
async def test_what_cannot_be_sampled(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadProbe, match=says):
        await sample(objective(http={"url": "http://x/", "path": "$.n", **more}))
