"""A target in a process of its own: answers JSON, or accepts and never answers (`hang`), or fails (`fail`)."""

import asyncio
import sys

import uvloop

BODY = b'{"status":"ok","version":"v1.0.0"}'
HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"


class Answer(asyncio.Protocol):
    """One request a connection."""

    mode = "ok"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.mode == "hang":
            return
        status = b"503 Unavailable" if b"/fail" in data and Switch.broken else b"200 OK"
        self.transport.write(HEAD % (status, len(BODY)) + BODY)  # type: ignore[attr-defined]
        self.transport.close()


class Hang(Answer):
    mode = "hang"


class Switch(asyncio.Protocol):
    """Anything sent here breaks /fail from now on."""

    broken = False

    def data_received(self, data: bytes) -> None:
        Switch.broken = True


async def main() -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for protocol in (Answer, Hang, Switch):
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(" ".join(map(str, ports)) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


uvloop.run(main())
