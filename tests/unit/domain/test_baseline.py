"""How much worse than with the last good revision, and when that cannot be said."""

import math
import random
from dataclasses import replace

import pytest
from tests.unit.domain.build import T0

from lastgood.domain.baseline import Baseline, Degraded, Hour, NotCompared, Recorder, degradation
from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Silence, Spread
from lastgood.domain.objective_plan import Kind, ObjectivePlan
from lastgood.domain.window import Aggregate

DAY, HOUR = 86400.0, 3600.0
BELOW = ObjectivePlan("latency", Kind.QUANTILE, True, 2.0, "2s", "s", 1.0, 10, 60, 60, 0.95)
ABOVE = replace(BELOW, kind=Kind.AVERAGE, below=False, target=0.8)
MIDNIGHT = T0 - 8 * HOUR


def of(value: float | None, events: float = 100) -> Aggregate:
    return Aggregate(value, events, 6, 10, 60)


def was(value: float | None, events: float = 100) -> Baseline:
    return Baseline(value, events, 600)


@pytest.mark.parametrize(
    ("plan", "then", "now", "worse"),
    [
        pytest.param(BELOW, 0.2, 0.3, 0.5, id="half as much again"),
        pytest.param(BELOW, 0.2, 0.1, -0.5, id="faster is better"),
        pytest.param(ABOVE, 0.8, 0.4, 0.5, id="where more is better, half is half worse"),
        pytest.param(ABOVE, 0.8, 1.0, -0.25, id="and more is better"),
        pytest.param(BELOW, -2.0, -1.0, 0.5, id="below zero, up is still up"),
    ],
)
def test_worse_is_in_the_bad_direction(plan: ObjectivePlan, then: float, now: float, worse: float) -> None:
    told = degradation(plan, was(then), of(now), T0, min_samples=30)
    assert isinstance(told, Degraded)
    assert told.worse == pytest.approx(worse)


@pytest.mark.parametrize(
    ("baseline", "seen", "why"),
    [
        pytest.param(None, of(1.0), NotCompared.NO_BASELINE, id="no baseline"),
        pytest.param(was(0.2), Nothing(Silence.TIMEOUT), NotCompared.UNKNOWN, id="nothing now"),
        pytest.param(was(0.2, 29), of(9.0), NotCompared.TOO_FEW_SAMPLES, id="too few then"),
        pytest.param(was(0.2), of(9.0, 29), NotCompared.TOO_FEW_SAMPLES, id="too few now"),
        pytest.param(was(None, 0), of(9.0), NotCompared.TOO_FEW_SAMPLES, id="nothing then"),
        pytest.param(was(0.2), of(None), NotCompared.TOO_FEW_SAMPLES, id="none of none now"),
        pytest.param(was(0.0), of(0.1), NotCompared.NO_SCALE, id="nothing is so many percent of 0"),
    ],
)
def test_not_compared(baseline: Baseline | None, seen: Aggregate | Nothing, why: NotCompared) -> None:
    assert degradation(BELOW, baseline, seen, T0, min_samples=30) is why


def test_the_same_hour_once_there_is_a_day_and_the_hour_has_enough() -> None:
    hours = tuple(Hour(float(h + 1), 5 if h == 3 else 500) for h in range(24))
    baseline = Baseline(10.0, 12_000, DAY, hours)
    assert degradation(BELOW, baseline, of(9.0), T0, min_samples=30) == Degraded(0, 9, 9, same_hour=True)
    quiet = degradation(BELOW, baseline, of(10.0), MIDNIGHT + 3 * HOUR, min_samples=30)
    assert quiet == Degraded(0, 10, 10, same_hour=False)
    young = replace(baseline, seconds=DAY - 1)
    assert degradation(BELOW, young, of(10.0), T0, min_samples=30) == Degraded(0, 10, 10, same_hour=False)


def a_day(days: float = 1.01, seed: int = 1) -> Recorder:
    """Two calls each 10 s, at noon four times as slow as at midnight."""
    rng, recorder = random.Random(seed), Recorder(Kind.QUANTILE, 0.95)
    for step in range(int(days * DAY / 10)):
        at = MIDNIGHT + 10 * step
        slow = 0.1 * (2.5 - 1.5 * math.cos(2 * math.pi * (at % DAY) / DAY))
        recorder.add(Points((slow * rng.uniform(0.5, 1), slow)), at)
    return recorder


def test_a_day_of_samples_gives_hours_that_differ_and_a_text_that_fits() -> None:
    recorder = a_day()
    baseline = recorder.baseline()
    noon, night = baseline.hours[12], baseline.hours[0]
    assert noon is not None
    assert night is not None
    assert noon.value == pytest.approx(0.4, rel=0.05)
    assert night.value == pytest.approx(0.1, rel=0.05)
    assert baseline.seconds >= DAY
    # What is normal at noon would be three times too slow at night.
    for at, worse in ((MIDNIGHT + 12.5 * HOUR, 0), (MIDNIGHT + 0.5 * HOUR, 3)):
        told = degradation(BELOW, baseline, of(0.4), at, min_samples=30)
        assert isinstance(told, Degraded)
        assert told.worse == pytest.approx(worse, abs=0.15)
        assert told.same_hour
    text = recorder.to_text()
    assert len(text) <= 2048
    assert text.isascii()
    again = Recorder.from_text(text)
    assert again.to_text() == text
    assert again.baseline().value == pytest.approx(baseline.value, rel=0.021)
    assert again.baseline().hours[12] is not None


def test_a_recorder_goes_on_after_a_restart() -> None:
    again = Recorder.from_text(a_day(0.5).to_text())
    events = again.baseline().events
    again.add(Points((0.1, 0.2)), MIDNIGHT + 2 * DAY)
    assert again.baseline().events == events + 2


def test_the_worst_text_fits_too() -> None:
    rng, recorder = random.Random(2), Recorder(Kind.QUANTILE, 0.99)
    for step in range(26 * 60):
        recorder.add(Points(tuple(10 ** rng.uniform(-9, 9) for _ in range(20))), T0 + 60.123 * step)
    assert len(recorder.to_text()) <= 2048


def test_the_second_day_counts_beside_the_first() -> None:
    recorder = Recorder(Kind.AVERAGE)
    for day, value in ((0, 1.0), (1, 2.0)):
        for step in range(360):
            recorder.add(Gauge(value), MIDNIGHT + day * DAY + 10 * step)
    recorder.add(Gauge(9.0), MIDNIGHT + DAY + HOUR)
    assert recorder.baseline().hours[0] == Hour(1.5, 360)


def test_what_is_refused_or_has_no_distribution_is_passed_over() -> None:
    recorder = Recorder(Kind.AVERAGE)
    recorder.add(Gauge(math.nan), T0)
    recorder.add(Nothing(Silence.TIMEOUT), T0)
    assert recorder.baseline().events == 0
    for kind, sample in ((Kind.RATIO, Counts(1, 2)), (Kind.VALUE, Gauge(1.0))):
        other = Recorder(kind)
        other.add(sample, T0)
        assert other.baseline().value is None


def test_histograms_and_averages() -> None:
    quantile, average, blind = Recorder(Kind.QUANTILE, 0.5), Recorder(Kind.AVERAGE), Recorder(Kind.AVERAGE)
    spread = Spread({1.0: 2, 2.0: 2, math.inf: 0}, 4, 5.0)
    for recorder in (quantile, average):
        recorder.add(spread, T0)
        assert Recorder.from_text(recorder.to_text()).baseline() == recorder.baseline()
    blind.add(replace(spread, sum=None), T0)
    assert (quantile.baseline().value, average.baseline().value, blind.baseline().value) == (1, 1.25, None)
    assert Recorder.from_text(blind.to_text()).baseline().value is None


def test_a_source_that_tells_histograms_from_now_on() -> None:
    recorder = Recorder(Kind.QUANTILE, 0.5)
    recorder.add(Points((9.0, 9.0, 9.0)), T0)
    recorder.add(Spread({1.0: 2, 2.0: 2}, 4), T0 + 10)
    assert (recorder.baseline().value, recorder.baseline().events) == (1, 4)


def test_a_clock_that_goes_back_counts_no_time_twice() -> None:
    recorder = Recorder(Kind.AVERAGE)
    for second in (0, 10, -7200, -7190, 80_000):
        recorder.add(Gauge(1.0), T0 + second)
    told = recorder.baseline()
    assert (told.seconds, told.events) == (20, 5)


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"kind":"x","q":1,"n":1,"s":1,"sum":1,"hours":[],"bins":""}'])
def test_what_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        Recorder.from_text(text)
