"""A sliding window over samples: what came lately, in slots, so that the oldest can go without being known one by one.

A window of W seconds has at most MAX_SLOTS slots, none shorter than the interval, the newest of which is filling up: it
holds everything of the last W less one slot, and nothing older than W. Sums are taken anew from the slots at each look,
so nothing drifts; bins are added and subtracted, and counted anew once in every turn of the window.
"""

import math
from typing import NamedTuple, cast

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.sketch import GROWTH, LARGEST, Bins
from lastgood.domain.steady import Steady

MAX_SLOTS = 20
"""A window ends within 5 % of its length."""

# Looking a member up in its Enum takes as long as ten other steps.
_QUANTILE, _AVERAGE, _RATIO, _VALUE = Kind.QUANTILE, Kind.AVERAGE, Kind.RATIO, Kind.VALUE

_NOTHING_YET = Nothing(Silence.NO_DATA)
_NO_SUMS: list[float] = []

_NOT_A_NUMBER = Nothing(Silence.NOT_UNDERSTOOD, "not a finite number, or one that cannot be")
_WRONG_KIND = Nothing(Silence.NOT_UNDERSTOOD, "the source tells something that this indicator cannot be made of")


class Aggregate(NamedTuple):
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
        believed, fits = -LARGEST <= sample.value <= LARGEST, kind is not _RATIO
    elif type(sample) is Points:
        for value in sample.values:
            if not -LARGEST <= value <= LARGEST:
                return _NOT_A_NUMBER
        believed, fits = True, kind is not _RATIO
    elif type(sample) is Counts:
        believed, fits = 0 <= sample.bad <= LARGEST and 0 <= sample.total <= LARGEST, kind is _RATIO
    elif type(sample) is Spread:
        believed, fits = _sound(sample), kind is _QUANTILE or kind is _AVERAGE
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


class Window(Steady):
    """Samples of the last so many seconds, in steady time.

    Adding takes as long as the sample is large; neither adding nor reading depends on how many samples there are.
    The clock may jump ahead (old slots go), stand still, or go back: see ``Steady``.
    """

    __slots__ = (
        "_at",
        "_bins",
        "_events",
        "_first",
        "_kind",
        "_place",
        "_quantile",
        "_samples",
        "_silence",
        "_slot",
        "_slot_bins",
        "_slot_ends",
        "_sums",
        "_turned",
        "events",
        "interval",
        "slots",
        "value",
        "width",
    )

    def __init__(self, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> None:
        window = max(window, interval)
        self.slots = max(1, min(MAX_SLOTS, math.floor(window / interval + 1e-9)))
        self.width = window / self.slots
        super().__init__(self.width)
        self.interval = interval
        self.value: float | None = None
        """The indicator when a sample was added last; None when nothing could be said then."""
        self.events = 0.0
        """Observations or events at that time."""
        self._kind, self._quantile = kind, quantile
        self._slot = self._place = self._turned = 0
        self._slot_ends = 0.0
        # By slot. Lists, which are read and written several times as quickly as arrays.
        self._events: list[float] = [0] * self.slots
        # Of an average, the values; of a ratio, bad events. NaN where a histogram came without its sum.
        self._sums: list[float] = [0] * self.slots if kind is _AVERAGE or kind is _RATIO else _NO_SUMS
        self._samples = [0] * self.slots
        # When the slot's first sample came.
        self._first = [0.0] * self.slots
        self._bins: Bins | None = None
        # What each slot has put into the bins: one observation by its bound, or how many by bound.
        self._slot_bins: list[float | dict[float, float] | None] = []
        self._at = 0.0
        self._silence = _NOTHING_YET

    def add(self, sample: Sample, now: float) -> Sample:
        """Put a sample in that was taken just now; tells what became of it: itself, or Nothing and why."""
        at = now + self._ahead
        if at >= self.last:
            self.last = at
        else:
            at = self.at(now)
        place = self._place if at < self._slot_ends else self._advance(at)
        kind, counted = self._kind, self._events
        value = math.nan
        if type(sample) is Gauge:
            value = sample.value
        elif type(sample) is Points and len(sample.values) == 1:
            value = sample.values[0]
        # The two that most samples are, then all others.
        if -LARGEST <= value <= LARGEST and kind is not _RATIO:
            self._add_one(value, place)
        elif type(sample) is Counts and kind is _RATIO and 0 <= sample.bad <= LARGEST and 0 <= sample.total <= LARGEST:
            bad, total = sample.bad, sample.total
            counted[place] += total
            self._sums[place] += bad if bad < total else total  # noqa: FURB136 - a call less
        elif not self._add_more(sample, place):
            self._silence = refused = cast("Nothing", usable(sample, kind))
            return refused
        self._at = at
        if not self._samples[place]:
            self._first[place] = at
        self._samples[place] += 1
        self.events = events = sum(counted)
        if kind is _QUANTILE:
            self.value = self._bins.quantile(self._quantile) if self._bins is not None else None
        elif not events:
            self.value = None
        elif kind is not _VALUE:
            value = sum(self._sums) / events
            # NaN is not equal to itself.
            self.value = value if -math.inf < value < math.inf else None
        return sample

    @property
    def rate(self) -> float:
        """Events a second when a sample was added last."""
        covered = self._covered()
        return self.events / covered if covered else 0.0

    def read(self, now: float) -> Aggregate | Nothing:
        """What the window holds; Nothing, and why the latest sample was none, when it holds no sample."""
        at = self.at(now)
        if at >= self._slot_ends:
            self._advance(at)
        samples = sum(self._samples)
        if not samples:
            return self._silence
        events, covered = sum(self._events), self._covered()
        value: float | None
        if self._kind is _QUANTILE:
            value = self._bins.quantile(self._quantile) if self._bins is not None else None
        elif not events:
            value = None
        else:
            value = self.value if self._kind is _VALUE else sum(self._sums) / events
        if value is not None and not math.isfinite(value):
            value = None
        return Aggregate(value, events, samples, events / covered, covered)

    def _covered(self) -> float:
        """Seconds that its samples speak for; 0 when it holds none."""
        for back in range(self.slots - 1, -1, -1):
            if self._samples[self._place - back]:
                return self._at - self._first[self._place - back] + self.interval
        return 0.0

    def _advance(self, at: float) -> int:
        """Let go of slots that have become too old; the place of the present one."""
        slots, width = self.slots, self.width
        if at < self._slot_ends + width:
            slot = self._slot = self._slot + 1
            self._place = place = slot % slots
            if self._samples[place]:
                self._clear(place)
            passed = 1
        else:
            slot = math.floor(at / width)
            passed = slot - self._slot
            self._slot, self._place = slot, slot % slots
            for back in range(min(passed, slots)):
                if self._samples[self._place - back]:
                    self._clear(self._place - back)
        self._slot_ends = (slot + 1) * width
        self._turned += passed
        if self._turned >= slots:
            self._turned = 0
            if self._bins is not None and not self._bins.growth:
                self._recount()
        return self._place

    def _clear(self, place: int) -> None:
        self._samples[place] = self._events[place] = 0
        if self._sums:
            self._sums[place] = 0
        bins = self._bins
        if bins is not None and (gone := self._slot_bins[place]) is not None:
            self._slot_bins[place] = None
            if type(gone) is float:
                bins.forget(gone)
            else:
                bins.subtract(cast("dict[float, float]", gone))

    def _recount(self) -> None:
        # Rounding in counts that are not whole, and bounds of a histogram that has other ones now, end here. Single
        # observations are counted in whole numbers, and their bins go with the last of them.
        self._bins = Bins(0)
        for kept in self._slot_bins:
            if kept is not None:
                self._bins.add(cast("dict[float, float]", kept))

    def _running(self, growth: float) -> Bins:
        if self._bins is None or self._bins.growth != growth:
            # The first sample, or the source tells histograms instead of observations from now on.
            self._bins = Bins(growth)
            self._slot_bins = [None] * self.slots
        return self._bins

    def _add_one(self, value: float, place: int) -> None:
        self._events[place] += 1
        if self._kind is _AVERAGE:
            self._sums[place] += value
        elif self._kind is _VALUE:
            self.value = value
        else:
            self._observe(value, place)

    def _add_more(self, sample: Sample, place: int) -> bool:
        """Put in what is no single number; False for what cannot be taken."""
        if isinstance(usable(sample, self._kind), Nothing):
            return False
        if type(sample) is Points:
            for value in sample.values:
                self._add_one(value, place)
        elif type(sample) is Spread:
            self._add_spread(sample, place)
        return True

    def _observe(self, value: float, place: int) -> None:
        bins = self._bins
        if bins is None or not bins.growth:
            bins = self._running(GROWTH)
        bound, kept = bins.observe(value), self._slot_bins[place]
        if kept is None:
            self._slot_bins[place] = bound
        elif type(kept) is float:
            self._slot_bins[place] = {kept: 2} if kept == bound else {kept: 1, bound: 1}
        else:
            counts = cast("dict[float, float]", kept)
            counts[bound] = counts.get(bound, 0) + 1

    def _add_spread(self, sample: Spread, place: int) -> None:
        bins = sample.bins
        count = sum(bins.values())
        self._events[place] += count
        if count and self._kind is _AVERAGE:
            self._sums[place] += math.nan if sample.sum is None else sample.sum
        if self._kind is not _QUANTILE:
            return
        self._running(0).add(bins)
        kept = self._slot_bins[place]
        if kept is None:
            self._slot_bins[place] = dict(bins)
            return
        counts = cast("dict[float, float]", kept)
        for bound, more in bins.items():
            counts[bound] = counts.get(bound, 0) + more
