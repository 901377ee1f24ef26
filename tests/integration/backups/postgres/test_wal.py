"""Base backups and write-ahead log of a real server: every row up to the last tick, and none that was lost unseen."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.backups.postgres.conftest import Server, Stage
from tests.integration.probes.conftest import PASSWORD

from lastgood.backups.postgres import engines
from lastgood.backups.postgres.engine import Wal
from lastgood.backups.postgres.spool import Spool
from lastgood.domain.backups.ports import JobFailed, Point
from lastgood.domain.backups.wal import lsn, segment

pytestmark = pytest.mark.integration
BOTH = pytest.mark.parametrize("own", ["15", "18"], indirect=True)
NEW = pytest.mark.parametrize("own", ["18"], indirect=True)
SLOT = "lastgood_0b2b6d8e"


def tags(name: str) -> dict[str, str]:
    return {"schedule": "nightly", "uid": "0b2b6d8e", "type": "Incremental", "backup": name}


def engine(server: Server, stage: Stage, **more: Any) -> Wal:
    made = engines(stage.spec(server.dsn(), method="wal", **more), stage.places)
    assert isinstance(made, Wal)
    return made


@asynccontextmanager
async def receiving(made: Wal, stage: Stage) -> AsyncIterator[None]:
    task = asyncio.create_task(made.receive(stage.work(), stage.repository))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(true: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def health(stage: Stage) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((stage.places.spool / "health.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def filled(server: Server) -> None:
    server.execute("CREATE TABLE log (id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(), note text)")


def note(server: Server, text: str) -> None:
    server.execute(f"INSERT INTO log (note) VALUES ('{text}')")


@pytest.fixture
def volume(stage: Stage, own: Server) -> Iterator[Path]:
    """The server's volume as a job of a Restore sees it: the real data directory, by a second name."""
    claim = stage.places.server("data")
    claim.parent.mkdir(parents=True)
    claim.symlink_to(own.directory)
    return claim


def restore(**more: Any) -> dict[str, Any]:
    spec = {
        "schedule": "nightly",
        "server": {"statefulSet": "pg", "claim": "data", "subPath": "data"},
        **more.pop("spec", {}),
    }
    return {"name": "back", "uid": "u1", "spec": spec, **more}


@BOTH
async def test_every_row_up_to_the_tick_is_there(own: Server, stage: Stage) -> None:
    filled(own)
    assert own.pgbench("-i", "-q").wait(60) == 0
    more = {
        "verification": {
            "restoreTest": {
                "assertions": [{"name": "a", "sql": "SELECT note FROM log ORDER BY id DESC LIMIT 1", "equals": "last"}]
            }
        }
    }
    made = engine(own, stage, more=more)
    writing = own.pgbench("-T", "120", "-c", "2", "-R", "200")
    try:
        async with receiving(made, stage):
            base = await made.full(stage.work(), stage.repository, tags("base"))
            assert base.base == ""
            assert base.point
            assert base.lsn
            assert any(each.reason == "KeepsUnlimited" for each in base.conditions)
            for number in range(2):
                note(own, f"{number}")
                tick = await made.incremental(stage.work(), stage.repository, tags(f"tick-{number}"))
                assert tick.base == "base"
            assert health(stage)["state"] == "Receiving"
            note(own, "last")
            tick = await made.incremental(stage.work(), stage.repository, tags("tick-2"))
    finally:
        writing.kill()
        writing.wait()
    note(own, "after")
    folder = Spool(stage.places.spool).current()
    assert folder
    # What was shipped has left the spool, but for the last whole one; what was written since the tick waits in it.
    left = [found for path in folder.iterdir() if (found := segment(path.name, 16 << 20)) is not None]
    assert min(left).number >= lsn(tick.lsn) // (16 << 20) - 1
    verified = await made.test(stage.work(), stage.repository, Point("tick-2", 0.0))
    assert verified.passed, verified.message
    assert "1 assertions hold" in verified.message
    # The point before it does not have the last row.
    verified = await made.test(stage.work(), stage.repository, Point("tick-1", 0.0))
    assert not verified.passed
    assert "a: gives 1, not last" in verified.message
    # The base by itself is a point, too.
    verified = await made.test(stage.work(), stage.repository, Point("base", 0.0))
    assert "a: gives no rows" in verified.message


@NEW
async def test_an_idle_server_s_tick_ends_and_receives_by_itself(own: Server, stage: Stage) -> None:
    """Nobody receives: the tick does."""
    filled(own)
    made = engine(own, stage)
    await made.full(stage.work(), stage.repository, tags("base"))
    tick = await made.incremental(stage.work(), stage.repository, tags("tick"))
    verified = await made.test(stage.work(), stage.repository, Point("tick", 0.0))
    assert verified.passed, verified.message
    assert tick.copies[0].snapshots


@NEW
async def test_the_slot_keeps_log_from_before_the_base(own: Server, stage: Stage) -> None:
    """Made with pg_receivewal --create-slot it would reserve nothing, and what is written until it connects be gone."""
    filled(own)
    made = engine(own, stage)

    async def churn() -> None:
        """Many segments, checkpointed away, while the base runs and nobody receives."""
        while True:
            await asyncio.to_thread(
                own.execute, "INSERT INTO log (note) SELECT repeat('x', 900) FROM generate_series(1, 5000)"
            )
            await asyncio.to_thread(own.execute, "CHECKPOINT")
            await asyncio.sleep(0.5)

    churning = asyncio.create_task(churn())
    try:
        await made.full(stage.work(), stage.repository, tags("base"))
    finally:
        churning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await churning
    assert (await made.test(stage.work(), stage.repository, Point("base", 0.0))).passed


async def shipped(stage: Stage, name: str) -> tuple[Any, Path]:
    snapshot = [each for each in await stage.repository.snapshots({"backup": name}) if each.tags["part"] == "wal"][-1]
    folder = stage.work()
    await stage.repository.fetch(snapshot.id, folder)
    return snapshot, folder


@NEW
async def test_a_gap_in_what_was_shipped_is_caught(own: Server, stage: Stage) -> None:
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
        for number in range(3):
            note(own, f"{number}")
            await made.incremental(stage.work(), stage.repository, tags(f"tick-{number}"))
        snapshot, _ = await shipped(stage, "tick-1")
        await stage.repository.forget([snapshot.id])
        verified = await made.test(stage.work(), stage.repository, Point("tick-2", 0.0))
        assert not verified.passed
        assert verified.message.startswith("WalGap: segment 0000000100000000000000")
        # What lies before the gap is still good.
        assert (await made.test(stage.work(), stage.repository, Point("tick-0", 0.0))).passed
        # The next tick sees it, and makes a new base at once.
        status = await made.incremental(stage.work(), stage.repository, tags("tick-3"))
        assert status.base == ""
        assert status.conditions[0].reason == "WalGap"
        assert (await made.test(stage.work(), stage.repository, Point("tick-3", 0.0))).passed


@NEW
async def test_a_segment_of_the_right_name_that_is_not_the_log_is_caught(own: Server, stage: Stage) -> None:
    """Contiguous by name, and the server would start cleanly without the later rows: the sentinel is not there."""
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
        for number in range(2):
            note(own, f"{number}")
            await made.incremental(stage.work(), stage.repository, tags(f"tick-{number}"))
    snapshot, folder = await shipped(stage, "tick-1")
    await stage.repository.forget([snapshot.id])
    for path in folder.glob("0000*"):
        path.write_bytes(bytes(path.stat().st_size))
    await stage.repository.store(folder, tags=snapshot.tags)
    verified = await made.test(stage.work(), stage.repository, Point("tick-1", 0.0))
    assert not verified.passed
    assert "before configured recovery target was reached" in verified.message or "log is missing" in verified.message


@BOTH
async def test_a_lost_slot_leads_to_a_new_base_at_once(own: Server, stage: Stage) -> None:
    filled(own)
    own.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '8MB'")
    own.execute("SELECT pg_reload_conf()")
    made = engine(own, stage)
    async with receiving(made, stage):
        first = await made.full(stage.work(), stage.repository, tags("base"))
        assert not [each for each in first.conditions if each.reason == "KeepsUnlimited"]
        note(own, "kept")
        await made.incremental(stage.work(), stage.repository, tags("tick"))
    for _ in range(12):
        own.execute("INSERT INTO log (note) SELECT repeat('x', 900) FROM generate_series(1, 2000)")
        own.execute("SELECT pg_switch_wal()")
        own.execute("CHECKPOINT")
    assert own.execute("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
    async with receiving(made, stage):
        await until(lambda: health(stage).get("state") == "Failed")
        status = await made.incremental(stage.work(), stage.repository, tags("again"))
        assert status.base == ""
        assert status.conditions[0].reason == "SlotLost"
        await until(lambda: own.execute("SELECT active FROM pg_replication_slots") == [(True,)])
        note(own, "new")
        await made.incremental(stage.work(), stage.repository, tags("later"))
    for name in ("tick", "again", "later"):
        verified = await made.test(stage.work(), stage.repository, Point(name, 0.0))
        assert verified.passed, verified.message


@NEW
async def test_a_slot_made_anew_by_another_is_not_trusted(own: Server, stage: Stage) -> None:
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
    own.execute(f"SELECT pg_drop_replication_slot('{SLOT}')")
    for _ in range(4):
        own.execute("INSERT INTO log (note) SELECT repeat('x', 900) FROM generate_series(1, 2000)")
        own.execute("SELECT pg_switch_wal()")
    own.execute("CHECKPOINT")
    own.execute(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
    status = await made.incremental(stage.work(), stage.repository, tags("again"))
    assert status.conditions[0].reason == "SlotLost"
    assert (await made.test(stage.work(), stage.repository, Point("again", 0.0))).passed


@NEW
async def test_a_moment_outside_what_there_is_is_refused(own: Server, stage: Stage, volume: Path) -> None:
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
        await made.incremental(stage.work(), stage.repository, tags("tick"))
    own.stop()
    for moment in ("2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"):
        spec = stage.spec(own.dsn(), "restore", method="wal", restore=restore(backup="tick", time=moment))
        assert spec.restore
        with pytest.raises(JobFailed) as refused:
            await made.restore(stage.work(), stage.repository, spec.restore)
        assert refused.value.reason == "TimeUnreachable", refused.value.message
    own.start()
    assert own.execute("SELECT count(*) FROM log") == [(0,)]


@BOTH
async def test_a_dropped_table_comes_back_onto_the_server_s_volume(own: Server, stage: Stage, volume: Path) -> None:
    filled(own)
    made = engine(own, stage)
    moments = []
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
        with psycopg.connect(own.dsn(), autocommit=True) as connection:
            for number in range(40):
                row = connection.execute(
                    f"INSERT INTO log (note) VALUES ('{number}') RETURNING clock_timestamp()".encode()
                ).fetchone()
                assert row
                await asyncio.sleep(0.01)
                row = connection.execute("SELECT clock_timestamp()").fetchone()
                assert row
                moments.append(row[0])
                await asyncio.sleep(0.01)
        own.execute("DROP TABLE log")
        await made.incremental(stage.work(), stage.repository, tags("tick"))
    wanted = restore(backup="tick", time=moments[29].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    wanted["spec"]["assertions"] = [{"name": "rows", "sql": "SELECT count(*) FROM log", "equals": "30"}]
    spec = stage.spec(own.dsn(), "restore", method="wal", restore=wanted)
    assert spec.restore
    made = engines(spec, stage.places)
    assert isinstance(made, Wal)
    with pytest.raises(JobFailed) as runs:
        await made.restore(stage.work(), stage.repository, spec.restore)
    assert runs.value.reason == "ServerRunning"
    own.stop()
    assert "segments" in await made.verify(stage.work(), stage.repository, spec.restore)
    told = await made.restore(stage.work(), stage.repository, spec.restore)
    assert "data-before-u1" in told
    assert await made.restore(stage.work(), stage.repository, spec.restore)  # done again, it is done
    assert "1 assertions hold" in await made.validate(stage.work(), spec.restore)
    own.start()
    assert own.execute("SELECT count(*), max(note::int) FROM log") == [(30, 29)]
    assert own.execute("SELECT pg_is_in_recovery()") == [(False,)]
    assert (own.directory / "data-before-u1/PG_VERSION").exists()
    # The server is on another timeline now, and its slot is gone: a new base, and on it goes, across the timelines.
    async with receiving(made, stage):
        status = await made.incremental(stage.work(), stage.repository, tags("next"))
        assert status.conditions[0].reason == "SlotLost"
        assert status.timeline == 2
        note(own, "99")
        await made.incremental(stage.work(), stage.repository, tags("next-2"))
    verified = await made.test(stage.work(), stage.repository, Point("next-2", 0.0))
    assert verified.passed, verified.message


@NEW
async def test_the_newest_rows_are_in_the_spool(own: Server, stage: Stage, volume: Path) -> None:
    """The server dies between two ticks; what it had committed had been received."""
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await made.full(stage.work(), stage.repository, tags("base"))
        note(own, "not shipped")
        position = own.execute("SELECT pg_current_wal_lsn()")[0][0]
        await until(lambda: own.execute(f"SELECT restart_lsn >= '{position}' FROM pg_replication_slots") == [(True,)])
    own.stop()
    wanted = restore(backup="base", spec={"to": {"latest": True}})
    spec = stage.spec(own.dsn(), "restore", method="wal", restore=wanted)
    assert spec.restore
    told = await made.restore(stage.work(), stage.repository, spec.restore)
    assert "all that was received" in told
    own.start()
    assert own.execute("SELECT note FROM log") == [("not shipped",)]


@NEW
async def test_a_volume_that_is_not_fit_is_left_alone(own: Server, stage: Stage, volume: Path) -> None:
    filled(own)
    made = engine(own, stage)
    await made.full(stage.work(), stage.repository, tags("base"))
    own.stop()
    wanted = restore(backup="base")
    spec = stage.spec(own.dsn(), "restore", method="wal", restore=wanted)
    assert spec.restore
    version = own.data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(JobFailed) as other:
        await made.restore(stage.work(), stage.repository, spec.restore)
    assert (other.value.reason, other.value.untouched) == ("VersionMismatch", True)
    version.write_text("18\n")
    outside = restore(backup="base")
    outside["spec"]["server"]["subPath"] = "../.."
    spec = stage.spec(own.dsn(), "restore", method="wal", restore=outside)
    assert spec.restore
    with pytest.raises(JobFailed) as astray:
        await made.restore(stage.work(), stage.repository, spec.restore)
    assert astray.value.untouched
    own.start()
    assert own.execute("SELECT count(*) FROM log") == [(0,)]


@NEW
async def test_a_receiver_comes_back_by_itself(own: Server, stage: Stage) -> None:
    filled(own)
    made = engine(own, stage)
    async with receiving(made, stage):
        await until(lambda: health(stage).get("state") == "Waiting")
        await made.full(stage.work(), stage.repository, tags("base"))
        await until(lambda: health(stage)["state"] == "Receiving")
        await asyncio.to_thread(own.stop)
        await until(lambda: health(stage)["state"] == "Failed")
        assert health(stage)["reason"] == "Unreachable"
        assert PASSWORD not in json.dumps(health(stage))
        await asyncio.to_thread(own.start)
        note(own, "after the restart")
        await made.incremental(stage.work(), stage.repository, tags("tick"))
    assert (await made.test(stage.work(), stage.repository, Point("tick", 0.0))).passed


@NEW
@pytest.mark.parametrize("name", ["app", "copier"], ids=["replication", "switch"])
async def test_a_right_that_is_missing_is_told(own: Server, stage: Stage, name: str) -> None:
    made = engines(stage.spec(own.dsn(name=name), method="wal"), stage.places)
    with pytest.raises(JobFailed) as failed:
        await made.full(stage.work(), stage.repository, tags("base"))
    assert failed.value.reason == "NotAllowed"
    assert PASSWORD not in str(failed.value)
    assert await stage.repository.snapshots({"schedule": "nightly"}) == []


@NEW
async def test_a_user_with_two_rights_is_enough(own: Server, stage: Stage) -> None:
    own.execute("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO copier")
    made = engines(stage.spec(own.dsn(name="copier"), method="wal"), stage.places)
    assert isinstance(made, Wal)
    await made.full(stage.work(), stage.repository, tags("base"))
    assert (await made.test(stage.work(), stage.repository, Point("base", 0.0))).passed


@NEW
async def test_a_server_without_a_slot_to_spare_is_told(own: Server, stage: Stage) -> None:
    for number in range(8):
        own.execute(f"SELECT pg_create_physical_replication_slot('other_{number}')")
    with pytest.raises(JobFailed) as full:
        await engine(own, stage).full(stage.work(), stage.repository, tags("base"))
    assert full.value.reason == "ServerFull"
    assert "max_replication_slots" in full.value.message


def as_root(*command: str) -> None:
    """Run it as root, which this test's process has put aside."""
    subprocess.run(command, check=True, preexec_fn=lambda: os.setresuid(0, 0, 0))


@pytest.fixture
def small(stage: Stage) -> Iterator[Path]:
    """Scratch of 8 MB."""
    if os.getresuid()[2] != 0:
        pytest.skip("to mount a small volume needs root")
    folder = stage.places.scratch
    shutil.rmtree(folder)
    folder.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=8m,uid={os.getuid()}", "none", str(folder))
    yield folder
    as_root("umount", "-l", str(folder))


@NEW
async def test_a_full_disk_is_told_and_leaves_nothing(own: Server, stage: Stage, small: Path) -> None:
    with pytest.raises(JobFailed) as full:
        await engine(own, stage).full(stage.work(), stage.repository, tags("base"))
    assert full.value.reason == "DiskFull"
    assert await stage.repository.snapshots({"schedule": "nightly"}) == []
