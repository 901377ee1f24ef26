"""Restore tests look at pages, too: damage that no query shows, and that a checksum of files does not know."""

import subprocess
from pathlib import Path

import pytest
from tests.integration.backups.postgres.conftest import Server, Stage
from tests.integration.backups.postgres.test_physical import summarized
from tests.integration.backups.postgres.test_wal import filled, note, tags

from lastgood.api.backup import Verified
from lastgood.backups.postgres import engines
from lastgood.backups.postgres.engine import Physical, Wal
from lastgood.backups.postgres.tools import ROOTS
from lastgood.domain.backups.ports import Point

pytestmark = pytest.mark.integration
BOTH = pytest.mark.parametrize("own", ["15", "18"], indirect=True)
FUTURE_XID = 0x7FFF0000


async def restored(server: Server, stage: Stage, method: str = "wal") -> Verified:
    """What the restore test of a new base says."""
    made = engines(stage.spec(server.dsn(), method=method), stage.places)
    assert isinstance(made, Wal | Physical)
    await made.full(stage.work(), stage.repository, tags("base"))
    return await made.test(stage.work(), stage.repository, Point("base", 0.0))


def unindexed(server: Server, index: str = "log_pkey") -> None:
    """A row that this index does not know: whoever asks by the index does not find it."""
    for told in ("false", "true"):
        set_to = f"indisready = {told}, indisvalid = {told}"
        server.execute(f"UPDATE pg_index SET {set_to} WHERE indexrelid = '{index}'::regclass")
        if told == "false":
            note(server, "hidden")


def damaged(server: Server, table: Path) -> None:
    """A stopped server's: the first row's transaction lies in the future."""
    if server.version == "18":
        # With checksums the copy itself would fail.
        command = [str(server.programs / "pg_checksums"), "--disable", str(server.data)]
        subprocess.run(command, check=True, capture_output=True)
    with table.open("r+b") as file:
        file.seek(24)
        place = int.from_bytes(file.read(4), "little") & 0x7FFF
        file.seek(place)
        file.write(FUTURE_XID.to_bytes(4, "little"))


def without_amcheck(server: Server, stage: Stage) -> Path:
    """The server's programs but for one."""
    folder = stage.folder / "programs"
    folder.mkdir()
    for program in server.programs.iterdir():
        if program.name != "pg_amcheck":
            (folder / program.name).symlink_to(program.resolve())
    return folder


@BOTH
async def test_what_was_checked_is_told(own: Server, stage: Stage) -> None:
    filled(own)
    note(own, "one")
    verified = await restored(own, stage)
    assert verified.passed, verified.message
    assert "pg_amcheck finds tables and b-tree indexes of postgres, shop whole" in verified.message
    # PostgreSQL 18 makes them unless told otherwise.
    said = {"15": "there are no page checksums", "18": "page checksums hold"}[own.version]
    assert verified.message.endswith(said)


@BOTH
async def test_an_index_without_one_of_the_rows_is_caught(own: Server, stage: Stage) -> None:
    filled(own)
    unindexed(own)
    verified = await restored(own, stage)
    assert not verified.passed
    assert verified.message == 'pg_amcheck finds damage in btree index "shop.public.log_pkey"'


@pytest.mark.parametrize("own", ["18"], indirect=True)
async def test_of_increments_too(own: Server, stage: Stage) -> None:
    summarized(own)
    unindexed(own)
    verified = await restored(own, stage, "physical")
    assert not verified.passed
    assert 'btree index "shop.public.log_pkey"' in verified.message


@BOTH
async def test_a_page_that_was_damaged_on_the_server_is_caught(own: Server, stage: Stage) -> None:
    """A row whose transaction lies in the future: it is not seen any more, and nothing fails."""
    filled(own)
    for number in range(3):
        note(own, str(number))
    own.execute("SELECT count(*) FROM log")  # from here on the rows are marked as committed
    path = own.data / own.execute("SELECT pg_relation_filepath('log')")[0][0]
    own.execute("CHECKPOINT")
    own.stop()
    damaged(own, path)
    own.start()
    assert own.execute("SELECT count(*) FROM log") == [(2,)]
    verified = await restored(own, stage)
    assert not verified.passed
    assert 'pg_amcheck finds damage in heap table "shop.public.log"' in verified.message


@BOTH
async def test_what_cannot_be_checked_is_told_and_is_no_fault(
    own: Server, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(own)
    by_text = '"by, ""note"'
    own.execute(f"CREATE INDEX {by_text} ON log (note)")
    unindexed(own, by_text)
    own.execute("UPDATE pg_database SET datcollversion = '1' WHERE datname = 'shop'")
    verified = await restored(own, stage)
    assert verified.passed, verified.message
    assert "indexes of postgres, shop whole; 1 indexes of shop were not checked: their collation" in verified.message
    monkeypatch.setenv(ROOTS, str(without_amcheck(own, stage)))
    made = engines(stage.spec(own.dsn(), method="wal"), stage.places)
    assert isinstance(made, Wal)
    verified = await made.test(stage.work(), stage.repository, Point("base", 0.0))
    assert verified.passed, verified.message
    assert f"pages of shop were not checked: the image has no amcheck {own.version}" in verified.message
