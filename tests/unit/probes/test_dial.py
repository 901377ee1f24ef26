"""Connections that cannot be made, take too long, or go by IPv6; and that none is left behind."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from tests.unit.probes.certs import Authority, server_context
from tests.unit.probes.servers import LOOPBACK, Peer, answer, ask, named, ok, serving, spec

from lastgood.domain.outcome import ProbeReason
from lastgood.probes.factory import Probes
from lastgood.probes.resolver import Resolver


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that takes packets and says nothing: its queue is full, and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", ["tcp", "http", "https", "grpc", "redis"])
async def test_no_answer_to_a_connection(kind: str) -> None:
    with black_hole() as port:
        place: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        probe = {
            "tcp": {"tcp": place},
            "grpc": {"grpc": place},
            "http": {"http": {"url": f"http://127.0.0.1:{port}/"}},
            "https": {"http": {"url": f"https://127.0.0.1:{port}/"}},
            "redis": {"redis": {"address": f"127.0.0.1:{port}"}},
        }[kind]
        outcome = await ask(timeout="200ms", **probe)
    assert (outcome.reason, outcome.detail) == (ProbeReason.TIMEOUT, "time ran out while connecting")
    assert outcome.seconds < 3


async def test_a_black_hole_leaves_time_for_the_next_address() -> None:
    async with serving(answer(ok())) as server:
        with black_hole("127.0.0.2", server.port):
            probes = named({"backend": ["127.0.0.2", "127.0.0.1"]})
            outcome = await ask(probes=probes, timeout="2s", http={"url": f"http://backend:{server.port}/"})
    assert outcome.reason is ProbeReason.OK
    assert 0.9 < outcome.seconds < 2


@asynccontextmanager
async def serving6(tls: Any = None) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok())
        await writer.drain()
        writer.close()

    try:
        listener = await asyncio.start_server(talk, "::1", 0, ssl=tls)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def test_ipv6(tls_dir: Path, authority: Authority) -> None:
    async with serving6() as port:
        assert (await ask(http={"url": f"http://[::1]:{port}/"})).reason is ProbeReason.OK
        assert (await ask(tcp={"host": "::1", "port": port})).reason is ProbeReason.OK
    async with serving6(server_context(tls_dir, authority.sign("::1"))) as port:
        tls = {"ca": {"configMapKeyRef": {"name": "trust", "key": "ca"}}}
        outcome = await ask(
            {("ConfigMap", "trust", "ca"): authority.pem}, http={"url": f"https://[::1]:{port}/", "tls": tls}
        )
        assert (outcome.reason, outcome.detail) == (ProbeReason.OK, "")


async def test_a_kept_connection_does_not_outlive_its_address() -> None:
    addresses = ["127.0.0.1"]
    now = 0.0

    def lookup(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(ok())

    async with serving(script) as server:
        probes = Probes(LOOPBACK, resolver=Resolver(LOOPBACK, lookup=lookup, clock=lambda: now))
        probe = probes.prepare(spec(connection="Keep", http={"url": f"http://backend:{server.port}/"}), {})
        assert (await probe.run()).reason is ProbeReason.OK
        assert (await probe.run()).reason is ProbeReason.OK
        assert server.connections == 1
        addresses[:] = ["127.0.0.2"]
        now = 60.0
        assert (await probe.run()).reason is ProbeReason.CONNECTION_REFUSED
        await server.all_closed()
        await probes.aclose()


async def test_no_descriptor_and_no_task_is_left(tls_dir: Path, authority: Authority) -> None:
    """Passes, failures, time-outs and cancellations, many at once."""
    probes = named({"shop.test": ["127.0.0.1"]})
    context = server_context(tls_dir, authority.sign("other.test"))
    async with (
        serving(answer(ok())) as good,
        serving(Peer.until_closed) as silent,
        serving(answer(ok()), tls=context) as secure,
    ):
        kinds: list[dict[str, Any]] = [
            {"http": {"url": f"http://127.0.0.1:{good.port}/"}},
            {"http": {"url": f"http://127.0.0.1:{silent.port}/"}},
            {"http": {"url": f"https://127.0.0.1:{silent.port}/"}},
            {"http": {"url": f"https://shop.test:{secure.port}/"}},
            {"http": {"url": f"https://127.0.0.1:{secure.port}/", "tls": {"insecureSkipVerify": True}}},
            {"http": {"url": "http://127.0.0.1:1/"}},
            {"tcp": {"host": "127.0.0.1", "port": silent.port}},
            {"grpc": {"host": "127.0.0.1", "port": silent.port}},
            {"redis": {"address": f"127.0.0.1:{silent.port}"}},
            {"redis": {"address": f"127.0.0.1:{good.port}"}},
        ]
        ready = [probes.prepare(spec(timeout="300ms", **kind), {}) for kind in kinds]
        # Held, because gRPC opens a poller with its first channel and closes it some time after its last.
        ballast = aio.insecure_channel("unix-abstract:nowhere")
        # Once beforehand, for what else is opened on first use and kept.
        await asyncio.gather(*(probe.run() for probe in ready))
        for server in (good, silent, secure):
            await server.all_closed()
        tasks, before = asyncio.all_tasks(), descriptors()
        runs = [asyncio.create_task(probe.run()) for probe in ready * 10]
        for run in runs[::7]:
            asyncio.get_running_loop().call_later(0.05, run.cancel)
        await asyncio.gather(*runs, return_exceptions=True)
        for server in (good, silent, secure):
            await server.all_closed()
        async with asyncio.timeout(10):
            # Sockets and tasks of both sides end a few turns of the loop later.
            while descriptors() > before or asyncio.all_tasks() - tasks:
                await asyncio.sleep(0.1)
                # asyncio drops a connection that it has accepted when its listener (gRPC's relay) is closed by then.
                gc.collect()
        await ballast.close()
    await probes.aclose()
