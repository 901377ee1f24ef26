"""How an indicator was while a revision was good, and how much worse it is now.

Kept are the whole distribution and, hour of the day by hour of the day (UTC), the indicator and how many events it was
made of: load follows the clock, and p95 at noon is no measure for midnight. The same hour is compared with once a whole
day is known and that hour has enough events; else the whole.
"""

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Spread
from lastgood.domain.objective_plan import Kind, ObjectivePlan
from lastgood.domain.sketch import GROWTH, Bins, from_text, to_text
from lastgood.domain.usable import usable
from lastgood.domain.window import Aggregate

HOURS = 24
DAYS_KEPT = 7
"""An hour's indicator is a running mean over days, in which the latest has at least this fraction's weight."""

_HOUR = 3600.0

_BINS_LIMIT = 1400


class NotCompared(StrEnum):
    """Why nothing can be said about a degradation."""

    NO_BASELINE = "NoBaseline"
    TOO_FEW_SAMPLES = "TooFewSamples"
    NO_SCALE = "NoScale"
    """The baseline is 0, and nothing is so many percent of that."""
    UNKNOWN = "Unknown"
    """There is no observation now."""


@dataclass(frozen=True, slots=True)
class Hour:
    """The indicator in one hour of the day."""

    value: float
    events: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """How an indicator was."""

    value: float | None
    """Over all that was seen; None when nothing was."""
    events: float
    seconds: float
    """For how long it was looked at."""
    hours: tuple[Hour | None, ...] = (None,) * HOURS

    def at(self, now: float, min_samples: float) -> tuple[Hour | None, bool]:
        """What the present is to be compared with, None when that is too little; and whether it is the same hour."""
        same = self.hours[_hour_of(now)]
        if self.seconds >= HOURS * _HOUR and same is not None and same.events >= min_samples:
            return same, True
        if self.value is None or self.events < min_samples:
            return None, False
        return Hour(self.value, self.events), False


@dataclass(frozen=True, slots=True)
class Degraded:
    """How the present compares."""

    worse: float
    """Relative change in the bad direction: 0.5 is half as much again, below 0 is better."""
    now: float
    then: float
    same_hour: bool


def degradation(
    plan: ObjectivePlan, baseline: Baseline | None, seen: Aggregate | Nothing, now: float, *, min_samples: float
) -> Degraded | NotCompared:
    """How much worse the window is than the baseline; ``min_samples`` events are needed on both sides."""
    if baseline is None:
        return NotCompared.NO_BASELINE
    if isinstance(seen, Nothing):
        return NotCompared.UNKNOWN
    then, same_hour = baseline.at(now, min_samples)
    if then is None or seen.value is None or seen.events < min_samples:
        return NotCompared.TOO_FEW_SAMPLES
    if not then.value:
        return NotCompared.NO_SCALE
    more = (seen.value - then.value) / abs(then.value)
    return Degraded(more if plan.below else -more, seen.value, then.value, same_hour)


class _Tally:
    """A distribution, its sum and its size; bins only where a quantile is asked for."""

    __slots__ = ("bins", "events", "sum")

    def __init__(self) -> None:
        self.bins: Bins | None = None
        self.events = self.sum = 0.0

    def add(self, sample: Gauge | Points | Spread, *, quantile: bool) -> None:
        if isinstance(sample, Spread):
            count = sum(sample.bins.values())
            summed = math.nan if sample.sum is None else sample.sum
            if quantile:
                self._of(0).add(sample.bins)
        else:
            values = (sample.value,) if isinstance(sample, Gauge) else sample.values
            count, summed = float(len(values)), sum(values)
            if quantile:
                bins = self._of(GROWTH)
                for value in values:
                    bins.observe(value)
        self.events = self.bins.total if self.bins is not None else self.events + count
        if count:
            self.sum += summed

    def value(self, quantile: float | None) -> float | None:
        if not self.events:
            return None
        if quantile is not None:
            return self.bins.quantile(quantile) if self.bins is not None else None
        return self.sum / self.events if math.isfinite(self.sum) else None

    def _of(self, growth: float) -> Bins:
        if self.bins is None or bool(self.bins.growth) != bool(growth):
            # A source that tells histograms instead of observations from now on begins anew.
            self.bins = Bins(growth)
        return self.bins


class Recorder:
    """Gathers a baseline: fed with what the window is fed with, and only while the revision is good.

    Of a quantile or an average; other indicators give no baseline, and their samples are passed over.
    """

    __slots__ = ("_hour", "_hours", "_last", "_now", "_quantile", "_seconds", "_whole", "kind")

    def __init__(self, kind: Kind, quantile: float = 0.0) -> None:
        self.kind = kind
        self._quantile = quantile if kind is Kind.QUANTILE else None
        self._whole, self._now = _Tally(), _Tally()
        self._hours: list[Hour | None] = [None] * HOURS
        self._hour: int | None = None
        self._last: float | None = None
        self._seconds = 0.0

    def add(self, sample: Sample, now: float) -> None:
        """Take a sample in; what a window refuses is refused here too."""
        sample = usable(sample, self.kind)
        if isinstance(sample, Nothing | Counts) or self.kind is Kind.VALUE:
            return
        hour = math.floor(now / _HOUR)
        if self._hour is not None and hour != self._hour:
            self._close()
        self._hour = hour
        if self._last is not None:
            # An hour without a sample is not looked at, and neither is one that a clock was put back by.
            self._seconds += now - self._last if 0 < now - self._last <= _HOUR else 0.0
        self._last = now
        self._whole.add(sample, quantile=self._quantile is not None)
        self._now.add(sample, quantile=self._quantile is not None)

    def baseline(self) -> Baseline:
        """What was gathered so far; the present hour is in the whole alone."""
        value = self._whole.value(self._quantile)
        return Baseline(value, self._whole.events, self._seconds, tuple(self._hours))

    def _close(self) -> None:
        value, events = self._now.value(self._quantile), self._now.events
        if value is not None and self._hour is not None:
            place = self._hour % HOURS
            before = self._hours[place]
            if before is not None:
                weight = max(events / (before.events + events), 1 / DAYS_KEPT)
                value = before.value + weight * (value - before.value)
                events = max(before.events, events)
            self._hours[place] = Hour(value, events)
        self._now = _Tally()

    def to_text(self) -> str:
        """At most 2 KB of JSON in ASCII. The present hour is not in it."""
        whole = self._whole
        return json.dumps(
            {
                "kind": str(self.kind),
                "q": self._quantile or 0,
                "n": float(whole.events),
                "sum": whole.sum if math.isfinite(whole.sum) else None,
                "s": round(self._seconds),
                "hours": [
                    None if h is None else [float(f"{h.value:.4g}"), float(f"{h.events:.4g}")] for h in self._hours
                ]
                if any(self._hours)
                else [],
                "bins": to_text(whole.bins, _BINS_LIMIT) if whole.bins is not None else "",
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A recorder that goes on from what ``to_text`` wrote. Raises ValueError for anything else."""
        try:
            found = json.loads(text)
            recorder = cls(Kind(found["kind"]), float(found["q"]))
            recorder._whole.events, recorder._seconds = float(found["n"]), float(found["s"])
            recorder._whole.sum = math.nan if found["sum"] is None else float(found["sum"])
            if found["bins"]:
                recorder._whole.bins = from_text(found["bins"])
            hours = [None if hour is None else Hour(float(hour[0]), float(hour[1])) for hour in found["hours"]]
        except (KeyError, TypeError, IndexError) as error:
            msg = "this is no baseline"
            raise ValueError(msg) from error
        if hours:
            recorder._hours = (hours + [None] * HOURS)[:HOURS]
        return recorder


def _pair(hour: Hour | None) -> list[float] | None:
    return None if hour is None else [float(f"{hour.value:.4g}"), float(f"{hour.events:.4g}")]


def _hour_of(now: float) -> int:
    return math.floor(now / _HOUR) % HOURS
