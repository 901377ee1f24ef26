"""Servers on loopback that answer as a test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import Outcome
from lastgood.probes.factory import Probes
from lastgood.probes.resolver import Resolver

LOOPBACK = AddressPolicy.of(allow_loopback=True)
Values = Mapping[tuple[str, str, str], bytes]
Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One connection as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """Head and body of one request."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.reader.readexactly(int(line.split(b":")[1]))
        return head

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Wait until the client has hung up: proof that no socket was leaked."""
        while await self.reader.read(65536):
            pass


@dataclass
class Server:
    port: int
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[BaseException] = field(default_factory=list)

    async def all_closed(self) -> None:
        """Wait until the clients have let go of every connection."""
        await asyncio.wait_for(self.idle.wait(), 10)


@asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run ``script`` on each connection; closes it afterwards."""
    state = Server(0)
    state.idle.set()
    tasks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        state.open += 1
        state.idle.clear()
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(Peer(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            tasks.discard(task)
            writer.close()
            state.open -= 1
            if not state.open:
                state.idle.set()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    state.port = listener.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)


def answer(data: bytes) -> Script:
    """Answer every connection's request with these bytes, and hang up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)

    return script


def ok(body: bytes = b"fine", *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def spec(*, timeout: str = "5s", connection: str = "Fresh", **kind: Any) -> ProbeSpec:
    """A probe of one kind: ``spec(http={"url": …})``."""
    return ProbeSpec.model_validate(
        {"name": "probe", "interval": "10m", "timeout": timeout, "connection": connection, **kind}
    )


def named(names: Mapping[str, list[str]], *, policy: AddressPolicy = LOOPBACK) -> Probes:
    """A factory in which these names lead to these addresses, and no other name exists."""
    import socket

    def lookup(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in names[host]]

    return Probes(policy, resolver=Resolver(policy, lookup=lookup))


async def ask(
    values: Values | None = None, *, probes: Probes | None = None, timeout: str = "5s", **kind: Any
) -> Outcome:
    """Make a probe, run it once, and let go of it."""
    factory = probes or Probes(LOOPBACK)
    probe = factory.prepare(spec(timeout=timeout, **kind), values or {})
    try:
        return await probe.run()
    finally:
        await probe.aclose()
        await factory.aclose()
