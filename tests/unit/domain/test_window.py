"""A window at its edges: days without data, clocks that jump, what is refused at the door."""

import math

import pytest
from tests.unit.domain.build import T0

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.window import Aggregate, Window


def window(kind: Kind = Kind.RATIO, length: float = 60, interval: float = 10, q: float = 0.95) -> Window:
    return Window(kind, window=length, interval=interval, quantile=q)


def read(of: Window, now: float) -> Aggregate:
    told = of.read(now)
    assert isinstance(told, Aggregate)
    return told


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        pytest.param(Gauge(math.nan), Kind.VALUE, id="NaN"),
        pytest.param(Gauge(math.inf), Kind.VALUE, id="inf"),
        pytest.param(Points((0.1, math.nan)), Kind.QUANTILE, id="one NaN among points"),
        pytest.param(Points((0.1, 1e300)), Kind.QUANTILE, id="larger than this world"),
        pytest.param(Counts(-1, 5), Kind.RATIO, id="negative bad"),
        pytest.param(Counts(0, -5), Kind.RATIO, id="negative total"),
        pytest.param(Counts(math.nan, 5), Kind.RATIO, id="NaN of counts"),
        pytest.param(Counts(0, math.inf), Kind.RATIO, id="infinite total"),
        pytest.param(Spread({0.1: -1, 1.0: 3}, 2), Kind.QUANTILE, id="a bin that counted down"),
        pytest.param(Spread({math.nan: 1}, 1), Kind.QUANTILE, id="a bin without a place"),
        pytest.param(Spread({-math.inf: 1}, 1), Kind.QUANTILE, id="a bin below everything"),
        pytest.param(Spread({1.0: 1}, 1, math.nan), Kind.AVERAGE, id="a sum that is none"),
        pytest.param(Gauge(1), Kind.RATIO, id="a gauge is no ratio"),
        pytest.param(Counts(1, 2), Kind.QUANTILE, id="counts have no quantile"),
        pytest.param(Spread({1.0: 1}, 1, 0.5), Kind.VALUE, id="a histogram is no value"),
    ],
)
def test_refused_at_the_door_and_nothing_of_it_kept(sample: Sample, kind: Kind) -> None:
    refusing = window(kind)
    told = refusing.add(sample, T0)
    assert isinstance(told, Nothing)
    assert told.reason is Silence.NOT_UNDERSTOOD
    assert refusing.read(T0) == told


def test_negative_numbers_that_may_be_are_taken() -> None:
    gauge = window(Kind.VALUE)
    gauge.add(Gauge(-3.5), T0)
    assert read(gauge, T0).value == -3.5
    points = window(Kind.QUANTILE, q=0.5)
    points.add(Points((-1.0, -2.0, -4.0)), T0)
    assert read(points, T0).value == pytest.approx(-2, rel=0.01)


def test_none_of_none_is_no_ratio() -> None:
    ratio = window()
    ratio.add(Counts(0, 0), T0)
    assert read(ratio, T0) == Aggregate(None, 0, 1, 0, 10)


def test_more_bad_than_all_is_all() -> None:
    ratio = window()
    ratio.add(Counts(5, 4), T0)
    assert read(ratio, T0).value == 1


def test_a_value_is_the_latest_and_an_average_the_mean() -> None:
    value, average = window(Kind.VALUE), window(Kind.AVERAGE)
    for second, number in ((0, 1.0), (10, 2.0), (20, 6.0)):
        value.add(Gauge(number), T0 + second)
        average.add(Gauge(number), T0 + second)
    assert (read(value, T0 + 20).value, read(average, T0 + 20).value) == (6, 3)


def test_average_of_a_histogram_is_its_sum_and_unknown_without() -> None:
    average = window(Kind.AVERAGE)
    average.add(Spread({1.0: 3, math.inf: 1}, 4, 6.0), T0)
    assert read(average, T0).value == 1.5
    average.add(Spread({1.0: 0}, 0), T0 + 10)
    assert read(average, T0 + 10).value == 1.5
    average.add(Spread({1.0: 2}, 2), T0 + 20)
    assert read(average, T0 + 20).value is None
    average.add(Spread({1.0: 2}, 2, 1.0), T0 + 80)
    assert read(average, T0 + 80).value == 0.5


def test_a_day_without_data_leaves_nothing_and_then_begins_anew() -> None:
    ratio = window()
    ratio.add(Counts(9, 10), T0)
    assert ratio.add(Nothing(Silence.SOURCE_DOWN), T0 + 43200) == Nothing(Silence.SOURCE_DOWN)
    assert ratio.read(T0 + 86400) == Nothing(Silence.SOURCE_DOWN)
    ratio.add(Counts(1, 10), T0 + 86400)
    assert read(ratio, T0 + 86400).value == 0.1


def test_a_missed_sample_leaves_the_others() -> None:
    ratio = window()
    ratio.add(Counts(1, 10), T0)
    ratio.add(Nothing(Silence.TIMEOUT), T0 + 10)
    ratio.add(Counts(2, 20), T0 + 20)
    told = read(ratio, T0 + 20)
    assert (told.value, told.events, told.samples, told.covered, told.rate) == (0.1, 30, 2, 30, 1.0)


def test_the_clock_goes_back_an_hour_and_what_was_seen_ages_all_the_same() -> None:
    ratio = window()
    ratio.add(Counts(10, 10), T0)
    back = T0 - 3600
    ratio.add(Counts(0, 10), back)
    assert read(ratio, back).value == 0.5
    for second in range(10, 60, 10):
        ratio.add(Counts(0, 10), back + second)
    assert read(ratio, back + 70).value == 0


def test_a_reader_with_an_older_clock_neither_drops_nor_hurries() -> None:
    ratio = window()
    for second in range(0, 600, 10):
        ratio.add(Counts(1, 10), T0 + second)
        ratio.read(T0 + second - 3)
    assert read(ratio, T0 + 590).samples == 6


def test_a_source_that_tells_histograms_from_now_on() -> None:
    quantile = window(Kind.QUANTILE, q=0.5)
    quantile.add(Points((50.0,) * 9), T0)
    quantile.add(Spread({1.0: 4, 2.0: 4, math.inf: 0}, 8), T0 + 10)
    assert read(quantile, T0 + 10).value == 1
    quantile.add(Points((50.0,)), T0 + 200)
    assert read(quantile, T0 + 200).value == pytest.approx(50, rel=0.01)


def test_buckets_that_a_new_release_does_not_have_go_with_their_window() -> None:
    quantile = window(Kind.QUANTILE, q=0.5)
    quantile.add(Spread({0.9: 0, 1.0: 4}, 4), T0)
    for second in range(10, 130, 10):
        quantile.add(Spread({0.5: 0, 1.0: 4}, 4), T0 + second)
    assert read(quantile, T0 + 120).value == 0.75


def test_an_interval_longer_than_the_window_is_the_window() -> None:
    value = window(Kind.VALUE, length=10, interval=3600)
    value.add(Gauge(0.3), T0)
    assert read(value, T0 + 1).value == 0.3
