"""Minutes in PostgreSQL, in tables of the DSN's first schema: the same two stages as in SQLite.

One connection, made when it is needed and made anew after an error. Each call is one transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor

from lastgood.domain.history import HistoryLost, HistoryReason, Hour, Minute, Series
from lastgood.history.pack import HOUR, Cells, grouped, pack, summed, unpack

T = TypeVar("T")
Cursor = AsyncCursor[tuple[Any, ...]]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lastgood_series (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, namespace text NOT NULL, service text NOT NULL,
    objective text NOT NULL, UNIQUE (namespace, service, objective));
CREATE TABLE IF NOT EXISTS lastgood_minutes (
    minute int NOT NULL, series int NOT NULL, bad float8 NOT NULL, total float8 NOT NULL, value float8,
    PRIMARY KEY (minute, series));
CREATE TABLE IF NOT EXISTS lastgood_hours (
    hour int NOT NULL, series int NOT NULL, packed bytea NOT NULL, PRIMARY KEY (hour, series));
CREATE TABLE IF NOT EXISTS lastgood_sums (
    hour int NOT NULL, series int NOT NULL, bad float8 NOT NULL, total float8 NOT NULL, PRIMARY KEY (hour, series));
-- Hours that were summed up without it are taken for whole.
ALTER TABLE lastgood_sums ADD COLUMN IF NOT EXISTS minutes smallint NOT NULL DEFAULT 60;
"""
_INSERT = """
INSERT INTO lastgood_minutes SELECT * FROM unnest(%s::int[], %s::int[], %s::float8[], %s::float8[], %s::float8[])
ON CONFLICT (minute, series) DO UPDATE SET bad = excluded.bad, total = excluded.total, value = excluded.value
"""
_NAME = """
WITH asked AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) AS a (namespace, service, objective)),
made AS (INSERT INTO lastgood_series (namespace, service, objective) SELECT * FROM asked
    ON CONFLICT (namespace, service, objective) DO UPDATE SET namespace = excluded.namespace RETURNING *)
SELECT id, namespace, service, objective FROM made
"""
_MERGE = """
INSERT INTO lastgood_hours SELECT %s, * FROM unnest(%s::int[], %s::bytea[])
ON CONFLICT (hour, series) DO UPDATE SET packed = excluded.packed
"""
_SUM = """
INSERT INTO lastgood_sums (hour, series, bad, total, minutes)
SELECT %s, * FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::smallint[])
ON CONFLICT (hour, series) DO UPDATE SET bad = excluded.bad, total = excluded.total, minutes = excluded.minutes
"""
_LOOSE = "SELECT series, minute, bad, total, value FROM lastgood_minutes WHERE minute >= %s AND minute < %s"
_SPAN = f"""
SELECT min(h), max(h) FROM (
    SELECT min(hour) AS h FROM lastgood_hours UNION ALL SELECT max(hour) FROM lastgood_hours
    UNION ALL SELECT min(minute) / {HOUR} FROM lastgood_minutes
    UNION ALL SELECT max(minute) / {HOUR} FROM lastgood_minutes
) AS spans
"""  # noqa: S608
_FULL = {"53100", "53200"}
"""SQLSTATE of a full disk and of no memory."""

_PACK_AT_LEAST = 1000
_BATCHES = 30


class Postgres:
    """A History in a database. ``timeout`` in seconds is for connecting, and for each call as a whole."""

    def __init__(self, dsn: str, *, timeout: float = 20) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._connection: AsyncConnection[tuple[Any, ...]] | None = None
        self._ids: dict[Series, int] = {}
        self._series: dict[int, Series] = {}
        self._one_at_a_time = asyncio.Lock()

    async def append(self, rows: Sequence[Minute]) -> None:
        """Keep all rows or none, then pack some of an hour that is over."""
        await self._run(lambda cursor: self._append(cursor, rows))
        await self._run(self._pack)

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        """Minutes of one series."""
        return await self._run(lambda cursor: self._read(cursor, series, since, until))

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
        await self._run(lambda cursor: self._prune(cursor, before // HOUR))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._disconnect()

    async def _run(self, work: Callable[[Cursor], Awaitable[T]]) -> T:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._timeout):
                    connection = await self._connected()
                    async with connection.transaction(), connection.cursor() as cursor:
                        return await work(cursor)
            except (psycopg.Error, OSError, ValueError, TimeoutError) as error:
                await self._disconnect()
                state = getattr(error, "sqlstate", None) or ""
                reason = HistoryReason.FULL if state in _FULL else HistoryReason.UNREACHABLE
                # The text of the error may hold parts of the DSN.
                message = f"PostgreSQL: {type(error).__name__} {state}".strip()
                raise HistoryLost(reason, message) from None
            except BaseException:
                await self._disconnect()
                raise

    async def _connected(self) -> AsyncConnection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            connection = await AsyncConnection.connect(self._dsn, autocommit=True)
            self._connection = connection
            self._series = {}
            async with connection.transaction(), connection.cursor() as cursor:
                # Two replicas may come at once: CREATE TABLE IF NOT EXISTS alone would race.
                await cursor.execute("SELECT pg_advisory_xact_lock(7305808871)")
                await cursor.execute(_SCHEMA)
                await cursor.execute("SELECT id, namespace, service, objective FROM lastgood_series")
                self._know(await cursor.fetchall())
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _know(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._series |= {number: Series(*names) for number, *names in rows}
        self._ids = {series: number for number, series in self._series.items()}

    async def _append(self, cursor: Cursor, rows: Sequence[Minute]) -> None:
        new = list(dict.fromkeys(row.series for row in rows if row.series not in self._ids))
        if new:
            await cursor.execute(_NAME, [list(column) for column in zip(*new, strict=True)])
            # Forgotten when the transaction fails: the next connection reads all of them anew.
            self._know(await cursor.fetchall())
        unique = {(row.minute, self._ids[row.series]): row for row in rows}
        if unique:
            keys = list(zip(*unique, strict=True))
            # An array has one type: a whole number among floats is refused.
            bad, total = [float(row.bad) for row in unique.values()], [float(row.total) for row in unique.values()]
            values = [None if row.value is None else float(row.value) for row in unique.values()]
            await cursor.execute(_INSERT, [*(list(column) for column in keys), bad, total, values])

    async def _pack(self, cursor: Cursor) -> None:
        await cursor.execute("SELECT min(minute), max(minute) FROM lastgood_minutes")
        oldest, newest = await cursor.fetchone() or (None, None)
        if oldest is None or newest is None or oldest // HOUR >= newest // HOUR - 1:
            return
        hour = oldest // HOUR
        await cursor.execute("SELECT min(series) FROM lastgood_minutes WHERE minute = %s", (oldest,))
        (first,) = await cursor.fetchone() or (0,)
        span = (hour * HOUR, (hour + 1) * HOUR, first, first + max(_PACK_AT_LEAST, len(self._ids) // _BATCHES))
        within = "minute >= %s AND minute < %s AND series >= %s AND series < %s"
        await cursor.execute(
            f"DELETE FROM lastgood_minutes WHERE {within} RETURNING series, minute, bad, total, value",  # noqa: S608
            span,
        )
        found = grouped(_cells(await cursor.fetchall()))
        packed = await self._packed(cursor, hour, list(found))
        merged = [packed.get(series, {}) | cells for series, cells in found.items()]
        bad, total, minutes = zip(*map(summed, merged), strict=True)
        blobs = [pack(hour, cells) for cells in merged]
        await cursor.execute(_MERGE, (hour, list(found), blobs))
        sums = ([float(n) for n in bad], [float(n) for n in total], list(minutes))
        await cursor.execute(_SUM, (hour, list(found), *sums))

    async def _packed(self, cursor: Cursor, hour: int, series: list[int]) -> dict[int, Cells]:
        asked = "SELECT series, packed FROM lastgood_hours WHERE hour = %s AND series = ANY(%s)"
        await cursor.execute(asked, (hour, series))
        return {number: unpack(hour, blob) for number, blob in await cursor.fetchall()}

    async def _read(self, cursor: Cursor, series: Series, since: int, until: int) -> list[Minute]:
        number = self._ids.get(series)
        if number is None:
            return []
        await cursor.execute("SELECT min(hour), max(hour) FROM lastgood_hours")
        oldest, newest = await cursor.fetchone() or (None, None)
        hours = range(max(since // HOUR, oldest or 0), min(-(-until // HOUR), -1 if newest is None else newest + 1))
        # Hour by hour from the index: a range of hours would walk past every other series.
        packed = "SELECT hour, packed FROM lastgood_hours WHERE series = %s AND hour = ANY(%s)"
        await cursor.execute(packed, (number, list(hours)))
        cells: Cells = {}
        for hour, blob in await cursor.fetchall():
            cells |= unpack(hour, blob)
        await cursor.execute(f"{_LOOSE} AND series = %s", (since, until, number))
        cells |= grouped(_cells(await cursor.fetchall())).get(number, {})
        return [Minute(series, minute, *cells[minute]) for minute in sorted(cells) if since <= minute < until]

    async def _hours(self, cursor: Cursor, since: int, until: int) -> range:
        await cursor.execute(_SPAN)
        first, last = await cursor.fetchone() or (None, None)
        return range(0) if first is None or last is None else range(max(first, since), min(last + 1, until))

    async def _sums(self, cursor: Cursor, hour: int) -> list[Hour]:
        await cursor.execute("SELECT series, bad, total, minutes FROM lastgood_sums WHERE hour = %s", (hour,))
        sums = {series: (bad, total, minutes) for series, bad, total, minutes in await cursor.fetchall()}
        await cursor.execute(_LOOSE, (hour * HOUR, (hour + 1) * HOUR))
        loose = grouped(_cells(await cursor.fetchall()))
        # What came late may replace a minute that is packed: only the whole hour tells.
        packed = await self._packed(cursor, hour, [series for series in loose if series in sums])
        sums |= {series: summed(packed.get(series, {}) | cells) for series, cells in loose.items()}
        return [Hour(self._series[number], hour, *found) for number, found in sums.items() if number in self._series]

    async def _hour(self, cursor: Cursor, hour: int) -> list[Minute]:
        await cursor.execute("SELECT series, packed FROM lastgood_hours WHERE hour = %s", (hour,))
        cells = {number: unpack(hour, blob) for number, blob in await cursor.fetchall()}
        await cursor.execute(_LOOSE, (hour * HOUR, (hour + 1) * HOUR))
        for number, newer in grouped(_cells(await cursor.fetchall())).items():
            cells[number] = cells.get(number, {}) | newer
        return [
            Minute(self._series[number], minute, *found[minute])
            for number, found in cells.items()
            if number in self._series
            for minute in sorted(found)
        ]

    async def _prune(self, cursor: Cursor, hour: int) -> None:
        await cursor.execute("DELETE FROM lastgood_hours WHERE hour < %s", (hour,))
        await cursor.execute("DELETE FROM lastgood_sums WHERE hour < %s", (hour,))
        await cursor.execute("DELETE FROM lastgood_minutes WHERE minute < %s", (hour * HOUR,))


def _cells(rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, int, float, float, float | None]]:
    return [(series, minute, bad, total, value) for series, minute, bad, total, value in rows]
