"""A connection to Redis and PING.

The commands go over a connection of ours, not the redis package's: it would look the name up again, or check the
certificate for the address in place of the name, and it sends more than a probe should. Three commands and their
one-line replies need no client. Its URL parser is used, so that a URL means here what it means to applications.
"""

import asyncio
import re
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url

from lastgood.api.probes import RedisProbe as RedisSpec
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, Phase, Progress, TimedProbe
from lastgood.probes.dial import dial, first
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts, TlsTarget
from lastgood.probes.values import Values, secret_text

_PORT = 6379
_REPLY_LIMIT = 4096
_KNOWN = frozenset({"host", "port", "db", "username", "password", "connection_class", "ssl_cert_reqs"})
_CODE = re.compile(r"[A-Z]{2,20}")
_REFUSED = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "DENIED"})
_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "CLUSTERDOWN", "BUSY"})


class _Reader(asyncio.StreamReader):
    """Gives what came before a reset, as the kernel does: a server that is full says so and hangs up at once."""

    lost = False

    def set_exception(self, exc: Exception) -> None:
        if isinstance(exc, ConnectionError):
            self.lost = True
            self.feed_eof()
        else:
            super().set_exception(exc)


class RedisProbe(TimedProbe):
    """Connects anew, logs in where the URL says how, and wants PONG."""

    def __init__(
        self, spec: RedisSpec, values: Values, *, timeout: float, resolver: Resolver, contexts: TlsContexts
    ) -> None:
        """Prepare. Raises BadProbe when the address or URL cannot be used."""
        self._resolver = resolver
        self._tls: TlsTarget | None = None
        commands: list[tuple[str, ...]] = []
        if spec.url is not None:
            parts = _parse(secret_text(spec.url, values))
            host, self._port = parts.get("host", ""), parts.get("port", _PORT)
            if parts.get("connection_class") is SSLConnection:
                skip = parts.get("ssl_cert_reqs") == "none"
                self._tls = TlsTarget(contexts.context(skip_verify=skip), host)
            login = tuple(parts[key] for key in ("username", "password") if parts.get(key))
            commands += [("AUTH", *login)] if parts.get("password") else []
            commands += [("SELECT", str(parts["db"]))] if parts.get("db") else []
        else:
            host, _, port = (spec.address or "").rpartition(":")
            host, self._port = host.strip("[]"), int(port) if port.isascii() and port.isdigit() else 0
        if not host or not 0 < self._port < 65536:
            msg = 'no host and port to connect to: write them, such as "redis:6379" or "redis://redis:6379"'
            raise BadProbe(msg)
        super().__init__(timeout=timeout, host=host)
        commands.append(("PING",))
        self._names = [command[0] for command in commands]
        self._wire = b"".join(_encode(command) for command in commands)

    async def ask(self, progress: Progress) -> None:
        """Send everything at once, and read the replies in turn."""
        addresses = await self._resolver.addresses(self.host)

        def make() -> asyncio.StreamReaderProtocol:
            reader = _Reader(limit=_REPLY_LIMIT)
            return asyncio.StreamReaderProtocol(reader, lambda _, writer: conversation.append((reader, writer)))

        conversation: list[tuple[_Reader, asyncio.StreamWriter]] = []

        await first(addresses, lambda ip: dial(make, ip, self._port, progress, tls=self._tls), progress)
        reader, writer = conversation[-1]
        try:
            progress.phase = Phase.ANSWER
            writer.write(self._wire)
            for name in self._names:
                _check(name, await _line(reader))
        finally:
            writer.transport.abort()


def _check(command: str, reply: bytes) -> None:
    """Raise Failure unless a reply is the one that this command has when all is well."""
    if reply == (b"+PONG" if command == "PING" else b"+OK"):
        return
    if not reply.startswith(b"-"):
        raise Failure(ProbeReason.PROTOCOL_ERROR, "the server does not speak Redis's protocol")
    if b"max number of clients" in reply:
        # In place of the answer to the first command, which may be AUTH.
        raise Failure(ProbeReason.NOT_SERVING, "the server has no room for another client")
    code = reply[1:].split(b" ", 1)[0].decode("latin-1")
    if code in _REFUSED or (command == "AUTH" and code == "ERR"):
        # Servers before version 6 answer a wrong password with a plain ERR.
        raise Failure(ProbeReason.AUTHENTICATION_FAILED, f"{command} was refused")
    if code in _NOT_NOW:
        raise Failure(ProbeReason.NOT_SERVING, f"the server answers {code}")
    answer = code if _CODE.fullmatch(code) else "an error"
    raise Failure(ProbeReason.QUERY_FAILED, f"{command} was answered by {answer}")


async def _line(reader: _Reader) -> bytes:
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError:
        if reader.lost:
            raise Failure(ProbeReason.CONNECTION_FAILED, "the connection was reset before an answer came") from None
        raise Failure(ProbeReason.PROTOCOL_ERROR, "the connection was closed without an answer") from None
    except asyncio.LimitOverrunError:
        raise Failure(ProbeReason.PROTOCOL_ERROR, "the server does not speak Redis's protocol") from None
    return line[:-2]


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


def _encode(words: tuple[str, ...]) -> bytes:
    """Write a command as Redis's protocol has it: an array of strings, each with its length in bytes."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)
