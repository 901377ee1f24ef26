"""A sliding window over samples: what came lately, in slots, so that the oldest can go without being known one by one.

The newest slot is filling up: a window of W seconds holds everything of the last W less one slot, and nothing older
than W. Sums are taken anew from the slots at each look, so nothing drifts.
"""

import math
from bisect import bisect_right
from typing import ClassVar, NamedTuple, cast

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.rows import Rows
from lastgood.domain.sketch import GROWTH, LARGEST, Bins, rank_of
from lastgood.domain.slots import ruler
from lastgood.domain.steady import Steady
from lastgood.domain.usable import sound, usable

_INF = math.inf
_NOTHING_YET = Nothing(Silence.NO_DATA)


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


class Window(Steady):
    """Samples of the last so many seconds, in steady time.

    Adding takes as long as the sample is large; neither adding nor reading depends on how many samples there are.
    The clock may jump ahead (old slots go), stand still, or go back: see ``Steady``.

    There is one class a kind of indicator. Each has a short way for what most samples are: one number, with which the
    next slot begins.
    """

    __slots__ = (
        "_at",
        "_events",
        "_first",
        "_ones",
        "_ruler",
        "_samples",
        "_silence",
        "_slot",
        "events",
        "interval",
        "slots",
        "value",
    )

    kind: ClassVar[Kind]

    def __new__(cls, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> "Window":  # noqa: ARG004, PYI034
        """The window for a kind of indicator."""
        return super().__new__(_OF_KIND[kind])

    def __init__(self, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> None:  # noqa: ARG002
        self._ruler = ruler(window, interval)
        self.slots = self._ruler.slots
        super().__init__(self.width)
        self.interval = interval
        self.value: float | None = None
        """The indicator when a sample was added last; None when nothing could be said then."""
        self.events = 0.0
        """Observations or events at that time."""
        self._slot = self._ruler.never
        # By slot. Lists, which are read and written several times as quickly as arrays.
        self._events: list[float] = [0] * self.slots
        self._samples = [0] * self.slots
        # How many slots up to the present one are known to hold one sample alone: all of them, most of the time, and
        # then their numbers need not be looked at.
        self._ones = 0
        # When the slot's first sample came.
        self._first: list[float] = [0] * self.slots
        self._at = 0.0
        self._silence = _NOTHING_YET

    @property
    def width(self) -> float:
        """Seconds of a slot."""
        return self._ruler.width

    def add(self, sample: Sample, now: float) -> Sample:
        """Put a sample in that was taken just now; tells what became of it: itself, or Nothing and why."""
        at = self.at(now)
        place = self._slot.place if at < self._slot.ends else self._advance(at)
        taken = usable(sample, self.kind)
        if type(taken) is Nothing:
            self._silence = taken
            return taken
        self._ones = 0
        self._put(taken, place)
        self._at = at
        if not self._samples[place]:
            self._first[place] = at
        self._samples[place] += 1
        self.events = sum(self._events)
        self.value = self._indicator()
        return taken

    @property
    def rate(self) -> float:
        """Events a second when a sample was added last."""
        covered = self._covered()
        return self.events / covered if covered else 0.0

    def read(self, now: float) -> Aggregate | Nothing:
        """What the window holds; Nothing, and why the latest sample was none, when it holds no sample."""
        at = self.at(now)
        if at >= self._slot.ends:
            self._advance(at)
        samples = sum(self._samples)
        if not samples:
            return self._silence
        events, covered = sum(self._events), self._covered()
        return Aggregate(self._indicator(), events, samples, events / covered, covered)

    def latest(self) -> Aggregate:
        """What ``read`` tells at the moment of the sample that was added last."""
        covered = self._covered()
        return Aggregate(self.value, self.events, sum(self._samples), self.events / covered, covered)

    def _covered(self) -> float:
        """Seconds that its samples speak for; 0 when it holds none."""
        place = self._slot.place
        for back in range(self.slots - 1, -1, -1):
            if self._samples[place - back]:
                return self._at - self._first[place - back] + self.interval
        return 0.0

    def _advance(self, at: float) -> int:
        """Let go of slots that have become too old; the place of the present one."""
        before, self._ones = self._slot, 0
        self._slot = slot = self._ruler.after(before, at)
        newest = slot.place
        for back in range(min(slot.number - before.number, self.slots)):
            place = newest - back
            if self._samples[place]:
                self._samples[place] = self._events[place] = 0
                self._clear(place)
        return newest

    def _put(self, sample: Sample, place: int) -> None:
        """Put in what is usable."""
        raise NotImplementedError

    def _clear(self, place: int) -> None:
        """Take out what a slot holds besides its number of events."""

    def _indicator(self) -> float | None:
        """The indicator over all slots."""
        raise NotImplementedError


class _Value(Window):
    """The latest number."""

    __slots__ = ("_latest",)

    kind = Kind.VALUE
    _latest: float

    def _put(self, sample: Sample, place: int) -> None:
        values = (sample.value,) if type(sample) is Gauge else cast("Points", sample).values
        self._events[place] += len(values)
        if values:
            self._latest = values[-1]

    def _indicator(self) -> float | None:
        return self._latest if sum(self._events) else None


class _Share(Window):
    """Of a sum by the number of events: bad events of a ratio."""

    __slots__ = ("_sums",)

    kind = Kind.RATIO

    def __init__(self, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> None:
        super().__init__(kind, window=window, interval=interval, quantile=quantile)
        self._sums: list[float] = [0] * self.slots

    def add(self, sample: Sample, now: float) -> Sample:
        """See Window."""
        at, slot = now + self._ahead if self._ahead else now, self._slot.next or self._ruler.next(self._slot)
        if (
            type(sample) is not Counts
            or not 0 <= (bad := sample.bad) <= (total := sample.total) <= LARGEST
            or not slot.begins <= at < slot.ends
            or at < self.last
        ):
            return super().add(sample, now)
        self.last = self._at = at
        self._slot = slot
        place, counted, sums = slot.place, self._events, self._sums
        counted[place], sums[place], self._first[place] = total, bad, at
        if self._ones < self.slots:
            self._ones += 1
            self._samples[place] = 1
        self.events = events = sum(counted)
        self.value = sum(sums) / events if events else None
        return sample

    def _put(self, sample: Sample, place: int) -> None:
        counts = cast("Counts", sample)
        self._events[place] += counts.total
        self._sums[place] += min(counts.bad, counts.total)

    def _clear(self, place: int) -> None:
        self._sums[place] = 0

    def _indicator(self) -> float | None:
        events = sum(self._events)
        value = sum(self._sums) / events if events else math.nan
        return value if -_INF < value < _INF else None


class _Mean(_Share):
    """Of values; a histogram that came without its sum leaves NaN."""

    __slots__ = ()

    kind = Kind.AVERAGE

    def add(self, sample: Sample, now: float) -> Sample:
        """See Window."""
        at, slot = now + self._ahead if self._ahead else now, self._slot.next or self._ruler.next(self._slot)
        if (
            type(sample) is not Gauge
            or not -LARGEST <= (value := sample.value) <= LARGEST
            or not slot.begins <= at < slot.ends
            or at < self.last
        ):
            return Window.add(self, sample, now)
        self.last = self._at = at
        self._slot = slot
        place, sums = slot.place, self._sums
        sums[place], self._first[place] = value, at
        if self._ones < self.slots:
            self._ones += 1
            self._samples[place] = self._events[place] = 1
            self.events = sum(self._events)
        mean = sum(sums) / self.events
        self.value = mean if -_INF < mean < _INF else None
        return sample

    def _put(self, sample: Sample, place: int) -> None:
        if type(sample) is Spread:
            count = sum(sample.bins.values())
            if count:
                self._sums[place] += math.nan if sample.sum is None else sample.sum
        else:
            values = (sample.value,) if type(sample) is Gauge else cast("Points", sample).values
            count = len(values)
            self._sums[place] += sum(values)
        self._events[place] += count


class _Quantile(Window):
    """Of single observations, or of histograms, whichever came last.

    As long as no slot holds more than one observation they are kept as they are. From then on they are in bins, which
    are added to and taken from. Histograms are added up anew at each look.
    """

    __slots__ = ("_bins", "_kept", "_last", "_quantile", "_rows")

    kind = Kind.QUANTILE

    def __init__(self, kind: Kind, *, window: float, interval: float, quantile: float = 0.0) -> None:
        super().__init__(kind, window=window, interval=interval, quantile=quantile)
        self._quantile = quantile
        # Where it is among as many observations as there are slots.
        self._last = rank_of(quantile, self.slots) - 1
        self._bins: Bins | None = None
        # None while the source tells single observations.
        self._rows: Rows | None = None
        # By slot: while there are no bins a number, endless where there is none; else what the slot has put into the
        # bins: one observation by its bound, or how many by bound.
        self._kept: list[float | dict[float, float] | None] = [_INF] * self.slots

    def add(self, sample: Sample, now: float) -> Sample:
        """See Window."""
        at, slot = now + self._ahead if self._ahead else now, self._slot.next or self._ruler.next(self._slot)
        rows = self._rows
        if not slot.begins <= at < slot.ends or at < self.last:
            return super().add(sample, now)
        if type(sample) is Points:
            alone = rows is None and self._bins is None and len(sample.values) == 1
            if not alone or not -LARGEST <= (value := sample.values[0]) <= LARGEST:
                return super().add(sample, now)
        elif type(sample) is not Spread or rows is None or not sound(sample):
            return super().add(sample, now)
        self.last = self._at = at
        self._slot = slot
        place, known = slot.place, self._ones == self.slots
        self._first[place] = at
        if not known:
            self._ones += 1
            self._samples[place] = self._events[place] = 1
        if rows is not None:
            bins = cast("Spread", sample).bins
            self._events[place] = sum(bins.values())
            rows.begin(bins, place)
            self.events, self.value = sum(self._events), rows.quantile(self._quantile)
            return sample
        self._kept[place] = value
        # Endless ones, of slots that hold nothing, come last.
        numbers = sorted(cast("list[float]", self._kept))
        if known:
            self.value = numbers[self._last]
        else:
            self.events = events = sum(self._events)
            self.value = numbers[self._last if events == self.slots else rank_of(self._quantile, events) - 1]
        return sample

    def _put(self, sample: Sample, place: int) -> None:
        if type(sample) is Spread:
            self._events[place] += sum(sample.bins.values())
            if self._rows is None:
                # The first one, or the source tells histograms instead of observations from now on.
                self._rows, self._bins = Rows(self.slots), None
            self._rows.put(sample.bins, place)
            return
        values = (sample.value,) if type(sample) is Gauge else cast("Points", sample).values
        if self._rows is not None:
            # The source tells observations instead of histograms from now on.
            self._rows, self._kept = None, [_INF] * self.slots
        if not values:
            return
        self._events[place] += len(values)
        if self._bins is None:
            if len(values) == 1 and self._kept[place] == _INF:
                self._kept[place] = values[0]
                return
            self._bins = bins = Bins(GROWTH)
            kept = cast("list[float]", self._kept)
            self._kept = [bins.observe(one) if one < _INF else None for one in kept]
        for value in values:
            self._observe(self._bins, value, place)

    def _observe(self, bins: Bins, value: float, place: int) -> None:
        bound, kept = bins.observe(value), self._kept[place]
        if kept is None:
            self._kept[place] = bound
        elif type(kept) is float:
            self._kept[place] = {kept: 2} if kept == bound else {kept: 1, bound: 1}
        else:
            counts = cast("dict[float, float]", kept)
            counts[bound] = counts.get(bound, 0) + 1

    def _clear(self, place: int) -> None:
        bins = self._bins
        if self._rows is not None:
            self._rows.clear(place)
        elif bins is None:
            self._kept[place] = _INF
        elif (gone := self._kept[place]) is not None:
            self._kept[place] = None
            if type(gone) is float:
                bins.forget(gone)
            else:
                bins.subtract(cast("dict[float, float]", gone))

    def _indicator(self) -> float | None:
        if self._rows is not None:
            return self._rows.quantile(self._quantile)
        if self._bins is not None:
            return self._bins.quantile(self._quantile)
        numbers = sorted(cast("list[float]", self._kept))
        count = bisect_right(numbers, LARGEST)
        return numbers[rank_of(self._quantile, count) - 1] if count else None


_OF_KIND: dict[Kind, type[Window]] = {kind.kind: kind for kind in (_Quantile, _Mean, _Share, _Value)}
