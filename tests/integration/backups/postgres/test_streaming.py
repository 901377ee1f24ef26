"""Dumps that go from the repository right into a database: what breaks off half-way, and what is left then."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.backups.postgres.conftest import Server, Stage
from tests.integration.backups.postgres.test_logical import backed_up, engine, point, restore
from tests.integration.backups.test_restic import damage, locks

from lastgood.api.backupjob import RestoreJob
from lastgood.backups.postgres import loading
from lastgood.backups.postgres.engine import Logical
from lastgood.backups.postgres.looking import looking
from lastgood.backups.postgres.server import Server as There
from lastgood.backups.postgres.tallying import prepare, tally
from lastgood.domain.backups.ports import JobFailed
from lastgood.domain.backups.tally import Table, Tally

pytestmark = pytest.mark.integration
_NOISE = """
CREATE TABLE noise AS SELECT g AS id, sha256(g::text::bytea) AS a, sha256((-g)::text::bytea) AS b
FROM generate_series(1, {rows}) g;
ALTER TABLE noise ADD PRIMARY KEY (id);
CREATE INDEX noise_a ON noise (a);
CREATE TABLE said (id int REFERENCES noise, words text);
INSERT INTO said VALUES (1, 'before'), (2, NULL)
"""
ROWS = 150_000
"""About 20 MB that do not compress, which is two of the repository's packs."""


@pytest.fixture
def noisy(shared: Server) -> Any:
    """A database with something to lose."""
    name = f"noisy_{os.urandom(4).hex()}"
    shared.execute(f"CREATE DATABASE {name} OWNER app", "postgres")
    for line in _NOISE.format(rows=ROWS).split(";\n"):
        shared.execute(line, name)
    yield name
    for each in (name, f"{name}_fresh"):
        shared.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)", "postgres")


def asked(server: Server, database: str, stage: Stage) -> tuple[Logical, RestoreJob]:
    """A restore into a fresh database that would take the name."""
    wanted = restore(backup="one", database=f"{database}_fresh", keptDatabase=f"{database}_old", into={"swap": True})
    spec = stage.spec(server.dsn(database), "restore", method="logical", restore=wanted)
    assert spec.restore
    return engine(spec, stage), spec.restore


def there(server: Server, database: str) -> list[str]:
    query = f"SELECT datname FROM pg_database WHERE datname LIKE '{database}%' ORDER BY 1"
    return [row[0] for row in server.execute(query, "postgres")]


def sums(server: Server, database: str) -> list[Any]:
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
    return [server.execute(query.format(table), database)[0] for table in ("noise", "said")]


def children(program: str, word: str) -> list[int]:
    """Processes below this one with this name and this word among their arguments: other tests run such, too."""
    found, below = [], [os.getpid()]
    while below:
        pid = below.pop()
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            tasks = [each / "children" for each in Path(f"/proc/{pid}/task").iterdir()]
            below += [int(child) for task in tasks for child in task.read_text().split()]
        except OSError:
            continue
        if Path(arguments[0]).name == program and word in arguments and "--no-lock" not in arguments:
            found.append(pid)
    return found


async def until(found: Callable[[], Any]) -> Any:
    """Look until there is something."""
    async with asyncio.timeout(60):
        while not (seen := await asyncio.to_thread(found)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return seen


async def failure(work: Awaitable[Any]) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await work
    return caught.value


async def test_scratch_needs_no_room_for_the_dump(
    shared: Server, noisy: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the beginning that is kept is too short for the table of contents, and a longer one is taken."""
    monkeypatch.setattr(loading, "_HEAD_BYTES", 700)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    made, wanted = asked(shared, noisy, stage)
    status = await backed_up(stage, made, "one")
    assert status.size_bytes
    before, work = sums(shared, noisy), stage.work()
    running = asyncio.create_task(made.restore(work, stage.repository, wanted))
    most = 0
    while not running.done():
        most = max(most, sum(path.stat().st_size for path in work.rglob("*.*") if path.is_file()))
        await asyncio.sleep(0.005)
    assert "checksums equal" in await running
    assert 700 < most < status.size_bytes / 50
    assert sums(shared, f"{noisy}_fresh") == before
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid IN ('noise'::regclass, 'said'::regclass) AND indisvalid"
    assert shared.execute(indexes, f"{noisy}_fresh") == [(2,)]
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
    assert shared.execute(keys, f"{noisy}_fresh") == [(1,)]
    assert locks(stage.repository) == []


@pytest.mark.parametrize("cores", [1, 2])
async def test_a_damaged_pack_leaves_nothing_of_the_restore(
    shared: Server, noisy: str, stage: Stage, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    made, wanted = asked(shared, noisy, stage)
    await backed_up(stage, made, "one")
    before = sums(shared, noisy)
    damage(stage.repository)
    failed = await failure(made.restore(stage.work(), stage.repository, wanted))
    assert failed.reason == "RepositoryDamaged", failed.message
    assert there(shared, noisy) == [noisy]
    assert sums(shared, noisy) == before
    assert locks(stage.repository) == []


async def test_a_drill_of_a_damaged_pack_fails_with_the_repositorys_reason(
    shared: Server, noisy: str, stage: Stage
) -> None:
    made = engine(stage.spec(shared.dsn(noisy), method="logical"), stage)
    await backed_up(stage, made, "one")
    damage(stage.repository)
    verified = await made.test(stage.work(), stage.repository, await point(stage, "one"))
    assert not verified.passed
    assert verified.message.startswith("RepositoryDamaged: "), verified.message


@pytest.mark.parametrize(
    ("program", "word", "reason", "says"),
    [
        ("restic", "dump", "RepositoryFailed", "restic was killed by signal 9"),
        ("pg_restore", "--section=data", "RestoreFailed", "killed by signal 9"),
    ],
)
async def test_a_process_that_is_killed_half_way_is_told_of_and_leaves_nothing(
    shared: Server,
    noisy: str,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    word: str,
    reason: str,
    says: str,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    made, wanted = asked(shared, noisy, stage)
    await backed_up(stage, made, "one")
    before, fresh = sums(shared, noisy), f"{noisy}_fresh"
    work = asyncio.create_task(made.restore(stage.work(), stage.repository, wanted))
    rows = f"SELECT pid FROM pg_stat_progress_copy WHERE datname = '{fresh}' AND bytes_processed > 0"
    copying = await until(lambda: shared.execute(rows, "postgres"))
    os.kill(copying[0][0], signal.SIGSTOP)  # so that it is half-way still when the process is killed
    try:
        assert there(shared, noisy) == [noisy, fresh]
        killed = children(program, word)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.kill(copying[0][0], signal.SIGCONT)
    failed = await failure(work)
    assert (failed.reason, says in failed.message) == (reason, True), failed.message
    assert there(shared, noisy) == [noisy]
    assert sums(shared, noisy) == before


async def test_a_restore_that_is_told_to_end_leaves_nothing(shared: Server, noisy: str, stage: Stage) -> None:
    made, wanted = asked(shared, noisy, stage)
    await backed_up(stage, made, "one")
    work = asyncio.create_task(made.restore(stage.work(), stage.repository, wanted))
    rows = f"SELECT 1 FROM pg_stat_progress_copy WHERE datname = '{noisy}_fresh' AND bytes_processed > 0"
    await until(lambda: shared.execute(rows, "postgres"))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert there(shared, noisy) == [noisy]
    assert locks(stage.repository) == []


async def test_over_what_is_there_a_dump_that_breaks_off_changes_nothing(
    shared: Server, noisy: str, stage: Stage
) -> None:
    made = engine(stage.spec(shared.dsn(noisy), method="logical"), stage)
    await backed_up(stage, made, "one")
    damage(stage.repository)
    shared.execute("DELETE FROM said WHERE id = 2", noisy)
    before = sums(shared, noisy)
    spec = stage.spec(
        shared.dsn(noisy), "restore", method="logical", restore=restore(backup="one", into={"inPlace": True})
    )
    assert spec.restore
    failed = await failure(engine(spec, stage).restore(stage.work(), stage.repository, spec.restore))
    assert failed.reason == "RepositoryDamaged", failed.message
    assert sums(shared, noisy) == before


async def test_a_table_is_looked_at_while_another_is_loaded(shared: Server, noisy: str, stage: Stage) -> None:
    """What is not there yet, or is not as it was, is no finding and not taken for good either."""
    server = There(shared.dsn(noisy), scratch=stage.places.scratch)
    async with server.session() as connection:
        await connection.execute("BEGIN")
        found = await tally(connection, await prepare(connection))
    noise, said = found.tables["public.noise"], found.tables["public.said"]
    wanted = Tally({"public.noise": noise, "public.said": replace(said, checksum="1"), "public.late": said})
    with shared.connect(noisy) as other:
        other.execute("CREATE TABLE late (LIKE said)")
        with other.cursor().copy("COPY late FROM STDIN") as copy:
            copy.write("1\tbefore\n2\t\\N\n")
            async with looking(partial(server.session, noisy, doing="looking"), wanted) as good:
                await until(lambda: "public.noise" in good)
                assert list(good) == ["public.noise"]
    assert good == {"public.noise": noise}
    async with looking(partial(server.session, noisy, doing="looking"), wanted) as good:
        await until(lambda: len(good) == 2)
    assert good == {"public.noise": noise, "public.late": said}


async def test_a_look_that_cannot_be_is_left_to_the_one_after_it(shared: Server, noisy: str, stage: Stage) -> None:
    server = There(shared.dsn(f"{noisy}_none"), scratch=stage.places.scratch)
    async with looking(partial(server.session, doing="looking"), Tally({"public.noise": Table(1, "1")})) as good:
        await asyncio.sleep(0.3)
    assert good == {}
