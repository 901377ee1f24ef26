"""Redirects: how far, where to, and what goes along."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.probes.servers import Peer, Script, ask, named, ok, serving

from lastgood.domain.outcome import ProbeReason

CREDENTIALS = {
    "headers": [
        {"name": "Authorization", "value": "Bearer canary-1"},
        {"name": "X-Token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "Cookie", "value": "canary-2"},
        {"name": "X-Plain", "value": "plain"},
        {"name": "Content-Type", "value": "text/plain"},
    ]
}
VALUES = {("Secret", "s", "k"): b"canary-3"}


def routes(table: Mapping[str, bytes], seen: list[bytes]) -> Script:
    async def script(peer: Peer) -> None:
        request = await peer.request()
        seen.append(request)
        await peer.send(table[request.split(b" ")[1].decode()])

    return script


def to(location: str, status: int = 302) -> bytes:
    return ok(b"", status=f"{status} Moved", headers=f"Location: {location}\r\n")


async def test_redirects_are_answers_unless_asked_to_follow() -> None:
    async with serving(routes({"/": to("/there")}, [])) as server:
        outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}/"})
    assert (outcome.reason, outcome.detail) == (ProbeReason.UNEXPECTED_STATUS, "got 302, expected 2xx")


async def test_relative_redirects_are_followed_with_everything() -> None:
    seen: list[bytes] = []
    table = {"/a/": to("../b?c=1", 307), "/b?c=1": ok(b'{"at": "b"}')}
    async with serving(routes(table, seen)) as server:
        outcome = await ask(
            VALUES,
            http={
                "url": f"http://127.0.0.1:{server.port}/a/",
                "method": "POST",
                "body": "canary-4",
                "followRedirects": True,
                "json": [{"path": "$.at", "equals": "b"}],
                **CREDENTIALS,
            },
        )
    assert outcome.reason is ProbeReason.OK
    assert seen[1].startswith(b"POST /b?c=1 ")
    assert seen[1].count(b"canary") == 4


@pytest.mark.parametrize(
    ("status", "method"), [(301, b"GET"), (302, b"GET"), (303, b"GET"), (307, b"POST"), (308, b"POST")]
)
async def test_credentials_and_body_stay_with_the_specs_own_host(status: int, method: bytes) -> None:
    here: list[bytes] = []
    there: list[bytes] = []
    async with serving(routes({"/": ok()}, there)) as other:
        location = f"http://user:secret@elsewhere:{other.port}/"
        async with serving(routes({"/": to(location, status)}, here)) as server:
            outcome = await ask(
                VALUES,
                probes=named({"backend": ["127.0.0.1"], "elsewhere": ["127.0.0.1"]}),
                http={
                    "url": f"http://backend:{server.port}/",
                    "method": "POST",
                    "body": "canary-4",
                    "followRedirects": True,
                    **CREDENTIALS,
                },
            )
    assert outcome.reason is ProbeReason.OK
    assert here[0].count(b"canary") == 4
    assert there[0].startswith(method + b" / ")
    assert b"canary" not in there[0]
    assert b"secret" not in there[0]
    assert b"Content-Type" not in there[0]
    assert b"X-Plain: plain" in there[0]
    assert f"Host: elsewhere:{other.port}".encode() in there[0]


async def test_another_port_is_another_host() -> None:
    there: list[bytes] = []
    async with (
        serving(routes({"/": ok()}, there)) as other,
        serving(routes({"/": to(f"http://127.0.0.1:{other.port}/")}, [])) as server,
    ):
        url = f"http://127.0.0.1:{server.port}/"
        outcome = await ask(VALUES, http={"url": url, "followRedirects": True, **CREDENTIALS})
    assert outcome.reason is ProbeReason.OK
    assert b"canary" not in there[0]


async def test_there_is_an_end_to_following() -> None:
    seen: list[bytes] = []
    async with serving(routes({"/": to("/")}, seen)) as server:
        outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}/", "followRedirects": True})
    assert (outcome.reason, outcome.detail) == (ProbeReason.TOO_MANY_REDIRECTS, "more than 5 redirects")
    assert len(seen) == 6


async def test_five_redirects_are_followed() -> None:
    table = {f"/{n}": to(f"/{n + 1}") for n in range(5)} | {"/5": ok()}
    async with serving(routes(table, [])) as server:
        outcome = await ask(http={"url": f"http://127.0.0.1:{server.port}/0", "followRedirects": True})
    assert outcome.reason is ProbeReason.OK


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", ProbeReason.ADDRESS_DENIED),
        ("http://[::ffff:169.254.169.254]/", ProbeReason.ADDRESS_DENIED),
        ("//metadata/", ProbeReason.ADDRESS_DENIED),
        ("http://0xa9.254.169.254/", ProbeReason.DNS_NOT_FOUND),
        ("http://nowhere/", ProbeReason.DNS_NOT_FOUND),
        ("file:///etc/passwd", ProbeReason.PROTOCOL_ERROR),
        ("gopher://backend/", ProbeReason.PROTOCOL_ERROR),
        ("http://backend:99999/", ProbeReason.PROTOCOL_ERROR),
    ],
)
async def test_each_hop_is_checked_anew(location: str, reason: ProbeReason) -> None:
    probes = named({"metadata": ["169.254.169.254"]})
    async with serving(routes({"/": to(location)}, [])) as server:
        url = f"http://127.0.0.1:{server.port}/"
        outcome = await ask(probes=probes, http={"url": url, "followRedirects": True})
    assert outcome.reason is reason


async def test_a_redirect_without_a_place_is_an_answer() -> None:
    async with serving(routes({"/": ok(b"", status="302 Found")}, [])) as server:
        http: dict[str, Any] = {"url": f"http://127.0.0.1:{server.port}/", "followRedirects": True}
        outcome = await ask(http={**http, "statusCodes": ["302"]})
    assert outcome.reason is ProbeReason.OK


def test_odd_notations_reach_the_system() -> None:
    # Why the check is on what comes out of the look-up: the system reads these as addresses.
    assert socket.getaddrinfo("0xa9.254.169.254", None)[0][4][0] == "169.254.169.254"
