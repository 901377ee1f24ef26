"""Minutes in one SQLite file, written by one thread.

New minutes are appended to ``minutes`` under (minute, series), so that a batch touches few pages; whole hours are then
packed into ``hours`` under (hour, series), some series with each batch, and summed into ``sums``, which a start reads
without the pages of the packed minutes. ``minutes`` is newer than what is packed.
The file is in WAL mode with ``synchronous = NORMAL``: a killed process loses nothing that was acknowledged, a
power failure may lose the last batches. Pages of pruned hours are used again; the file does not shrink.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from lastgood.domain.history import HistoryLost, HistoryReason, HistoryState, Hour, Minute, Series
from lastgood.history.pack import HOUR, grouped, pack, summed, unpack

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, service TEXT NOT NULL, objective TEXT NOT NULL,
    UNIQUE (namespace, service, objective));
CREATE TABLE IF NOT EXISTS minutes (
    minute INTEGER NOT NULL, series INTEGER NOT NULL, bad REAL NOT NULL, total REAL NOT NULL, value REAL,
    PRIMARY KEY (minute, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hours (
    hour INTEGER NOT NULL, series INTEGER NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (hour, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sums (
    hour INTEGER NOT NULL, series INTEGER NOT NULL, bad REAL NOT NULL, total REAL NOT NULL,
    minutes INTEGER NOT NULL DEFAULT 60, PRIMARY KEY (hour, series)) WITHOUT ROWID;
"""
# Hours of a file that was begun without it are taken for whole.
_ADDED = "ALTER TABLE sums ADD COLUMN minutes INTEGER NOT NULL DEFAULT 60"
_SPAN = f"""
SELECT min(h), max(h) FROM (
    SELECT min(hour) AS h FROM hours UNION ALL SELECT max(hour) FROM hours
    UNION ALL SELECT min(minute) / {HOUR} FROM minutes UNION ALL SELECT max(minute) / {HOUR} FROM minutes)
"""  # noqa: S608
# Two queries in one: with both in a single one SQLite walks through the whole table.
_MINUTES = "SELECT (SELECT min(minute) FROM minutes), (SELECT max(minute) FROM minutes)"
_HOURS = "SELECT (SELECT min(hour) FROM hours), (SELECT max(hour) FROM hours)"
_LOOSE = "SELECT series, minute, bad, total, value FROM minutes WHERE minute >= ? AND minute < ?"
_PAGE = 4096
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PACK_AT_LEAST = 1000
_BATCHES = 30
"""Batches within which the series of an hour are packed: half an hour, so that a backlog is worked off, too."""


class Sqlite:
    """A History in one file. ``max_bytes`` bounds it; ``said`` hears when it had to be begun anew."""

    def __init__(
        self, path: Path, *, said: Callable[[HistoryState], None] = lambda _: None, max_bytes: int = 0
    ) -> None:
        self._path = path
        self._said = said
        self._max_pages = max_bytes // _PAGE
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._connection: sqlite3.Connection | None = None
        self._ids: dict[Series, int] = {}
        self._series: dict[int, Series] = {}

    async def append(self, rows: Sequence[Minute]) -> None:
        """Keep all rows or none, in one transaction."""
        await self._run(lambda db: self._append(db, rows))

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        """Minutes of one series."""
        return await self._run(lambda db: self._read(db, series, since, until))

    async def replay(self, since: int, until: int) -> AsyncIterator[Sequence[Minute]]:
        """All series, an hour at a time."""
        for hour in await self._run(partial(self._hours, since=since // HOUR, until=-(-until // HOUR))):
            rows = await self._run(partial(self._hour, hour=hour))
            within = [row for row in rows if since <= row.minute < until]
            if within:
                yield within

    async def hourly(self, since: int, until: int) -> AsyncIterator[Sequence[Hour]]:
        """Sums of all series, an hour at a time."""
        for hour in await self._run(partial(self._hours, since=since, until=until)):
            sums = await self._run(partial(self._sums, hour=hour))
            if sums:
                yield sums

    async def prune(self, before: int) -> None:
        """Forget hours that ended before this minute."""
        await self._run(lambda db: self._prune(db, before // HOUR))

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                return work(self._open())
            except (sqlite3.DatabaseError, ValueError) as error:
                if not isinstance(error, ValueError) and error.sqlite_errorcode & 0xFF not in _BROKEN:
                    raise
                self._begin_anew(str(error))
                return work(self._open())
        except (sqlite3.Error, OSError, ValueError) as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            reason = HistoryReason.FULL if full else HistoryReason.UNREACHABLE
            message = f"{self._path.name}: {error}"
            raise HistoryLost(reason, message) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            db = sqlite3.connect(self._path, isolation_level=None, timeout=5)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                if self._max_pages:
                    db.execute(f"PRAGMA max_page_count = {self._max_pages}")
                db.executescript(_SCHEMA)
                if not db.execute("SELECT 1 FROM pragma_table_info('sums') WHERE name = 'minutes'").fetchone():
                    db.execute(_ADDED)
                known = db.execute("SELECT id, namespace, service, objective FROM series").fetchall()
            except BaseException:
                db.close()
                raise
            self._series = {number: Series(*names) for number, *names in known}
            self._ids = {series: number for number, series in self._series.items()}
            self._connection = db
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin_anew(self, why: str) -> None:
        self._close()
        aside = self._path.with_name(self._path.name + ".broken")
        # One broken file is kept, not one for each time.
        self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        message = f"{self._path.name} is broken ({why}): moved to {aside.name} and begun anew"
        self._said(HistoryState(HistoryReason.BEGUN_ANEW, message))

    def _append(self, db: sqlite3.Connection, rows: Sequence[Minute]) -> None:
        new = dict.fromkeys(row.series for row in rows if row.series not in self._ids)
        made: dict[Series, int] = {}
        with _Transaction(db):
            for series in new:
                insert = "INSERT INTO series (namespace, service, objective) VALUES (?, ?, ?)"
                made[series] = int(db.execute(insert, series).lastrowid or 0)
            ids = self._ids | made if made else self._ids
            db.executemany(
                "INSERT OR REPLACE INTO minutes VALUES (?, ?, ?, ?, ?)",
                ((row.minute, ids[row.series], row.bad, row.total, row.value) for row in rows),
            )
        # Only what was committed is known.
        self._ids |= made
        self._series |= {number: series for series, number in made.items()}
        self._pack(db)

    def _pack(self, db: sqlite3.Connection) -> None:
        """Pack some series of the oldest hour, once the newest minute is more than an hour after it."""
        oldest, newest = db.execute(_MINUTES).fetchone()
        if oldest is None or oldest // HOUR >= newest // HOUR - 1:
            return
        hour = oldest // HOUR
        # From the oldest minute on: what is packed already is gone from it.
        (first,) = db.execute("SELECT min(series) FROM minutes WHERE minute = ?", (oldest,)).fetchone()
        marks = ",".join(str(minute) for minute in range(hour * HOUR, (hour + 1) * HOUR))
        within = f"minute IN ({marks}) AND series >= ? AND series < ?"
        span = (first, first + max(_PACK_AT_LEAST, len(self._ids) // _BATCHES))
        found = grouped(db.execute(f"SELECT series, minute, bad, total, value FROM minutes WHERE {within}", span))  # noqa: S608
        with _Transaction(db):
            for series, cells in found.items():
                merged = self._packed(db, hour, series) | cells
                db.execute("INSERT OR REPLACE INTO hours VALUES (?, ?, ?)", (hour, series, pack(hour, merged)))
                db.execute("INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?)", (hour, series, *summed(merged)))
            db.execute(f"DELETE FROM minutes WHERE {within}", span)  # noqa: S608

    def _packed(self, db: sqlite3.Connection, hour: int, series: int) -> dict[int, tuple[float, float, float | None]]:
        row = db.execute("SELECT packed FROM hours WHERE hour = ? AND series = ?", (hour, series)).fetchone()
        return unpack(hour, row[0]) if row else {}

    def _read(self, db: sqlite3.Connection, series: Series, since: int, until: int) -> list[Minute]:
        number = self._ids.get(series)
        if number is None:
            return []
        cells: dict[int, tuple[float, float, float | None]] = {}
        oldest, newest = db.execute(_HOURS).fetchone()
        first, end = (max(since // HOUR, oldest), min(-(-until // HOUR), newest + 1)) if oldest is not None else (0, 0)
        hours = _numbers("hour", first, end)
        packed = (
            f"SELECT hours.hour, packed FROM ({hours}) AS asked JOIN hours ON hours.hour = asked.hour AND series = ?"  # noqa: S608
        )
        for hour, blob in db.execute(packed, (number,)):
            cells |= unpack(hour, blob)
        low, high = self._unpacked(db, since, until)
        minutes = _numbers("minute", low, high)
        loose = f"SELECT minutes.minute, bad, total, value FROM ({minutes}) AS asked JOIN minutes ON minutes.minute = asked.minute AND series = ?"  # noqa: E501, S608
        cells |= {minute: (bad, total, value) for minute, bad, total, value in db.execute(loose, (number,))}
        return [Minute(series, minute, *cells[minute]) for minute in sorted(cells) if since <= minute < until]

    def _unpacked(self, db: sqlite3.Connection, since: int, until: int) -> tuple[int, int]:
        oldest, newest = db.execute(_MINUTES).fetchone()
        return (max(since, oldest), min(until, newest + 1)) if oldest is not None else (0, 0)

    def _hour(self, db: sqlite3.Connection, hour: int) -> list[Minute]:
        cells = {
            series: unpack(hour, blob)
            for series, blob in db.execute("SELECT series, packed FROM hours WHERE hour = ?", (hour,))
        }
        within = (hour * HOUR, (hour + 1) * HOUR)
        for series, newer in grouped(db.execute(_LOOSE, within)).items():
            cells[series] = cells.get(series, {}) | newer
        return [
            Minute(self._series[number], minute, *found[minute])
            for number, found in cells.items()
            for minute in sorted(found)
        ]

    def _hours(self, db: sqlite3.Connection, since: int, until: int) -> range:
        first, last = db.execute(_SPAN).fetchone()
        return range(max(first, since), min(last + 1, until)) if first is not None else range(0)

    def _sums(self, db: sqlite3.Connection, hour: int) -> list[Hour]:
        packed = db.execute("SELECT series, bad, total, minutes FROM sums WHERE hour = ?", (hour,))
        sums = {series: (bad, total, minutes) for series, bad, total, minutes in packed}
        for series, cells in grouped(db.execute(_LOOSE, (hour * HOUR, (hour + 1) * HOUR))).items():
            # What came late may replace a minute that is packed: only the whole hour tells.
            sums[series] = summed(self._packed(db, hour, series) | cells if series in sums else cells)
        return [Hour(self._series[number], hour, *found) for number, found in sums.items()]

    def _prune(self, db: sqlite3.Connection, hour: int) -> None:
        with _Transaction(db):
            db.execute("DELETE FROM hours WHERE hour < ?", (hour,))
            db.execute("DELETE FROM sums WHERE hour < ?", (hour,))
            db.execute("DELETE FROM minutes WHERE minute < ?", (hour * HOUR,))


class _Transaction:
    """Commit at the end, roll back on any error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        try:
            if error is None:
                self._db.execute("COMMIT")
        finally:
            # SQLite itself may have rolled back already, on a full disk for one.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _numbers(name: str, first: int, end: int) -> str:
    """A query for the whole numbers from first on, before end: each is looked up by itself, none is scanned past."""
    return (
        f"WITH RECURSIVE n({name}) AS (SELECT {first} WHERE {first} < {end} UNION ALL "  # noqa: S608
        f"SELECT {name} + 1 FROM n WHERE {name} + 1 < {end}) SELECT {name} FROM n"
    )
