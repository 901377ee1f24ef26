"""Quantiles out of bins, against all observations and against what Prometheus computes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.sketch import GROWTH, LARGEST, RELATIVE_ERROR, SMALLEST, TEXT_LIMIT, Bins, from_text, to_text

MAGNITUDES = st.floats(SMALLEST, LARGEST) | st.floats(1e-4, 100.0) | st.integers(1, 100).map(float)
VALUES = st.lists(MAGNITUDES | MAGNITUDES.map(float.__neg__) | st.just(0.0), min_size=1, max_size=80)
SHARES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0])


def exact(values: list[float], q: float) -> float:
    """The quantile by nearest rank; 1e-9 as in the sketch: 0.95 x 20 is the nineteenth."""
    rank = max(1, math.ceil(q * len(values) - 1e-9 * max(1.0, q * len(values))))
    return sorted(values)[rank - 1]


def of(values: list[float]) -> Bins:
    bins = Bins()
    for value in values:
        bins.observe(value)
    return bins


@given(VALUES, SHARES)
def test_a_quantile_is_off_by_one_percent_at_most(values: list[float], q: float) -> None:
    wanted = exact(values, q)
    told = of(values).quantile(q)
    assert told is not None
    assert abs(told - wanted) <= RELATIVE_ERROR * abs(wanted)


@given(VALUES, VALUES, SHARES)
def test_merged_is_the_same_as_seen_together_and_subtracted_as_never_seen(
    left: list[float], right: list[float], q: float
) -> None:
    merged = of(left)
    merged.add(of(right).counts)
    assert merged.counts == of(left + right).counts
    assert merged.quantile(q) == of(left + right).quantile(q)
    merged.subtract(of(left).counts)
    assert (merged.counts, merged.total) == (of(right).counts, len(right))
    merged.subtract(of(right).counts)
    assert (merged.counts, merged.total, merged.quantile(q)) == ({}, 0, None)


@given(st.lists(MAGNITUDES | MAGNITUDES.map(float.__neg__) | st.just(0.0), min_size=1, max_size=3000), SHARES)
def test_text_fits_and_tells_the_same_as_far_as_its_bins_are_fine(values: list[float], q: float) -> None:
    bins = of(values)
    text = to_text(bins)
    assert len(text) <= TEXT_LIMIT
    again = from_text(text)
    assert again.total == len(values)
    assert to_text(again) == text
    wanted, told = exact(values, q), again.quantile(q)
    assert told is not None
    assert abs(told - wanted) <= (again.growth - 1) / (again.growth + 1) * abs(wanted) * 1.0001
    if again.growth == GROWTH:
        assert told == bins.quantile(q)


BOUNDS = st.lists(st.sampled_from([-1.0, 0.0, 0.005, 0.1, 0.5, 1.0, 2.5, 10.0, 60.0]), unique=True, min_size=1)
HISTOGRAMS = BOUNDS.flatmap(
    lambda bounds: st.lists(st.integers(0, 50), min_size=len(bounds) + 1, max_size=len(bounds) + 1).map(
        lambda counts: dict(zip([*sorted(bounds), math.inf], map(float, counts), strict=True))
    )
)


def histogram_quantile(q: float, bins: dict[float, float]) -> float:
    """Prometheus' bucketQuantile, on cumulative buckets, as promql/quantile.go has it."""
    buckets, total = [], 0.0
    for bound, count in sorted(bins.items()):
        total += count
        buckets.append((bound, total))
    rank = q * total
    b = next((i for i, (_, count) in enumerate(buckets[:-1]) if count >= rank), len(buckets) - 1)
    if b == len(buckets) - 1:
        return buckets[-2][0]
    if b == 0 and buckets[0][0] <= 0:
        return buckets[0][0]
    start, end, count = 0.0, *buckets[b]
    if b > 0:
        start = buckets[b - 1][0]
        count -= buckets[b - 1][1]
        rank -= buckets[b - 1][1]
    return start + (end - start) * (rank / count)


@given(HISTOGRAMS, st.floats(0.001, 1))
def test_a_histogram_is_answered_as_prometheus_does(bins: dict[float, float], q: float) -> None:
    told = Bins(0, bins).quantile(q)
    if not sum(bins.values()):
        assert told is None
    else:
        assert told is not None
        assert math.isclose(told, histogram_quantile(q, bins), rel_tol=1e-9, abs_tol=1e-12)


@given(HISTOGRAMS, HISTOGRAMS, st.floats(0.001, 1))
def test_a_histogram_keeps_its_bounds_when_observations_leave(
    staying: dict[float, float], leaving: dict[float, float], q: float
) -> None:
    leaving = dict.fromkeys(staying, 0.0) | {b: c for b, c in leaving.items() if b in staying}
    bins = Bins(0)
    bins.add(leaving)
    bins.add(staying)
    bins.subtract(leaving)
    assert bins.quantile(q) == Bins(0, staying).quantile(q)
    assert from_text(to_text(bins)).quantile(q) == bins.quantile(q)
