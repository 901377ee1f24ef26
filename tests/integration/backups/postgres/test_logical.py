"""Dumps of a real server into a real repository, and back."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.backups.postgres.conftest import Server, Stage
from tests.integration.probes.conftest import PASSWORD

from lastgood.api.backup import BackupStatus
from lastgood.api.backupjob import JobSpec
from lastgood.backups.postgres import engines
from lastgood.backups.postgres.engine import Logical
from lastgood.domain.backups.ports import JobFailed, Point

pytestmark = pytest.mark.integration
TAGS = {"schedule": "nightly", "uid": "0b2b6d8e", "type": "Full"}


@pytest.fixture
def shop(shared: Server) -> Any:
    """A database with pgbench's tables and some that are hard to dump."""
    name = f"shop_{os.urandom(4).hex()}"
    shared.execute(f"CREATE DATABASE {name} OWNER app", "postgres")
    assert shared.pgbench("-i", "-q", "-s", "1", database=name).wait(60) == 0
    for line in (
        'CREATE SCHEMA "Odd, one"; CREATE TABLE "Odd, one"."a%b" (j json, p point, f float8, t timestamptz, b bytea)',
        """INSERT INTO "Odd, one"."a%b" VALUES ('{"k": "ä"}', '(1,2)', 0.1, now(), '\\x00ff'), (NULL, NULL, 'NaN', NULL, '')""",
        "CREATE UNLOGGED TABLE sessions (id int); INSERT INTO sessions SELECT generate_series(1, 10)",
        "CREATE TABLE parts (id int, k int) PARTITION BY LIST (k); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
        "INSERT INTO parts SELECT g, 1 FROM generate_series(1, 50) g; SELECT lo_from_bytea(0, 'x')",
        "ALTER TABLE pgbench_accounts OWNER TO app",
    ):
        shared.execute(line, name)
    yield name
    shared.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "postgres")


def engine(spec: JobSpec, stage: Stage) -> Logical:
    made = engines(spec, stage.places)
    assert isinstance(made, Logical)
    return made


async def backed_up(stage: Stage, made: Logical, name: str) -> BackupStatus:
    return await made.full(stage.work(), stage.repository, {**TAGS, "backup": name})


async def point(stage: Stage, name: str) -> Point:
    return Point(name, 0.0, await stage.repository.snapshots({"backup": name}))


def sums(server: Server, database: str) -> list[Any]:
    tables = ("pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history", '"Odd, one"."a%b"', "parts")
    query = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
    return [server.execute(query.format(table), database)[0] for table in tables]


def restore(**more: Any) -> dict[str, Any]:
    into = more.pop("into", None)
    spec = {"schedule": "nightly", **({"into": into} if into else {}), **more.pop("spec", {})}
    return {"name": "back", "uid": "u1", "spec": spec, **more}


async def test_a_point_restores_while_it_is_written_to(shared: Server, shop: str, stage: Stage) -> None:
    made = engine(stage.spec(shared.dsn(shop), method="logical"), stage)
    before = sums(shared, shop)
    writing = shared.pgbench("-T", "60", "-c", "2", "-R", "200", database=shop)
    try:
        status = await backed_up(stage, made, "one")
        await asyncio.sleep(0.5)
        changed = sums(shared, shop)
        verified = await made.test(stage.work(), stage.repository, await point(stage, "one"))
    finally:
        writing.kill()
        writing.wait()
    assert changed != before
    assert verified.passed, verified.message
    assert "checksums equal" in verified.message
    assert status.phase == "Succeeded"
    assert status.contents == [shop]
    assert status.point
    assert {each.tags["part"] for each in await stage.repository.snapshots({"schedule": "nightly"})} == {
        "dump",
        "manifest",
    }
    assert status.copies[0].snapshots == [each.id for each in await stage.repository.snapshots({"backup": "one"})]
    await stage.repository.fetch(status.copies[0].snapshots[-1], stage.folder / "out")
    globals_ = (stage.folder / "out/globals.sql").read_text()
    assert "CREATE ROLE app" in globals_
    assert "PASSWORD" not in globals_


async def test_a_dropped_table_comes_back_by_a_swap(shared: Server, shop: str, stage: Stage) -> None:
    await backed_up(stage, engine(stage.spec(shared.dsn(shop), method="logical"), stage), "one")
    before = sums(shared, shop)
    shared.execute(
        f"ALTER DATABASE {shop} SET work_mem TO '5MB'; GRANT CREATE ON DATABASE {shop} TO copier", "postgres"
    )
    shared.execute("DROP TABLE pgbench_accounts; DELETE FROM parts; CREATE TABLE later (id int)", shop)
    wanted = restore(backup="one", database=f"{shop}_fresh", keptDatabase=f"{shop}_before", into={"swap": True})
    wanted["spec"]["assertions"] = [
        {"name": "accounts", "sql": "SELECT count(*) FROM pgbench_accounts", "equals": "100000"},
        {"name": "nothing-later", "sql": "SELECT 1 FROM pg_class WHERE relname = 'later'"},
    ]
    spec = stage.spec(shared.dsn(shop), "restore", method="logical", restore=wanted)
    assert spec.restore
    made = engine(spec, stage)
    assert shop in await made.verify(stage.work(), stage.repository, spec.restore)
    told = await made.restore(stage.work(), stage.repository, spec.restore)
    assert "checksums equal" in told
    # What a crash leaves is done anew.
    await made.restore(stage.work(), stage.repository, spec.restore)
    assert "2 assertions hold" in await made.validate(stage.work(), spec.restore)
    with shared.connect(shop):  # somebody is still in it
        await made.swap(stage.work(), spec.restore)
    await made.swap(stage.work(), spec.restore)
    assert sums(shared, shop) == before
    assert shared.execute("SHOW work_mem", shop) == [("5MB",)]
    query = f"SELECT has_database_privilege('copier', '{shop}', 'CREATE'), pg_get_userbyid(datdba) FROM pg_database"
    assert shared.execute(f"{query} WHERE datname = '{shop}'") == [(True, "app")]
    assert shared.execute("SELECT count(*) FROM later", f"{shop}_before") == [(0,)]
    await made.validate(stage.work(), spec.restore)
    shared.execute(f"DROP DATABASE {shop}_before", "postgres")


async def test_a_swap_that_cannot_be_leaves_all_as_it_was(shared: Server, shop: str, stage: Stage) -> None:
    wanted = restore(backup="one", database=f"{shop}_fresh", keptDatabase=f"{shop}_before", into={"swap": True})
    spec = stage.spec(shared.dsn(shop), "swap", method="logical", restore=wanted)
    assert spec.restore
    made = engine(spec, stage)
    with pytest.raises(JobFailed) as missing:
        await made.swap(stage.work(), spec.restore)
    assert missing.value.reason == "SwapFailed"
    shared.execute(f"CREATE DATABASE {shop}_fresh", "postgres")
    shared.execute(f"CREATE DATABASE {shop}_before", "postgres")
    with pytest.raises(JobFailed) as taken:
        await made.swap(stage.work(), spec.restore)
    assert taken.value.reason == "SwapFailed"
    assert shared.execute("SELECT count(*) FROM pgbench_accounts", shop) == [(100000,)]
    shared.execute(f"DROP DATABASE {shop}_fresh", "postgres")
    shared.execute(f"DROP DATABASE {shop}_before", "postgres")


async def test_in_place_what_came_later_stays_and_a_failure_changes_nothing(
    shared: Server, shop: str, stage: Stage
) -> None:
    await backed_up(stage, engine(stage.spec(shared.dsn(shop), method="logical"), stage), "one")
    before = sums(shared, shop)
    shared.execute("DELETE FROM parts; UPDATE pgbench_tellers SET tbalance = 1; CREATE TABLE later (id int)", shop)
    spec = stage.spec(
        shared.dsn(shop), "restore", method="logical", restore=restore(backup="one", into={"inPlace": True})
    )
    assert spec.restore
    made = engine(spec, stage)
    # A view on a table: DROP TABLE without CASCADE is refused, and all stays.
    shared.execute("CREATE VIEW v AS SELECT * FROM pgbench_tellers", shop)
    changed = sums(shared, shop)
    with pytest.raises(JobFailed) as refused:
        await made.restore(stage.work(), stage.repository, spec.restore)
    assert refused.value.reason == "RestoreFailed"
    assert "depend" in refused.value.message
    assert sums(shared, shop) == changed
    shared.execute("DROP VIEW v", shop)
    await made.restore(stage.work(), stage.repository, spec.restore)
    assert sums(shared, shop) == before
    assert shared.execute("SELECT count(*) FROM later", shop) == [(0,)]


async def test_a_new_database_is_made_and_never_overwritten(shared: Server, shop: str, stage: Stage) -> None:
    await backed_up(stage, engine(stage.spec(shared.dsn(shop), method="logical"), stage), "one")
    into = {"newDatabase": {"name": f"{shop}_copy"}}
    spec = stage.spec(shared.dsn(shop), "restore", method="logical", restore=restore(backup="one", into=into))
    assert spec.restore
    await engine(spec, stage).restore(stage.work(), stage.repository, spec.restore)
    assert sums(shared, f"{shop}_copy") == sums(shared, shop)
    other = spec.restore.model_copy(update={"uid": "u2"})
    with pytest.raises(JobFailed) as taken:
        await engine(spec, stage).restore(stage.work(), stage.repository, other)
    assert taken.value.reason == "TargetExists"
    shared.execute(f"DROP DATABASE {shop}_copy", "postgres")


async def test_a_dump_that_dies_half_way_leaves_no_point(shared: Server, shop: str, stage: Stage) -> None:
    made = engine(stage.spec(shared.dsn(shop), method="logical", databases=["postgres", shop]), stage)

    async def kill() -> None:
        while not shared.execute(  # noqa: ASYNC110
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{shop}' AND query ~ '^COPY.*accounts' AND state = 'active'"
        ):
            await asyncio.sleep(0.005)

    shared.execute("INSERT INTO pgbench_accounts SELECT aid + 1e7::int, 1, 1, filler FROM pgbench_accounts", shop)
    killing = asyncio.create_task(asyncio.wait_for(kill(), 60))
    with pytest.raises(JobFailed) as died:
        await backed_up(stage, made, "half")
    await killing
    assert died.value.reason == "Unreachable"
    assert PASSWORD not in str(died.value)
    assert await stage.repository.snapshots({"schedule": "nightly"}) == []


async def test_a_point_that_lacks_a_part_is_not_taken_for_one(shared: Server, shop: str, stage: Stage) -> None:
    made = engine(stage.spec(shared.dsn(shop), method="logical"), stage)
    await backed_up(stage, made, "one")
    dump = (await stage.repository.snapshots({"schedule": "nightly", "part": "dump"}))[0]
    await stage.repository.forget([dump.id])
    verified = await made.test(stage.work(), stage.repository, await point(stage, "one"))
    assert not verified.passed
    assert "PointIncomplete" in verified.message


async def test_a_drill_sees_what_is_not_as_it_was(shared: Server, shop: str, stage: Stage) -> None:
    """A dump that restores cleanly and holds other data than its manifest says."""
    made = engine(stage.spec(shared.dsn(shop), method="logical"), stage)
    # Large beside a chunk of the repository's, so that where those end has no say.
    shared.execute(
        "CREATE TABLE notes AS SELECT g, md5(g::text), md5(g::text) AS b FROM generate_series(1, 500000) g", shop
    )
    first = await backed_up(stage, made, "one")
    shared.execute("UPDATE pgbench_tellers SET tbalance = 7 WHERE tid = 3; DELETE FROM parts WHERE id = 1", shop)
    second = await made.incremental(stage.work(), stage.repository, {**TAGS, "backup": "two"})
    # Another full dump, which costs what has changed.
    assert second.stored_bytes < first.stored_bytes / 2
    assert second.size_bytes > first.size_bytes * 0.9
    one, two = [await stage.repository.snapshots({"backup": name}) for name in ("one", "two")]
    mixed = [
        next(e for e in one if e.tags["part"] == "manifest"),
        next(e for e in two if e.tags["part"] == "dump"),
    ]
    verified = await made.test(stage.work(), stage.repository, Point("one", 0.0, mixed))
    assert not verified.passed
    assert "parts_1 has 49 rows and had 50" in verified.message
    assert "pgbench_tellers has other values" in verified.message


async def test_assertions_are_run_read_only(shared: Server, shop: str, stage: Stage) -> None:
    assertions = [
        {"name": "true", "sql": "SELECT count(*) = 100000 FROM pgbench_accounts"},
        {"name": "like", "sql": "SELECT 'a%b' LIKE 'a%'"},
        {"name": "wrong", "sql": "SELECT 5", "equals": "6"},
        {"name": "writes", "sql": "DELETE FROM pgbench_accounts RETURNING 1"},
        {"name": "two", "sql": "COMMIT; DELETE FROM pgbench_accounts"},
    ]
    more = {"verification": {"restoreTest": {"assertions": assertions}}}
    made = engine(stage.spec(shared.dsn(shop), method="logical", more=more), stage)
    await backed_up(stage, made, "one")
    verified = await made.test(stage.work(), stage.repository, await point(stage, "one"))
    assert not verified.passed
    assert "wrong: gives 5, not 6" in verified.message
    assert "writes: fails" in verified.message
    assert "two: fails" in verified.message
    assert "like" not in verified.message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda dsn: dsn.replace("postgres:", "app:").replace(PASSWORD, "wrong"), "WrongPassword"),
        (lambda dsn: dsn.replace("postgres:", "app:").replace(f":{PASSWORD}", ""), "WrongPassword"),
        (lambda dsn: dsn.replace("postgres:", "stranger:"), "NotAllowed"),
        (lambda dsn: dsn.replace("/shop", "/none"), "DatabaseMissing"),
        (lambda dsn: f"{dsn}?sslmode=require", "TlsFailed"),
        (lambda dsn: dsn.replace("127.0.0.1", "127.0.0.2"), "Unreachable"),
        (lambda dsn: dsn.replace("postgres:", "app:"), "NotAllowed"),
    ],
    ids=["password", "no-password", "hba", "database", "tls", "address", "right"],
)
async def test_the_reason_is_told(shared: Server, stage: Stage, change: Any, reason: str) -> None:
    with psycopg.connect(shared.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS of_postgres (id int)")
    made = engine(stage.spec(change(shared.dsn()), method="logical"), stage)
    with pytest.raises(JobFailed) as failed:
        await backed_up(stage, made, "one")
    assert failed.value.reason == reason, failed.value.message
    assert PASSWORD not in str(failed.value)
    assert await stage.repository.snapshots({"schedule": "nightly"}) == []


async def test_a_server_without_fitting_programs_is_named(
    shared: Server, shop: str, stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("LASTGOOD_POSTGRES_BIN", str(stage.folder))
    made = engine(stage.spec(shared.dsn(shop), method="logical"), stage)
    with pytest.raises(JobFailed) as failed:
        await backed_up(stage, made, "one")
    assert failed.value.reason == "VersionMismatch"
    assert f"the server is PostgreSQL {shared.version}" in failed.value.message


def seen(pattern: str) -> list[str]:
    """Command lines and environments of all processes of this user that hold a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (folder / name).read_bytes().decode(errors="replace")
            except OSError:
                continue
            if pattern in text:
                found.append(f"{name}: {text[:60]}")
    return found


async def test_no_argument_and_no_environment_shows_the_password(shared: Server, shop: str, stage: Stage) -> None:
    secret = f"s3cr3t-{os.urandom(4).hex()}:\\ x"
    shared.execute(f"ALTER ROLE copier SUPERUSER PASSWORD '{secret}'", "postgres")
    dsn = (
        f"host=127.0.0.1 port={shared.port} user=copier dbname={shop} password='{secret.replace(chr(92), chr(92) * 2)}'"
    )
    made = engine(stage.spec(dsn, method="logical"), stage)
    running = asyncio.create_task(backed_up(stage, made, "one"))
    looks, shown = 0, []
    while not running.done():
        shown += seen(secret[:12])
        looks += 1
        await asyncio.sleep(0)
    shared.execute(f"ALTER ROLE copier NOSUPERUSER PASSWORD '{PASSWORD}'", "postgres")
    assert (await running).phase == "Succeeded"
    assert looks > 3
    assert shown == []
    files = [path for path in stage.places.scratch.iterdir() if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
    assert (
        json.dumps([dict(each.tags) for each in await stage.repository.snapshots({"schedule": "nightly"})]).find(
            secret[:12]
        )
        == -1
    )
