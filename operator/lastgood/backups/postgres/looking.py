"""Tables are compared with their point as soon as they are loaded, while others still are and indexes are made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from lastgood.backups.postgres.tallying import SETTINGS, look
from lastgood.domain.backups.ports import JobFailed
from lastgood.domain.backups.tally import Table, Tally

_PAUSE_SECONDS = 0.2
_AHEAD = 8
"""Tables that are asked about at a time: a dump holds them in the order of their names, or nearly so."""
_STATE = """
SELECT to_regclass(%(name)s) IS NOT NULL,
       EXISTS (SELECT FROM pg_catalog.pg_stat_progress_copy
               WHERE datname = current_database() AND relid = to_regclass(%(name)s))
"""


@asynccontextmanager
async def looking(
    session: Callable[[], AbstractAsyncContextManager[Any]], wanted: Tally
) -> AsyncIterator[dict[str, Table]]:
    """Look at tables for as long as a database is loaded in the block; give those that are as they were.

    ``session`` connects to the database. What was not seen, or not seen to be as it was, is to be looked at after the
    block: that it is not loaded yet is no finding.
    """
    good: dict[str, Table] = {}
    over = asyncio.Event()
    task = asyncio.ensure_future(_look(session, wanted, good, over))
    try:
        yield good
        over.set()
        await task  # to the end of the table that it is at
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _look(
    session: Callable[[], AbstractAsyncContextManager[Any]],
    wanted: Tally,
    good: dict[str, Table],
    over: asyncio.Event,
) -> None:
    left = [name for name, table in sorted(wanted.tables.items()) if table.rows]
    # Only a gain of time: what fails here is done again later, or fails there as well and is told.
    with contextlib.suppress(JobFailed):
        async with session() as connection:
            await connection.execute(SETTINGS)
            while left and not over.is_set():
                name = await _loaded(connection, left[:_AHEAD])
                if name is None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), _PAUSE_SECONDS)
                    continue
                left.remove(name)
                # No transaction around it: a lock on more than one table might stand in the way of a foreign key.
                table = await look(connection, name)
                if table == wanted.tables[name]:
                    good[name] = table


async def _loaded(connection: Any, names: list[str]) -> str | None:
    """The first of these tables that has rows, which come all at once, when COPY has ended."""
    for name in names:
        there, copying = await (await connection.execute(_STATE, {"name": name})).fetchone()
        if not there or copying:
            continue
        query = f"SELECT EXISTS (SELECT FROM ONLY {name})"  # noqa: S608
        if (await (await connection.execute(query.encode())).fetchone())[0]:
            return name
    return None
