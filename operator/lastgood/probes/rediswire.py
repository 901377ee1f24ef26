"""Connections to Redis, and commands over them.

The commands go over a connection of ours, not the redis package's: it would look the name up again, or check the
certificate for the address in place of the name, and it sends more than a probe should. A few commands and their
replies need no client. Its URL parser is used, so that a URL means here what it means to applications.
"""

import asyncio
import re
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url

from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, HungUp, Phase, Progress, ServerFull
from lastgood.probes.dial import dial, first
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts, TlsTarget

_PORT = 6379
_REPLY_LIMIT = 64 * 1024
"""Bytes of one reply. A section of INFO has some 2,000."""
_ITEMS_LIMIT = 64
_KNOWN = frozenset({"host", "port", "db", "username", "password", "connection_class", "ssl_cert_reqs"})
_CODE = re.compile(r"[A-Z]{2,20}")
_REFUSED = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "DENIED"})
_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY"})

Command = tuple[str, ...]
Reply = bytes | list[bytes]


class _Reader(asyncio.StreamReader):
    """Gives what came before a reset, as the kernel does: a server that is full says so and hangs up at once."""

    lost = False

    def set_exception(self, exc: Exception) -> None:
        if isinstance(exc, ConnectionError):
            self.lost = True
            self.feed_eof()
        else:
            super().set_exception(exc)


class Talk:
    """One connection. The first commands carry the login before them, in one piece."""

    def __init__(self, reader: _Reader, writer: asyncio.StreamWriter, login: list[Command]) -> None:
        self._reader, self._writer, self._login = reader, writer, login

    async def ask(self, *commands: Command) -> list[Reply]:
        """Send everything at once, and read the replies in turn. Raises Failure for an error among them."""
        await self._send(*commands)
        return [await self._reply(command[0]) for command in commands]

    async def ping(self) -> None:
        """One round trip. Raises Failure for anything but PONG."""
        await self._send(("PING",))
        await self._status("PING", b"PONG")

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()

    async def _send(self, *commands: Command) -> None:
        login, self._login = self._login, []
        self._writer.write(b"".join(_encode(command) for command in (*login, *commands)))
        for command in login:
            await self._status(command[0], b"OK")

    async def _status(self, command: str, wanted: bytes) -> None:
        """Read the one line that a command has when all is well."""
        line = await self._line()
        if line.startswith(b"-"):
            raise _error(command, line[1:])
        if line != b"+" + wanted:
            raise _no_redis()

    async def _reply(self, command: str) -> Reply:
        line = await self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+" | b":":
                return rest
            case b"$":
                return await self._bulk(rest)
            case b"*":
                count = _number(rest, _ITEMS_LIMIT)
                return [await self._bulk((await self._line())[1:]) for _ in range(count)]
            case b"-":
                raise _error(command, rest)
            case _:
                raise _no_redis()

    async def _line(self) -> bytes:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError:
            raise self._cut() from None
        except asyncio.LimitOverrunError:
            raise _no_redis() from None
        return line[:-2]

    async def _bulk(self, length: bytes) -> bytes:
        if length == b"-1":
            return b""  # there is none, and nothing follows
        try:
            data = await self._reader.readexactly(_number(length, _REPLY_LIMIT) + 2)
        except asyncio.IncompleteReadError:
            raise self._cut() from None
        return data[:-2]

    def _cut(self) -> Failure:
        if self._reader.lost:
            return Failure(ProbeReason.CONNECTION_FAILED, "the connection was reset before an answer came")
        return HungUp(ProbeReason.PROTOCOL_ERROR, "the connection was closed without an answer")


class RedisServer:
    """One server, by address or URL."""

    def __init__(self, *, address: str | None, url: str | None, resolver: Resolver, contexts: TlsContexts) -> None:
        """Parse. Raises BadProbe when the address or URL cannot be used."""
        self._resolver = resolver
        self._tls: TlsTarget | None = None
        self._login: list[Command] = []
        if url is not None:
            parts = _parse(url)
            host, self._port = parts.get("host", ""), parts.get("port", _PORT)
            if parts.get("connection_class") is SSLConnection:
                skip = parts.get("ssl_cert_reqs") == "none"
                self._tls = TlsTarget(contexts.context(skip_verify=skip), host)
            login = tuple(parts[key] for key in ("username", "password") if parts.get(key))
            self._login += [("AUTH", *login)] if parts.get("password") else []
            self._login += [("SELECT", str(parts["db"]))] if parts.get("db") else []
        else:
            host, _, port = (address or "").rpartition(":")
            host, self._port = host.strip("[]"), int(port) if port.isascii() and port.isdigit() else 0
        if not host or not 0 < self._port < 65536:
            msg = 'no host and port to connect to: write them, such as "redis:6379" or "redis://redis:6379"'
            raise BadProbe(msg)
        self.host = host
        """What a cap per host counts by."""

    async def connect(self, progress: Progress) -> Talk:
        """Connect; the login goes with the first commands. The caller closes the talk. Raises Failure."""
        addresses = await self._resolver.addresses(self.host.lower())

        talks: list[Talk] = []

        def make() -> asyncio.StreamReaderProtocol:
            reader = _Reader(limit=_REPLY_LIMIT)
            return asyncio.StreamReaderProtocol(
                reader, lambda _, writer: talks.append(Talk(reader, writer, self._login))
            )

        await first(addresses, lambda ip: dial(make, ip, self._port, progress, tls=self._tls), progress)
        progress.phase = Phase.ANSWER
        return talks[-1]


def _error(command: str, rest: bytes) -> Failure:
    code = rest.split(b" ", 1)[0].decode("latin-1")
    if b"max number of clients" in rest:
        # In place of the answer to the first command, which may be AUTH.
        return ServerFull(ProbeReason.NOT_SERVING, "the server has no room for another client")
    if code in _REFUSED or (command == "AUTH" and code == "ERR"):
        # Servers before version 6 answer a wrong password with a plain ERR.
        return Failure(ProbeReason.AUTHENTICATION_FAILED, f"{command} was refused")
    if code in _NOT_NOW:
        return Failure(ProbeReason.NOT_SERVING, f"the server answers {code}")
    answer = code if _CODE.fullmatch(code) else "an error"
    return Failure(ProbeReason.QUERY_FAILED, f"{command} was answered by {answer}")


def _no_redis() -> Failure:
    return Failure(ProbeReason.PROTOCOL_ERROR, "the server does not speak Redis's protocol")


def _number(text: bytes, limit: int) -> int:
    if not text.isdigit() or len(text) > 9 or int(text) > limit:
        raise _no_redis()
    return int(text)


def _parse(url: str) -> dict[str, Any]:
    try:
        parts: dict[str, Any] = dict(parse_url(url))
    except (ValueError, TypeError):
        msg = 'the Secret holds no Redis URL: write one such as "redis://:password@redis:6379/0"'
        raise BadProbe(msg) from None
    unknown = set(parts) - _KNOWN
    if unknown:
        # Files of the operator's own pod, sockets, timers: nothing that a tenant's URL should choose.
        msg = f"the Redis URL sets {', '.join(sorted(unknown))}: leave that out"
        raise BadProbe(msg)
    return parts


def _encode(words: Command) -> bytes:
    """Write a command as Redis's protocol has it: an array of strings, each with its length in bytes."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)
