"""A target in a process of its own: answers JSON, or accepts and never answers (`hang`), or fails (`fail`)."""

import asyncio
import socket
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
        _, fails, number = data.partition(b" ")[2].partition(b" ")[0].partition(b"/fail/")
        status = b"503 Unavailable" if fails and Switch.healed <= int(number) < Switch.broken else b"200 OK"
        self.transport.write(HEAD % (status, len(BODY)) + BODY)  # type: ignore[attr-defined]
        self.transport.close()


class Hang(Answer):
    mode = "hang"


class Switch(asyncio.Protocol):
    """Each x sent here breaks one more of /fail/0, /fail/1, …, each h heals one in the same order."""

    broken = healed = 0

    def data_received(self, data: bytes) -> None:
        Switch.broken += data.count(b"x")
        Switch.healed += data.count(b"h")


async def main() -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for protocol in (Answer, Hang, Switch):
        # At every loopback address, and on no other interface.
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listener.bind(("0.0.0.0", 0))
        await loop.create_server(protocol, sock=listener, backlog=4096)
        ports.append(listener.getsockname()[1])
    sys.stdout.write(" ".join(map(str, ports)) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


uvloop.run(main())
