"""Connections to checked addresses."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Phase, Progress, as_failure
from lastgood.probes.tls import TlsTarget, tls_failure

P = TypeVar("P", bound=asyncio.BaseProtocol)
T = TypeVar("T")
A = TypeVar("A")

_TRIES = 4
"""Addresses of one name that are tried. A headless Service may list hundreds."""

_GOODBYE = 1.0
"""Seconds that a closed TLS connection stays open for the server's own goodbye, behind the probe's back."""

_NEXT = frozenset(
    {
        ProbeReason.CONNECTION_REFUSED,
        ProbeReason.CONNECTION_FAILED,
        ProbeReason.NOT_SERVING,
        ProbeReason.TIMEOUT,
    }
)
"""Reasons for which the next place is tried: a password that is wrong here is wrong there."""


def first(places: Sequence[A], connect: Callable[[A], Awaitable[T]], progress: Progress) -> Awaitable[T]:
    """Return what ``connect`` makes of the first place (an address, most often) that can be reached.

    With several each has its share of the time, so that one black hole (IPv6 without a route, most
    often) leaves some for the others. Raises the last Failure.
    """
    progress.phase = Phase.CONNECT
    # No coroutine of our own where there is nothing to choose: this is most of all probes.
    return connect(places[0]) if len(places) == 1 else _one_of(places, connect, progress)


async def _one_of(places: Sequence[A], connect: Callable[[A], Awaitable[T]], progress: Progress) -> T:
    tried = places[:_TRIES]
    last: Failure | None = None
    for place in tried:
        progress.phase = Phase.CONNECT
        share = asyncio.timeout(progress.seconds / len(tried))
        try:
            async with share:
                return await connect(place)
        except Failure as failure:
            if failure.reason not in _NEXT:
                raise
            last = failure
        except TimeoutError:
            last = progress.timed_out()
    raise last or Failure(ProbeReason.DNS_NOT_FOUND, "the name has no address")


async def dial(
    make: Callable[[], P], address: str, port: int, progress: Progress, *, tls: TlsTarget | None = None
) -> P:
    """Connect to one address and return the protocol.

    Raises Failure; a run that is cancelled leaves no socket behind.
    """
    try:
        if tls is None:
            _, protocol = await progress.loop.create_connection(make, address, port)
            return protocol
        return await _dial_tls(make, address, port, progress, tls)
    except ssl.SSLError as error:
        raise tls_failure(error) from None
    except OSError as error:
        if progress.phase == Phase.TLS:
            raise Failure(ProbeReason.TLS_FAILED, "the connection was closed in the TLS handshake") from None
        raise as_failure(error) from None


async def _dial_tls(make: Callable[[], P], address: str, port: int, progress: Progress, tls: TlsTarget) -> P:
    loop = progress.loop
    # Connected apart from the handshake, so that a time-out can say which of the two it was.
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    progress.phase = Phase.TLS
    try:
        _, protocol = await loop.create_connection(
            make,
            sock=sock,
            ssl=tls.context,
            server_hostname=tls.server_name,
            ssl_handshake_timeout=progress.seconds,
            ssl_shutdown_timeout=_GOODBYE,
        )
    except BaseException:
        # The transport's by now, so not closed: the next socket would have its number, and lose its reader to the
        # transport's end. Nor left alone: one that has not begun its handshake takes no notice of being closed.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        raise
    return protocol


def peer_certificate(transport: asyncio.BaseTransport) -> bytes | None:
    """Return the server's certificate in DER, verified or not."""
    connection = transport.get_extra_info("ssl_object")
    return cast(bytes | None, connection.getpeercert(binary_form=True)) if connection is not None else None


class Silent(asyncio.Protocol):
    """Says nothing and listens to nothing."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        """Keep the transport: closing it is the caller's."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - ignored, and meant to be
        """Ignore a greeting, but do not let one without end fill the memory."""
        with contextlib.suppress(RuntimeError):
            self.transport.pause_reading()
