"""The console of a pgbouncer, the real one, before PostgreSQL 15 and 18."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from tests.integration.sources.conftest import Bouncer
from tests.integration.sources.test_postgres import nothing, sample, until

from lastgood.domain.measure import Gauge, Points, Silence

pytestmark = pytest.mark.integration


@contextmanager
def transactions(bouncer: Bouncer, database: str, count: int) -> Iterator[None]:
    """So many clients of a database, each in a transaction, as far as there are connections for them."""
    end = threading.Event()

    def client() -> None:
        with psycopg.connect(bouncer.dsn(database)) as connection:
            connection.execute("SELECT 1")
            end.wait(30)

    threads = [threading.Thread(target=client) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join(30)


def pools(bouncer: Bouncer, database: str) -> tuple[int, int]:
    """(sv_active, cl_waiting) as the console tells another client."""
    with psycopg.connect(bouncer.dsn("pgbouncer", "watcher"), autocommit=True) as console:
        cursor = psycopg.ClientCursor(console)
        rows = cursor.execute("SHOW POOLS").fetchall()
        names = [column.name for column in cursor.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    mine = [row for row in found if row["database"] == database]
    return sum(int(row["sv_active"]) for row in mine), sum(int(row["cl_waiting"]) for row in mine)


@pytest.mark.parametrize(
    ("database", "clients", "seen", "told"),
    [
        ("shop", 1, (1, 0), 0.5),
        ("shop", 2, (2, 0), 1.0),
        ("shop", 5, (2, 3), 2.5),
        ("capped", 3, (3, 0), 1.0),
        ("capped", 6, (3, 3), 2.0),
    ],
)
async def test_a_pool_that_runs_out(
    bouncer: Bouncer, database: str, clients: int, seen: tuple[int, int], told: float
) -> None:
    await until(lambda: pools(bouncer, database) == (0, 0))
    console = bouncer.dsn("pgbouncer", "watcher")
    with transactions(bouncer, database, clients):
        await until(lambda: pools(bouncer, database) == seen)
        assert await sample(console, connections={"pool": database}) == Gauge(told)
    await until(lambda: pools(bouncer, database) == (0, 0))
    assert await sample(console, connections={"pool": database}) == Gauge(0.0)


async def test_who_may_not_look(bouncer: Bouncer) -> None:
    told = await sample(bouncer.dsn("pgbouncer", "app"), connections={"pool": "shop"})
    nothing(told, Silence.DENIED, "admin_users and stats_users")


async def test_a_database_that_pgbouncer_does_not_know(bouncer: Bouncer) -> None:
    console = bouncer.dsn("pgbouncer", "watcher")
    nothing(await sample(console, connections={"pool": "shoe"}), Silence.NO_DATA, 'no database "shoe"')
    nothing(await sample(bouncer.dsn("shoe"), connections={}), Silence.SOURCE_DOWN, "no such database")


async def test_a_server_in_place_of_the_console(bouncer: Bouncer) -> None:
    nothing(await sample(bouncer.before.dsn(), connections={"pool": "shop"}), Silence.SOURCE_DOWN, "SQLSTATE 42704")


async def test_no_room_for_clients(bouncer: Bouncer) -> None:
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(psycopg.connect(bouncer.dsn("shop"), autocommit=True))
            except psycopg.OperationalError:
                break
        told = await sample(bouncer.dsn("shop"), latency={"sql": "SELECT 1"})
        nothing(told, Silence.SOURCE_DOWN, "max_client_conn")


async def test_latency_through_it(bouncer: Bouncer) -> None:
    assert isinstance(await sample(bouncer.dsn("shop"), latency={"sql": "SELECT 1"}), Points)
