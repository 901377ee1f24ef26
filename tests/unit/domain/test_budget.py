"""Budgets and burn rates, against the tables of Google's SRE workbook."""

import math
import sys

import pytest
from tests.unit.domain.build import T0

from lastgood.domain.budget import BudgetTold, burn, burn_rate, event, told
from lastgood.domain.objective_plan import BudgetPlan
from lastgood.domain.rings import BURN_WINDOWS, UNITS, BudgetRings, Spent

DAY = 86400.0
MONTH, WEEK = 30 * DAY, 7 * DAY
PLAN = BudgetPlan(allowed=0.001, period=MONTH)


def rings(share: float, seconds: float, *, period: float = MONTH, step: float = 60, until: float = T0) -> BudgetRings:
    """Events at 100 a second, this share of them bad, until now."""
    filled = BudgetRings(period)
    for back in range(int(seconds / step), 0, -1):
        filled.add(100 * step * share, 100 * step, step, until - (back - 1) * step)
    return filled


@pytest.mark.parametrize(
    ("rate", "errors"),
    [(14.4, 0.0144), (6, 0.006), (3, 0.003), (1, 0.001)],
)
def test_error_rates_of_the_workbook_at_three_nines(rate: float, errors: float) -> None:
    assert burn_rate(PLAN, Spent(errors * 1e6, 1e6, 3600)) == pytest.approx(rate)


@pytest.mark.parametrize("period", [WEEK, 28 * DAY, MONTH])
def test_each_window_spends_its_share_at_its_rate(period: float) -> None:
    """Table 5-8 of the workbook: 2 % in an hour, 5 % in six, 10 % in three days; the short window is a twelfth."""
    unit = period / UNITS
    for window in BURN_WINDOWS:
        assert window.rate * window.long * unit / period == pytest.approx(window.spent)
        assert window.short * 12 == window.long
    if period == MONTH:
        hours = [window.long * unit / 3600 for window in BURN_WINDOWS]
        assert hours == [1, 6, 24, 72]
        assert [window.short * unit / 60 for window in BURN_WINDOWS] == [5, 30, 120, 360]


@pytest.mark.parametrize(("rate", "seconds"), [(1, 30 * DAY), (2, 15 * DAY), (10, 3 * DAY), (1000, 43.2 * 60)])
def test_time_to_exhaustion_of_the_workbook(rate: float, seconds: float) -> None:
    """Table 5-4, for a budget that is whole: an hour at this rate is all that was seen."""
    told = burn(PLAN, rings(0.001 * rate, 60), T0)
    assert told.exhausted_in is not None
    assert told.exhausted_in == pytest.approx(seconds, rel=0.03)


def test_too_slow_a_burn_has_no_end_and_a_spent_budget_has_come_to_it() -> None:
    assert burn(PLAN, rings(0.0005, 3600), T0).exhausted_in is None
    assert burn(PLAN, rings(0, 3600), T0).exhausted_in is None
    spent = burn(PLAN, rings(1, 3600), T0)
    assert spent.left is not None
    assert spent.left < 0
    assert spent.exhausted_in == 0


@pytest.mark.parametrize("period", [WEEK, 28 * DAY, MONTH])
@pytest.mark.parametrize(("factor", "fires"), [(1.02, True), (0.98, False)])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_an_alert_fires_above_its_rate_and_not_below(period: float, factor: float, fires: bool, number: int) -> None:
    window = BURN_WINDOWS[number]
    plan = BudgetPlan(0.001, period)
    seconds = window.long * period / UNITS
    filled = rings(0.001 * window.rate * factor, 1.1 * seconds, period=period, step=period / UNITS)
    told = burn(plan, filled, T0).windows[number]
    assert told.firing is fires
    assert told.short == pytest.approx(window.rate * factor)


@pytest.mark.parametrize("period", [WEEK, MONTH])
def test_samples_far_apart_cover_the_time_between_them(period: float) -> None:
    plan = BudgetPlan(0.001, period)
    hourly = burn(plan, rings(0.0035, 3 * DAY, period=period, step=3600), T0).windows[2]
    assert (hourly.firing, hourly.long) == (True, pytest.approx(3.5, rel=0.1))


def test_severity_is_the_highest_and_alerts_can_be_off() -> None:
    assert burn(PLAN, rings(0.05, 7200), T0).severity == "critical"
    assert burn(PLAN, rings(0.004, 2 * DAY), T0).severity == "warning"
    assert burn(PLAN, rings(0, 2 * DAY), T0).severity == ""
    assert burn(BudgetPlan(0.001, MONTH, burn_alerts=False), rings(0.05, 7200), T0).severity == ""


def test_one_bad_minute_of_a_service_just_seen_is_no_burn_of_three_days() -> None:
    """A single minute at 0.5 %: five times too fast, but next to nothing of the month's budget is spent."""
    told = burn(PLAN, rings(0.005, 60), T0)
    assert not any(window.firing for window in told.windows)
    assert told.left == pytest.approx(1, abs=0.001)
    # All requests fail: 1.44 % of an hour is enough to have spent 2 % of the month.
    assert burn(PLAN, rings(1, 60), T0).windows[0].firing


def test_after_recovery_the_short_window_ends_the_alert() -> None:
    filled = rings(1, 1800)
    assert burn(PLAN, filled, T0).windows[0].firing
    for minute in range(1, 7):
        filled.add(0, 6000, 60, T0 + 60 * minute)
    after = burn(PLAN, filled, T0 + 360).windows[0]
    assert (after.firing, after.short) == (False, 0)
    assert after.long is not None
    assert after.long > 14.4


def test_nothing_seen_is_unknown_and_no_events_are_too() -> None:
    empty = burn(PLAN, BudgetRings(MONTH), T0)
    assert (empty.left, empty.exhausted_in, empty.severity) == (None, None, "")
    assert all(w.long is None and w.short is None and w.exceeds(1) is None for w in empty.windows)
    idle = BudgetRings(MONTH)
    idle.add(0, 0, 60, T0)
    assert burn(PLAN, idle, T0).left is None


def test_a_day_without_data_is_neither_good_nor_bad() -> None:
    filled = rings(0.0144 * 2, 3600, until=T0 - DAY)
    told = burn(PLAN, filled, T0)
    assert (told.windows[0].long, told.windows[0].short, told.windows[0].firing) == (None, None, False)
    assert told.left == pytest.approx(1 - 2 * 0.02, abs=0.002)


def test_a_whole_period_at_the_objective_spends_all_of_it() -> None:
    told = burn(PLAN, rings(0.001, MONTH, step=600), T0)
    assert told.left == pytest.approx(0, abs=0.01)


def test_nothing_allowed_is_spent_by_the_first_bad_event() -> None:
    strict = BudgetPlan(0, MONTH)
    assert burn(strict, rings(0, 3600), T0).left == 1
    assert burn(strict, rings(1e-6, 3600), T0).left == -math.inf


@pytest.mark.parametrize("wrong", [(-1, 5, 10), (1, -5, 10), (math.nan, 5, 10), (1, math.inf, 10), (1, 5, -10)])
def test_impossible_numbers_are_not_counted(wrong: tuple[float, float, float]) -> None:
    filled = BudgetRings(MONTH)
    filled.add(*wrong, T0)
    assert filled.spent(60, T0) == Spent(0, 0, 0)


def test_minutes_of_the_future_and_of_long_ago_are_left_out() -> None:
    loaded = BudgetRings(MONTH)
    minute = int(T0 // 60)
    loaded.load([(minute + 60, 5, 5), (minute - UNITS - 720, 5, 5), (minute - 10, 1, 2), (minute - 9, -1, 2)], T0)
    assert loaded.spent(UNITS, T0) == Spent(1, 2, 60)


def test_an_hour_that_was_seen_in_part_counts_for_that_part() -> None:
    """Ten minutes of the month, all of them bad by five times what is allowed: not an hour of it."""
    hour = int(T0 // 3600) - 100
    part, whole = BudgetRings(MONTH), BudgetRings(MONTH)
    part.load_hours([(hour, 3, 600, 600.0)], T0)
    whole.load_hours([(hour, 3, 600, 3600.0)], T0)
    assert (part.spent(UNITS, T0), whole.spent(UNITS, T0)) == (Spent(3, 600, 600), Spent(3, 600, 3600))
    left, of_whole = burn(PLAN, part, T0).left, burn(PLAN, whole, T0).left
    assert left is not None
    assert of_whole is not None
    assert 1 - left == pytest.approx((1 - of_whole) / 6)


def test_a_clock_that_stands_still_or_goes_back_never_overflows() -> None:
    filled = BudgetRings(WEEK)
    for back in range(20_000):
        filled.add(1, 1, 10, T0 - 3600 * (back % 7))
    assert filled.spent(UNITS, T0).seconds <= WEEK


def test_what_was_counted_before_the_clock_went_back_grows_old() -> None:
    filled = BudgetRings(MONTH)
    filled.add(5, 5, 60, T0)
    assert filled.spent(60, T0 - 10 * DAY).bad == 5
    for minute in range(62):
        last = filled.spent(60, T0 - 10 * DAY + 60 * minute)
    assert last.bad == 0


def test_many_small_numbers_and_large_ones_are_all_counted() -> None:
    """Four bytes have no room for 1 beside 100 million: a slot that fills up is counted in eight."""
    filled, loaded = BudgetRings(MONTH), BudgetRings(MONTH)
    minute = int(T0 // 60)
    for back in range(1200, 0, -1):
        filled.add(1, 1e8, 60, T0 - 60 * back)
    loaded.load([(minute - back, 1, 1e8) for back in range(1200, 0, -1)], T0)
    for rings_ in (filled, loaded):
        told = rings_.spent(UNITS, T0)
        assert told.bad == pytest.approx(1200, rel=1e-6)
        assert told.total == pytest.approx(1.2e11, rel=1e-6)


def test_a_window_is_summed_up_anew_when_a_history_comes_in() -> None:
    filled = BudgetRings(MONTH)
    filled.add(1, 10, 60, T0)
    assert filled.spent(1440, T0) == Spent(1, 10, 60)
    filled.load([(int(T0 // 60) - 600, 2, 10)], T0)
    assert filled.spent(1440, T0) == Spent(3, 20, 120)


def test_three_objectives_of_a_service_take_less_than_twelve_kilobytes() -> None:
    filled = rings(0.1, 3600)
    burn(PLAN, filled, T0)
    parts = [filled] + [getattr(filled, name) for name in filled.__slots__]
    assert 3 * sum(sys.getsizeof(part) for part in parts) <= 12 * 1024


def test_events_tell_the_fastest_alert_and_its_end() -> None:
    plan = BudgetPlan(allowed=0.001, period=MONTH)
    burning = burn(plan, rings(0.02, 2 * 3600.0), T0)
    message = (
        "errors: its error budget burns 20 times too fast over 1h and 20 over 5m, more than 14.4 (critical); "
        "94.4% of it is left, and spent in 33h58m at this rate"
    )
    assert event("errors", plan, None, burning) == ("Warning", "BudgetBurning", message)
    assert event("errors", plan, told(burning), burning) is None
    calm = burn(plan, rings(0.0, 2 * 3600.0), T0)
    assert event("errors", plan, None, calm) is None
    assert event("errors", plan, told(burning), calm) == (
        "Normal",
        "BudgetCalm",
        "errors: no alert on its error budget fires any more, 100% of it is left",
    )
    assert event("errors", plan, BudgetTold("40%", "critical"), burn(plan, BudgetRings(MONTH), T0)) is None


def test_an_alert_of_a_week_is_told_with_its_own_windows() -> None:
    plan = BudgetPlan(allowed=0.001, period=7 * 86400.0)
    told_of = event("errors", plan, None, burn(plan, rings(0.02, 2 * 3600.0, period=plan.period), T0))
    assert told_of is not None
    assert "over 14m and 20 over 1m10s" in told_of[2]
