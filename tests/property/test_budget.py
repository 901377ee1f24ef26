"""Rings against a list of all that was counted."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lastgood.domain.budget import alarm, burn, burn_rate
from lastgood.domain.objective_plan import BudgetPlan
from lastgood.domain.rings import BURN_WINDOWS, SLOTS, UNITS, WIDTHS, BudgetRings

T0 = 1_800_000_000.0
PERIODS = st.sampled_from([7 * 86400.0, 28 * 86400.0, 30 * 86400.0])
WINDOWS = [5, 30, 60, 120, 360, 1440, 4320, UNITS]
STEPS = st.sampled_from([10.0, 60.0, 600.0, 7200.0, 86400.0]) | st.floats(0, 1e6)
EVENTS = st.lists(st.tuples(STEPS, st.integers(0, 20), st.integers(0, 20)), max_size=60)


@given(PERIODS, EVENTS)
def test_each_window_holds_what_a_list_does(period: float, events: list[tuple[float, int, int]]) -> None:
    rings, kept, now = BudgetRings(period), [], T0
    for step, one, other in events:
        now += step
        bad, total = min(one, other), max(one, other)
        rings.add(bad, total, 10, now)
        kept.append((math.floor(now / rings.unit), bad, total))
    unit = math.floor(now / rings.unit)
    for units in WINDOWS:
        width = next(w for w in WIDTHS if units <= w * SLOTS)
        within = [(b, t) for at, b, t in kept if at // width > unit // width - units // width]
        told = rings.spent(units, now)
        assert (told.bad, told.total) == (sum(b for b, _ in within), sum(t for _, t in within))


@given(PERIODS, st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_a_history_gives_what_having_seen_it_would(period: float, minutes: list[tuple[int, int, int]]) -> None:
    first = int(T0 // 60) - 50_000
    once = {first + m: (float(min(a, b)), float(max(a, b))) for m, a, b in minutes}
    loaded, live = BudgetRings(period), BudgetRings(period)
    loaded.load(((m, *counts) for m, counts in once.items()), T0)
    for minute, (bad, total) in sorted(once.items()):
        for part in range(6):
            live.add(bad / 6, total / 6, 10, 60 * minute + 10 * part + 5)
    for units in (1440, 4320, UNITS):
        one, other = loaded.spent(units, T0), live.spent(units, T0)
        # A minute that lies across the edge of a window is in with more or less of it.
        assert abs(one.total - other.total) <= 9
        assert abs(one.bad - other.bad) <= 9
        assert abs(one.seconds - other.seconds) <= 60


@given(PERIODS, st.lists(st.tuples(st.floats(-1e7, 1e7), st.floats(0, 9), st.floats(0, 9)), max_size=60))
def test_no_clock_raises_or_counts_twice(period: float, events: list[tuple[float, float, float]]) -> None:
    rings, now = BudgetRings(period), T0
    bad = total = 0.0
    for step, more_bad, more in events:
        now += step
        rings.add(more_bad, more, 10, now)
        bad, total = bad + min(more_bad, more), total + more
        told = burn(BudgetPlan(0.01, period), rings, now)
        assert told.left is None or told.left <= 1
        seen = rings.spent(UNITS, now)
        # A slot that has ended is kept in four bytes.
        assert seen.bad <= bad * (1 + 1e-6) + 1e-9
        assert seen.total <= total * (1 + 1e-6) + 1e-9


QUIET = st.just((60.0, 0, 9))
EPISODE = st.lists(st.tuples(st.sampled_from([60.0, 600.0, 7200.0]), st.integers(0, 9), st.just(9)) | QUIET, max_size=8)


def effective(plan: BudgetPlan, rings: BudgetRings, units: int, now: float) -> float | None:
    """How fast a budget burns over a window, of which what nobody saw was good: from what was spent in it."""
    seen, width = rings.spent(units, now), next(w for w in WIDTHS if units <= w * SLOTS)
    rate, whole = burn_rate(plan, seen), (units - width) * rings.unit
    return rate if rate is None or seen.seconds >= whole else rate * seen.seconds / whole


@settings(deadline=None)
@given(PERIODS, st.lists(st.tuples(EPISODE, st.integers(1, 20)), min_size=1, max_size=4))
def test_the_short_ways_tell_what_the_long_way_does(period: float, story: list[tuple[list[Any], int]]) -> None:
    plan, rings, now = BudgetPlan(0.05, period), BudgetRings(period), T0
    for episode, times in story:
        for step, bad, total in episode * times:
            now += step
            rings.add(bad, total, min(step, 600), now)
            told = burn(plan, rings, now)
            assert alarm(plan, rings, now) == told.alarm
            left = effective(plan, rings, UNITS, now)
            assert told.left == (None if left is None else 1 - left)
            for window, seen in zip(BURN_WINDOWS, told.windows, strict=True):
                long, short = effective(plan, rings, window.long, now), burn_rate(plan, rings.spent(window.short, now))
                assert (seen.window, seen.long, seen.short) == (window, long, short)
                assert seen.firing is (long is not None and short is not None and min(long, short) > window.rate)
