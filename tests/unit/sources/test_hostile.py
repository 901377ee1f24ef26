"""Endpoints that mean harm: whatever they do, a sample ends in time, in bounds, and tells nothing of what came."""

import asyncio
import gzip
import logging
import resource
import time
import zlib
from typing import Any

import pytest
from tests.unit.probes.servers import Peer, Script, answer, ok, serving
from tests.unit.sources.making import objective, sample

from lastgood.domain.measure import Gauge, Nothing, Silence
from lastgood.domain.ports import BadProbe

CANARY = "c4n4ry"
SECRET = {("Secret", "s", "k"): CANARY.encode()}
REF = {"secretKeyRef": {"name": "s", "key": "k"}}


def kinds(port: int, timeout: str = "5s") -> list[tuple[str, Any]]:
    url = f"http://127.0.0.1:{port}"
    header = [{"name": "X-Key", "valueFrom": REF}]
    return [
        (
            "scrape",
            objective(
                timeout=timeout,
                indicator={"value": {"series": {"metric": "x"}}},
                scrape={"port": port, "path": f"/{CANARY}", "bearerToken": REF},
            ),
        ),
        (
            "prometheus",
            objective(
                timeout=timeout,
                indicator={"value": {"series": {"query": CANARY}}},
                prometheus={"url": f"{url}/{CANARY}", "basicAuth": {"username": CANARY, "password": REF}},
            ),
        ),
        (
            "http",
            objective(timeout=timeout, http={"url": f"{url}/{CANARY}?{CANARY}", "path": "$.n", "headers": header}),
        ),
    ]


@pytest.fixture(params=[0, 1, 2], ids=["scrape", "prometheus", "http"])
def which(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(autouse=True)
def nothing_shows(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


async def silent(script: Script, which: int, reason: Silence, *, timeout: str = "5s") -> Nothing:
    async with serving(script) as server:
        told = await sample(kinds(server.port, timeout)[which][1], SECRET)
        assert isinstance(told, Nothing)
        assert told.reason is reason, told
        assert CANARY not in repr(told)
        await server.all_closed()
        return told


async def test_a_slow_drip(which: int) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.02)

    started = time.monotonic()
    await silent(drip, which, Silence.TIMEOUT, timeout="300ms")
    assert time.monotonic() - started < 3


async def test_headers_without_end(which: int) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(f"X-{CANARY}: {CANARY * 100}\r\n".encode())

    await silent(endless, which, Silence.NOT_UNDERSTOOD)


async def test_a_body_without_end(which: int) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            await peer.send(f"{CANARY} 1\n".encode() * 10_000)

    told = await silent(endless, which, Silence.NOT_UNDERSTOOD)
    assert "MiB" in told.detail


async def test_one_line_without_end(which: int) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx{a="')
        while True:
            await peer.send(CANARY.encode() * 10_000)

    await silent(endless, which, Silence.NOT_UNDERSTOOD)


async def test_a_gzip_bomb(which: int) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(b"x" * (1 << 20)) for _ in range(512)), packer.flush()])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = await silent(answer(ok(bomb, headers="Content-Encoding: gzip\r\n")), which, Silence.NOT_UNDERSTOOD)
    assert "MiB" in told.detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


async def test_gzip_without_anything(which: int) -> None:
    empty = b"\x00\x00\x00\xff\xff" * 100_000
    packed = gzip.compress(b"")[:10] + empty
    await silent(answer(ok(packed, headers="Content-Encoding: gzip\r\n")), which, Silence.NOT_UNDERSTOOD)


async def test_a_body_in_pieces_of_one_byte(which: int) -> None:
    async def crumbs(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"1\r\n#\r\n" * 10_000)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with serving(crumbs) as server:
        told = await sample(kinds(server.port, "2s")[which][1], SECRET)
        assert isinstance(told, Nothing)
        assert told.reason in {Silence.TIMEOUT, Silence.NOT_UNDERSTOOD}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


async def test_a_redirect_is_not_followed(which: int) -> None:
    head = "Location: http://169.254.169.254/latest/meta-data\r\n"
    for status in ("301", "302", "303", "307", "308"):
        told = await silent(answer(ok(b"", status=f"{status} x", headers=head)), which, Silence.NOT_UNDERSTOOD)
        assert "169" not in told.detail


@pytest.mark.parametrize(
    "data",
    [
        f"HTTP/1.1 500 {CANARY}\r\nX: {CANARY}\r\nContent-Length: 6\r\n\r\n{CANARY}".encode(),
        ok(f'{CANARY}{{a="{CANARY}'.encode()),
        ok(f'x{{a="{CANARY}"}} {CANARY}\n'.encode()),
        ok(f'{{"n": "{CANARY}", "status": "{CANARY}", "errorType": "{CANARY}", "error": "{CANARY}"}}'.encode()),
        ok(CANARY.encode(), headers=f"Content-Encoding: {CANARY}\r\n"),
        ok(CANARY.encode(), headers=f"Content-Type: {CANARY}\r\n"),
        f"{CANARY}\r\n".encode(),
    ],
)
async def test_nothing_of_an_answer_shows(data: bytes, which: int) -> None:
    async with serving(answer(data)) as server:
        told = await sample(kinds(server.port)[which][1], SECRET)
        assert isinstance(told, Nothing)
        assert CANARY not in repr(told)


@pytest.mark.parametrize(
    "value", [f"{CANARY}\r\nX: {CANARY}".encode(), b"\xff" + CANARY.encode(), f"{CANARY} {CANARY}\x00".encode()]
)
async def test_nothing_of_a_secret_shows(value: bytes, which: int) -> None:
    spec, values = kinds(1)[which][1], {("Secret", "s", "k"): value}
    if which == 1 and b"\xff" not in value:
        # A password may be anything: it is sent in base64.
        assert CANARY not in repr(await sample(spec, values))
        return
    with pytest.raises(BadProbe) as refused:
        await sample(spec, values)
    assert CANARY not in str(refused.value)


async def test_the_loop_goes_on_while_a_large_answer_is_read() -> None:
    """16 MiB of series that nobody wants, packed: no other task waits long."""
    lines = b"".join(b'other{path="/api/v1/items/%d",code="200"} %d\n' % (n, n) for n in range(300_000))
    body = gzip.compress(lines[: 15 << 20].rpartition(b"\n")[0] + b"\nx 7\n", 1)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    async with serving(answer(ok(body, headers="Content-Encoding: gzip\r\n"))) as server:
        task = asyncio.create_task(watch())
        assert await sample(kinds(server.port, "30s")[0][1], SECRET) == Gauge(7)
        task.cancel()
    print(f"longest wait {longest * 1000:.0f} ms")
    assert longest < 0.5
