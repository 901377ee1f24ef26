"""Bins by upper bound: edges that no random list finds."""

import math
import random

import pytest

from lastgood.domain.sketch import GROWTH, TEXT_LIMIT, Bins, from_text, to_text


def test_the_nineteenth_of_twenty_is_p95_though_the_product_is_a_little_more() -> None:
    bins = Bins()
    for value in range(1, 21):
        bins.observe(float(value))
    assert bins.quantile(0.95) == pytest.approx(19, rel=0.01)


@pytest.mark.parametrize(
    ("bins", "q", "told"),
    [
        pytest.param({1.0: 10, 2.0: 10}, 0.5, 1.0, id="at an edge"),
        pytest.param({1.0: 10, 2.0: 10}, 0.75, 1.5, id="inside a bin"),
        pytest.param({1.0: 0, 2.0: 10}, 0.5, 1.5, id="an empty bin says where the next one begins"),
        pytest.param({2.0: 10}, 0.5, 1.0, id="the lowest bin begins at 0"),
        pytest.param({-1.0: 10, 1.0: 0}, 0.5, -1.0, id="a lowest bin below 0 is its bound"),
        pytest.param({1.0: 1, 5.0: 0, math.inf: 9}, 0.95, 5.0, id="infinite: the last finite bound"),
        pytest.param({math.inf: 9}, 0.95, None, id="nothing but infinite says nothing"),
        pytest.param({1.0: 0.0, math.inf: 0.0}, 0.95, None, id="no observation"),
        pytest.param({1.0: 0, 2.0: 4}, 0.0, 1.0, id="the least"),
        pytest.param({1.0: 4, 2.0: 4}, 9.99, 2.0, id="999% is 100%"),
    ],
)
def test_histogram(bins: dict[float, float], q: float, told: float | None) -> None:
    assert Bins(0, bins).quantile(q) == told


def test_a_service_of_many_latencies_fits_into_its_text() -> None:
    rng = random.Random(1)
    bins = Bins()
    for _ in range(200_000):
        bins.observe(rng.lognormvariate(-2, 0.7))
    again = from_text(to_text(bins))
    assert again.growth == GROWTH
    for q in (0.5, 0.95, 0.99):
        assert again.quantile(q) == bins.quantile(q)


def test_a_histogram_of_too_many_buckets_is_coarsened_and_keeps_its_ends() -> None:
    bounds = [1.0007**i for i in range(4000)]
    bins = Bins(0, {b: float(i % 977) for i, b in enumerate(bounds)} | {math.inf: 3.0})
    text = to_text(bins)
    assert len(text) <= TEXT_LIMIT
    again = from_text(text)
    assert (again.total, again.quantile(1)) == (bins.total, bins.quantile(1))
    assert again.quantile(0.5) == pytest.approx(bins.quantile(0.5), rel=0.05)


@pytest.mark.parametrize("text", ["", "x", "!!!", "Hello, world", to_text(Bins())[:-3], "é"])
def test_what_is_no_distribution_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        from_text(text)


def test_float_counts_leave_no_residue() -> None:
    bins = Bins(0)
    for _ in range(100):
        bins.add({0.1: 0.1, 1.0: 0.3})
    for _ in range(100):
        bins.subtract({0.1: 0.1, 1.0: 0.3})
    assert (bins.total, bins.quantile(0.5)) == (0.0, None)
