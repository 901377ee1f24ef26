"""Full copies and increments of a real PostgreSQL 18."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.integration.backups.postgres.conftest import Server, Stage
from tests.integration.backups.postgres.test_wal import tags, volume

from lastgood.backups.postgres import engines
from lastgood.backups.postgres.engine import Physical
from lastgood.domain.backups.ports import JobFailed, Point

__all__ = ["volume"]
pytestmark = pytest.mark.integration
NEW = pytest.mark.parametrize("own", ["18"], indirect=True)


def engine(server: Server, stage: Stage, **more: Any) -> Physical:
    made = engines(stage.spec(server.dsn(), method="physical", **more), stage.places)
    assert isinstance(made, Physical)
    return made


def summarized(server: Server) -> None:
    server.execute("ALTER SYSTEM SET summarize_wal = on")
    server.execute("SELECT pg_reload_conf()")
    server.execute("CREATE TABLE log (id serial PRIMARY KEY, note text)")
    assert server.pgbench("-i", "-q", "-s", "2").wait(120) == 0


def note(server: Server, text: str) -> None:
    server.execute(f"INSERT INTO log (note) VALUES ('{text}')")


@NEW
async def test_increments_are_small_and_each_is_a_point(own: Server, stage: Stage) -> None:
    summarized(own)
    last = {"name": "last", "sql": "SELECT note FROM log ORDER BY id DESC LIMIT 1", "equals": "2"}
    made = engine(own, stage, more={"verification": {"restoreTest": {"assertions": [last]}}})
    full = await made.full(stage.work(), stage.repository, tags("full"))
    for number in range(1, 4):
        note(own, str(number))
        status = await made.incremental(stage.work(), stage.repository, tags(f"i{number}"))
        assert status.base == "full"
        assert status.conditions == []
        assert status.size_bytes < full.size_bytes / 2
    verified = await made.test(stage.work(), stage.repository, Point("i2", 0.0))
    assert verified.passed, verified.message
    assert "200" in verified.message  # 200,000 accounts were read
    # A member is missing: what builds on it is told to be broken, what lies before it is as good as ever.
    gone = (await stage.repository.snapshots({"backup": "i1"}))[0]
    await stage.repository.forget([gone.id])
    verified = await made.test(stage.work(), stage.repository, Point("i3", 0.0))
    assert not verified.passed
    assert "ChainBroken: i1, which i2 builds on, is missing" in verified.message
    assert "gives no rows" in (await made.test(stage.work(), stage.repository, Point("full", 0.0))).message
    # The next increment builds on the newest that is whole: the full one.
    note(own, "2")
    await made.incremental(stage.work(), stage.repository, tags("i4"))
    assert (await made.test(stage.work(), stage.repository, Point("i4", 0.0))).passed


@NEW
async def test_without_summaries_it_says_so_and_with_too_few_it_starts_anew(own: Server, stage: Stage) -> None:
    made = engine(own, stage)
    await made.full(stage.work(), stage.repository, tags("full"))
    with pytest.raises(JobFailed) as off:
        await made.incremental(stage.work(), stage.repository, tags("i1"))
    assert off.value.reason == "ServerSetting"
    assert "summarize_wal" in off.value.message
    for _ in range(3):
        own.execute("SELECT pg_logical_emit_message(true, 'x', 'y'), pg_switch_wal()")
    own.execute("CHECKPOINT")
    summarized(own)
    status = await made.incremental(stage.work(), stage.repository, tags("i1"))
    assert status.base == ""
    assert status.conditions[0].reason == "SummariesMissing"
    assert (await made.test(stage.work(), stage.repository, Point("i1", 0.0))).passed


@pytest.mark.parametrize("own", ["15"], indirect=True)
async def test_an_old_server_is_refused(own: Server, stage: Stage) -> None:
    with pytest.raises(JobFailed) as old:
        await engine(own, stage).full(stage.work(), stage.repository, tags("full"))
    assert old.value.reason == "VersionMismatch"
    assert "use method logical" in old.value.message


@NEW
async def test_a_damaged_base_is_caught(own: Server, stage: Stage) -> None:
    """One bit of a table, in a file that keeps its size: what the manifest's checksums are for."""
    summarized(own)
    made = engine(own, stage)
    await made.full(stage.work(), stage.repository, tags("full"))
    snapshot = (await stage.repository.snapshots({"schedule": "nightly"}))[0]
    folder = stage.work()
    await stage.repository.fetch(snapshot.id, folder)
    path = max((folder / "data/base").rglob("[0-9]*"), key=lambda each: each.stat().st_size if each.is_file() else 0)
    with path.open("r+b") as file:
        file.seek(9000)
        byte = file.read(1)
        file.seek(9000)
        file.write(bytes([byte[0] ^ 1]))
    await stage.repository.forget([snapshot.id])
    await stage.repository.store(folder, tags=snapshot.tags)
    verified = await made.test(stage.work(), stage.repository, Point("full", 0.0))
    assert not verified.passed
    assert verified.message.startswith("BaseDamaged")


@NEW
async def test_a_dropped_table_comes_back(own: Server, stage: Stage, volume: Path) -> None:
    summarized(own)
    made = engine(own, stage)
    await made.full(stage.work(), stage.repository, tags("full"))
    note(own, "one")
    await made.incremental(stage.work(), stage.repository, tags("i1"))
    query = "SELECT count(*), sum(hashtext(a::text)) FROM pgbench_accounts a"
    before = own.execute(query)
    own.execute("DROP TABLE pgbench_accounts, log")
    own.stop()
    wanted = {
        "name": "back",
        "uid": "u1",
        "backup": "i1",
        "spec": {"schedule": "nightly", "server": {"statefulSet": "pg", "claim": "data", "subPath": "data"}},
    }
    spec = stage.spec(own.dsn(), "restore", method="physical", restore=wanted)
    assert spec.restore
    await made.restore(stage.work(), stage.repository, spec.restore)
    await made.validate(stage.work(), spec.restore)
    own.start()
    assert own.execute(query) == before
    assert own.execute("SELECT note FROM log") == [("one",)]
    # Increments go on, or begin anew; either way there is a point.
    await made.incremental(stage.work(), stage.repository, tags("i2"))
    shutil.rmtree(own.directory / "data-before-u1")
    assert (await made.test(stage.work(), stage.repository, Point("i2", 0.0))).passed
