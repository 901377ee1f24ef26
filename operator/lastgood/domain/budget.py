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

from lastgood.domain.objective_plan import BudgetPlan
from lastgood.domain.steady import Steady

UNITS = 43_200
"""Units in a period."""

SLOTS = 60
WIDTHS = (1, 6, 72, 720)
"""Units in a slot, ring by ring: each ring has 60 slots, and the last holds the period."""

_PLACES = SLOTS * len(WIDTHS)
_MOST = 65_535


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


class BudgetRings:
    """Events of one objective over its budget's period, in four rings of ever longer slots.

    For an objective without events a minute is the event: a sample that speaks for 10 s adds 1/6 to ``total``, and
    to ``bad`` when the target was missed. What was not seen adds nothing to either.
    """

    __slots__ = ("_clock", "_counts", "_newest", "_seconds", "unit")

    def __init__(self, period: float) -> None:
        self.unit = period / UNITS
        # Bad events, ring by ring and slot by slot; then all events likewise.
        self._counts = array("d", bytes(8 * 2 * _PLACES))
        self._seconds = array("H", bytes(2 * _PLACES))
        self._newest = 0
        self._clock = Steady(self.unit)

    def add(self, bad: float, total: float, seconds: float, now: float) -> None:
        """Count what was seen in the last so many seconds, up to now. Negative or endless numbers are not counted."""
        if not (0 <= bad < math.inf and 0 <= total < math.inf and 0 <= seconds < math.inf):
            return
        self._put(self._advance(now), min(bad, total), total, seconds)

    def load(self, history: Iterable[tuple[int, float, float]], now: float) -> None:
        """Begin from a history of (minute since the epoch, bad, total), each minute once, in any order.

        Minutes that are missing are unknown. Minutes of the future, and from before the period, are left out.
        """
        self._advance(now)
        parts = max(1, math.ceil(60 / self.unit))
        for minute, bad, total in history:
            if 60 * minute > now or not (0 <= bad < math.inf and 0 <= total < math.inf):
                continue
            for part in range(parts):
                at = 60 * minute + 60 * (part + 0.5) / parts
                self._put(math.floor(at / self.unit), min(bad, total) / parts, total / parts, 60 / parts)

    def load_hours(self, hours: Iterable[tuple[int, float, float]], now: float) -> None:
        """Begin from a history of (hour since the epoch, bad, total), for what is older than the finer rings.

        An hour falls into one slot, which is right to the width of a slot.
        """
        self._advance(now)
        for hour, bad, total in hours:
            if 3600 * (hour + 1) <= now and 0 <= bad < math.inf and 0 <= total < math.inf:
                self._put(math.floor((3600 * hour + 1800) / self.unit), min(bad, total), total, 3600)

    def spent(self, units: int, now: float) -> Spent:
        """What the last so many units hold; of the slots of the finest ring that is long enough."""
        self._advance(now)
        for ring, width in enumerate(WIDTHS):
            if units <= width * SLOTS:
                return self._sum(ring, max(1, math.ceil(units / width)))
        return self._sum(len(WIDTHS) - 1, SLOTS)

    def _sum(self, ring: int, slots: int) -> Spent:
        base, end = ring * SLOTS, self._newest // WIDTHS[ring] % SLOTS + 1
        spans = [(base + max(0, end - slots), base + end)]
        if slots > end:
            spans.append((base + SLOTS - (slots - end), base + SLOTS))
        counts, seconds = self._counts, self._seconds
        return Spent(
            sum(sum(counts[a:b]) for a, b in spans),
            sum(sum(counts[_PLACES + a : _PLACES + b]) for a, b in spans),
            min(sum(sum(seconds[a:b]) for a, b in spans), slots * WIDTHS[ring] * self.unit),
        )

    def _advance(self, now: float) -> int:
        unit = math.floor(self._clock.at(now) / self.unit)
        before = self._newest
        if unit == before:
            return unit
        for ring, width in enumerate(WIDTHS):
            slot = unit // width
            for back in range(min(slot - before // width, SLOTS)):
                place = ring * SLOTS + (slot - back) % SLOTS
                self._counts[place] = self._counts[_PLACES + place] = 0.0
                self._seconds[place] = 0
        self._newest = unit
        return unit

    def _put(self, unit: int, bad: float, total: float, seconds: float) -> None:
        for ring, width in enumerate(WIDTHS):
            slot = unit // width
            if not 0 <= self._newest // width - slot < SLOTS:
                # A part of the present minute may lie ahead; a ring that is too short has let go of it.
                continue
            place = ring * SLOTS + slot % SLOTS
            self._counts[place] += bad
            self._counts[_PLACES + place] += total
            # Whole seconds. More than a slot has, where a sample speaks for longer; no more than two bytes hold.
            self._seconds[place] = min(self._seconds[place] + round(min(seconds, _MOST)), _MOST)


@dataclass(frozen=True, slots=True)
class Burning:
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
    windows = []
    for window in BURN_WINDOWS:
        long = _effective(plan, rings, window.long, now)
        short = burn_rate(plan, rings.spent(window.short, now))
        one = Burning(window, long, short, firing=False)
        windows.append(Burning(window, long, short, firing=plan.burn_alerts and one.exceeds(window.rate) is True))
    used = _effective(plan, rings, UNITS, now)
    left = None if used is None else 1 - used
    return Burn(left, _exhausted_in(plan, left, burn_rate(plan, rings.spent(60, now))), tuple(windows))


def _effective(plan: BudgetPlan, rings: BudgetRings, units: int, now: float) -> float | None:
    seen = rings.spent(units, now)
    rate = burn_rate(plan, seen)
    if rate is None or rate == 0:
        return rate
    width = next((w for w in WIDTHS if units <= w * SLOTS), WIDTHS[-1])
    whole = (units - width) * rings.unit
    return rate * min(1.0, seen.seconds / whole) if whole > 0 else rate


def _exhausted_in(plan: BudgetPlan, left: float | None, rate: float | None) -> float | None:
    if left is None or rate is None or rate <= 0:
        return None
    if left <= 0:
        return 0.0
    needed = left * plan.period / rate
    return needed if needed <= plan.period else None
