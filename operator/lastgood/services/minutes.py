"""What objectives leave behind by the minute: handed to the history once a minute, and read back by a new process."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from lastgood.domain.history import History, HistoryLost, HistoryReason, HistoryState, Series
from lastgood.domain.history import Minute as Row
from lastgood.domain.model import Key
from lastgood.domain.track import Minute, Track
from lastgood.services.metrics import Metrics

_log = structlog.get_logger(__name__)

KEPT_SECONDS = 31 * 86400
"""How long minutes are kept: the longest period of a budget, and a day."""

FINE_HOURS = 7
"""So many hours are read back by the minute; what is older falls into slots of an hour and more."""

FEW = 50
"""So many tracks are read one by one; for more, all that there is is read once."""

PRUNE_SECONDS = 3600.0

IN_MEMORY = HistoryState(
    HistoryReason.IN_MEMORY,
    "minutes are kept in memory alone, so error budgets begin anew with the operator: give it a volume "
    "(history.volume in the chart) or a database (history.postgres)",
)


@dataclass(frozen=True, slots=True)
class _Unfilled:
    series: Series
    track: Track


class Minutes:
    """The way to the history and back. While the store is away nothing is lost that memory can hold."""

    def __init__(self, history: History, metrics: Metrics, *, state: HistoryState = IN_MEMORY) -> None:
        self._history, self._metrics = history, metrics
        self.state = state
        """How the store is; IN_MEMORY where there is none."""
        self.on_flip: Callable[[], None] = lambda: None
        self._rows: list[Row] = []
        self._unfilled: list[_Unfilled] = []
        self._pruned_at = 0.0

    def said(self, state: HistoryState) -> None:
        """The store's own word of how it is."""
        self._metrics.history_kept.set(state.reason is HistoryReason.KEPT)
        self._metrics.history_waiting.set(state.waiting)
        flipped, self.state = state.reason is not self.state.reason, state
        if flipped:
            told = _log.info if state.reason is HistoryReason.KEPT else _log.warning
            told("history", reason=str(state.reason), message=state.message, waiting=state.waiting)
            self.on_flip()

    def put(self, key: Key, objective: str, minute: Minute) -> None:
        """Have a minute kept."""
        series = Series(key[0], key[1], objective)
        self._rows.append(Row(series, minute.minute, minute.bad, minute.total, minute.value))

    def want(self, key: Key, objective: str, track: Track) -> None:
        """Have a track's budget filled with what was kept before."""
        track.awaiting = True
        self._unfilled.append(_Unfilled(Series(key[0], key[1], objective), track))

    async def flush(self) -> None:
        """Hand over what has come since, and fill what is to be filled."""
        rows, self._rows = self._rows, []
        try:
            await self._history.append(rows)
            await self._fill()
            if time.monotonic() - self._pruned_at >= PRUNE_SECONDS:
                self._pruned_at = time.monotonic()
                await self._history.prune(math.floor((time.time() - KEPT_SECONDS) / 60))
        except HistoryLost as error:
            # Of a store that nothing stands in for.
            self.said(HistoryState(error.reason, error.message))

    async def aclose(self) -> None:
        """Hand over what is left, and let go."""
        await self.flush()
        await self._history.aclose()

    @property
    def _away(self) -> bool:
        """Whether what was read last may be no more than what memory holds."""
        return self.state.reason is HistoryReason.UNREACHABLE

    async def _fill(self) -> None:
        """Fill what is wanted; while the store does not answer it goes on being wanted."""
        if not self._unfilled or self._away:
            return
        now = time.time()
        if len(self._unfilled) > FEW:
            await self._fill_many(now)
            return
        while self._unfilled:
            one = self._unfilled[0]
            period = one.track.plan.budget.period if one.track.plan.budget is not None else 0.0
            since = math.floor((now - period) / 60)
            rows = await self._history.read(one.series, since, _until(one.track, now))
            if self._away:
                return
            self._unfilled.remove(one)
            one.track.load([], [(r.minute, r.bad, r.total) for r in rows], now)
            one.track.filled()

    async def _fill_many(self, now: float) -> None:
        wanted, self._unfilled = self._unfilled, []
        by_series = {one.series: one.track for one in wanted}
        hour = math.floor(now / 3600)
        first = math.floor((now - KEPT_SECONDS) / 3600)
        async for hours in self._history.hourly(first, hour - FINE_HOURS):
            for h in hours:
                if (track := by_series.get(h.series)) is not None:
                    track.load([(h.hour, h.bad, h.total, 60.0 * h.minutes)], [], now)
        async for minutes in self._history.replay((hour - FINE_HOURS) * 60, math.floor(now / 60)):
            grouped: dict[Series, list[tuple[int, float, float]]] = {}
            for row in minutes:
                grouped.setdefault(row.series, []).append((row.minute, row.bad, row.total))
            for series, found in grouped.items():
                if (track := by_series.get(series)) is not None:
                    until = _until(track, now)
                    track.load([], [m for m in found if m[0] < until], now)
        if self._away:
            # It went away half-way: what was loaded would be counted twice the next time.
            for one in wanted:
                one.track.empty()
            self._unfilled += wanted
            return
        for one in wanted:
            one.track.filled()


def _until(track: Track, now: float) -> int:
    """Minutes from here on this process has counted itself."""
    return track.began or math.floor(now / 60) + 1
