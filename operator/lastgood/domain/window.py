"""A sliding window over samples: what came lately, in slots, so that the oldest can go without being known one by one.

A window of W seconds has at most MAX_SLOTS slots, none shorter than the interval, the newest of which is filling up: it
holds everything of the last W less one slot, and nothing older than W. Sums are taken anew from the slots at each look,
so nothing drifts; bins are added and subtracted, and counted anew once in every turn of the window.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.sketch import GROWTH, LARGEST, Bins
from lastgood.domain.steady import Steady

MAX_SLOTS = 20
"""A window ends within 5 % of its length."""

_NOT_A_NUMBER = Nothing(Silence.NOT_UNDERSTOOD, "not a finite number, or one that cannot be")
_WRONG_KIND = Nothing(Silence.NOT_UNDERSTOOD, "the source tells something that this indicator cannot be made of")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a window holds."""

    value: float | None
    """The indicator; None when nothing can be said: 0 of 0 is no ratio."""
    events: float
    """Observations or events: what ``minSamples`` counts."""
    samples: int
    rate: float = 0.0
    """Events a second."""
    covered: float = 0.0
    """Seconds that the samples speak for, gaps between them included."""


def usable(sample: Sample, kind: Kind) -> Sample:
    """The sample if it can be believed and made into this indicator; else Nothing, and why.

    Refused are NaN and infinity, negative counts, more than LARGEST, and all of a sample for one such number. More bad
    events than events are taken for all: both were read moments apart.
    """
    # Asked of every sample that there is; NaN is not equal to itself, and no comparison with it holds.
    if type(sample) is Gauge:
        believed, fits = -LARGEST <= sample.value <= LARGEST, kind is not Kind.RATIO
    elif type(sample) is Points:
        for value in sample.values:
            if not -LARGEST <= value <= LARGEST:
                return _NOT_A_NUMBER
        believed, fits = True, kind is not Kind.RATIO
    elif type(sample) is Counts:
        believed, fits = 0 <= sample.bad <= LARGEST and 0 <= sample.total <= LARGEST, kind is Kind.RATIO
    elif type(sample) is Spread:
        believed, fits = _sound(sample), kind is Kind.QUANTILE or kind is Kind.AVERAGE
    else:
        return sample
    if not believed:
        return _NOT_A_NUMBER
    return sample if fits else _WRONG_KIND


def _sound(sample: Spread) -> bool:
    # Sums have every NaN in them, and minus infinity beside infinity is one.
    if sample.sum is not None and not math.isfinite(sample.sum):
        return False
    counts = sample.bins.values()
    return not counts or (min(counts) >= 0 and sum(counts) <= LARGEST and sum(sample.bins) > -math.inf)


class Window:
    """Samples of the last so many seconds.

    Adding takes as long as the sample is large; neither adding nor reading depends on how many samples there are.
    The clock may jump ahead (old slots go), stand still, or go back: see ``Steady``.
    """

    __slots__ = (
        "_at",
        "_bins",
        "_clock",
        "_events",
        "_first",
        "_kind",
        "_latest",
        "_place",
        "_quantile",
        "_samples",
        "_silence",
        "_slot",
        "_slot_bins",
        "_slot_ends",
        "_sums",
        "_turned",
        "interval",
        "slots",
        "width",
    )

    def __init__(self, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> None:
        window = max(window, interval)
        self.slots = max(1, min(MAX_SLOTS, math.floor(window / interval + 1e-9)))
        self.width = window / self.slots
        self.interval = interval
        self._kind, self._quantile = kind, quantile
        self._clock = Steady(self.width)
        self._slot = self._place = self._turned = 0
        self._slot_ends = 0.0
        self._samples = array("L", bytes(8 * self.slots))
        self._events = array("d", bytes(8 * self.slots))
        # Sum of values; of a ratio, bad events. NaN where a histogram came without its sum.
        self._sums = array("d", bytes(8 * self.slots))
        # When the slot's first sample came.
        self._first = array("d", bytes(8 * self.slots))
        self._bins: Bins | None = None
        # What each slot has put into the bins: one observation by its bound, or how many by bound.
        self._slot_bins: list[float | Mapping[float, float] | None] = []
        self._at = self._latest = 0.0
        self._silence = Nothing(Silence.NO_DATA)

    def add(self, sample: Sample, now: float) -> Sample:
        """Put a sample in that was taken just now; tells what became of it: itself, or Nothing and why."""
        sample = usable(sample, self._kind)
        at = self._clock.at(now)
        place = self._place if at < self._slot_ends else self._advance(at)
        if type(sample) is Nothing:
            self._silence = sample
            return sample
        self._at = at
        if not self._samples[place]:
            self._first[place] = at
        self._samples[place] += 1
        if type(sample) is Counts:
            bad, total = sample.bad, sample.total
            self._events[place] += total
            self._sums[place] += min(total, bad)
        elif type(sample) is Gauge:
            self._take((sample.value,), place)
        elif type(sample) is Points:
            self._take(sample.values, place)
        elif type(sample) is Spread:
            count = sum(sample.bins.values())
            self._events[place] += count
            if count:
                self._sums[place] += math.nan if sample.sum is None else sample.sum
            if self._kind is Kind.QUANTILE:
                self._running(0).add(sample.bins)
                self._keep(sample.bins, place)
        return sample

    def events(self) -> float:
        """Observations or events, as of the latest look."""
        return sum(self._events)

    def value(self) -> float | None:
        """The indicator, as of the latest look; None when nothing can be said."""
        kind = self._kind
        value: float | None
        if kind is Kind.QUANTILE:
            value = self._bins.quantile(self._quantile) if self._bins is not None else None
        elif not (events := sum(self._events)):
            return None
        else:
            value = self._latest if kind is Kind.VALUE else sum(self._sums) / events
        # NaN is not equal to itself.
        return value if value is not None and -math.inf < value < math.inf else None

    def rate(self) -> float:
        """Events a second, as of the latest look."""
        covered = self._covered()
        return sum(self._events) / covered if covered else 0.0

    def read(self, now: float) -> Aggregate | Nothing:
        """What the window holds; Nothing, and why the latest sample was none, when it holds no sample."""
        at = self._clock.at(now)
        if at >= self._slot_ends:
            self._advance(at)
        samples = sum(self._samples)
        if not samples:
            return self._silence
        events, covered = sum(self._events), self._covered()
        return Aggregate(self.value(), events, samples, events / covered, covered)

    def _covered(self) -> float:
        """Seconds that its samples speak for; 0 when it holds none."""
        for back in range(self.slots - 1, -1, -1):
            if self._samples[self._place - back]:
                return self._at - self._first[self._place - back] + self.interval
        return 0.0

    def _advance(self, at: float) -> int:
        """Let go of slots that have become too old; the place of the present one."""
        slot = math.floor(at / self.width)
        passed = slot - self._slot
        if passed > 0:
            self._slot, self._slot_ends = slot, (slot + 1) * self.width
            for back in range(min(passed, self.slots)):
                self._clear((slot - back) % self.slots)
            self._turned += passed
            if self._turned >= self.slots:
                self._turned = 0
                self._recount()
            self._place = slot % self.slots
        return self._place

    def _clear(self, place: int) -> None:
        if not self._samples[place]:
            return
        self._samples[place] = 0
        self._events[place] = self._sums[place] = self._first[place] = 0.0
        if self._bins is not None and (gone := self._slot_bins[place]) is not None:
            self._slot_bins[place] = None
            if type(gone) is float:
                self._bins.forget(gone)
            else:
                self._bins.subtract(cast("Mapping[float, float]", gone))

    def _recount(self) -> None:
        # Rounding in counts that are not whole, and bounds of a histogram that has other ones now, end here. Single
        # observations are counted in whole numbers, and their bins go with the last of them.
        if self._bins is not None and not self._bins.growth:
            self._bins = Bins(0)
            for kept in self._slot_bins:
                if kept is not None:
                    self._bins.add(cast("Mapping[float, float]", kept))

    def _running(self, growth: float) -> Bins:
        if self._bins is None or self._bins.growth != growth:
            # The first sample, or the source tells histograms instead of observations from now on.
            self._bins = Bins(growth)
            self._slot_bins = [None] * self.slots
        return self._bins

    def _take(self, values: tuple[float, ...], place: int) -> None:
        if self._kind is Kind.QUANTILE:
            running = self._running(GROWTH)
            for value in values:
                bound = running.observe(value)
                if self._slot_bins[place] is None:
                    self._slot_bins[place] = bound
                else:
                    self._keep({bound: 1}, place)
        self._events[place] += len(values)
        if len(values) == 1:
            self._latest = value = values[0]
            self._sums[place] += value
        elif values:
            self._latest = values[-1]
            self._sums[place] += sum(values)

    def _keep(self, bins: Mapping[float, float], place: int) -> None:
        kept = self._slot_bins[place]
        if kept is None:
            self._slot_bins[place] = dict(bins)
            return
        if type(kept) is float:
            self._slot_bins[place] = kept = {kept: 1}
        counts = cast("dict[float, float]", kept)
        for bound, count in bins.items():
            counts[bound] = counts.get(bound, 0) + count
