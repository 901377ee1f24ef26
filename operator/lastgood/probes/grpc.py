"""The standard gRPC health check, grpc.health.v1.Health/Check.

The gRPC client talks to a relay in this process, and the relay to the server. So the connection is made here as for
all probes: to the address that was checked, with our certificate rules (gRPC cannot leave a certificate unchecked, nor
tell why it refused one), and with our words for what went wrong.
"""

import asyncio
import contextlib
import secrets
from typing import Any

import grpc
from grpc import StatusCode, aio

from lastgood import __version__
from lastgood.api.probes import GrpcProbe as GrpcSpec
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Phase, Progress, TimedProbe
from lastgood.probes.dial import dial, first, peer_certificate
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import Expiry, TlsContexts
from lastgood.probes.values import Values

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = 1
_STATUSES = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
"""HealthCheckResponse.ServingStatus, without SERVING."""

_CODES = {
    StatusCode.UNIMPLEMENTED: (ProbeReason.NOT_SERVING, "the server has no health service (UNIMPLEMENTED)"),
    StatusCode.NOT_FOUND: (ProbeReason.NOT_SERVING, "the server knows no service of this name (NOT_FOUND)"),
    StatusCode.UNAVAILABLE: (ProbeReason.NOT_SERVING, "the server is not available (UNAVAILABLE)"),
    StatusCode.UNAUTHENTICATED: (ProbeReason.AUTHENTICATION_FAILED, "the server wants a login (UNAUTHENTICATED)"),
    StatusCode.PERMISSION_DENIED: (ProbeReason.AUTHENTICATION_FAILED, "the call is refused (PERMISSION_DENIED)"),
    StatusCode.DEADLINE_EXCEEDED: (ProbeReason.TIMEOUT, "the server gave up (DEADLINE_EXCEEDED)"),
}

_EARLY_LIMIT = 64 * 1024
"""Bytes that the server may send before the client listens: HTTP/2 settings, a few dozen most often."""


class GrpcProbe(TimedProbe):
    """Connects anew, and wants SERVING."""

    def __init__(
        self, spec: GrpcSpec, values: Values, *, timeout: float, resolver: Resolver, contexts: TlsContexts
    ) -> None:
        """Prepare. Raises BadProbe when the CA bundle cannot be used."""
        super().__init__(timeout=timeout, host=spec.host)
        self._port = spec.port
        self._request = _request(spec.service)
        self._resolver = resolver
        self._tls = contexts.target(spec.tls, values, host=spec.host, alpn="h2") if spec.tls is not None else None
        self._expiry = Expiry()
        name = self._tls.server_name if self._tls is not None else spec.host
        self._options = [
            ("grpc.default_authority", f"[{name}]:{spec.port}" if ":" in name else f"{name}:{spec.port}"),
            ("grpc.enable_http_proxy", 0),
            # The client knows nothing of the TLS beyond the relay, and some servers compare.
            ("grpc.http2_scheme", "http" if self._tls is None else "https"),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", 4096),
            ("grpc.primary_user_agent", f"lastgood/{__version__}"),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),
        ]

    async def ask(self, progress: Progress) -> None:
        """Connect, and call Check through a relay."""
        addresses = await self._resolver.addresses(self.host)
        far = await first(addresses, lambda ip: dial(_Far, ip, self._port, progress, tls=self._tls), progress)
        try:
            certificate = self._certificate(far)
            progress.phase = Phase.ANSWER
            await self._check(far)
        finally:
            far.transport.abort()
        if self._tls is not None and self._tls.min_days is not None:
            self._expiry.check(certificate, self._tls.min_days)

    def _certificate(self, far: "_Far") -> bytes | None:
        if self._tls is None:
            return None
        if far.transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            raise Failure(ProbeReason.TLS_FAILED, "the server does not offer HTTP/2")
        return peer_certificate(far.transport)

    async def _check(self, far: "_Far") -> None:
        # An abstract socket: no file to write, none to leave behind. One client, then it is gone.
        name = f"lastgood-{secrets.token_hex(16)}"
        near = _Near(far)
        # Listening begins below: cancelled while it waits for that, asyncio's own function leaves the socket open.
        listener = await asyncio.get_running_loop().create_unix_server(
            lambda: near, f"\0{name}", backlog=1, start_serving=False
        )
        channel = aio.insecure_channel(f"unix-abstract:{name}", options=self._options)
        try:
            await listener.start_serving()
            reply = await channel.unary_unary(_CHECK)(self._request)
        except aio.AioRpcError as error:
            raise _failed(error.code(), far) from None
        finally:
            listener.close()
            await channel.close()
            if near.transport is not None:
                near.transport.abort()
        _judge(reply)


class _Far(asyncio.Protocol):
    """The server's side of the relay."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.near: _Near | None = None
        self.early = b""
        """What came before the client was there; its beginning tells HTTP/1 from HTTP/2."""
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if len(self.early) < _EARLY_LIMIT:
            self.early += data
        elif self.near is None:
            self.transport.abort()
        if self.near is not None and self.near.transport is not None:
            self.near.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it ended changes nothing
        self.lost = True
        if self.near is not None and self.near.transport is not None:
            self.near.transport.close()


class _Near(asyncio.Protocol):
    """The client's side of the relay."""

    def __init__(self, far: _Far) -> None:
        self.transport: asyncio.Transport | None = None
        self._far = far

    def connection_made(self, transport: Any) -> None:
        if self.transport is not None:
            transport.abort()
            return
        self.transport = transport
        self._far.near = self
        if self._far.early:
            transport.write(self._far.early)
        if self._far.lost:
            transport.close()

    def data_received(self, data: bytes) -> None:
        with contextlib.suppress(RuntimeError):
            self._far.transport.write(data)


def _request(service: str) -> bytes:
    """Write a HealthCheckRequest: field 1, a text, left out when empty."""
    name = service.encode()
    if not name:
        return b""
    length, size = len(name), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return b"\x0a" + bytes(size) + name


def _judge(reply: bytes) -> None:
    """Read a HealthCheckResponse: field 1, an enumeration, left out when 0. Raises Failure unless it is SERVING."""
    if reply and (len(reply) < 2 or reply[0] != 0x08):
        raise Failure(ProbeReason.PROTOCOL_ERROR, "the answer is no HealthCheckResponse")
    status = reply[1] if reply else 0
    if status != _SERVING:
        raise Failure(ProbeReason.NOT_SERVING, f"the service answers {_STATUSES.get(status, 'another status')}")


def _failed(code: grpc.StatusCode, far: _Far) -> Failure:
    if far.early.startswith((b"HTTP/1", b"\x15\x03")):
        return Failure(ProbeReason.PROTOCOL_ERROR, "the server does not speak gRPC (HTTP/2) on this port")
    if code is StatusCode.UNAVAILABLE and far.lost:
        return Failure(ProbeReason.CONNECTION_FAILED, "the connection was closed without an answer")
    known = _CODES.get(code)
    return Failure(*known) if known else Failure(ProbeReason.PROTOCOL_ERROR, f"the call ended in {code.name}")
