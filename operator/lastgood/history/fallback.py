"""A History that outlives its store: what the store does not take waits in memory, and is handed over later.

Objectives are judged from memory in any case: a store that is away costs no verdict, and no minute either as long as
the waiting ones fit.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from math import isfinite

from lastgood.domain.history import History, HistoryLost, HistoryReason, HistoryState, Hour, Minute, Series
from lastgood.history.memory import Memory

_AT_ONCE = 50_000


class Fallback:
    """Never raises HistoryLost. ``said`` hears each flip, once."""

    def __init__(self, store: History, *, said: Callable[[HistoryState], None], bound: int = 2_000_000) -> None:
        self._store = store
        self._said = said
        self._waiting = Memory(bound)
        self._handing_over = asyncio.Lock()
        self.state = HistoryState(HistoryReason.KEPT, "")

    async def append(self, rows: Sequence[Minute]) -> None:
        """Keep the rows, in the store if it can be, and hand over what waits."""
        async with self._handing_over:
            # One number that no store takes would hold up all that comes after it.
            await self._waiting.append([row for row in rows if isfinite(row.bad) and isfinite(row.total)])
            while batch := self._waiting.some(_AT_ONCE):
                try:
                    await self._store.append(batch)
                except HistoryLost as error:
                    self._lost(error)
                    return
                # Only now: a cancelled or failed batch is sent again, and replaces itself.
                self._waiting.forget(batch)
                self._say(HistoryReason.KEPT, "")

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        """Minutes of one series: of memory alone while the store is away, which ``state`` says."""
        try:
            stored = await self._store.read(series, since, until)
        except HistoryLost as error:
            self._lost(error)
            stored = []
        waiting = await self._waiting.read(series, since, until)
        merged = {row.minute: row for row in (*stored, *waiting)}
        return [merged[minute] for minute in sorted(merged)]

    async def replay(self, since: int, until: int) -> AsyncIterator[Sequence[Minute]]:
        """All series: the store's hours, then what waits; a minute that comes twice is meant as it comes last."""
        try:
            async for rows in self._store.replay(since, until):
                yield rows
        except HistoryLost as error:
            self._lost(error)
        async for rows in self._waiting.replay(since, until):
            yield rows

    async def hourly(self, since: int, until: int) -> AsyncIterator[Sequence[Hour]]:
        """Sums of all series: the store's hours, then of what waits; an hour that comes twice is to be added up."""
        try:
            async for hours in self._store.hourly(since, until):
                yield hours
        except HistoryLost as error:
            self._lost(error)
        async for hours in self._waiting.hourly(since, until):
            yield hours

    async def prune(self, before: int) -> None:
        """Forget hours that ended before this minute; the store's at the next time when it is away."""
        await self._waiting.prune(before)
        try:
            await self._store.prune(before)
        except HistoryLost as error:
            self._lost(error)

    async def aclose(self) -> None:
        """One more try to hand over, then let go."""
        await self.append(())
        await self._store.aclose()

    @property
    def waiting(self) -> int:
        """Minutes that the store does not have yet."""
        return self._waiting.rows

    @property
    def dropped(self) -> int:
        """Minutes given up for the bound, since the start."""
        return self._waiting.dropped

    def _lost(self, error: HistoryLost) -> None:
        self._say(error.reason, error.message)

    def _say(self, reason: HistoryReason, message: str) -> None:
        before, self.state = self.state, HistoryState(reason, message, self.waiting, self.dropped)
        if (before.reason, bool(before.dropped)) != (reason, bool(self.dropped)):
            self._said(self.state)
