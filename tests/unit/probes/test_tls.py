"""https: who is trusted, for which name, and for how long."""

import asyncio
import contextlib
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from tests.unit.probes.certs import Authority, server_context
from tests.unit.probes.servers import LOOPBACK, Peer, Script, answer, ask, named, ok, serving, spec

from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.factory import Probes

NAMES = {"shop.test": ["127.0.0.1"]}
CA = {"ca": {"configMapKeyRef": {"name": "trust", "key": "ca.crt"}}}
Wanted = tuple[ProbeReason, str]


async def get(
    directory: Path,
    pem: bytes,
    ca: Authority,
    *,
    host: str = "shop.test",
    tls: dict[str, Any] | None = None,
    script: Script | None = None,
    **http: Any,
) -> Outcome:
    values = {("ConfigMap", "trust", "ca.crt"): ca.pem}
    async with serving(script or answer(ok()), tls=server_context(directory, pem)) as server:
        url = f"https://{host}:{server.port}/"
        outcome = await ask(values, probes=named(NAMES), http={"url": url, "tls": CA if tls is None else tls, **http})
        await server.all_closed()
    return outcome


async def test_a_certificate_of_the_given_authority_is_trusted(tls_dir: Path, authority: Authority) -> None:
    outcome = await get(tls_dir, authority.sign("shop.test"), authority)
    assert (outcome.reason, outcome.detail) == (ProbeReason.OK, "")


@pytest.mark.parametrize(
    ("names", "days", "tls", "detail"),
    [
        (["shop.test"], 90, {}, "the certificate is signed by an unknown authority"),
        (["other.test"], 90, CA, "the certificate is for another host"),
        (["shop.test"], -1, CA, "the certificate has expired"),
        (["shop.test"], 90, {**CA, "serverName": "api.test"}, "the certificate is for another host"),
    ],
)
async def test_certificates_that_are_refused(
    tls_dir: Path, authority: Authority, names: list[str], days: float, tls: dict[str, Any], detail: str
) -> None:
    outcome = await get(tls_dir, authority.sign(*names, days=days), authority, tls=tls)
    assert (outcome.reason, outcome.detail) == (ProbeReason.TLS_FAILED, detail)


async def test_a_given_authority_is_trusted_instead_of_the_systems(
    tls_dir: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = Authority.make("system")
    (tls_dir / "system.pem").write_bytes(system.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_dir / "system.pem"))
    pem = system.sign("shop.test")
    assert (await get(tls_dir, pem, authority, tls={})).reason is ProbeReason.OK
    assert (await get(tls_dir, pem, authority, tls=CA)).reason is ProbeReason.TLS_FAILED


@pytest.mark.parametrize(("names", "days"), [(["other.test"], 90), (["shop.test"], -10)])
async def test_any_certificate_is_accepted_where_asked_to(
    tls_dir: Path, authority: Authority, names: list[str], days: float
) -> None:
    pem = Authority.make("stranger").sign(*names, days=days)
    outcome = await get(tls_dir, pem, authority, tls={"insecureSkipVerify": True})
    assert outcome.reason is ProbeReason.OK


async def test_the_server_name_is_asked_for_and_expected(tls_dir: Path, authority: Authority) -> None:
    tls = {**CA, "serverName": "api.test"}
    assert (await get(tls_dir, authority.sign("api.test"), authority, tls=tls)).reason is ProbeReason.OK
    assert (
        await get(tls_dir, authority.sign("10.1.2.3"), authority, tls={**CA, "serverName": "10.1.2.3"})
    ).reason is ProbeReason.OK


async def test_an_address_is_expected_in_the_certificate(tls_dir: Path, authority: Authority) -> None:
    outcome = await get(tls_dir, authority.sign("127.0.0.1"), authority, host="127.0.0.1")
    assert outcome.reason is ProbeReason.OK
    outcome = await get(tls_dir, authority.sign("shop.test"), authority, host="127.0.0.1")
    assert outcome.detail == "the certificate is for another host"


@pytest.mark.parametrize(
    ("days", "minimum", "skip", "wanted"),
    [
        (20.5, 14, False, (ProbeReason.OK, "")),
        (10.5, 14, False, (ProbeReason.CERTIFICATE_EXPIRING, "the certificate has 10 days left, fewer than 14")),
        (1.5, 14, True, (ProbeReason.CERTIFICATE_EXPIRING, "the certificate has 1 day left, fewer than 14")),
        (-3.0, 14, True, (ProbeReason.CERTIFICATE_EXPIRING, "the certificate has expired")),
    ],
)
@pytest.mark.parametrize("connection", ["Fresh", "Keep"])
async def test_days_to_expiry(
    tls_dir: Path, authority: Authority, connection: str, days: float, minimum: int, skip: bool, wanted: Wanted
) -> None:
    tls = {**({"insecureSkipVerify": True} if skip else CA), "minDaysToExpiry": minimum}

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await peer.send(ok())

    context = server_context(tls_dir, authority.sign("shop.test", days=days))
    async with serving(script, tls=context) as server:
        probes = named(NAMES)
        probe = probes.prepare(
            spec(connection=connection, http={"url": f"https://shop.test:{server.port}/", "tls": tls}),
            {("ConfigMap", "trust", "ca.crt"): authority.pem},
        )
        outcomes = [await probe.run() for _ in range(2)]
        await probe.aclose()
        await probes.aclose()
    assert {(outcome.reason, outcome.detail) for outcome in outcomes} == {wanted}


async def test_a_failed_answer_comes_before_the_certificates_age(tls_dir: Path, authority: Authority) -> None:
    pem = authority.sign("shop.test", days=3)
    outcome = await get(tls_dir, pem, authority, tls={**CA, "minDaysToExpiry": 9}, statusCodes=["500"])
    assert outcome.reason is ProbeReason.UNEXPECTED_STATUS


async def test_a_server_without_tls() -> None:
    async with serving(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        outcome = await ask(http={"url": f"https://127.0.0.1:{server.port}/"}, timeout="500ms")
    assert outcome.reason in {ProbeReason.TLS_FAILED, ProbeReason.TIMEOUT}

    async def greet(peer: Peer) -> None:
        await peer.send(b"220 smtp.test ESMTP\r\n")
        await peer.until_closed()

    async with serving(greet) as server:
        outcome = await ask(http={"url": f"https://127.0.0.1:{server.port}/"})
    assert (outcome.reason, outcome.detail) == (ProbeReason.TLS_FAILED, "the server does not speak TLS on this port")


async def test_a_handshake_that_is_cut_off_and_one_that_never_ends() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.reader.read(1)
        # With the rest of the greeting unread, closing resets.
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(hang_up) as server:
        outcome = await ask(http={"url": f"https://127.0.0.1:{server.port}/"})
    assert outcome.reason is ProbeReason.TLS_FAILED

    async with serving(Peer.until_closed) as server:
        outcome = await ask(http={"url": f"https://127.0.0.1:{server.port}/"}, timeout="200ms")
        await server.all_closed()
    assert (outcome.reason, outcome.detail) == (ProbeReason.TIMEOUT, "time ran out while in the TLS handshake")


async def test_a_server_that_wants_a_client_certificate(tls_dir: Path, authority: Authority) -> None:
    context = server_context(tls_dir, authority.sign("shop.test"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem.decode())

    def refuse() -> None:
        # Blocking, because asyncio's servers hang up without the alert that says why.
        connection, _ = listener.accept()
        with contextlib.suppress(ssl.SSLError, OSError):
            context.wrap_socket(connection, server_side=True).close()
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = asyncio.create_task(asyncio.to_thread(refuse))
        outcome = await ask(
            {("ConfigMap", "trust", "ca.crt"): authority.pem},
            probes=named(NAMES),
            http={"url": f"https://shop.test:{listener.getsockname()[1]}/", "tls": CA},
        )
        await server
    assert (outcome.reason, outcome.detail) == (ProbeReason.TLS_FAILED, "the server asks for a client certificate")


async def test_redirects_between_http_and_https(tls_dir: Path, authority: Authority) -> None:
    values = {("ConfigMap", "trust", "ca.crt"): authority.pem}
    context = server_context(tls_dir, authority.sign("shop.test"))
    async with serving(answer(ok()), tls=context) as secure:
        there = ok(b"", status="301 Moved", headers=f"Location: https://shop.test:{secure.port}/\r\n")
        async with serving(answer(there)) as plain, serving(answer(there), tls=context) as first:
            outcome = await ask(
                values, probes=named(NAMES), http={"url": f"http://shop.test:{plain.port}/", "followRedirects": True}
            )
            # A plain URL has no tls settings: the system's authorities do not know this one.
            assert outcome.detail == "the certificate is signed by an unknown authority"
            url = f"https://shop.test:{first.port}/"
            outcome = await ask(
                values,
                probes=named(NAMES),
                http={"url": url, "followRedirects": True, "tls": {**CA, "minDaysToExpiry": 5}},
            )
            assert (outcome.reason, outcome.detail) == (ProbeReason.OK, "")


async def test_probes_alike_share_a_context(authority: Authority) -> None:
    probes = Probes(LOOPBACK)
    values = {("ConfigMap", "trust", "ca.crt"): authority.pem}
    made: list[Any] = [
        probes.prepare(spec(http={"url": f"https://host-{n}.test/", "tls": tls}), values)
        for n, tls in enumerate([CA, CA, None, None])
    ]
    contexts = [probe._request.tls.context for probe in made]
    assert contexts[0] is contexts[1]
    assert contexts[2] is contexts[3]
    assert contexts[0] is not contexts[2]
    await probes.aclose()


@pytest.mark.parametrize(
    "bundle", [b"", b"no certificate", b"\xff", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_a_bundle_that_is_none(bundle: bytes) -> None:
    with pytest.raises(BadProbe, match="PEM"):
        Probes(LOOPBACK).prepare(
            spec(http={"url": "https://shop.test/", "tls": CA}), {("ConfigMap", "trust", "ca.crt"): bundle}
        )


async def test_a_cancelled_handshake_leaves_nothing_open() -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        begun.set()
        await peer.until_closed()

    probes = Probes(LOOPBACK)
    async with serving(script) as server:
        probe = probes.prepare(spec(http={"url": f"https://127.0.0.1:{server.port}/"}), {})
        run = asyncio.create_task(probe.run())
        await asyncio.wait_for(begun.wait(), 5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await server.all_closed()
    await probes.aclose()
