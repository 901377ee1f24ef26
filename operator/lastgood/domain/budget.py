"""Error budgets: how much is left, how fast it burns, and the alerts of Google's SRE workbook (chapter 5) on that.

A burn rate of 1 spends the whole budget in exactly one period. At rate r, a window of length w spends the share
f = r w / period, so that w = f period / r. The workbook's windows are those of 30 days:

| rate | spent at the alert | window | short window |
|---|---|---|---|
| 14.4 | 2 %  | 1 h | 5 min  |
| 6    | 5 %  | 6 h | 30 min |
| 3    | 10 % | 1 d | 2 h    |
| 1    | 10 % | 3 d | 6 h    |

For 7 and 28 days the rates and shares stay, so the windows shrink with the period: 14.4 over 14 min and 70 s for a
week. (With the windows fixed the rates would shrink instead, to 0.23 for the last: an alert on a budget that is never
spent.) A rate that is more than 1 / allowed cannot be reached: below an objective of 93.1 % that is 14.4.
Everything is counted in units of 1/43,200 of the period: a minute of 30 days, 56 s of 28, 14 s of 7.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from lastgood.domain.objective_plan import BudgetPlan
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
    """One row of the table above, in units."""

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


_SPANS = tuple(map(_span, sorted({u for w in BURN_WINDOWS for u in (w.long, w.short)} | {UNITS})))
_LONGEST = max(span.units + span.width for span in _SPANS[:-1])
_PLACE_OF = {span.units: place for place, span in enumerate(_SPANS)}


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

        None where there is no event; where all were good, how many does not matter, and it is ``_GOOD``.
        """
        self.reach(now)
        return list(map(self.within, range(len(_SPANS))))

    def quiet(self, units: int, now: float) -> bool:
        """Whether no bad event came within so many units, and the present one."""
        return math.floor(self.at(now) / self.unit) - self._latest_bad > units

    def good(self, now: float) -> bool:
        """Whether events came in the present unit, and no bad one in it nor in any span of a burn but the period."""
        self.reach(now)
        return self._latest_total == self._newest and self._newest - self._latest_bad > _LONGEST

    def within(self, place: int) -> tuple[float, float, float] | None:
        """One of what ``look`` tells, as of the moment that was reached."""
        _, ring, slots, width = _SPANS[place]
        slot = self._newest // width
        if self._latest_bad // width <= slot - slots:
            return _GOOD if self._latest_total // width > slot - slots else None
        if not ring:
            bad, total, seconds = self._sum(ring, slots, slot)
            return bad + self._unit_bad, total + self._unit_total, seconds + self._unit_seconds
        now_bad, now_total, now_seconds = self._present(ring)
        sums, at = self._sums, 4 * place
        if sums is None:
            sums = self._sums = array("d", (-1.0,)) * (4 * len(_SPANS))
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
        counts = self._counts
        counts[place] = min(counts[place] + bad, _LARGEST)
        counts[_PLACES + place] = min(counts[_PLACES + place] + total, _LARGEST)
        # More than a slot has, where a sample speaks for longer; no more than two bytes hold.
        self._seconds[place] = min(self._seconds[place] + round(min(seconds, _MOST)), _MOST)


class Burning(NamedTuple):
    """How one of the four windows stands; rates are None where nothing was seen."""

    window: BurnWindow
    long: float | None
    short: float | None
    firing: bool

    def exceeds(self, rate: float) -> bool | None:
        """Whether both windows burn faster than this; None when one of them is unknown."""
        if self.long is None or self.short is None:
            return None
        return self.long > rate and self.short > rate


@dataclass(frozen=True, slots=True)
class BudgetTold:
    """A budget as status has it: in steps, so that it is not written with every event."""

    left: str
    """At least this much: a multiple of 10 %, not below 0."""
    burning: str = ""
    """Severity of the alert that fires."""


@dataclass(frozen=True, slots=True)
class Burn:
    """A budget at one moment."""

    left: float | None
    """Share of the budget; negative when more is spent than there is; None when nothing was seen."""
    exhausted_in: float | None
    """Seconds until it is spent at the rate of the present, if nothing old becomes too old; None when that is not
    within a period."""
    windows: tuple[Burning, ...]

    @property
    def alarm(self) -> float:
        """Rate of the fastest alert that fires; 0 when none does."""
        return next((w.window.rate for w in self.windows if w.firing), 0.0)

    @property
    def severity(self) -> str:
        """Of the most severe alert that fires; empty when none does."""
        return next((w.window.severity for w in self.windows if w.firing), "")


def told(burn: Burn) -> BudgetTold | None:
    """What status says of a budget; None while nothing is known."""
    if burn.left is None:
        return None
    return BudgetTold(f"{max(0, math.floor(burn.left * 10 + 1e-9)) * 10}%", burn.severity)


def burn_rate(plan: BudgetPlan, seen: Spent) -> float | None:
    """How many times too fast, over what was seen; None when that is no event at all."""
    return _rate(plan, seen)


def burn(plan: BudgetPlan, rings: BudgetRings, now: float) -> Burn:
    """What is left of a budget, how fast it burns, and which alerts fire.

    A window that was seen in part counts for that part: what was not seen is not taken for bad, neither in what is left
    nor in the long window of an alert, which so fires when its share of the budget has been seen to be spent. A window
    of n slots, of which the newest is filling up, is whole from n - 1 slots on.
    """
    if rings.good(now):
        used = _effective(plan, rings.within(len(_SPANS) - 1), _WHOLE * rings.unit)
        return Burn(1 - used, None, _CALM) if used else _UNSPENT
    seen, unit = rings.look(now), rings.unit
    windows = []
    for window, (long_place, short_place, whole) in zip(BURN_WINDOWS, _PLACES_OF_WINDOWS, strict=True):
        long, short = _effective(plan, seen[long_place], whole * unit), _rate(plan, seen[short_place])
        rate = window.rate
        firing = plan.burn_alerts and long is not None and short is not None and long > rate and short > rate
        windows.append(Burning(window, long, short, firing))
    used = _effective(plan, seen[-1], _WHOLE * unit)
    left = None if used is None else 1 - used
    rate = _rate(plan, seen[_PLACES_OF_WINDOWS[0][0]])
    burning = tuple(windows)
    return Burn(left, _exhausted_in(plan, left, rate), _CALM if burning == _CALM else burning)


def quiet(rings: BudgetRings, now: float) -> bool:
    """Whether no short window has a bad event, so that no alert can fire."""
    return rings.quiet(_LONGEST_SHORT, now)


def alarm(plan: BudgetPlan, rings: BudgetRings, now: float) -> float:
    """What ``burn`` tells as its alarm; quicker, since short windows alone tell of most."""
    if not plan.burn_alerts or quiet(rings, now):
        return 0.0
    rings.reach(now)
    for window, (long_place, short_place, whole) in zip(BURN_WINDOWS, _PLACES_OF_WINDOWS, strict=True):
        short = _rate(plan, rings.within(short_place))
        if short is None or short <= window.rate:
            continue
        long = _effective(plan, rings.within(long_place), whole * rings.unit)
        if long is not None and long > window.rate:
            return window.rate
    return 0.0


def _rate(plan: BudgetPlan, seen: tuple[float, float, float] | None) -> float | None:
    if seen is None or not seen[1]:
        return None
    if not seen[0]:
        return 0.0
    # A budget of nothing is spent by the first bad event.
    return seen[0] / seen[1] / plan.allowed if plan.allowed > 0 else math.inf


def _effective(plan: BudgetPlan, seen: tuple[float, float, float] | None, whole: float) -> float | None:
    rate = _rate(plan, seen)
    if not rate or seen is None or seen[2] >= whole:
        return rate
    return rate * seen[2] / whole


_GOOD = (0.0, 1.0, 0.0)

_PLACES_OF_WINDOWS = [
    (_PLACE_OF[w.long], _PLACE_OF[w.short], w.long - _SPANS[_PLACE_OF[w.long]].width) for w in BURN_WINDOWS
]
"""Of each window: where in ``_SPANS`` its long and its short one are, and how many units make the long one whole."""

_WHOLE = UNITS - WIDTHS[-1]

_LONGEST_SHORT = max(w.short + _SPANS[_PLACE_OF[w.short]].width for w in BURN_WINDOWS)
"""With no bad event in so many units no short window has one, and no alert fires."""

_CALM = tuple(Burning(window, 0.0, 0.0, firing=False) for window in BURN_WINDOWS)
"""One for all budgets of which nothing was spent lately: that is most of them."""

_UNSPENT = Burn(1.0, None, _CALM)
"""One for all budgets of which nothing was spent at all."""


def _exhausted_in(plan: BudgetPlan, left: float | None, rate: float | None) -> float | None:
    if left is None or rate is None or rate <= 0:
        return None
    if left <= 0:
        return 0.0
    needed = left * plan.period / rate
    return needed if needed <= plan.period else None
