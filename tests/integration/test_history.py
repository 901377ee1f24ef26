"""Stores of minutes where they break: a disk that fills up, a writer that is killed, a database that goes and comes.

The disk is a tmpfs of 4 MB in a mount namespace of the child's own, so that nothing of it is seen outside.
"""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.integration.history_child import MANY, batch
from tests.integration.probes.conftest import binary, free_port
from tests.unit.history.rows import START, A, everything, keeps, left, rows

from lastgood.domain.history import HistoryLost, HistoryReason, HistoryState, Series
from lastgood.history.fallback import Fallback
from lastgood.history.postgres import Postgres
from lastgood.history.sqlite import Sqlite

pytestmark = pytest.mark.integration
ENVIRONMENT = {**os.environ, "PYTHONPATH": "operator:."}
CHILD = [sys.executable, "-m", "tests.integration.history_child"]
PASSWORD = "c4n4ry-p4ss"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace of its own needs root")
def test_a_disk_that_fills_up_costs_nothing(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=4m none "$0" && exec "$@" "$0"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(tmp_path), *CHILD, "fill"]
    done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full after ")
    assert list(tmp_path.iterdir()) == []


def killed(path: Path) -> int:
    """Start a writer, kill it in the midst of its work, and tell the last minute that was acknowledged to it."""
    child = subprocess.Popen([*CHILD, "write", str(path)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    while int(child.stdout.readline()) < 130:
        pass
    child.send_signal(signal.SIGKILL)
    told = [int(line) for line in child.stdout.read().splitlines() if line.isdigit()]
    child.wait()
    return max([130, *told])


async def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"{number}.db"
        last = killed(path)
        store = Sqlite(path)
        kept = await left(store, MANY[0])
        # The next one may have been committed, too, and not yet acknowledged: then all of it.
        assert kept in (list(range(last + 1)), list(range(last + 2)))
        assert len(await everything(store, START)) == len(kept) * len(MANY)
        await store.append(batch(last + 2))
        await store.aclose()


class Server:
    """A PostgreSQL that can be stopped and started again, its data kept."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory, self._data = directory, directory / "data"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(directory, account.pw_uid, account.pw_gid)
        command = [binary("initdb"), "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync", "--locale=C"]
        subprocess.run([*command, "-E", "UTF8"], check=True, capture_output=True, user=self._user, cwd=directory)

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres?connect_timeout=2"

    def start(self) -> None:
        settings = [f"--port={self.port}", "--listen_addresses=127.0.0.1", "--unix_socket_directories=", "--fsync=off"]
        command = [binary("postgres"), "-D", str(self._data), *settings]
        log = (self._directory / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self._directory)
        log.close()
        while True:
            assert self._process.poll() is None, (self._directory / "log").read_text()
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                continue
            return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


@contextmanager
def serving() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="lastgood-history-") as directory:
        server = Server(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Postgres]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS lastgood_series, lastgood_minutes, lastgood_hours, lastgood_sums")
    store = Postgres(server.dsn)
    yield store
    await store.aclose()


async def test_postgres_keeps_the_contract(store: Postgres) -> None:
    await keeps(store)


async def test_hours_are_packed_as_time_goes_by(server: Server, store: Postgres) -> None:
    many = [Series("n", str(n), "o") for n in range(2500)]
    for minute in range(0, 300, 10):
        await store.append([row for series in many for row in rows(series, minute)])
    with psycopg.connect(server.dsn) as connection:
        found = connection.execute(
            "SELECT (SELECT count(*) FROM lastgood_minutes), (SELECT count(*) FROM lastgood_hours)"
        )
        assert found.fetchone() == (2500 * 12, 7500)
    assert len(await everything(store)) == 2500 * 30


async def test_two_replicas_share_it(server: Server, store: Postgres) -> None:
    other = Postgres(server.dsn)
    await asyncio.gather(store.append(rows(A, 1)), other.append(rows(A, 2)))
    assert await left(store, A) == await left(other, A) == [1, 2]
    await other.aclose()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_a_database_that_goes_and_comes_costs_no_minute(
    server: Server, store: Postgres, how: signal.Signals
) -> None:
    said: list[HistoryState] = []
    history = Fallback(store, said=said.append)
    await history.append(batch(0))
    server.stop(how)
    try:
        with pytest.raises(HistoryLost) as caught:
            await store.read(A, START, START + 1)
        assert caught.value.reason is HistoryReason.UNREACHABLE
        assert PASSWORD not in str(caught.value)
        for minute in (1, 2):
            await history.append(batch(minute))
        assert history.waiting == 2 * len(MANY)
        assert await left(history, MANY[0]) == [1, 2]
    finally:
        server.start()
    await history.append(batch(3))
    assert history.waiting == 0
    assert await left(store, MANY[0]) == [0, 1, 2, 3]
    assert [state.reason for state in said] == [HistoryReason.UNREACHABLE, HistoryReason.KEPT]


async def test_a_series_of_a_transaction_that_failed_is_made_again(server: Server, store: Postgres) -> None:
    await store.append(rows(A, 1))
    with pytest.raises(HistoryLost):
        # Too large for the column: the database refuses the whole batch.
        await store.append([*rows(Series("n", "s", "o"), 1), *rows(A, 2**40)])
    await store.append(rows(Series("n", "s", "o"), 2))
    assert await left(store, Series("n", "s", "o")) == [2]
    assert await left(store, A) == [1]
