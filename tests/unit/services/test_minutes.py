"""Minutes on their way to the history and back, with a store that comes and goes."""

import math
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.unit.history.test_fallback import Flaky
from tests.unit.sources.build import spec

from lastgood.domain.budget import burn
from lastgood.domain.history import HistoryLost, HistoryReason, HistoryState, Hour, Series
from lastgood.domain.history import Minute as Row
from lastgood.domain.measure import Counts
from lastgood.domain.objective import ObjectiveState
from lastgood.domain.objective_plan import objective_plan
from lastgood.domain.track import Minute, Track
from lastgood.history.fallback import Fallback
from lastgood.services import minutes as module
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes

KEY = ("shop", "api")


def track(name: str = "errors") -> Track:
    written = spec({"probe": {}}, indicator="ratio", below="1%", budget={"objective": "99%"})
    return Track(objective_plan(name, written), "d")


class Halting(Flaky):
    """Flaky in all that it is asked."""

    async def replay(self, since: int, until: int) -> AsyncIterator[Sequence[Row]]:
        self._check()
        async for rows in super().replay(since, until):
            yield rows

    async def hourly(self, since: int, until: int) -> AsyncIterator[Sequence[Hour]]:
        self._check()
        async for hours in super().hourly(since, until):
            yield hours


class Desk:
    """Minutes over a store that can be away."""

    def __init__(self) -> None:
        self.store = Halting()
        self.flips: list[HistoryReason] = []
        self.fallback = Fallback(self.store, said=self._said)
        self.minutes = Minutes(self.fallback, Metrics(), state=self.fallback.state)

    def _said(self, state: HistoryState) -> None:
        self.flips.append(state.reason)
        self.minutes.said(state)


async def kept(store: Flaky, *names: str, bad: float = 50, total: float = 100) -> None:
    """An hour of yesterday in the store, of each of these objectives."""
    yesterday = math.floor(time.time() / 3600) * 60 - 1440
    await store.append([Row(Series(*KEY, name), yesterday + n, bad, total, None) for name in names for n in range(60)])


SPENT = pytest.approx(0.93, abs=0.01)
"""Half of an hour's events were bad, of which 1 % may be over 720 hours: 0.5 / 0.01 / 720 of the budget is gone."""


def left(one: Track, after: float = 0) -> float | None:
    """Share of the budget that is left, some seconds from now; None while nothing is known."""
    assert one.rings is not None
    assert one.plan.budget is not None
    return burn(one.plan.budget, one.rings, time.time() + after).left


def counts(one: Track, after: float = 0) -> Minute | None:
    """One good event; the minute that has ended with it."""
    return one.take(Counts(0, 1), ObjectiveState(), time.time() + after, steady=False)[1]


async def test_a_budget_goes_on_where_the_process_before_left_it() -> None:
    desk, one = Desk(), track()
    await kept(desk.store, "errors")
    desk.minutes.want(KEY, "errors", one)
    await desk.minutes.flush()
    assert left(one) == SPENT


@pytest.mark.parametrize("many", [False, True])
async def test_a_store_that_is_away_at_the_start_is_read_when_it_is_back(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the budget would begin anew, while the condition says that it is kept."""
    if many:
        monkeypatch.setattr(module, "FEW", 0)
    desk, one, other = Desk(), track(), track("others")
    await kept(desk.store, "errors", "others")
    desk.store.away = HistoryReason.UNREACHABLE
    desk.minutes.want(KEY, "errors", one)
    desk.minutes.want(KEY, "others", other)
    assert counts(one) is counts(other) is None
    await desk.minutes.flush()
    assert left(one) in {None, 1.0}
    assert one.awaiting
    assert other.awaiting
    assert desk.flips == [HistoryReason.UNREACHABLE]
    desk.store.away = None
    minute = counts(one, after=60)
    assert minute is not None
    desk.minutes.put(KEY, "errors", minute)
    await desk.minutes.flush()
    assert desk.flips == [HistoryReason.UNREACHABLE, HistoryReason.KEPT]
    assert left(one, after=60) == SPENT, "filled once the store answers"
    assert left(other, after=60) == SPENT
    assert not one.awaiting
    assert not other.awaiting
    once = left(one, after=60)
    await desk.minutes.flush()
    assert left(one, after=60) == pytest.approx(once, rel=0.01), "and only once"


async def test_a_store_without_a_stand_in_that_fails_is_said() -> None:
    """Fallback never raises; Minutes must not fall over one that does."""
    store = Halting()
    minutes = Minutes(store, Metrics())
    flips: list[str] = []
    minutes.on_flip = lambda: flips.append(str(minutes.state.reason))
    store.away = HistoryReason.FULL
    await minutes.flush()
    assert flips == ["HistoryFull"]
    with pytest.raises(HistoryLost):
        await store.append([])
