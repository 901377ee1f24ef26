"""Minutes in memory, 32 bytes each, up to a bound: the oldest go first."""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Sequence
from math import isnan, nan

from lastgood.domain.history import Hour, Minute, Series
from lastgood.history.pack import HOUR


class _Columns:
    """The minutes of one series, in order."""

    __slots__ = ("bad", "minutes", "total", "value")

    def __init__(self) -> None:
        self.minutes = array("q")
        self.bad, self.total, self.value = array("d"), array("d"), array("d")

    def put(self, row: Minute) -> bool:
        """Keep a row; False when it replaces one."""
        at = len(self.minutes)
        value = nan if row.value is None else row.value
        if at and self.minutes[-1] >= row.minute:
            at = bisect_left(self.minutes, row.minute)
            if self.minutes[at] == row.minute:
                self.bad[at], self.total[at], self.value[at] = row.bad, row.total, value
                return False
        self.minutes.insert(at, row.minute)
        self.bad.insert(at, row.bad)
        self.total.insert(at, row.total)
        self.value.insert(at, value)
        return True

    def cut(self, before: int) -> int:
        """Forget what is older; how many that were."""
        at = bisect_left(self.minutes, before)
        for column in (self.minutes, self.bad, self.total, self.value):
            del column[:at]
        return at

    def rows(self, series: Series, since: int, until: int) -> Iterator[Minute]:
        for at in range(bisect_left(self.minutes, since), bisect_left(self.minutes, until)):
            value = self.value[at]
            yield Minute(series, self.minutes[at], self.bad[at], self.total[at], None if isnan(value) else value)


class Memory:
    """A History without a disk. ``bound`` is in minutes of one series; 2,000,000 of them are 64 MB."""

    def __init__(self, bound: int = 2_000_000) -> None:
        self._bound = bound
        self._columns: dict[Series, _Columns] = {}
        self.rows = 0
        self.dropped = 0
        """Rows given up for the bound, since the start."""

    async def append(self, rows: Sequence[Minute]) -> None:
        """Keep all of them, and let the oldest go where there are too many."""
        for row in rows:
            self.rows += self._columns.setdefault(row.series, _Columns()).put(row)
        while self.rows > self._bound:
            oldest = min(c.minutes[0] for c in self._columns.values())
            newest = max(c.minutes[-1] for c in self._columns.values())
            # A twentieth of the span at a time, so that not every minute looks at every series.
            self.dropped += self._cut(oldest + max(1, (newest - oldest) // 20))

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        """Minutes of one series."""
        columns = self._columns.get(series)
        return list(columns.rows(series, since, until)) if columns else []

    async def replay(self, since: int, until: int) -> AsyncIterator[Sequence[Minute]]:
        """All series, an hour at a time."""
        if not self._columns:
            return
        first = max(since, min(c.minutes[0] for c in self._columns.values()))
        last = min(until, max(c.minutes[-1] for c in self._columns.values()) + 1)
        for hour in range(first // HOUR, -(-last // HOUR)):
            low, high = max(since, hour * HOUR), min(until, (hour + 1) * HOUR)
            rows = [row for series, columns in self._columns.items() for row in columns.rows(series, low, high)]
            if rows:
                yield rows

    async def hourly(self, since: int, until: int) -> AsyncIterator[Sequence[Hour]]:
        """Sums of all series, an hour at a time."""
        async for rows in self.replay(since * HOUR, until * HOUR):
            sums: dict[Series, tuple[float, float, int]] = {}
            for row in rows:
                bad, total, minutes = sums.get(row.series, (0.0, 0.0, 0))
                sums[row.series] = (bad + row.bad, total + row.total, minutes + 1)
            yield [Hour(series, rows[0].minute // HOUR, *summed) for series, summed in sums.items()]

    async def prune(self, before: int) -> None:
        """Forget hours that ended before this minute."""
        self._cut(before // HOUR * HOUR)

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def some(self, count: int) -> list[Minute]:
        """Whole series, about this many rows; empty when there is nothing."""
        found: list[Minute] = []
        for series, columns in self._columns.items():
            if len(found) >= count:
                break
            found += columns.rows(series, columns.minutes[0], columns.minutes[-1] + 1)
        return found

    def forget(self, rows: Sequence[Minute]) -> None:
        """Let go of the series that ``some`` gave."""
        for series in dict.fromkeys(row.series for row in rows):
            self.rows -= len(self._columns.pop(series).minutes)

    def _cut(self, before: int) -> int:
        gone = sum(columns.cut(before) for columns in self._columns.values())
        self._columns = {series: columns for series, columns in self._columns.items() if columns.minutes}
        self.rows -= gone
        return gone
