"""What counters and histograms say between two readings, as pure functions.

A counter only grows, until its process starts anew and it begins at zero: a value lower than the one before is such
a reset, and all of it came since. What a process counted between the last reading and its end is lost; nothing here
guesses it.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from lastgood.domain.measure import Spread


@dataclass(frozen=True, slots=True)
class Cumulative:
    """A histogram, each upper bound (inclusive) with the observations at or below it.

    A classic one has the same bounds at every reading. A sparse one (native) lists the bounds that something lies
    at, and nothing lies between them. The largest bound holds the total.
    """

    counts: Mapping[float, float]
    sum: float | None = None
    sparse: bool = False

    @property
    def total(self) -> float:
        """All observations."""
        return max(self.counts.values(), default=0.0)


EMPTY = Cumulative({math.inf: 0.0}, 0.0, sparse=True)
"""Nothing observed, in whatever bins."""


def increase(before: float | None, now: float) -> float:
    """How much a counter grew; ``before`` is None for one that has begun since."""
    return now if before is None or now < before else now - before


def histogram_increase(before: Cumulative | None, now: Cumulative) -> Cumulative:
    """What came into a histogram; ``before`` is None for one that has begun since."""
    if before is None or now.total < before.total:
        return now
    if now.sparse and before.sparse:
        return _sparse_increase(before, now)
    # A count that fell in one bin tells of a reset even where the total has grown past its old value since.
    if before.counts.keys() != now.counts.keys() or any(now.counts[at] < was for at, was in before.counts.items()):
        return now
    return Cumulative({at: value - before.counts[at] for at, value in now.counts.items()}, _sums(now.sum, before.sum))


def _sparse_increase(before: Cumulative, now: Cumulative) -> Cumulative:
    bounds = sorted({*before.counts, *now.counts})
    grown = dict(zip(bounds, map(float.__sub__, _steps(now, bounds), _steps(before, bounds)), strict=True))
    values = list(grown.values())
    if any(value < 0 for value in values) or values != sorted(values):
        # Native histograms widen their bins when there are too many: what lay where cannot be told for once.
        return EMPTY
    return Cumulative(grown, _sums(now.sum, before.sum), sparse=True)


def _steps(histogram: Cumulative, bounds: Sequence[float]) -> list[float]:
    """Counts at these bounds of one that has nothing between its own."""
    own = sorted(histogram.counts)
    counts = [0.0, *(float(histogram.counts[at]) for at in own)]
    return [counts[bisect_right(own, at)] for at in bounds]


def _sums(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before


def together(histograms: Sequence[Cumulative]) -> Cumulative:
    """Add histograms up, at the bounds that all of them have: a count there is exact.

    Bounds differ while a release that changed them is rolled out. Sparse ones have a count at every bound.
    """
    filled = [histogram for histogram in histograms if histogram.total > 0]
    if not filled:
        return histograms[0] if histograms else EMPTY
    return reduce(_two, filled)


def _two(one: Cumulative, other: Cumulative) -> Cumulative:
    total = one.total + other.total
    if one.sparse and other.sparse:
        bounds = sorted({*one.counts, *other.counts})
    elif one.sparse or other.sparse:
        bounds = sorted(other.counts if one.sparse else one.counts)
    else:
        bounds = sorted(one.counts.keys() & other.counts.keys())
    left, right = (_steps(part, bounds) if part.sparse else [part.counts[at] for at in bounds] for part in (one, other))
    counts = {at: a + b for at, a, b in zip(bounds, left, right, strict=True)}
    if not counts or max(counts.values()) < total:
        counts[math.inf] = total
    both = None if one.sum is None or other.sum is None else one.sum + other.sum
    return Cumulative(counts, both, sparse=one.sparse and other.sparse)


def spread(histogram: Cumulative) -> Spread:
    """Give each bin its own count.

    A client that writes while it is read shows a lower count at a higher bound; the higher one is right.
    """
    bins: dict[float, float] = {}
    below = 0.0
    for at in sorted(histogram.counts):
        count = max(histogram.counts[at], below)
        bins[at] = count - below
        below = count
    return Spread(bins=bins, total=below, sum=histogram.sum)


def native(
    *,
    schema: int,
    zero_threshold: float,
    zero_count: float,
    positive: Mapping[int, float],
    negative: Mapping[int, float],
    sum: float,  # noqa: A002 - the format's own name
) -> Cumulative:
    """A native histogram in bounds.

    Bin ``i`` of the positive ones is (base^(i-1), base^i] with base = 2^(2^-schema), and those of the negative ones
    mirror it (Prometheus, "Native Histograms", data model). Raises ValueError for a schema that is none, and
    OverflowError for a bin out of range.
    """
    if not -4 <= schema <= 8:
        msg = "no exponential schema"
        raise ValueError(msg)
    factor = 2.0**-schema
    alone: dict[float, float] = {}
    for sign, bins in ((-1.0, negative), (1.0, positive)):
        for index, count in bins.items():
            ends = sorted((sign * 2.0 ** (factor * (index - 1)), sign * 2.0 ** (factor * index)))
            # The lower end too: a reader takes the next smaller bound for it.
            alone.setdefault(ends[0], 0.0)
            alone[ends[1]] = alone.get(ends[1], 0.0) + count
    if zero_count:
        alone.setdefault(-zero_threshold, 0.0)
        alone[zero_threshold] = alone.get(zero_threshold, 0.0) + zero_count
    counts: dict[float, float] = {}
    below = 0.0
    for at in sorted(alone):
        below += alone[at]
        counts[at] = below
    return Cumulative(counts or {math.inf: 0.0}, sum, sparse=True)
