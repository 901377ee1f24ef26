"""TCP: a connection that is accepted, refused, or denied."""

import errno
from typing import Any

import pytest
from tests.unit.probes.servers import Peer, ask, named, serving

from lastgood.domain.outcome import ProbeReason, Verdict
from lastgood.probes.base import as_failure, system_failure


async def test_an_accepted_connection_passes_and_is_let_go() -> None:
    async with serving(Peer.until_closed) as server:
        outcome = await ask(tcp={"host": "127.0.0.1", "port": server.port})
        await server.all_closed()
    assert outcome.reason is ProbeReason.OK


async def test_a_greeting_is_let_be() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"220 smtp.test ESMTP\r\n" * 1000)
        await peer.until_closed()

    async with serving(script) as server:
        assert (await ask(tcp={"host": "127.0.0.1", "port": server.port})).reason is ProbeReason.OK


async def test_a_closed_port_and_the_next_address() -> None:
    async with serving(Peer.until_closed) as server:
        port = server.port
        outcome = await ask(probes=named({"db": ["127.0.0.2", "127.0.0.1"]}), tcp={"host": "db", "port": port})
        assert outcome.reason is ProbeReason.OK
    outcome = await ask(probes=named({"db": ["127.0.0.2", "127.0.0.1"]}), tcp={"host": "db", "port": port})
    assert outcome.reason is ProbeReason.CONNECTION_REFUSED


async def test_a_name_that_does_not_exist() -> None:
    outcome = await ask(probes=named({}), tcp={"host": "db", "port": 5432})
    assert (outcome.reason, outcome.detail) == (ProbeReason.DNS_NOT_FOUND, "the name does not exist")


@pytest.mark.parametrize(
    ("number", "reason", "verdict"),
    [
        (errno.ECONNREFUSED, ProbeReason.CONNECTION_REFUSED, Verdict.FAIL),
        (errno.EHOSTUNREACH, ProbeReason.CONNECTION_FAILED, Verdict.FAIL),
        (errno.ENETUNREACH, ProbeReason.CONNECTION_FAILED, Verdict.FAIL),
        (errno.EMFILE, ProbeReason.PROBER_ERROR, Verdict.UNKNOWN),
        (errno.EADDRNOTAVAIL, ProbeReason.PROBER_ERROR, Verdict.UNKNOWN),
    ],
)
def test_the_operators_own_limits_are_not_the_services_fault(
    number: int, reason: ProbeReason, verdict: Verdict
) -> None:
    assert system_failure(number).reason is reason
    assert as_failure(OSError(number, "canary")).reason is reason


async def test_an_error_of_ours_shows_its_type_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        msg = "canary"
        raise RuntimeError(msg)

    monkeypatch.setattr("lastgood.probes.tcp.first", broken)
    outcome = await ask(tcp={"host": "127.0.0.1", "port": 1})
    assert (outcome.reason, outcome.detail) == (ProbeReason.PROBER_ERROR, "RuntimeError")
    assert outcome.verdict is Verdict.UNKNOWN
