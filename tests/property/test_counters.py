"""Counters and histograms between two readings."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.counters import EMPTY, Cumulative, histogram_increase, increase, native, spread, together

counts = st.integers(0, 10**9).map(float)
bounds = st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=6, unique=True)


@st.composite
def classic(draw: st.DrawFn, layout: list[float] | None = None) -> Cumulative:
    at = sorted(draw(bounds) if layout is None else layout)
    alone = draw(st.lists(st.integers(0, 1000), min_size=len(at) + 1, max_size=len(at) + 1))
    running = itertools.accumulate(map(float, alone))
    return Cumulative(dict(zip([*at, math.inf], running, strict=True)), draw(st.one_of(st.none(), counts)))


@st.composite
def sparse(draw: st.DrawFn, schema: int = 2) -> Cumulative:
    bins = st.dictionaries(st.integers(-20, 20), st.integers(0, 1000).map(float), max_size=6)
    return native(
        schema=schema,
        zero_threshold=1e-9,
        zero_count=draw(st.integers(0, 50)),
        positive=draw(bins),
        negative=draw(bins),
        sum=1.0,
    )


def added(one: Cumulative, other: Cumulative) -> Cumulative:
    """``one`` after what ``other`` holds has come."""
    both = None if one.sum is None or other.sum is None else one.sum + other.sum
    return Cumulative({at: one.counts[at] + other.counts[at] for at in one.counts}, both)


@given(st.lists(counts, min_size=2))
def test_a_counter_that_never_resets_grew_by_its_difference(readings: list[float]) -> None:
    readings.sort()
    assert sum(increase(a, b) for a, b in itertools.pairwise(readings)) == readings[-1] - readings[0]


@given(st.lists(counts, min_size=2))
def test_no_counter_ever_shrinks_or_grows_by_more_than_it_says(readings: list[float]) -> None:
    assert all(0 <= increase(a, b) <= b for a, b in itertools.pairwise(readings))


@given(counts)
def test_a_counter_that_began_since_began_at_zero(now: float) -> None:
    assert increase(None, now) == now


@given(st.data(), bounds)
def test_a_histogram_grew_by_what_was_observed(data: st.DataObject, layout: list[float]) -> None:
    before, came = data.draw(classic(layout)), data.draw(classic(layout))
    grown = histogram_increase(before, added(before, came))
    assert grown.counts == came.counts
    assert grown.total == came.total


@given(classic(), classic())
def test_what_came_is_never_negative_nor_more_than_there_is(before: Cumulative, now: Cumulative) -> None:
    grown = spread(histogram_increase(before, now))
    assert all(count >= 0 for count in grown.bins.values())
    assert 0 <= grown.total <= now.total


@given(sparse(), sparse())
def test_what_came_into_sparse_ones_is_neither(before: Cumulative, now: Cumulative) -> None:
    grown = spread(histogram_increase(before, now))
    assert all(count >= 0 for count in grown.bins.values())
    assert 0 <= grown.total <= now.total


@given(sparse(), sparse())
def test_a_sparse_one_grew_by_what_was_observed(before: Cumulative, came: Cumulative) -> None:
    now = together([before, came])
    grown = histogram_increase(before, now)
    assert grown.total == pytest.approx(came.total)
    full = {at: count for at, count in spread(grown).bins.items() if count}
    assert full == {at: count for at, count in spread(came).bins.items() if count}


@given(st.lists(classic(), min_size=1, max_size=4))
def test_adding_up_loses_no_observation(parts: list[Cumulative]) -> None:
    assert together(parts).total == sum(part.total for part in parts)


@given(st.lists(st.one_of(classic(), sparse()), min_size=1, max_size=4))
def test_adding_up_loses_none_of_either_kind(parts: list[Cumulative]) -> None:
    assert spread(together(parts)).total == sum(part.total for part in parts)


@given(st.lists(classic(), min_size=1, max_size=4), st.randoms())
def test_adding_up_knows_no_order(parts: list[Cumulative], random: object) -> None:
    shuffled = sorted(parts, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = spread(together(parts)), spread(together(shuffled))
    assert one.bins == other.bins or one.total == 0


@given(classic())
def test_bins_alone_add_up_to_the_total(histogram: Cumulative) -> None:
    told = spread(histogram)
    assert sum(told.bins.values()) == told.total == histogram.total


def test_bounds_that_not_all_have_are_left_out() -> None:
    old, new = Cumulative({1.0: 3.0, 2.0: 5.0, math.inf: 6.0}), Cumulative({0.5: 1.0, 2.0: 2.0, math.inf: 2.0})
    assert together([old, new]).counts == {2.0: 7.0, math.inf: 8.0}


def test_a_bin_that_fell_tells_of_a_reset_although_the_total_grew() -> None:
    before, now = Cumulative({1.0: 90.0, math.inf: 100.0}), Cumulative({1.0: 10.0, math.inf: 110.0})
    assert histogram_increase(before, now) is now


def test_a_torn_reading_has_no_negative_bin() -> None:
    assert spread(Cumulative({1.0: 5.0, math.inf: 4.0})).bins == {1.0: 5.0, math.inf: 0.0}


def test_native_bins_that_were_widened_say_nothing_once() -> None:
    fine = native(schema=1, zero_threshold=0, zero_count=0, positive={1: 5, 2: 5}, negative={}, sum=1)
    coarse = native(schema=0, zero_threshold=0, zero_count=0, positive={1: 11}, negative={}, sum=1)
    assert histogram_increase(fine, coarse) is EMPTY


def test_native_bins_lie_where_the_data_model_puts_them() -> None:
    told = native(schema=0, zero_threshold=0.001, zero_count=4, positive={0: 2, 1: 3, 3: 1}, negative={1: 5}, sum=1)
    assert spread(told).bins == {-2.0: 0, -1.0: 5, -0.001: 0, 0.001: 4, 0.5: 0, 1.0: 2, 2.0: 3, 4.0: 0, 8.0: 1}


def test_a_schema_that_is_none() -> None:
    with pytest.raises(ValueError, match="schema"):
        native(schema=99, zero_threshold=0, zero_count=0, positive={}, negative={}, sum=0)
