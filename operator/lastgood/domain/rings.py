"""Events of a budget's period, in rings of ever longer slots.

Everything is counted in units of 1/43,200 of the period: a minute of 30 days, 56 s of 28, 14 s of 7.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lastgood.domain.steady import Steady

UNITS = 43_200
"""Units in a period."""

SLOTS = 60
WIDTHS = (1, 6, 72, 720)
"""Units in a slot, ring by ring: each ring has 60 slots, and the last holds the period."""

_RINGS = len(WIDTHS)
_PLACES = SLOTS * _RINGS
_MOST = 65_535
_LARGEST = 3e38
_LONG_AGO = 1 << 62
# An array that is made by multiplication has no room to spare.
_NO_COUNT, _NO_SECOND = array("f", (0.0,)), array("H", (0,))


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """One row of the table in ``budget``, in units."""

    rate: float
    spent: float
    """Share of the budget that is spent when the alert comes."""
    long: int
    short: int
    severity: str


BURN_WINDOWS = (
    BurnWindow(14.4, 0.02, 60, 5, "critical"),
    BurnWindow(6.0, 0.05, 360, 30, "critical"),
    BurnWindow(3.0, 0.10, 1440, 120, "warning"),
    BurnWindow(1.0, 0.10, 4320, 360, "warning"),
)


class Spent(NamedTuple):
    """What was seen within some time."""

    bad: float
    total: float
    seconds: float
    """For how long somebody looked."""


class _Span(NamedTuple):
    """A span of time that a burn looks at, in units: slots of the finest ring that is long enough."""

    units: int
    ring: int
    slots: int
    width: int
    """Units in a slot."""


def _span(units: int) -> _Span:
    ring = next((ring for ring, width in enumerate(WIDTHS) if units <= width * SLOTS), _RINGS - 1)
    return _Span(units, ring, min(SLOTS, max(1, math.ceil(units / WIDTHS[ring]))), WIDTHS[ring])


GOOD = (0.0, 1.0, 0.0)
"""What a span is told as in which all events were good."""

SPANS = tuple(map(_span, sorted({u for w in BURN_WINDOWS for u in (w.long, w.short)} | {UNITS})))
_LONGEST = max(span.units + span.width for span in SPANS[:-1])
PLACE_OF = {span.units: place for place, span in enumerate(SPANS)}
"""Where a span of so many units is among all of them."""


@lru_cache
def _unit(period: float) -> float:
    """Seconds of a unit: one number for all budgets of a period."""
    return period / UNITS


class BudgetRings(Steady):
    """Events of one objective over its budget's period, in four rings of ever longer slots.

    For an objective without events a minute is the event: a sample that speaks for 10 s adds 1/6 to ``total``, and
    to ``bad`` when the target was missed. What was not seen adds nothing to either.

    What comes is gathered by the unit. When that has ended it becomes a slot of the finest ring; a ring's slot is the
    sum of those of the next finer one. Ended slots are kept in 4 bytes, to 1 in 16 million.
    """

    __slots__ = (
        "_counts",
        "_ended",
        "_latest_bad",
        "_latest_total",
        "_newest",
        "_seconds",
        "_sums",
        "_unit_bad",
        "_unit_ends",
        "_unit_seconds",
        "_unit_total",
        "unit",
    )

    def __init__(self, period: float) -> None:
        self.unit = _unit(period)
        super().__init__(self.unit)
        # Bad events, ring by ring and slot by slot; then all events likewise. Nothing at the present slots' places.
        self._counts = _NO_COUNT * (2 * _PLACES)
        self._seconds = _NO_SECOND * _PLACES
        self._unit_bad = self._unit_total = self._unit_seconds = self._unit_ends = 0.0
        self._newest = 0
        # Of each span that was summed up: its ring's present slot then, and the three sums.
        self._sums: array[float] | None = None
        # Of each ring: the three sums of what has ended within its present slot. Of this unit alone.
        self._ended: list[tuple[float, float, float]] | None = None
        # The latest units with bad events, and with any.
        self._latest_bad = self._latest_total = -_LONG_AGO

    def add(self, bad: float, total: float, seconds: float, now: float) -> None:
        """Count what was seen in the last so many seconds, up to now. Negative or endless numbers are not counted."""
        if not (0 <= bad < math.inf and 0 <= total < math.inf and 0 <= seconds < math.inf):
            return
        at = now + self._ahead
        if at >= self.last:
            self.last = at
        else:
            at = self.at(now)
        if at >= self._unit_ends:
            self._advance(at)
        if total:
            self._latest_total = self._newest
            self._unit_total += total
            if bad:
                self._latest_bad = self._newest
                self._unit_bad += min(bad, total)
        self._unit_seconds += seconds

    def load(self, history: Iterable[tuple[int, float, float]], now: float) -> None:
        """Begin from a history of (minute since the epoch, bad, total), each minute once, in any order.

        Minutes that are missing are unknown. Minutes of the future, and from before the period, are left out.
        """
        self._advance(self.at(now))
        parts = max(1, math.ceil(60 / self.unit))
        self._load(
            (60 * minute + 60 * (part + 0.5) / parts, bad / parts, total / parts, 60 / parts)
            for minute, bad, total in history
            if 60 * minute <= now
            for part in range(parts)
        )

    def load_hours(self, hours: Iterable[tuple[int, float, float, float]], now: float) -> None:
        """Begin from a history of (hour since the epoch, bad, total, seconds), for what is older than the finer rings.

        ``seconds`` is for how much of the hour somebody looked. An hour falls into one slot, which is right to the
        width of a slot.
        """
        self._advance(self.at(now))
        self._load(
            (3600 * hour + 1800, bad, total, seconds) for hour, bad, total, seconds in hours if 3600 * (hour + 1) <= now
        )

    def _load(self, rows: Iterable[tuple[float, float, float, float]]) -> None:
        """Count rows of (time of its middle, bad, total, seconds)."""
        self._sums = self._ended = None
        # Summed up in doubles first: a history is many small numbers for one slot.
        sums: dict[int, list[float]] = {}
        for at, bad, total, seconds in rows:
            unit = math.floor(at / self.unit)
            # A part of the present minute may lie ahead.
            if unit > self._newest or not all(0 <= number < math.inf for number in (bad, total, seconds)):
                continue
            if total:
                self._latest_total = max(self._latest_total, unit)
                self._latest_bad = max(self._latest_bad, unit) if bad else self._latest_bad
            if unit == self._newest:
                self._unit_bad += min(bad, total)
                self._unit_total += total
                self._unit_seconds += seconds
            for ring, width in enumerate(WIDTHS):
                slot = unit // width
                # A ring that is too short has let go of it; the present slot is what finer rings hold.
                if 0 < self._newest // width - slot < SLOTS:
                    place = sums.setdefault(ring * SLOTS + slot % SLOTS, [0.0, 0.0, 0.0])
                    place[0] += min(bad, total)
                    place[1] += total
                    place[2] += seconds
        for at_place, (bad, total, seconds) in sums.items():
            self._store(at_place, bad, total, seconds)

    def spent(self, units: int, now: float) -> Spent:
        """What the last so many units hold; of the slots of the finest ring that is long enough."""
        self.reach(now)
        span = _span(units)
        newest = self._newest // span.width
        bad, total, seconds = self._sum(span.ring, span.slots, newest)
        present = self._present(span.ring)
        longest = span.slots * span.width * self.unit
        return Spent(bad + present[0], total + present[1], min(seconds + present[2], longest))

    def ends(self, now: float) -> float:
        """When the unit of a moment ends, by the clock that tells it."""
        return (math.floor(self.at(now) / self.unit) + 1) * self.unit - self._ahead

    def look(self, now: float) -> list[tuple[float, float, float] | None]:
        """Bad events, events and seconds of each span of a burn, which is what ``spent`` tells but for its limit.

        None where there is no event; where all were good, how many does not matter, and it is ``GOOD``.
        """
        self.reach(now)
        return list(map(self.within, range(len(SPANS))))

    def quiet(self, units: int, now: float) -> bool:
        """Whether no bad event came within so many units, and the present one."""
        return math.floor(self.at(now) / self.unit) - self._latest_bad > units

    def good(self, now: float) -> bool:
        """Whether events came in the present unit, and no bad one in it nor in any span of a burn but the period."""
        self.reach(now)
        return self._latest_total == self._newest and self._newest - self._latest_bad > _LONGEST

    def within(self, place: int) -> tuple[float, float, float] | None:
        """One of what ``look`` tells, as of the moment that was reached."""
        _, ring, slots, width = SPANS[place]
        slot = self._newest // width
        if self._latest_bad // width <= slot - slots:
            return GOOD if self._latest_total // width > slot - slots else None
        if not ring:
            bad, total, seconds = self._sum(ring, slots, slot)
            return bad + self._unit_bad, total + self._unit_total, seconds + self._unit_seconds
        now_bad, now_total, now_seconds = self._present(ring)
        sums, at = self._sums, 4 * place
        if sums is None:
            sums = self._sums = array("d", (-1.0,)) * (4 * len(SPANS))
        if sums[at] != slot:
            # The same until the ring has a new slot: most spans are looked at far more often than that.
            sums[at : at + 4] = array("d", (slot, *self._sum(ring, slots, slot)))
        return sums[at + 1] + now_bad, sums[at + 2] + now_total, sums[at + 3] + now_seconds

    def _present(self, ring: int) -> tuple[float, float, float]:
        """Bad events, events and seconds of the present slot of a ring."""
        ended = self._ended
        if ended is None:
            counts, all_seconds, bad, total, seconds = self._counts, self._seconds, 0.0, 0.0, 0.0
            ended = self._ended = [(bad, total, seconds)]
            for finer in range(_RINGS - 1):
                # The slots of the finer ring that have ended within the present slot: they lie side by side.
                slot = self._newest // WIDTHS[finer]
                end = finer * SLOTS + slot % SLOTS
                first = end - slot % (WIDTHS[finer + 1] // WIDTHS[finer])
                if first < end:
                    bad += sum(counts[first:end])
                    total += sum(counts[_PLACES + first : _PLACES + end])
                    seconds += sum(all_seconds[first:end])
                ended.append((bad, total, seconds))
        bad, total, seconds = ended[ring]
        return bad + self._unit_bad, total + self._unit_total, seconds + self._unit_seconds

    def _sum(self, ring: int, slots: int, newest: int) -> tuple[float, float, float]:
        """Of the slots of a ring that have ended, of so many with the present one."""
        base, end = ring * SLOTS, newest % SLOTS
        first = end + 1 - slots
        if first >= 0:
            return self._between(base + first, base + end)
        bad, total, seconds = self._between(base, base + end)
        more = self._between(base + SLOTS + first, base + SLOTS)
        return bad + more[0], total + more[1], seconds + more[2]

    def _between(self, first: int, last: int) -> tuple[float, float, float]:
        counts = self._counts
        return (
            sum(counts[first:last]),
            sum(counts[_PLACES + first : _PLACES + last]),
            sum(self._seconds[first:last]),
        )

    def reach(self, now: float) -> None:
        """Begin the unit of this moment, if it has not begun yet."""
        at = self.at(now)
        if at >= self._unit_ends:
            self._advance(at)

    def _advance(self, at: float) -> None:
        unit, before = math.floor(at / self.unit), self._newest
        if unit <= before:
            return
        if unit == before + 1 and unit % WIDTHS[1]:
            # Most of the time one slot of the finest ring has ended, and none of another.
            if self._unit_total or self._unit_seconds:
                self._store(before % SLOTS, *self._now())
            self._empty(unit % SLOTS)
            self._begin(unit)
            return
        if unit // WIDTHS[1] != before // WIDTHS[1]:
            # Summed up before any slot is written.
            self._present(1)
        for ring, width in enumerate(WIDTHS):
            slot, ended = unit // width, before // width
            if slot == ended:
                break
            if slot - ended < SLOTS:
                bad, total, seconds = self._present(ring) if ring else self._now()
                if total or seconds:
                    self._store(ring * SLOTS + ended % SLOTS, bad, total, seconds)
            for back in range(min(slot - ended, SLOTS)):
                self._empty(ring * SLOTS + (slot - back) % SLOTS)
        self._begin(unit)

    def _begin(self, unit: int) -> None:
        self._newest, self._unit_ends, self._ended = unit, (unit + 1) * self.unit, None
        self._unit_bad = self._unit_total = self._unit_seconds = 0.0

    def _empty(self, place: int) -> None:
        if self._seconds[place] or self._counts[_PLACES + place]:
            self._counts[place] = self._counts[_PLACES + place] = 0.0
            self._seconds[place] = 0

    def _now(self) -> tuple[float, float, float]:
        return self._unit_bad, self._unit_total, self._unit_seconds

    def _store(self, place: int, bad: float, total: float, seconds: float) -> None:
        counts, seconds = self._counts, seconds + self._seconds[place]
        bad, total = bad + counts[place], total + counts[_PLACES + place]
        counts[place] = min(_LARGEST, bad)
        counts[_PLACES + place] = min(_LARGEST, total)
        # More than a slot has, where a sample speaks for longer; no more than two bytes hold.
        self._seconds[place] = round(seconds) if seconds < _MOST else _MOST
