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
from functools import cache
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


@dataclass(frozen=True, slots=True)
class Spent:
    """What was seen within some time."""

    bad: float
    total: float
    seconds: float
    """For how long somebody looked."""


_WINDOWS = {units: place for place, units in enumerate(sorted({u for w in BURN_WINDOWS for u in (w.long, w.short)}))}
_WINDOWS[UNITS] = len(_WINDOWS)
"""All spans of time that are asked for, in units, and their places."""


class BudgetRings(Steady):
    """Events of one objective over its budget's period, in four rings of ever longer slots.

    For an objective without events a minute is the event: a sample that speaks for 10 s adds 1/6 to ``total``, and
    to ``bad`` when the target was missed. What was not seen adds nothing to either.

    What comes is gathered by the unit, and given to the rings when that has ended. A slot that is filling up is counted
    in doubles; one that has ended is kept in 4 bytes, to 1 in 16 million.
    """

    __slots__ = (
        "_bad",
        "_filling",
        "_latest_bad",
        "_latest_total",
        "_newest",
        "_seconds",
        "_sums",
        "_total",
        "_unit_bad",
        "_unit_ends",
        "_unit_seconds",
        "_unit_total",
        "unit",
    )

    def __init__(self, period: float) -> None:
        self.unit = period / UNITS
        super().__init__(self.unit)
        # Ring by ring, slot by slot; the present slots are empty here.
        self._bad, self._total = array("f", bytes(4 * _PLACES)), array("f", bytes(4 * _PLACES))
        self._seconds = array("H", bytes(2 * _PLACES))
        # The present slot of each ring without the present unit: bad events, all events and seconds of each ring.
        self._filling = array("d", bytes(8 * 3 * _RINGS))
        self._unit_bad = self._unit_total = self._unit_seconds = self._unit_ends = 0.0
        self._newest = 0
        # Of each window of ``_WINDOWS``: its ring's present slot when it was summed up, and the three sums.
        self._sums: array[float] | None = None
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
        self._sums = None
        # Summed up in doubles first: a history is many small numbers for one slot.
        bads, totals, lengths = (array("d", bytes(8 * _PLACES)) for _ in range(3))
        for at, bad, total, seconds in rows:
            if not (0 <= bad < math.inf and 0 <= total < math.inf and 0 <= seconds < math.inf):
                continue
            unit = math.floor(at / self.unit)
            for ring, width in enumerate(WIDTHS):
                slot = unit // width
                if not 0 <= self._newest // width - slot < SLOTS:
                    # A part of the present minute may lie ahead; a ring that is too short has let go of it.
                    continue
                place = ring * SLOTS + slot % SLOTS
                bads[place] += min(bad, total)
                totals[place] += total
                lengths[place] += seconds
            if unit <= self._newest and total:
                self._latest_total = max(self._latest_total, unit)
                self._latest_bad = max(self._latest_bad, unit) if bad else self._latest_bad
        for ring, width in enumerate(WIDTHS):
            present = ring * SLOTS + self._newest // width % SLOTS
            for place in range(ring * SLOTS, (ring + 1) * SLOTS):
                if not lengths[place] and not totals[place]:
                    continue
                if place == present:
                    self._fill(ring, bads[place], totals[place], lengths[place])
                else:
                    self._store(place, bads[place], totals[place], lengths[place])

    def spent(self, units: int, now: float) -> Spent:
        """What the last so many units hold; of the slots of the finest ring that is long enough."""
        at = self.at(now)
        if at >= self._unit_ends:
            self._advance(at)
        ring, slots = _slots_of(units)
        bad, total, seconds = self._ended(ring, slots, units)
        filling = self._filling
        return Spent(
            bad + filling[ring] + self._unit_bad,
            total + filling[_RINGS + ring] + self._unit_total,
            min(seconds + filling[2 * _RINGS + ring] + self._unit_seconds, slots * WIDTHS[ring] * self.unit),
        )

    def _ended(self, ring: int, slots: int, units: int) -> tuple[float, float, float]:
        """Bad events, events and seconds of the slots that have ended, of so many with the present one."""
        newest, place = self._newest // WIDTHS[ring], _WINDOWS.get(units)
        if place is None:
            return self._sum(ring, slots, newest)
        if self._sums is None:
            self._sums = array("d", [-1.0] * 4 * len(_WINDOWS))
        sums, at = self._sums, 4 * place
        if sums[at] != newest:
            # It stays the same until the ring has a new slot: most windows are looked at far more often.
            sums[at] = newest
            sums[at + 1], sums[at + 2], sums[at + 3] = self._sum(ring, slots, newest)
        return sums[at + 1], sums[at + 2], sums[at + 3]

    def _sum(self, ring: int, slots: int, newest: int) -> tuple[float, float, float]:
        base, end = ring * SLOTS, newest % SLOTS + 1
        first, last = base + max(0, end - slots), base + end
        sums = sum(self._bad[first:last]), sum(self._total[first:last]), sum(self._seconds[first:last])
        if slots <= end:
            return sums
        first, last = base + SLOTS - (slots - end), base + SLOTS
        return (
            sums[0] + sum(self._bad[first:last]),
            sums[1] + sum(self._total[first:last]),
            sums[2] + sum(self._seconds[first:last]),
        )

    def any(self, units: int, now: float) -> tuple[bool, bool]:
        """Whether the last so many units hold a bad event, and any event: as ``spent`` would say, without a sum."""
        at = self.at(now)
        if at >= self._unit_ends:
            self._advance(at)
        ring, slots = _slots_of(units)
        width = WIDTHS[ring]
        oldest = self._newest // width - slots
        return self._latest_bad // width > oldest, self._latest_total // width > oldest

    def _advance(self, at: float) -> None:
        unit, before = math.floor(at / self.unit), self._newest
        if unit <= before:
            return
        bad, total, seconds = self._unit_bad, self._unit_total, self._unit_seconds
        self._unit_bad = self._unit_total = self._unit_seconds = 0.0
        self._newest, self._unit_ends = unit, (unit + 1) * self.unit
        filling = self._filling
        for ring, width in enumerate(WIDTHS):
            self._fill(ring, bad, total, seconds)
            slot, ended = unit // width, before // width
            if slot == ended:
                continue
            if slot - ended < SLOTS:
                self._store(
                    ring * SLOTS + ended % SLOTS, filling[ring], filling[_RINGS + ring], filling[2 * _RINGS + ring]
                )
            filling[ring] = filling[_RINGS + ring] = filling[2 * _RINGS + ring] = 0.0
            for back in range(min(slot - ended, SLOTS)):
                place = ring * SLOTS + (slot - back) % SLOTS
                self._bad[place] = self._total[place] = 0.0
                self._seconds[place] = 0

    def _fill(self, ring: int, bad: float, total: float, seconds: float) -> None:
        self._filling[ring] += bad
        self._filling[_RINGS + ring] += total
        self._filling[2 * _RINGS + ring] += seconds

    def _store(self, place: int, bad: float, total: float, seconds: float) -> None:
        self._bad[place] = min(self._bad[place] + bad, _LARGEST)
        self._total[place] = min(self._total[place] + total, _LARGEST)
        # More than a slot has, where a sample speaks for longer; no more than two bytes hold.
        self._seconds[place] = min(self._seconds[place] + round(min(seconds, _MOST)), _MOST)


@cache
def _slots_of(units: int) -> tuple[int, int]:
    """The finest ring that is long enough, and how many of its slots that is."""
    for ring, width in enumerate(WIDTHS):
        if units <= width * SLOTS:
            return ring, max(1, math.ceil(units / width))
    return _RINGS - 1, SLOTS


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
    if not seen.total:
        return None
    share = seen.bad / seen.total
    if plan.allowed <= 0:
        # A budget of nothing is spent by the first bad event.
        return math.inf if share else 0.0
    return share / plan.allowed


def burn(plan: BudgetPlan, rings: BudgetRings, now: float) -> Burn:
    """What is left of a budget, how fast it burns, and which alerts fire.

    A window that was seen in part counts for that part: what was not seen is not taken for bad, neither in what is left
    nor in the long window of an alert, which so fires when its share of the budget has been seen to be spent. A window
    of n slots, of which the newest is filling up, is whole from n - 1 slots on.
    """
    windows = tuple(_burning(plan, rings, window, now) for window in BURN_WINDOWS)
    used = _rate(plan, rings, UNITS, now, effective=True)
    left = None if used is None else 1 - used
    rate = _rate(plan, rings, BURN_WINDOWS[0].long, now) if used else used
    return Burn(left, _exhausted_in(plan, left, rate), _CALM if windows == _CALM else windows)


def _burning(plan: BudgetPlan, rings: BudgetRings, window: BurnWindow, now: float) -> Burning:
    long = _rate(plan, rings, window.long, now, effective=True)
    # A window is in its long one, but for the edges of slots.
    short = _rate(plan, rings, window.short, now)
    firing = long is not None and short is not None and plan.burn_alerts and min(long, short) > window.rate
    return Burning(window, long, short, firing)


def _rate(plan: BudgetPlan, rings: BudgetRings, units: int, now: float, *, effective: bool = False) -> float | None:
    bad, total = rings.any(units, now)
    if not (bad and total):
        return 0.0 if total else None
    seen = rings.spent(units, now)
    rate = burn_rate(plan, seen)
    if rate is None or rate == 0 or not effective:
        return rate
    width = WIDTHS[_slots_of(units)[0]]
    whole = (units - width) * rings.unit
    return rate * min(1.0, seen.seconds / whole) if whole > 0 else rate


_CALM = tuple(Burning(window, 0.0, 0.0, firing=False) for window in BURN_WINDOWS)
"""One for all budgets of which nothing was spent lately: that is most of them."""


def _exhausted_in(plan: BudgetPlan, left: float | None, rate: float | None) -> float | None:
    if left is None or rate is None or rate <= 0:
        return None
    if left <= 0:
        return 0.0
    needed = left * plan.period / rate
    return needed if needed <= plan.period else None
