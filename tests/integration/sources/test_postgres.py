"""PostgreSQL 15 and 18 as sources of objectives, the real ones."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from tests.integration.probes.conftest import PASSWORD
from tests.integration.sources.conftest import Postgres, started
from tests.unit.probes.servers import LOOPBACK
from tests.unit.sources.build import spec

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Gauge, Nothing, Points, Sample, Silence
from lastgood.domain.ports import BadProbe
from lastgood.probes.resolver import Resolver
from lastgood.sources.postgres import prepare_postgres

pytestmark = pytest.mark.integration
REF = {"dsn": {"secretKeyRef": {"name": "db", "key": "dsn"}}}
SOUND, VIOLATED = Gauge(0.0), Gauge(1.0)


async def sample(
    dsn: str, *, policy: AddressPolicy = LOOPBACK, timeout: str = "5s", below: str = "1s", **what: Any
) -> Sample:
    resolver = Resolver(policy)
    wish = spec({"postgres": {**REF, **what}}, timeout=timeout, below=below)
    source = prepare_postgres(wish, {("Secret", "db", "dsn"): dsn.encode()}, resolver=resolver)
    try:
        told = await source.sample()
    finally:
        await source.aclose()
        await resolver.aclose()
    assert PASSWORD not in repr(told)
    return told


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server tells only when it is asked
            await asyncio.sleep(0.01)


def nothing(told: Sample, reason: Silence, words: str) -> None:
    assert isinstance(told, Nothing), told
    assert (told.reason, words in told.detail) == (reason, True), told


async def quiet(postgres: Postgres) -> None:
    """Sessions end a moment after their client hung up."""
    with psycopg.connect(postgres.dsn("watcher"), autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        await until(lambda: connection.execute(count).fetchone() == (1,))
    with psycopg.connect(f"host=127.0.0.1 port={postgres.server.port} user=postgres", autocommit=True) as connection:
        await until(lambda: connection.execute(count).fetchone() == (1,))


@pytest.mark.parametrize("user", ["app", "watcher"])
async def test_connections_are_a_share_of_what_ordinary_roles_can_have(postgres: Postgres, user: str) -> None:
    await quiet(postgres)
    with ExitStack() as held:
        for number in range(4):
            held.enter_context(postgres.connect(["app", "watcher"][number % 2]))
        told = await sample(postgres.dsn(user), connections={})
    assert told == Gauge(5 / postgres.room)


async def test_a_server_whose_connections_have_run_out(postgres: Postgres) -> None:
    await quiet(postgres)
    with ExitStack() as held:
        for _ in range(postgres.room - 1):
            held.enter_context(postgres.connect())
        assert await sample(postgres.dsn(), connections={}) == Gauge(1.0)
        await until(lambda: _enters(held, postgres))
        assert await sample(postgres.dsn(), connections={}) == Gauge(1.0)
        nothing(await sample(postgres.dsn(), latency={"sql": "SELECT 1"}), Silence.SOURCE_DOWN, "no connection left")


def _enters(held: ExitStack, postgres: Postgres) -> bool:
    try:
        held.enter_context(postgres.connect())
    except psycopg.OperationalError:
        return False
    return True


async def test_a_limit_of_a_role_says_nothing_about_the_server(postgres: Postgres) -> None:
    with psycopg.connect(f"host=127.0.0.1 port={postgres.server.port} user=postgres", autocommit=True) as admin:
        admin.execute("ALTER ROLE app CONNECTION LIMIT 0")
        try:
            nothing(await sample(postgres.dsn(), connections={}), Silence.SOURCE_DOWN, "no connection left")
        finally:
            admin.execute("ALTER ROLE app CONNECTION LIMIT -1")


async def test_latency_is_the_query_alone(postgres: Postgres) -> None:
    told = await sample(postgres.dsn(), latency={"sql": "SELECT pg_sleep(0.2)"})
    assert isinstance(told, Points)
    assert 0.2 <= told.values[0] < 2
    told = await sample(postgres.dsn(), latency={"sql": "SELECT g FROM generate_series(1, 100000) g"})
    assert isinstance(told, Points)


async def test_a_slow_query_is_given_up_on_both_sides(postgres: Postgres) -> None:
    query = {"sql": "SELECT pg_sleep(30) /* slow */"}
    told = await sample(postgres.dsn(), timeout="500ms", below="100ms", latency=query)
    assert isinstance(told, Points), told
    assert 0.1 < told.values[0] < 2
    nothing(await sample(postgres.dsn(), timeout="300ms", latency=query), Silence.TIMEOUT, "longer timeout")
    nothing(await sample(postgres.dsn(), timeout="300ms", integrity=query), Silence.TIMEOUT, "time ran out")
    with postgres.connect() as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s"
        await until(lambda: connection.execute(count, [query["sql"]]).fetchone() == (0,))


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT true", SOUND),
        ("SELECT NOT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid)", SOUND),
        ("SELECT indexrelid FROM pg_index WHERE NOT indisvalid", SOUND),
        ("SELECT false", VIOLATED),
        ("SELECT NULL::boolean", VIOLATED),
        ("SELECT 1", VIOLATED),
        ("SELECT 't'", VIOLATED),
        ("SELECT true, true", VIOLATED),
        ("VALUES (true), (true)", VIOLATED),
        ("SELECT FROM pg_class", VIOLATED),
        ("SELECT oid FROM pg_class", VIOLATED),
        ("SELECT generate_series(1, 5000)", VIOLATED),
    ],
)
async def test_integrity(postgres: Postgres, sql: str, told: Sample) -> None:
    assert await sample(postgres.dsn(), integrity={"sql": sql}) == told


@pytest.mark.parametrize(
    ("sql", "reason", "words"),
    [
        ("SELECT nothing", Silence.SOURCE_DOWN, "SQLSTATE 42703"),
        ("SELEC true", Silence.SOURCE_DOWN, "SQLSTATE 42601"),
        ("SELECT true; SELECT true", Silence.SOURCE_DOWN, "SQLSTATE 42601"),
        ("COMMIT; DROP TABLE orders", Silence.SOURCE_DOWN, "SQLSTATE 42601"),
        ("CREATE TABLE t (a int)", Silence.SOURCE_DOWN, "SQLSTATE 25006"),
        ("SELECT 1 / (g - 500) FROM generate_series(1, 600) g", Silence.SOURCE_DOWN, "SQLSTATE 22012"),
        ("SELECT rolname FROM pg_authid", Silence.DENIED, "SQLSTATE 42501"),
        ("SET application_name = 'x'", Silence.NOT_UNDERSTOOD, "no query"),
        (";", Silence.NOT_UNDERSTOOD, "no query"),
    ],
)
async def test_an_error_is_no_violation(postgres: Postgres, sql: str, reason: Silence, words: str) -> None:
    nothing(await sample(postgres.dsn(), integrity={"sql": sql}), reason, words)


@pytest.mark.parametrize(
    "what", [{"connections": {}}, {"latency": {"sql": "SELECT 1"}}, {"integrity": {"sql": "SELECT true"}}]
)
async def test_a_wrong_password_and_a_denied_address(postgres: Postgres, what: dict[str, Any]) -> None:
    nothing(await sample(postgres.dsn(password="wr0ng"), **what), Silence.DENIED, "the login was refused")
    nothing(await sample(postgres.dsn(), policy=AddressPolicy.of(), **what), Silence.DENIED, "loopback")


async def test_a_server_that_stops_in_the_middle() -> None:
    with started("15") as postgres:
        query = "SELECT pg_sleep(20) /* stopped */"
        run = asyncio.create_task(sample(postgres.dsn(), timeout="15s", latency={"sql": query}))
        with postgres.connect() as connection:
            count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s"
            await until(lambda: connection.execute(count, [query]).fetchone() == (1,))
            postgres.server.process.send_signal(signal.SIGQUIT)
            told = await run
        assert isinstance(told, Nothing)
        assert told.reason is Silence.SOURCE_DOWN
        await until(lambda: postgres.server.process.poll() is not None)
        nothing(await sample(postgres.dsn(), connections={}), Silence.SOURCE_DOWN, "the port is closed")


async def test_a_cancelled_sample_leaves_no_session(postgres: Postgres) -> None:
    query = "SELECT pg_sleep(30) /* cancelled */"
    run = asyncio.create_task(sample(postgres.dsn(), timeout="2s", latency={"sql": query}))
    with postgres.connect() as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        await until(lambda: connection.execute(count, [query]).fetchone() == (1,))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await until(lambda: connection.execute(count, [query]).fetchone() == (0,))


def test_what_cannot_be_sampled() -> None:
    resolver = Resolver(LOOPBACK)
    with pytest.raises(BadProbe, match="does not exist"):
        prepare_postgres(spec({"postgres": {**REF, "connections": {}}}), {}, resolver=resolver)
    values = {("Secret", "db", "dsn"): b"user=app"}
    with pytest.raises(BadProbe, match="no host"):
        prepare_postgres(spec({"postgres": {**REF, "connections": {}}}), values, resolver=resolver)
    with pytest.raises(BadProbe, match="is missing"):
        prepare_postgres(spec({"probe": {}}), {}, resolver=resolver)
