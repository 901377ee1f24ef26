"""HTTP as servers speak it, well and badly."""

import asyncio

import pytest
from tests.unit.probes.servers import LOOPBACK, Peer, Server, answer, ask, named, ok, serving, spec

from lastgood.domain.outcome import ProbeReason, Verdict
from lastgood.domain.ports import BadProbe
from lastgood.probes.factory import Probes


async def get(server: Server, path: str = "/", **http: object) -> tuple[ProbeReason, str]:
    outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}{path}", **http})
    return outcome.reason, outcome.detail


async def test_a_good_answer_passes_and_is_timed() -> None:
    async with serving(answer(ok())) as server:
        outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}/"})
        await server.all_closed()
    assert (outcome.verdict, outcome.reason, outcome.detail) == (Verdict.PASS, ProbeReason.OK, "")
    assert 0 < outcome.seconds < 5


async def test_the_request_is_what_the_spec_says() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(ok())

    async with serving(script) as server:
        outcome = await ask(
            {("Secret", "backend", "token"): b"Bearer t0ken\n"},
            http={
                "url": f"http://127.0.0.1:{server.port}/a%20b/ä?q=1#part",
                "method": "POST",
                "body": "grüße",
                "headers": [
                    {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "backend", "key": "token"}}},
                    {"name": "X-Probe", "value": "yes"},
                    {"name": "user-agent", "value": "other"},
                ],
            },
        )
    assert outcome.reason is ProbeReason.OK
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"POST /a%20b/%C3%A4?q=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines
    assert b"Authorization: Bearer t0ken" in lines
    assert b"X-Probe: yes" in lines
    assert b"Content-Length: 7" in lines
    assert b"Connection: close" in lines
    assert [line for line in lines if line.lower().startswith(b"user-agent")] == [b"user-agent: other"]
    assert lines[-1] == "grüße".encode()


async def test_the_user_agent_names_the_operator() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(ok())

    async with serving(script) as server:
        await get(server)
    assert b"User-Agent: lastgood/" in seen[0]


@pytest.mark.parametrize(
    ("codes", "status", "good"),
    [
        (["2xx"], "204 No Content", True),
        (["2xx"], "300 Many", False),
        (["200-204", "404"], "404 Not Found", True),
        (["200-204", "404"], "205 Reset", False),
        (["503"], "503 Busy", True),
    ],
)
async def test_status_codes(codes: list[str], status: str, good: bool) -> None:
    async with serving(answer(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as server:
        reason, detail = await get(server, statusCodes=codes)
    if good:
        assert reason is ProbeReason.OK
    else:
        assert (reason, detail) == (
            ProbeReason.UNEXPECTED_STATUS,
            f"got {status[:3]}, expected {', '.join(codes)}",
        )


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", ProbeReason.PROTOCOL_ERROR, "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", ProbeReason.PROTOCOL_ERROR, "the answer is not HTTP/1.1"),
        (
            b"\x15\x03\x01\x00\x02\x02\x50",
            ProbeReason.PROTOCOL_ERROR,
            "the server speaks TLS on this port: write https",
        ),
        (
            b"HTTP/1.1 200 OK\r\nConte",
            ProbeReason.PROTOCOL_ERROR,
            "the connection was closed in the middle of the headers",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            ProbeReason.PROTOCOL_ERROR,
            "the connection was closed in the middle of the body",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            ProbeReason.PROTOCOL_ERROR,
            "the connection was closed in the middle of the body",
        ),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
            ProbeReason.PROTOCOL_ERROR,
            "the headers are larger than 64 KiB",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", ProbeReason.OK, ""),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", ProbeReason.OK, ""),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            ProbeReason.OK,
            "",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nand then garbage", ProbeReason.OK, ""),
    ],
)
async def test_answers_that_misbehave(data: bytes, reason: ProbeReason, detail: str) -> None:
    async with serving(answer(data)) as server:
        assert await get(server) == (reason, detail)
        await server.all_closed()


async def test_a_reset_is_no_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.abort()

    async with serving(script) as server:
        reason, _ = await get(server)
    assert reason in {ProbeReason.CONNECTION_FAILED, ProbeReason.PROTOCOL_ERROR}


async def test_a_body_without_end_is_read_up_to_its_limit() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async with serving(script) as server:
        assert await get(server) == (ProbeReason.OK, "")
        assert await get(server, bodyPattern="y") == (ProbeReason.ASSERTION_FAILED, 'body: does not match "y"')
        reason, detail = await get(server, json=[{"path": "$.a", "equals": "1"}])
        assert (reason, detail) == (ProbeReason.ASSERTION_FAILED, "json: the body is larger than 1 MiB")
        await server.all_closed()


async def test_framing_without_end_is_refused() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            await peer.send((b"X: " + b"y" * 1000 + b"\r\n") * 100)

    async with serving(script) as server:
        reason, detail = await get(server)
        await server.all_closed()
    assert (reason, detail) == (ProbeReason.PROTOCOL_ERROR, "the framing around the body goes on without end")


async def test_a_closed_port_is_refused() -> None:
    async with serving(answer(b"")) as server:
        port = server.port
    outcome = await ask(http={"url": f"http://127.0.0.1:{port}/"})
    assert (outcome.reason, outcome.detail) == (ProbeReason.CONNECTION_REFUSED, "the port is closed")


@pytest.mark.parametrize(
    ("first", "phase"),
    [
        (b"", "waiting for the answer"),
        (b"HTTP/1.1 200 OK\r\nX-Slow", "waiting for the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "reading the body"),
    ],
)
async def test_a_time_out_says_what_was_waited_for_and_leaves_nothing_open(first: bytes, phase: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        await peer.until_closed()

    async with serving(script) as server:
        outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}/"}, timeout="200ms")
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == (ProbeReason.TIMEOUT, f"time ran out while {phase}")
    assert 0.15 < outcome.seconds < 3


async def test_a_cancelled_run_leaves_nothing_open() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.until_closed()

    probes = Probes(LOOPBACK)
    before = asyncio.all_tasks()
    async with serving(script) as server:
        probe = probes.prepare(spec(http={"url": f"http://127.0.0.1:{server.port}/"}), {})
        run = asyncio.create_task(probe.run())
        await asyncio.wait_for(asked.wait(), 5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await server.all_closed()
    await probes.aclose()
    assert asyncio.all_tasks() <= before


async def test_a_head_request_waits_for_no_body() -> None:
    async with serving(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")) as server:
        assert await get(server, method="HEAD") == (ProbeReason.OK, "")


async def test_switching_protocols_is_an_answer() -> None:
    data = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00"
    async with serving(answer(data)) as server:
        assert await get(server, statusCodes=["101"]) == (ProbeReason.OK, "")


async def test_the_next_address_is_tried_when_one_cannot_be_reached() -> None:
    async with serving(answer(ok())) as server:
        # 127.0.0.2 has nothing on this port: it stands for a pod that is gone.
        probes = named({"backend": ["127.0.0.2", "127.0.0.1"]})
        outcome = await ask(probes=probes, http={"url": f"http://backend:{server.port}/"})
    assert outcome.reason is ProbeReason.OK


async def test_kept_connections_are_used_again_and_made_anew_when_closed() -> None:
    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(ok())

    async with serving(script) as server:
        probes = Probes(LOOPBACK)
        probe = probes.prepare(spec(connection="Keep", http={"url": f"http://127.0.0.1:{server.port}/"}), {})
        outcomes = [await probe.run() for _ in range(5)]
        connections = server.connections
        await probe.aclose()
        await server.all_closed()
        await probes.aclose()
    assert {outcome.reason for outcome in outcomes} == {ProbeReason.OK}
    assert connections == 3


async def test_a_kept_connection_with_leftovers_is_not_used_again() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(ok() + b"HTTP/1.1 500 Smuggled\r\n\r\n")
        await peer.until_closed()

    async with serving(script) as server:
        probes = Probes(LOOPBACK)
        probe = probes.prepare(spec(connection="Keep", http={"url": f"http://127.0.0.1:{server.port}/"}), {})
        outcomes = [await probe.run() for _ in range(3)]
        await probe.aclose()
        await server.all_closed()
        await probes.aclose()
    assert {outcome.reason for outcome in outcomes} == {ProbeReason.OK}


async def test_a_fresh_probe_connects_each_time() -> None:
    async with serving(answer(ok())) as server:
        probes = Probes(LOOPBACK)
        probe = probes.prepare(spec(http={"url": f"http://127.0.0.1:{server.port}/"}), {})
        for _ in range(3):
            assert (await probe.run()).reason is ProbeReason.OK
        await probes.aclose()
        assert server.connections == 3


@pytest.mark.parametrize(
    ("http", "words"),
    [
        ({"url": "http://"}, "absolute"),
        ({"url": "ftp://host/x"}, "absolute"),
        ({"url": "http://host:99999/"}, "absolute"),
        ({"url": "http://a b/"}, "absolute"),
        ({"url": "http://h/", "headers": [{"name": "A", "value": "b\r\nC: d"}]}, "line break"),
        ({"url": "http://h/", "headers": [{"name": "Content-Length", "value": "3"}]}, "leave it out"),
        ({"url": "http://h/", "json": [{"path": "status", "equals": "ok"}]}, "JSONPath"),
        ({"url": "http://h/", "json": [{"path": "$.a[", "exists": True}]}, "JSONPath"),
        ({"url": "http://h/", "json": [{"path": "$.a", "matches": "("}]}, "RE2"),
        ({"url": "http://h/", "json": [{"path": "$.a"}]}, "no test"),
        ({"url": "http://h/", "bodyPattern": "[a"}, "RE2"),
        ({"url": "http://h/", "statusCodes": ["299-200"]}, "low to high"),
        (
            {"url": "http://h/", "headers": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            'key "k" of Secret "s" does not exist',
        ),
    ],
)
def test_what_cannot_be_probed_is_refused_with_a_sentence(http: dict[str, object], words: str) -> None:
    with pytest.raises(BadProbe, match=words):
        Probes(LOOPBACK).prepare(spec(http=http), {})
