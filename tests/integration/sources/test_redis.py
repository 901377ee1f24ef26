"""Redis as a source of objectives, the real one."""

import asyncio
import signal
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from redis import Redis
from tests.integration.probes.conftest import PASSWORD, Running, accepts, binary, free_port, running
from tests.integration.sources.test_postgres import nothing, until
from tests.unit.probes.servers import LOOPBACK, Peer, serving
from tests.unit.sources.build import spec

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Gauge, Nothing, Points, Sample, Silence
from lastgood.domain.ports import BadProbe
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.sources.redis import prepare_redis

pytestmark = pytest.mark.integration
URL = {"url": {"secretKeyRef": {"name": "cache", "key": "url"}}}


async def sample(
    measure: str,
    url: str = "",
    *,
    address: str = "",
    policy: AddressPolicy = LOOPBACK,
    timeout: str = "5s",
    below: str = "1s",
) -> Sample:
    resolver = Resolver(policy)
    where: dict[str, Any] = {"address": address} if address else URL
    wish = spec({"redis": {**where, "measure": measure}}, timeout=timeout, below=below)
    values = {("Secret", "cache", "url"): url.encode()}
    source = prepare_redis(wish, values, resolver=resolver, contexts=TlsContexts())
    try:
        told = await source.sample()
    finally:
        await source.aclose()
        await resolver.aclose()
    assert PASSWORD not in repr(told)
    return told


def url(redis: Running, user: str = "", password: str = PASSWORD) -> str:
    return f"redis://{user}:{password}@127.0.0.1:{redis.port}"


def client(redis: Running) -> Redis:
    return Redis(host="127.0.0.1", port=redis.port, password=PASSWORD, decode_responses=True)


@pytest.mark.parametrize("user", ["", "watcher"])
async def test_memory(redis: Running, user: str) -> None:
    with client(redis) as connection:
        before = await sample("memory", url(redis, user))
        for number in range(24):
            connection.set(f"much-{number}", "x" * 500_000)
        try:
            told = await sample("memory", url(redis, user))
        finally:
            connection.flushall()
        assert isinstance(before, Gauge)
        assert isinstance(told, Gauge)
        assert before.value < 0.3
        assert 0.7 < told.value < 1


async def test_memory_without_a_limit(redis: Running) -> None:
    with client(redis) as connection:
        connection.config_set("maxmemory", "0")
        try:
            nothing(await sample("memory", url(redis)), Silence.NO_LIMIT, "maxmemory is 0")
        finally:
            connection.config_set("maxmemory", "16mb")


async def test_clients_until_there_is_no_room(redis: Running) -> None:
    with client(redis) as connection:
        await until(lambda: connection.info("clients")["connected_clients"] == 1)
        assert await sample("clients", url(redis, "watcher")) == Gauge(2 / 16)
        with ExitStack() as held:
            await until(lambda: connection.info("clients")["connected_clients"] == 1)
            for _ in range(15):
                held.enter_context(socket.create_connection(("127.0.0.1", redis.port)))
            await until(lambda: connection.info("clients")["connected_clients"] == 16)
            # The answer and the reset that follows it race each other: see that the answer wins.
            for _ in range(50):
                assert await sample("clients", url(redis)) == Gauge(1.0)
            nothing(await sample("memory", url(redis)), Silence.SOURCE_DOWN, "no room")
        await until(lambda: connection.info("clients")["connected_clients"] == 1)


async def test_latency(redis: Running) -> None:
    told = await sample("latency", url(redis, "watcher"))
    assert isinstance(told, Points)
    assert 0 < told.values[0] < 1


async def test_a_server_that_is_busy(redis: Running) -> None:
    with client(redis) as connection:
        for below, wanted in (("100ms", Points), ("2s", Nothing)):
            busy = asyncio.create_task(asyncio.to_thread(connection.execute_command, "DEBUG", "SLEEP", "1"))
            await asyncio.sleep(0.2)
            told = await sample("latency", url(redis), timeout="400ms", below=below)
            await busy
            assert isinstance(told, wanted), told
            if isinstance(told, Points):
                assert 0.1 < told.values[0] < 0.9


@pytest.mark.parametrize("measure", ["memory", "clients", "latency"])
async def test_who_may_not(redis: Running, measure: str) -> None:
    nothing(await sample(measure, url(redis, password="wr0ng")), Silence.DENIED, "AUTH was refused")
    nothing(await sample(measure, url(redis, "mute")), Silence.DENIED, "was refused")
    nothing(await sample(measure, address=f"127.0.0.1:{redis.port}"), Silence.DENIED, "was refused")
    nothing(await sample(measure, url(redis), policy=AddressPolicy.of()), Silence.DENIED, "loopback")


async def test_a_server_that_stops_in_the_middle(tmp_path: Any) -> None:
    port = free_port()
    command = [binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--enable-debug-command", "yes"], port, tmp_path, lambda: accepts(port)) as server:
        assert isinstance(await sample("latency", address=f"127.0.0.1:{port}"), Points)
        nothing(await sample("memory", address=f"127.0.0.1:{port}"), Silence.NO_LIMIT, "maxmemory is 0")
        server.process.send_signal(signal.SIGSTOP)
        run = asyncio.create_task(sample("memory", address=f"127.0.0.1:{port}"))
        await asyncio.sleep(0.2)
        server.process.kill()
        told = await run
        assert isinstance(told, Nothing)
        assert told.reason is Silence.SOURCE_DOWN, told
        await until(lambda: server.process.poll() is not None)
        nothing(await sample("memory", address=f"127.0.0.1:{port}"), Silence.SOURCE_DOWN, "the port is closed")


async def test_redis_before_7_tells_maxclients_in_its_configuration_only() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"clients\r\n")
        section = b"# Clients\r\nconnected_clients:5\r\nother:1\r\n"
        await peer.send(b"$%d\r\n%b\r\n" % (len(section), section))
        await peer.reader.readuntil(b"maxclients\r\n")
        await peer.send(b"*2\r\n$10\r\nmaxclients\r\n$2\r\n50\r\n")
        await peer.until_closed()

    async with serving(script) as server:
        assert await sample("clients", address=f"127.0.0.1:{server.port}") == Gauge(0.1)
        await server.all_closed()


@pytest.mark.parametrize(
    ("reply", "reason", "words"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", Silence.SOURCE_DOWN, "LOADING"),
        (b"HTTP/1.1 400 Bad Request\r\n", Silence.NOT_UNDERSTOOD, "does not speak"),
        (b"$-1\r\n", Silence.NOT_UNDERSTOOD, "INFO tells no"),
        (b"$99999999999\r\n", Silence.NOT_UNDERSTOOD, "does not speak"),
        (b"$100\r\nused_memory:1\r\n", Silence.SOURCE_DOWN, "closed without an answer"),
        (b"$21\r\nused_memory:x\r\nmax:1\r\n\r\n", Silence.NOT_UNDERSTOOD, "INFO tells no"),
        (b"", Silence.SOURCE_DOWN, "closed without an answer"),
    ],
)
async def test_replies_that_are_hard_to_provoke(reply: bytes, reason: Silence, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"memory\r\n")
        await peer.send(reply)

    async with serving(script) as server:
        nothing(await sample("memory", address=f"127.0.0.1:{server.port}"), reason, words)
        await server.all_closed()


def test_what_cannot_be_sampled() -> None:
    resolver, contexts = Resolver(LOOPBACK), TlsContexts()
    wish = spec({"redis": {**URL, "measure": "memory"}})
    for values, words in (({}, "does not exist"), ({("Secret", "cache", "url"): b"http://x"}, "redis://")):
        with pytest.raises(BadProbe, match=words):
            prepare_redis(wish, values, resolver=resolver, contexts=contexts)
    with pytest.raises(BadProbe, match="is missing"):
        prepare_redis(spec({"probe": {}}), {}, resolver=resolver, contexts=contexts)
