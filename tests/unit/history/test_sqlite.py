"""SQLite: the contract, the file over restarts, a file that is full, and one that is broken.

Full here means PRAGMA max_page_count; a file system that fills up is tried in tests/integration/test_history.py.
"""

import sqlite3
from pathlib import Path

import pytest
from tests.unit.history.rows import START, A, B, everything, keeps, left, rows

from lastgood.domain.history import HistoryLost, HistoryReason, HistoryState, Series
from lastgood.history.sqlite import Sqlite


async def test_contract(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db")
    await keeps(store)
    await store.aclose()


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db")
    await store.append(rows(A, 1, value=2) + rows(B, 1))
    await store.aclose()
    again = Sqlite(tmp_path / "h.db")
    assert await again.read(A, 0, START * 2) == rows(A, 1, value=2)
    await again.append(rows(A, 2))
    assert await left(again, A) == [1, 2]
    await again.aclose()


async def test_hours_are_packed_as_time_goes_by(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db")
    many = [Series("n", str(n), "o") for n in range(2500)]
    for minute in range(0, 300, 10):
        await store.append([row for series in many for row in rows(series, minute)])
    loose, packed = counts(tmp_path / "h.db")
    # Three hours are over for an hour and more; each batch packs a thousand series.
    assert packed == 7500
    assert loose == 2500 * 12
    assert len(await everything(store)) == 2500 * 30
    await store.aclose()


def counts(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as db:
        return db.execute("SELECT (SELECT count(*) FROM minutes), (SELECT count(*) FROM hours)").fetchone()


async def test_a_full_file_keeps_whole_batches_only(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db", max_bytes=128 * 1024)
    kept = -1

    async def fill() -> None:
        nonlocal kept
        for kept in range(10_000):
            await store.append([row for n in range(50) for row in rows(Series("n", str(n), "o"), kept)])

    with pytest.raises(HistoryLost) as caught:
        await fill()
    assert caught.value.reason is HistoryReason.FULL
    assert "h.db" in str(caught.value)
    # The batch may have been kept with only its packing undone, but never in part.
    seen = [row.minute for row in await everything(store)]
    assert {seen.count(minute) for minute in set(seen)} == {50}
    assert len(set(seen)) in {kept, kept + 1}
    await store.prune(START + kept)
    await store.append(rows(A, kept))
    assert await left(store, A) == [kept]
    await store.aclose()


async def test_a_new_series_of_a_batch_that_failed_is_made_again(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db", max_bytes=64 * 1024)
    long = [Series("n" * 200, str(n), "o") for n in range(1000)]
    with pytest.raises(HistoryLost):
        await store.append([row for series in long for row in rows(series, 1)])
    await store.append(rows(long[0], 1))
    assert await left(store, long[0]) == [1]
    await store.aclose()


@pytest.mark.parametrize("what", ["no database", "torn"])
async def test_a_broken_file_is_moved_aside_and_begun_anew(tmp_path: Path, what: str) -> None:
    path = tmp_path / "h.db"
    said: list[HistoryState] = []
    store = Sqlite(path, said=said.append)
    for minute in range(300):
        await store.append([row for n in range(50) for row in rows(Series("n", str(n), "o"), minute)])
    await store.aclose()
    broken = b"no database at all " * 500 if what == "no database" else path.read_bytes()
    if what == "torn":
        broken = broken[:4096] + b"\xff" * (len(broken) - 4096)
    path.write_bytes(broken)
    store = Sqlite(path, said=said.append)
    await store.append(rows(A, 1))
    assert await left(store, A) == [1]
    (state,) = said
    assert state.reason is HistoryReason.BEGUN_ANEW
    assert "moved to h.db.broken and begun anew" in state.message
    assert (tmp_path / "h.db.broken").read_bytes() == broken
    await store.aclose()


async def test_a_place_that_is_not_there_is_said(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "absent" / "h.db")
    with pytest.raises(HistoryLost) as caught:
        await store.append(rows(A, 1))
    assert caught.value.reason is HistoryReason.UNREACHABLE
    (tmp_path / "absent").mkdir()
    await store.append(rows(A, 1))
    assert await left(store, A) == [1]
    await store.aclose()


async def test_a_file_from_before_hours_told_their_minutes_goes_on(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db")
    for minute in (*range(3), *range(60, 63), *range(180, 183)):
        await store.append(rows(A, minute))
    await store.aclose()
    with sqlite3.connect(tmp_path / "h.db") as db:
        db.execute("ALTER TABLE sums DROP COLUMN minutes")
    again = Sqlite(tmp_path / "h.db")
    await again.append(rows(A, 300))
    told = [hour.minutes async for hours in again.hourly(0, START) for hour in hours]
    # Two hours were summed up before; the third is now, and the last not yet.
    assert told == [60, 60, 3, 1]
    await again.aclose()
