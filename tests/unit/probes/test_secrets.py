"""Nothing that a tenant or a server keeps to itself ever shows: not in an outcome, a log, or on the console."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.probes.certs import Authority, server_context
from tests.unit.probes.servers import LOOPBACK, Peer, answer, ask, named, ok, serving, spec

from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.factory import Probes

CANARY = "c4n4ry"
BODY = f'{{"status": "{CANARY}", "nested": {{"value": "{CANARY}"}}}}'.encode()

VALUES = {
    ("Secret", "s", "header"): f"Bearer {CANARY}".encode(),
    ("Secret", "s", "dsn"): f"postgresql://user:{CANARY}@127.0.0.1:1/{CANARY}".encode(),
    ("Secret", "s", "redis"): f"redis://{CANARY}:{CANARY}@127.0.0.1:1/0".encode(),
    ("Secret", "s", "broken-dsn"): f"postgresql://user:{CANARY}@[::1/{CANARY}".encode(),
    ("Secret", "s", "file-dsn"): f"postgresql://u:{CANARY}@h/d?sslcert=/{CANARY}&passfile=/{CANARY}".encode(),
    ("Secret", "s", "broken-redis"): f"redis://:{CANARY}@h:port{CANARY}/0".encode(),
    ("Secret", "s", "two-lines"): f"{CANARY}\r\nX: {CANARY}".encode(),
    ("Secret", "s", "binary"): b"\xff" + CANARY.encode(),
    ("Secret", "s", "ca"): f"-----BEGIN CERTIFICATE-----\n{CANARY}\n-----END CERTIFICATE-----".encode(),
}


def ref(key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": "s", "key": key}}


@pytest.fixture(autouse=True)
def nothing_shows(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """After each test: the log, at its most talkative, and both outputs are clean."""
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


def clean(outcome: Outcome, reason: ProbeReason) -> None:
    assert outcome.reason is reason
    assert CANARY not in repr(outcome)


def request(port: int, **more: Any) -> dict[str, Any]:
    return {
        "url": f"http://127.0.0.1:{port}/{CANARY}?token={CANARY}",
        "method": "POST",
        "body": CANARY,
        "headers": [{"name": "Authorization", "valueFrom": ref("header")}],
        **more,
    }


@pytest.mark.parametrize(
    ("data", "more", "reason"),
    [
        (ok(BODY, status=f"500 {CANARY}", headers=f"X: {CANARY}\r\n"), {}, ProbeReason.UNEXPECTED_STATUS),
        (ok(BODY), {"json": [{"path": "$.status", "equals": "ok"}]}, ProbeReason.ASSERTION_FAILED),
        (ok(BODY), {"json": [{"path": "$..value", "matches": "^ok$"}]}, ProbeReason.ASSERTION_FAILED),
        (ok(BODY), {"json": [{"path": "$.status", "exists": False}]}, ProbeReason.ASSERTION_FAILED),
        (ok(BODY[:-1]), {"json": [{"path": "$.status", "equals": "ok"}]}, ProbeReason.ASSERTION_FAILED),
        (ok(BODY), {"bodyPattern": "nothing"}, ProbeReason.ASSERTION_FAILED),
        (f"{CANARY}\r\n".encode(), {}, ProbeReason.PROTOCOL_ERROR),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {CANARY}\r\n\r\n".encode(), {}, ProbeReason.PROTOCOL_ERROR),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + BODY, {}, ProbeReason.PROTOCOL_ERROR),
        (
            ok(b"", status="302 x", headers=f"Location: {CANARY}://{CANARY}\r\n"),
            {"followRedirects": True},
            ProbeReason.PROTOCOL_ERROR,
        ),
        (
            ok(b"", status="302 x", headers=f"Location: http://{CANARY}.test/\r\n"),
            {"followRedirects": True},
            ProbeReason.DNS_NOT_FOUND,
        ),
        (
            ok(b"", status="302 x", headers=f"Location: http://169.254.1.1/{CANARY}\r\n"),
            {"followRedirects": True},
            ProbeReason.ADDRESS_DENIED,
        ),
        (
            ok(b"", status="307 x", headers=f"Location: /{CANARY}\r\n"),
            {"followRedirects": True},
            ProbeReason.TOO_MANY_REDIRECTS,
        ),
    ],
)
async def test_http_answers(data: bytes, more: dict[str, Any], reason: ProbeReason) -> None:
    async with serving(answer(data)) as server:
        clean(await ask(VALUES, probes=named({}), http=request(server.port, **more)), reason)


async def test_http_without_an_answer() -> None:
    async with serving(Peer.until_closed) as server:
        clean(await ask(VALUES, http=request(server.port), timeout="100ms"), ProbeReason.TIMEOUT)
        port = server.port
    clean(await ask(VALUES, http=request(port)), ProbeReason.CONNECTION_REFUSED)


async def test_https(tls_dir: Path) -> None:
    stranger = Authority.make(CANARY).sign(CANARY)
    async with serving(answer(ok()), tls=server_context(tls_dir, stranger)) as server:
        http = request(server.port)
        http["url"] = http["url"].replace("http:", "https:")
        clean(await ask(VALUES, http=http), ProbeReason.TLS_FAILED)


async def test_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("lastgood.probes.expect.Document", broken)
    async with serving(answer(ok(BODY))) as server:
        http = request(server.port, json=[{"path": "$.status", "equals": "ok"}])
        clean(await ask(VALUES, http=http), ProbeReason.PROBER_ERROR)


@pytest.mark.parametrize(
    ("kind", "reply", "reason"),
    [
        ({"postgres": {"dsn": ref("dsn")}}, None, ProbeReason.CONNECTION_REFUSED),
        ({"postgres": {"dsn": ref("dsn")}}, CANARY.encode() * 3, ProbeReason.PROTOCOL_ERROR),
        ({"redis": {"url": ref("redis")}}, None, ProbeReason.CONNECTION_REFUSED),
        ({"redis": {"url": ref("redis")}}, f"-WRONGPASS {CANARY}\r\n".encode(), ProbeReason.AUTHENTICATION_FAILED),
        ({"redis": {"url": ref("redis")}}, f"+OK\r\n-{CANARY} {CANARY}\r\n".encode(), ProbeReason.QUERY_FAILED),
        ({"redis": {"url": ref("redis")}}, f"{CANARY}\r\n".encode(), ProbeReason.PROTOCOL_ERROR),
        ({"redis": {"url": ref("redis")}}, CANARY.encode() * 9999, ProbeReason.PROTOCOL_ERROR),
        ({"redis": {"url": ref("redis")}}, b"", ProbeReason.PROTOCOL_ERROR),
    ],
)
async def test_databases(kind: dict[str, Any], reply: bytes | None, reason: ProbeReason) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(reply or b"")

    async with serving(script) as server:
        port = str(server.port if reply is not None else 1).encode()
        values = {key: value.replace(b":1/", b":" + port + b"/") for key, value in VALUES.items()}
        clean(await ask(values, **kind), reason)


@pytest.mark.parametrize(
    "kind",
    [
        {"postgres": {"dsn": ref("broken-dsn")}},
        {"postgres": {"dsn": ref("file-dsn")}},
        {"postgres": {"dsn": ref("binary")}},
        {"redis": {"url": ref("broken-redis")}},
        {"redis": {"url": ref("header")}},
        {"http": {"url": "http://h/", "headers": [{"name": "A", "valueFrom": ref("two-lines")}]}},
        {"http": {"url": "https://h/", "tls": {"ca": ref("ca")}}},
        {"grpc": {"host": "h", "port": 1, "tls": {"ca": ref("ca")}}},
    ],
)
def test_probes_that_cannot_be_made(kind: dict[str, Any]) -> None:
    with pytest.raises(BadProbe) as refused:
        Probes(LOOPBACK).prepare(spec(**kind), VALUES)
    assert CANARY not in str(refused.value)
    # Nor in what a logger would print of the exception.
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


async def test_a_loop_in_debug_mode_tells_no_more(recwarn: pytest.WarningsRecorder) -> None:
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    tell: Callable[..., None] = lambda _, context: told.append(context)  # noqa: E731
    loop.set_exception_handler(tell)
    loop.set_debug(True)
    async with serving(answer(ok(BODY, status="500 x"))) as server:
        clean(await ask(VALUES, http=request(server.port)), ProbeReason.UNEXPECTED_STATUS)
    loop.set_debug(False)
    assert not told
    assert not recwarn.list
