"""The gRPC health check against the real server, and against what is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio
from tests.unit.probes.certs import Authority, server_context
from tests.unit.probes.servers import LOOPBACK, Peer, ask, named, ok, serving, spec

from lastgood.domain.outcome import ProbeReason
from lastgood.probes.factory import Probes
from lastgood.probes.grpc import _request

CA = {"ca": {"configMapKeyRef": {"name": "trust", "key": "ca.crt"}}}
NAMES = {"shop.test": ["127.0.0.1"]}


class Health(grpc.GenericRpcHandler):
    """Answers by the service's name; ``requests`` holds what came, as bytes."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.authorities: list[str] = []
        self.called = asyncio.Event()

    def service(self, details: Any) -> Any:
        if details.method != "/grpc.health.v1.Health/Check":
            return None
        return grpc.unary_unary_rpc_method_handler(self.check)

    async def check(self, request: bytes, context: Any) -> bytes:
        self.requests.append(request)
        self.called.set()
        name = request[2:].decode(errors="replace")
        if name == "slow":
            await asyncio.sleep(60)
        if name in {code.name for code in StatusCode}:
            await context.abort(StatusCode[name], "canary")
        return {"": b"\x08\x01", "down": b"\x08\x02", "unset": b"", "strange": b"\x08\x07", "no": b"\xff"}[name]


@asynccontextmanager
async def health(pem: bytes | None = None) -> AsyncIterator[tuple[int, Health]]:
    handler = Health()
    server = aio.server()
    server.add_generic_rpc_handlers((handler,))
    if pem is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        key = pem[pem.index(b"-----BEGIN PRIVATE KEY") :]
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, pem)]))
    await server.start()
    try:
        yield port, handler
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("service", "reason", "detail"),
    [
        ("", ProbeReason.OK, ""),
        ("down", ProbeReason.NOT_SERVING, "the service answers NOT_SERVING"),
        ("unset", ProbeReason.NOT_SERVING, "the service answers UNKNOWN"),
        ("strange", ProbeReason.NOT_SERVING, "the service answers another status"),
        ("no", ProbeReason.PROTOCOL_ERROR, "the answer is no HealthCheckResponse"),
        ("NOT_FOUND", ProbeReason.NOT_SERVING, "the server knows no service of this name (NOT_FOUND)"),
        ("UNAVAILABLE", ProbeReason.NOT_SERVING, "the server is not available (UNAVAILABLE)"),
        ("UNAUTHENTICATED", ProbeReason.AUTHENTICATION_FAILED, "the server wants a login (UNAUTHENTICATED)"),
        ("PERMISSION_DENIED", ProbeReason.AUTHENTICATION_FAILED, "the call is refused (PERMISSION_DENIED)"),
        ("INTERNAL", ProbeReason.PROTOCOL_ERROR, "the call ended in INTERNAL"),
    ],
)
async def test_what_the_service_answers(service: str, reason: ProbeReason, detail: str) -> None:
    async with health() as (port, handler):
        outcome = await ask(grpc={"host": "127.0.0.1", "port": port, "service": service})
    assert (outcome.reason, outcome.detail) == (reason, detail)
    assert handler.requests == [_request(service)]


async def test_a_server_without_a_health_service() -> None:
    server = aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    outcome = await ask(grpc={"host": "127.0.0.1", "port": port})
    await server.stop(None)
    assert (outcome.reason, outcome.detail) == (
        ProbeReason.NOT_SERVING,
        "the server has no health service (UNIMPLEMENTED)",
    )


def test_requests_are_written_as_protobuf_has_them() -> None:
    assert _request("") == b""
    assert _request("a.B") == b"\x0a\x03a.B"
    assert _request("x" * 200) == b"\x0a\xc8\x01" + b"x" * 200


async def test_over_tls(authority: Authority) -> None:
    values = {("ConfigMap", "trust", "ca.crt"): authority.pem}

    async def check(port: int, **tls: Any) -> tuple[ProbeReason, str]:
        outcome = await ask(values, probes=named(NAMES), grpc={"host": "shop.test", "port": port, "tls": tls})
        return outcome.reason, outcome.detail

    async with health(authority.sign("shop.test", days=10.5)) as (port, _):
        assert await check(port, **CA) == (ProbeReason.OK, "")
        assert await check(port) == (ProbeReason.TLS_FAILED, "the certificate is signed by an unknown authority")
        assert (await check(port, **CA, serverName="x.test"))[1] == "the certificate is for another host"
        assert (await check(port, **CA, minDaysToExpiry=30))[0] is ProbeReason.CERTIFICATE_EXPIRING
        assert (await check(port, **CA, minDaysToExpiry=5))[0] is ProbeReason.OK
    async with health(authority.sign("shop.test", days=-5)) as (port, _):
        assert (await check(port, **CA))[1] == "the certificate has expired"
        assert (await check(port, insecureSkipVerify=True)) == (ProbeReason.OK, "")


async def test_tls_without_http_2(authority: Authority, tls_dir: Path) -> None:
    context = server_context(tls_dir, authority.sign("shop.test"), alpn="http/1.1")
    async with serving(Peer.until_closed, tls=context) as server:
        tls = {"insecureSkipVerify": True}
        outcome = await ask(grpc={"host": "127.0.0.1", "port": server.port, "tls": tls})
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == (ProbeReason.TLS_FAILED, "the server does not offer HTTP/2")


async def test_what_is_no_grpc_server() -> None:
    async def http1(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(ok(b"", status="400 Bad Request"))

    async with serving(http1) as server:
        outcome = await ask(grpc={"host": "127.0.0.1", "port": server.port})
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == (
        ProbeReason.PROTOCOL_ERROR,
        "the server does not speak gRPC (HTTP/2) on this port",
    )

    async def hang_up(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serving(hang_up) as server:
        outcome = await ask(grpc={"host": "127.0.0.1", "port": server.port})
    assert outcome.reason in {ProbeReason.CONNECTION_FAILED, ProbeReason.PROTOCOL_ERROR}


async def test_a_closed_port() -> None:
    async with serving(Peer.until_closed) as server:
        port = server.port
    outcome = await ask(grpc={"host": "127.0.0.1", "port": port})
    assert outcome.reason is ProbeReason.CONNECTION_REFUSED


async def test_time_out_and_cancellation_leave_nothing_open() -> None:
    async with serving(Peer.until_closed) as server:
        outcome = await ask(grpc={"host": "127.0.0.1", "port": server.port}, timeout="300ms")
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == (ProbeReason.TIMEOUT, "time ran out while waiting for the answer")
    assert outcome.seconds < 3

    probes = Probes(LOOPBACK)
    async with health() as (port, handler):
        probe = probes.prepare(spec(grpc={"host": "127.0.0.1", "port": port, "service": "slow"}), {})
        run = asyncio.create_task(probe.run())
        await asyncio.wait_for(handler.called.wait(), 5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    await probes.aclose()


async def test_each_run_connects_anew() -> None:
    async with health() as (port, handler):
        probes = Probes(LOOPBACK)
        probe = probes.prepare(spec(grpc={"host": "127.0.0.1", "port": port}), {})
        for _ in range(3):
            assert (await probe.run()).reason is ProbeReason.OK
        await probes.aclose()
    assert len(handler.requests) == 3
