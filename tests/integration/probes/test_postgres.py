"""PostgreSQL, the real one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq
from tests.integration.probes.conftest import PASSWORD, Running
from tests.unit.probes.certs import Authority
from tests.unit.probes.servers import LOOPBACK, Peer, ask, named, serving, spec

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.dsn import _DEFAULTS
from lastgood.probes.factory import Probes

pytestmark = pytest.mark.integration
REF = {"dsn": {"secretKeyRef": {"name": "db", "key": "dsn"}}}
OK = (ProbeReason.OK, "")


async def check(dsn: str, query: str = "SELECT 1", *, timeout: str = "5s", **more: Any) -> tuple[ProbeReason, str]:
    outcome = await ask(
        {("Secret", "db", "dsn"): dsn.encode()}, timeout=timeout, postgres={**REF, "query": query}, **more
    )
    assert PASSWORD not in repr(outcome)
    return outcome.reason, outcome.detail


def app(server: Running, *, user: str = "app", password: str = PASSWORD, more: str = "") -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{server.port}/shop{more}"


def admin(server: Running) -> "psycopg.Connection[Any]":
    dsn = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres"
    return psycopg.connect(dsn, autocommit=True)


def sessions(connection: "psycopg.Connection[Any]", query: str) -> int:
    return len(connection.execute("SELECT 1 FROM pg_stat_activity WHERE query = %s", [query]).fetchall())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server tells only when it is asked
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "SELECT 'a%b'",
        "SHOW server_version",
        "SELECT g FROM generate_series(1, 100000) g",
        "SELECT 1 WHERE false",
        ";",
    ],
)
async def test_queries_that_succeed(postgres: Running, query: str) -> None:
    assert await check(app(postgres), query) == OK


async def test_both_forms_of_a_dsn(postgres: Running) -> None:
    assert await check(f"host=127.0.0.1 port={postgres.port} user=app password={PASSWORD} dbname=shop\n") == OK


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT nothing", (ProbeReason.QUERY_FAILED, "SQLSTATE 42703")),
        ("SELEC 1", (ProbeReason.QUERY_FAILED, "SQLSTATE 42601")),
        ("SELECT * FROM orders", (ProbeReason.QUERY_FAILED, "SQLSTATE 42P01")),
        (
            "CREATE TABLE t (a int)",
            (ProbeReason.QUERY_FAILED, "the query writes, and probes are read-only (SQLSTATE 25006)"),
        ),
        ("SELECT 1; SELECT 2", (ProbeReason.QUERY_FAILED, "SQLSTATE 42601")),
        ("COMMIT; CREATE TABLE t (a int)", (ProbeReason.QUERY_FAILED, "SQLSTATE 42601")),
        ("SELECT 1 / (g - 500) FROM generate_series(1, 600) g", (ProbeReason.QUERY_FAILED, "SQLSTATE 22012")),
        ("COPY pg_authid TO STDOUT", (ProbeReason.QUERY_FAILED, "SQLSTATE 42501")),
        ("COPY pg_type TO STDOUT", (ProbeReason.QUERY_FAILED, "the query returns no rows")),
    ],
)
async def test_queries_that_fail(postgres: Running, query: str, wanted: tuple[ProbeReason, str]) -> None:
    assert await check(app(postgres), query) == wanted


@pytest.mark.parametrize(
    ("user", "password", "more", "wanted"),
    [
        ("app", "wrong", "", (ProbeReason.AUTHENTICATION_FAILED, "the login was refused")),
        ("missing", PASSWORD, "", (ProbeReason.AUTHENTICATION_FAILED, "the login was refused")),
        (
            "nobody",
            PASSWORD,
            "",
            (ProbeReason.AUTHENTICATION_FAILED, "the server lets nobody in from here (pg_hba.conf)"),
        ),
        (
            "app",
            "",
            "",
            (ProbeReason.AUTHENTICATION_FAILED, "the server wants a password, and the DSN has none"),
        ),
        (
            "app",
            PASSWORD,
            "?target_session_attrs=read-only",
            (ProbeReason.NOT_SERVING, "the server is not what target_session_attrs asks for"),
        ),
    ],
)
async def test_logins_that_fail(
    postgres: Running, user: str, password: str, more: str, wanted: tuple[ProbeReason, str]
) -> None:
    assert await check(app(postgres, user=user, password=password, more=more)) == wanted


async def test_a_database_that_does_not_exist(postgres: Running) -> None:
    reason, detail = await check(app(postgres).replace("/shop", "/shoe"))
    assert (reason, detail) == (ProbeReason.QUERY_FAILED, "the database does not exist (SQLSTATE 3D000)")


async def test_no_connection_left(postgres: Running) -> None:
    with admin(postgres) as connection:
        connection.execute("ALTER ROLE app CONNECTION LIMIT 0")
        try:
            wanted = (ProbeReason.NOT_SERVING, "the server has no connection left")
            assert await check(app(postgres)) == wanted
        finally:
            connection.execute("ALTER ROLE app CONNECTION LIMIT -1")


async def test_a_slow_query_is_stopped_on_both_sides(postgres: Running) -> None:
    marker = "SELECT pg_sleep(30) /* slow */"
    reason, _ = await check(app(postgres), marker, timeout="300ms")
    assert reason is ProbeReason.TIMEOUT
    with admin(postgres) as connection:
        await until(lambda: not sessions(connection, marker))


async def test_a_cancelled_run_leaves_no_session(postgres: Running) -> None:
    marker = "SELECT pg_sleep(29) /* cancelled */"
    probes = Probes(LOOPBACK)
    values = {("Secret", "db", "dsn"): app(postgres).encode()}
    probe = probes.prepare(spec(timeout="2s", postgres={**REF, "query": marker}), values)
    run = asyncio.create_task(probe.run())

    with admin(postgres) as connection:
        await until(lambda: sessions(connection, marker))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until(lambda: not sessions(connection, marker))
    await probes.aclose()


async def test_a_session_that_is_ended_meanwhile(postgres: Running) -> None:
    marker = "SELECT pg_sleep(28) /* ended */"
    run = asyncio.create_task(check(app(postgres), marker))
    with admin(postgres) as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = %s"
        await until(lambda: connection.execute(end, [marker]).fetchone())
    reason, detail = await run
    assert (reason, detail) == (ProbeReason.NOT_SERVING, "the server is going away (SQLSTATE 57P01)")


async def test_several_hosts(postgres: Running) -> None:
    probes = named({"old": ["127.0.0.2"], "new": ["127.0.0.1"]})
    dsn = f"postgresql://app:{PASSWORD}@old:{postgres.port},new:{postgres.port}/shop"
    assert await check(dsn, probes=probes) == OK
    probes = named({"new": ["127.0.0.1"]})
    assert (
        await check(f"host=gone,new port={postgres.port} user=app password={PASSWORD} dbname=shop", probes=probes) == OK
    )


async def test_every_host_is_checked(postgres: Running) -> None:
    dsn = app(postgres)
    assert (await check(dsn, probes=Probes(AddressPolicy.of())))[0] is ProbeReason.ADDRESS_DENIED
    probes = named({"good": ["127.0.0.1"], "bad": ["169.254.169.254"]})
    two = f"postgresql://app:{PASSWORD}@good:{postgres.port},bad:{postgres.port}/shop"
    assert (await check(two, probes=probes))[0] is ProbeReason.ADDRESS_DENIED
    assert (await check("postgresql://u@nowhere/d", probes=named({})))[0] is ProbeReason.DNS_NOT_FOUND


async def test_over_tls(
    postgres: Running, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def verified(host: str) -> tuple[ProbeReason, str]:
        dsn = f"postgresql://tls:{PASSWORD}@{host}:{postgres.port}/shop?sslmode=verify-full"
        return await check(dsn, probes=named({"db.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}))

    assert await check(app(postgres, user="tls", more="?sslmode=require")) == OK
    reason, detail = await check(app(postgres, user="tls", more="?sslmode=disable"))
    assert (reason, detail) == (
        ProbeReason.AUTHENTICATION_FAILED,
        "the server lets nobody in from here (pg_hba.conf)",
    )
    unknown = (ProbeReason.TLS_FAILED, "the certificate is signed by an unknown authority")
    assert await verified("db.test") == unknown
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert await verified("db.test") == OK
    assert await verified("other.test") == (ProbeReason.TLS_FAILED, "the certificate is for another host")


async def test_the_environment_decides_nothing(
    postgres: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    (tmp_path / ".pgpass").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for option in pq.Conninfo.get_defaults():
        if option.envvar:
            monkeypatch.setenv(option.envvar.decode(), "garbage")
    assert await check(app(postgres)) == OK
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / ".pgpass"))
    assert (await check(app(postgres, password="")))[0] is ProbeReason.AUTHENTICATION_FAILED


def test_every_parameter_that_the_environment_has_a_say_in_is_fixed() -> None:
    from_environment = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    per_server = {"host", "hostaddr", "port", "user", "dbname", "service"}
    assert from_environment - per_server <= set(_DEFAULTS) | {"sslcompression", "krbsrvname", "gsslib", "gssdelegation"}


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("", "no host"),
        ("user=app", "no host"),
        ("host=/var/run/postgresql user=app", "sockets"),
        ("host=@abstract user=app", "sockets"),
        ("host=db,/tmp user=app", "sockets"),
        ("postgresql://db/shop", "no user"),
        ("postgresql://u@db:0/shop", "port"),
        ("postgresql://u@db:5432,other:5433,third:1/shop?port=1,2", "ports"),
        ("service=shop", "service"),
        ("postgresql://u@db/shop?hostaddr=127.0.0.1", "hostaddr"),
        ("postgresql://u@db/shop?passfile=/etc/passwd", "passfile"),
        ("postgresql://u@db/shop?sslkey=/etc/passwd", "sslkey"),
        ("postgresql://u@db/shop?sslrootcert=/etc/passwd", "sslrootcert"),
        ("postgresql://u@db/shop?sslkeylogfile=/tmp/x", "sslkeylogfile"),
        ("postgresql://u@db/shop?oauth_issuer=http://x", "oauth_issuer"),
        ("postgresql://[::1", "holds no DSN"),
        ("mysql://u@db/shop", "holds no DSN"),
    ],
)
def test_dsns_that_cannot_be_used(dsn: str, words: str) -> None:
    with pytest.raises(BadProbe, match=words):
        Probes(LOOPBACK).prepare(spec(postgres=REF), {("Secret", "db", "dsn"): dsn.encode()})


async def test_what_is_no_postgres() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(script) as server:
        reason, _ = await check(f"postgresql://u:p@127.0.0.1:{server.port}/d?sslmode=disable")
        await server.all_closed()
    assert reason is ProbeReason.PROTOCOL_ERROR

    async with serving(Peer.until_closed) as server:
        wanted = (ProbeReason.TIMEOUT, "time ran out while logging in")
        assert await check(f"postgresql://u:p@127.0.0.1:{server.port}/d", timeout="300ms") == wanted
        await server.all_closed()
        port = server.port
    assert (await check(f"postgresql://u:p@127.0.0.1:{port}/d"))[0] is ProbeReason.CONNECTION_REFUSED
