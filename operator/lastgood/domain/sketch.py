"""Distributions in bins by upper bound: single observations in bins of 2 %, histograms in their own.

Observations go into the bins of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch
with relative-error guarantees", VLDB 2019): bin i holds (G^(i-1), G^i], and its answer, 2 G^i / (G + 1), is off by
(G - 1) / (G + 1) at most. Histograms are answered as Prometheus' ``histogram_quantile`` does.
"""

import base64
import binascii
import math
import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

GROWTH = 1.02
"""Ratio of two neighbouring bounds: (G - 1) / (G + 1) = 0.99 %."""

RELATIVE_ERROR = 0.01
"""What an answer over single observations may be off by, rounding included."""

SMALLEST = 1e-9
"""Magnitudes below this are taken for zero."""

LARGEST = 1e18
"""Magnitudes above this are not taken: no latency, size or count of this world is larger."""

TEXT_LIMIT = 2000
"""Characters of a distribution as text. A finer one is coarsened until it fits."""

_LOG = math.log(GROWTH)
_RESIDUE = 1e-9
_UNPACKED_LIMIT = 100_000


def bound_of(value: float, growth: float = GROWTH, step: float = _LOG) -> float:
    """The upper bound of the bin that holds this observation; ``step`` is the logarithm of ``growth``."""
    if value >= SMALLEST:
        return float(growth ** math.ceil(math.log(value) / step))
    if value > -SMALLEST:
        return 0.0
    return -float(growth ** (math.ceil(math.log(-value) / step) - 1))


def rank_of(q: float, count: float) -> int:
    """Which of so many observations, in order, is the q-quantile: the first that so many are not above.

    Ranks are whole, and 0.95 x 20 is a little more than 19: it is still the nineteenth.
    """
    rank = q * count
    return math.ceil(rank - _RESIDUE * rank) if rank > 1 else 1


def interpolated(bounds: Sequence[float], counts: Iterable[float], q: float) -> float | None:
    """The q-quantile of a histogram, by its bounds in order and the count of each bin.

    None of an empty one, and of one that has no finite bound.
    """
    reached = list(accumulate(counts))
    if not reached or reached[-1] <= 0:
        return None
    rank = q * reached[-1]
    finite = len(bounds) - (bounds[-1] == math.inf)
    if not finite:
        return None
    at = bisect_left(reached, rank) if rank > 0 else next(i for i, count in enumerate(reached) if count > 0)
    if at >= finite:
        return bounds[finite - 1]
    bound = bounds[at]
    if at == 0 and bound <= 0:
        return bound
    lower, below = (bounds[at - 1], reached[at - 1]) if at else (0.0, 0.0)
    return lower + (bound - lower) * (rank - below) / (reached[at] - below)


class Bins:
    """A distribution that can be added to and taken from.

    ``growth`` is the ratio of neighbouring bounds for single observations; 0 for a histogram, whose bins begin where
    the next smaller one ends, also when that one is empty.

    A quantile of single observations is looked for from where the last one was found, so that reading it does not take
    longer the more bins there are.
    """

    __slots__ = ("_below", "_cursor", "_order", "counts", "growth", "step", "total")

    def __init__(self, growth: float = GROWTH, counts: Mapping[float, float] | None = None) -> None:
        self.growth = growth
        self.step = math.log(growth) if growth else 0.0
        self.counts: dict[float, float] = dict(counts or {})
        self.total: float = sum(self.counts.values())
        self._order: list[float] | None = None
        # The bound where the last quantile was found, and how many observations are in the bins below it.
        self._cursor, self._below = -math.inf, 0.0

    def add(self, bins: Mapping[float, float]) -> None:
        """Put observations in, by upper bound."""
        counts = self.counts
        if not counts:
            counts.update(bins)
            self._order = None
        else:
            for bound, count in bins.items():
                if bound in counts:
                    counts[bound] += count
                else:
                    counts[bound] = count
                    self._order = None
        self.total += sum(bins.values())
        self._cursor, self._below = -math.inf, 0.0

    def observe(self, value: float) -> float:
        """Put one observation in, and tell its bin's upper bound."""
        if value >= SMALLEST:
            bound = self.growth ** math.ceil(math.log(value) / self.step)
        else:
            bound = bound_of(value, self.growth, self.step)
        counts = self.counts
        if bound in counts:
            counts[bound] += 1
        else:
            counts[bound] = 1
            if self._order is not None:
                insort(self._order, bound)
        if bound < self._cursor:
            self._below += 1
        self.total += 1
        return bound

    def forget(self, bound: float) -> None:
        """Take one observation out again, by its bin's upper bound."""
        counts = self.counts
        left = counts.get(bound, 0.0) - 1
        if left > _RESIDUE:
            counts[bound] = left
        elif counts.pop(bound, None) is not None and self._order is not None:
            del self._order[bisect_left(self._order, bound)]
        if bound < self._cursor:
            self._below -= 1
        self.total -= 1

    def subtract(self, bins: Mapping[float, float]) -> None:
        """Take observations out that were put in before."""
        counts = self.counts
        if self.growth:
            for bound, count in bins.items():
                left = counts.get(bound, 0.0) - count
                if left > _RESIDUE:
                    counts[bound] = left
                elif counts.pop(bound, None) is not None and self._order is not None:
                    del self._order[bisect_left(self._order, bound)]
                if bound < self._cursor:
                    self._below -= count
        else:
            for bound, count in bins.items():
                # An empty bin still says where the next one begins.
                left = counts.get(bound, 0.0) - count
                counts[bound] = left if left > _RESIDUE else 0.0
        self.total -= sum(bins.values())
        if self.total < _RESIDUE:
            self.total = 0.0

    def quantile(self, q: float) -> float | None:
        """The q-quantile; None of an empty distribution, and of one that has no finite bound."""
        if self.total <= 0:
            return None
        if self._order is None:
            self._order = sorted(self.counts)
        if not 0 <= q <= 1:
            q = min(max(q, 0.0), 1.0)
        if self.growth:
            return self._nearest(self._order, q)
        return interpolated(self._order, map(self.counts.__getitem__, self._order), q)

    def _nearest(self, order: list[float], q: float) -> float:
        wanted = rank_of(q, self.total)
        counts, below, last = self.counts, self._below, len(order) - 1
        at = bisect_left(order, self._cursor)
        if at > last:
            at = last
            below -= counts[order[at]]
        while below >= wanted and at:
            at -= 1
            below -= counts[order[at]]
        reached = below + counts[order[at]]
        while reached < wanted and at < last:
            below = reached
            at += 1
            reached += counts[order[at]]
        self._cursor, self._below = bound, _ = order[at], below
        return bound * 2 / (self.growth + 1) * (1.0 if bound > 0 else self.growth)

    def copy(self) -> "Bins":
        """The same, apart."""
        return Bins(self.growth, self.counts)

    def coarser(self) -> "Bins":
        """The same observations in half as many bins: neighbours are put together, into the upper one."""
        if not self.growth:
            return Bins(0, _paired(sorted(self.counts.items())))
        merged = Bins(self.growth * self.growth)
        for bound, count in self.counts.items():
            # From the middle of a bin, so that rounding at its edge cannot matter.
            inside = bound / math.sqrt(self.growth) if bound > 0 else bound * math.sqrt(self.growth)
            merged.add({bound_of(inside, merged.growth, merged.step) if bound else 0.0: count})
        return merged


def _paired(bins: list[tuple[float, float]]) -> dict[float, float]:
    # The infinite bin stays alone: the last finite bound is what it is answered with.
    last = dict(bins[-1:] if bins and bins[-1][0] == math.inf else [])
    finite = bins[: len(bins) - len(last)]
    odd = len(finite) % 2
    kept = dict(finite[:odd])
    for (_, lower), (bound, upper) in zip(finite[odd::2], finite[odd + 1 :: 2], strict=True):
        kept[bound] = lower + upper
    return kept | last


def to_text(bins: Bins, limit: int = TEXT_LIMIT) -> str:
    """At most so many characters of ASCII, none of which JSON or YAML escapes; made coarser where that takes it."""
    level, growth = 0, bins.growth
    while growth and growth > GROWTH * (1 + _RESIDUE):
        level, growth = level + 1, math.sqrt(growth)
    while len(text := _written(bins, level)) > limit:
        bins, level = bins.coarser(), level + 1
    return text


def _written(bins: Bins, level: int) -> str:
    rows = sorted(bins.counts.items())
    if bins.growth:
        words, before = [f"p{level}"], 0
        for bound, count in rows:
            # Signs apart: -3 is the index of a small positive bound, ~3 that of a negative one.
            index = round(math.log(abs(bound)) / bins.step) if bound else 0
            words.append(f"{'~' if bound < 0 else '' if bound else 'z'}{index - before}:{count:.12g}")
            before = index
    else:
        words = ["h", *(f"{bound!r}:{count:.12g}" for bound, count in rows)]
    return base64.b85encode(zlib.compress(" ".join(words).encode(), 9)).decode()


def from_text(text: str) -> Bins:
    """The distribution that ``to_text`` wrote. Raises ValueError for anything else."""
    try:
        unpack = zlib.decompressobj()
        words = unpack.decompress(base64.b85decode(text), _UNPACKED_LIMIT).decode().split(" ")
    except (zlib.error, binascii.Error, UnicodeDecodeError) as error:
        msg = "this is no distribution"
        raise ValueError(msg) from error
    if not unpack.eof:
        msg = "this distribution is cut short"
        raise ValueError(msg)
    counts: dict[float, float] = {}
    if words[0] == "h":
        for word in words[1:]:
            bound, _, count = word.partition(":")
            counts[float(bound)] = float(count)
        return Bins(0, counts)
    growth = GROWTH
    if not words[0].startswith("p") or not 0 <= (level := int(words[0][1:])) < 12:
        msg = "this is no distribution"
        raise ValueError(msg)
    for _ in range(level):
        growth *= growth
    before = 0
    for word in words[1:]:
        place, _, count = word.partition(":")
        before += int(place.lstrip("~z"))
        sign = -1.0 if place.startswith("~") else 0.0 if place.startswith("z") else 1.0
        counts[sign * float(growth**before)] = float(count)
    return Bins(growth, counts)
