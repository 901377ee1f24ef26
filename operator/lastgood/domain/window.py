"""A sliding window over samples: what came lately, in slots, so that the oldest can go without being known one by one.

A window of W seconds has at most MAX_SLOTS slots, none shorter than the interval, the newest of which is filling up: it
holds everything of the last W less one slot, and nothing older than W. Sums are taken anew from the slots at each look,
so nothing drifts; bins are added and subtracted, and counted anew once in every turn of the window.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

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
    match sample:
        case Nothing():
            return sample
        case Gauge(value):
            # NaN is not equal to itself, and no comparison with it holds.
            if not -LARGEST <= value <= LARGEST:
                return _NOT_A_NUMBER
            return sample if kind is not Kind.RATIO else _WRONG_KIND
        case Points(values):
            if not all(-LARGEST <= value <= LARGEST for value in values):
                return _NOT_A_NUMBER
            return sample if kind is not Kind.RATIO else _WRONG_KIND
        case Counts(bad, total):
            if not (0 <= bad <= LARGEST and 0 <= total <= LARGEST):
                return _NOT_A_NUMBER
            return sample if kind is Kind.RATIO else _WRONG_KIND
        case Spread(bins, _, summed):
            # Sums have every NaN in them, and minus infinity beside infinity is one.
            places, count = sum(bins), sum(bins.values())
            if bins and not (min(bins.values()) >= 0 and count <= LARGEST and places > -math.inf):
                return _NOT_A_NUMBER
            if summed is not None and not math.isfinite(summed):
                return _NOT_A_NUMBER
            return sample if kind in {Kind.QUANTILE, Kind.AVERAGE} else _WRONG_KIND


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
        "_quantile",
        "_samples",
        "_silence",
        "_slot",
        "_slot_bins",
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
        self._slot = 0
        self._samples = array("L", [0] * self.slots)
        self._events = array("d", bytes(8 * self.slots))
        # Sum of values; of a ratio, bad events. NaN where a histogram came without its sum.
        self._sums = array("d", bytes(8 * self.slots))
        # When the slot's first sample came.
        self._first = array("d", bytes(8 * self.slots))
        self._bins: Bins | None = None
        self._slot_bins: list[dict[float, float] | None] = []
        self._turned = 0
        self._at = self._latest = 0.0
        self._silence = Nothing(Silence.NO_DATA)

    def add(self, sample: Sample, now: float) -> Sample:
        """Put a sample in that was taken just now; tells what became of it: itself, or Nothing and why."""
        sample = usable(sample, self._kind)
        place = self._advance(now)
        if isinstance(sample, Nothing):
            self._silence = sample
            return sample
        self._at = self._clock.last
        if not self._samples[place]:
            self._first[place] = self._at
        self._samples[place] += 1
        match sample:
            case Gauge(value):
                self._take((value,), place)
            case Points(values):
                self._take(values, place)
            case Counts(bad, total):
                self._events[place] += total
                self._sums[place] += min(bad, total)
            case Spread(bins, _, summed):
                count = sum(bins.values())
                self._events[place] += count
                if count:
                    self._sums[place] += math.nan if summed is None else summed
                if self._kind is Kind.QUANTILE:
                    self._running(0).add(bins)
                    self._keep(bins, place)
        return sample

    def read(self, now: float) -> Aggregate | Nothing:
        """What the window holds; Nothing, and why the latest sample was none, when it holds no sample."""
        place = self._advance(now)
        samples = sum(self._samples)
        if not samples:
            return self._silence
        events = sum(self._events)
        oldest = (place + 1) % self.slots
        while not self._samples[oldest]:
            oldest = (oldest + 1) % self.slots
        covered = self._at - self._first[oldest] + self.interval
        value: float | None
        match self._kind:
            case Kind.QUANTILE:
                value = self._bins.quantile(self._quantile) if self._bins is not None else None
            case Kind.AVERAGE | Kind.RATIO:
                value = sum(self._sums) / events if events else None
            case Kind.VALUE:
                value = self._latest if events else None
        if value is not None and not math.isfinite(value):
            value = None
        return Aggregate(value, events, samples, events / covered, covered)

    def _advance(self, now: float) -> int:
        """Let go of slots that have become too old; the place of the present one."""
        slot = math.floor(self._clock.at(now) / self.width)
        passed = slot - self._slot
        if passed:
            self._slot = slot
            for back in range(min(passed, self.slots)):
                self._clear((slot - back) % self.slots)
            self._turned += passed
            if self._turned >= self.slots:
                self._turned = 0
                self._recount()
        return slot % self.slots

    def _clear(self, place: int) -> None:
        self._samples[place] = 0
        self._events[place] = self._sums[place] = self._first[place] = 0.0
        if self._slot_bins and (gone := self._slot_bins[place]) is not None:
            self._slot_bins[place] = None
            if self._bins is not None:
                self._bins.subtract(gone)

    def _recount(self) -> None:
        # Rounding in counts that are not whole, and bounds of a histogram that has other ones now, end here. Single
        # observations are counted in whole numbers, and their bins go with the last of them.
        if self._bins is not None and not self._bins.growth:
            self._bins = Bins(0)
            for kept in self._slot_bins:
                if kept is not None:
                    self._bins.add(kept)

    def _running(self, growth: float) -> Bins:
        if self._bins is None or self._bins.growth != growth:
            # The first sample, or the source tells histograms instead of observations from now on.
            self._bins = Bins(growth)
            self._slot_bins = [None] * self.slots
        return self._bins

    def _take(self, values: tuple[float, ...], place: int) -> None:
        self._events[place] += len(values)
        self._sums[place] += sum(values)
        if values:
            self._latest = values[-1]
        if self._kind is Kind.QUANTILE:
            running = self._running(GROWTH)
            for value in values:
                self._keep({running.observe(value): 1}, place)

    def _keep(self, bins: Mapping[float, float], place: int) -> None:
        kept = self._slot_bins[place]
        if kept is None:
            self._slot_bins[place] = dict(bins)
            return
        for bound, count in bins.items():
            kept[bound] = kept.get(bound, 0) + count
