"""Redis, the real one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.integration.probes.conftest import PASSWORD, Running
from tests.unit.probes.certs import Authority
from tests.unit.probes.servers import LOOPBACK, Peer, ask, named, serving, spec

from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.factory import Probes

pytestmark = pytest.mark.integration
URL = {"url": {"secretKeyRef": {"name": "cache", "key": "url"}}}


async def by_url(url: str, **names: list[str]) -> tuple[ProbeReason, str]:
    probes = named({key.replace("_", "."): value for key, value in names.items()}) if names else None
    outcome = await ask({("Secret", "cache", "url"): url.encode()}, probes=probes, redis=URL)
    assert PASSWORD not in repr(outcome)
    return outcome.reason, outcome.detail


async def test_without_a_password(open_redis: tuple[Running, int]) -> None:
    outcome = await ask(redis={"address": f"127.0.0.1:{open_redis[0].port}"})
    assert (outcome.reason, outcome.detail) == (ProbeReason.OK, "")


@pytest.mark.parametrize(
    ("user", "password", "wanted"),
    [
        ("", PASSWORD, (ProbeReason.OK, "")),
        ("probe", PASSWORD, (ProbeReason.OK, "")),
        ("", "wrong", (ProbeReason.AUTHENTICATION_FAILED, "AUTH was refused")),
        ("mute", PASSWORD, (ProbeReason.AUTHENTICATION_FAILED, "PING was refused")),
    ],
)
async def test_logging_in(redis: Running, user: str, password: str, wanted: tuple[ProbeReason, str]) -> None:
    assert await by_url(f"redis://{user}:{password}@127.0.0.1:{redis.port}") == wanted


async def test_a_password_that_is_missing_or_too_much(redis: Running, open_redis: tuple[Running, int]) -> None:
    outcome = await ask(redis={"address": f"127.0.0.1:{redis.port}"})
    assert (outcome.reason, outcome.detail) == (ProbeReason.AUTHENTICATION_FAILED, "PING was refused")
    assert (await by_url(f"redis://:wrong@127.0.0.1:{open_redis[0].port}"))[0] is ProbeReason.AUTHENTICATION_FAILED


async def test_databases(redis: Running) -> None:
    url = f"redis://probe:{PASSWORD}@127.0.0.1:{redis.port}"
    assert await by_url(f"{url}/3") == (ProbeReason.OK, "")
    assert await by_url(f"{url}/99") == (ProbeReason.QUERY_FAILED, "SELECT was answered by ERR")


async def test_over_tls(
    open_redis: tuple[Running, int], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tls = open_redis
    names: dict[str, Any] = {"cache_test": ["127.0.0.1"], "other_test": ["127.0.0.1"]}
    reason, detail = await by_url(f"rediss://cache.test:{tls}", **names)
    assert (reason, detail) == (ProbeReason.TLS_FAILED, "the certificate is signed by an unknown authority")
    assert await by_url(f"rediss://cache.test:{tls}?ssl_cert_reqs=none", **names) == (ProbeReason.OK, "")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert await by_url(f"rediss://cache.test:{tls}", **names) == (ProbeReason.OK, "")
    reason, detail = await by_url(f"rediss://other.test:{tls}", **names)
    assert (reason, detail) == (ProbeReason.TLS_FAILED, "the certificate is for another host")


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (
            b"-LOADING Redis is loading the dataset in memory\r\n",
            (ProbeReason.NOT_SERVING, "the server answers LOADING"),
        ),
        (b"-MASTERDOWN Link with MASTER is down\r\n", (ProbeReason.NOT_SERVING, "the server answers MASTERDOWN")),
        (
            b"-ERR max number of clients reached\r\n",
            (ProbeReason.NOT_SERVING, "the server has no room for another client"),
        ),
        (b"-DENIED Redis is running in protected mode\r\n", (ProbeReason.AUTHENTICATION_FAILED, "PING was refused")),
        (b"-MISCONF Redis is unable to persist\r\n", (ProbeReason.QUERY_FAILED, "PING was answered by MISCONF")),
        (b"$4\r\nPONG\r\n", (ProbeReason.PROTOCOL_ERROR, "the server does not speak Redis's protocol")),
        (b"HTTP/1.1 400 Bad Request\r\n", (ProbeReason.PROTOCOL_ERROR, "the server does not speak Redis's protocol")),
    ],
)
async def test_replies_that_are_hard_to_provoke(reply: bytes, wanted: tuple[ProbeReason, str]) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(reply)
        await peer.until_closed()

    async with serving(script) as server:
        outcome = await ask(redis={"address": f"127.0.0.1:{server.port}"})
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == wanted


async def test_a_full_server_does_not_refuse_the_password() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"-ERR max number of clients reached\r\n")

    async with serving(script) as server:
        told = await by_url(f"redis://:{PASSWORD}@127.0.0.1:{server.port}")
        await server.all_closed()
    assert told == (ProbeReason.NOT_SERVING, "the server has no room for another client")


async def test_time_out_and_cancellation() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        asked.set()
        await peer.until_closed()

    async with serving(script) as server:
        address = {"address": f"127.0.0.1:{server.port}"}
        outcome = await ask(redis=address, timeout="200ms")
        await server.all_closed()
        assert (outcome.reason, outcome.detail) == (ProbeReason.TIMEOUT, "time ran out while waiting for the answer")
        asked.clear()
        probes = Probes(LOOPBACK)
        run = asyncio.create_task(probes.prepare(spec(redis=address), {}).run())
        await asyncio.wait_for(asked.wait(), 5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await server.all_closed()
        await probes.aclose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host", "redis://"),
        ("unix:///var/run/redis.sock", "path"),
        ("redis://host?ssl_keyfile=/etc/passwd", "ssl_keyfile"),
        ("redis://host?socket_timeout=9", "socket_timeout"),
        ("redis://", "host and port"),
    ],
)
def test_urls_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(BadProbe, match=words):
        Probes(LOOPBACK).prepare(spec(redis=URL), {("Secret", "cache", "url"): url.encode()})


@pytest.mark.parametrize("address", ["host:0", "host:70000", "host:1e3"])
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(BadProbe, match="host and port"):
        Probes(LOOPBACK).prepare(spec(redis={"address": address}), {})
