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
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from lastgood.domain.clock import shown
from lastgood.domain.objective_plan import BudgetPlan
from lastgood.domain.rings import (
    BURN_WINDOWS,
    PLACE_OF,
    SPANS,
    UNITS,
    WIDTHS,
    BudgetRings,
    BurnWindow,
    Spent,
)


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


def event(name: str, plan: BudgetPlan, before: BudgetTold | None, now: Burn) -> tuple[str, str, str] | None:
    """Type, reason and message of the Event that another alert is worth; None while the same fires as was told."""
    if now.severity == (before.burning if before is not None else "") or now.left is None:
        return None
    left = f"{max(0.0, now.left) * 100:.3g}% of it is left"
    alert = next((w for w in now.windows if w.firing), None)
    if alert is None or alert.long is None or alert.short is None:
        return "Normal", "BudgetCalm", f"{name}: no alert on its error budget fires any more, {left}"
    unit = plan.period / UNITS
    message = (
        f"{name}: its error budget burns {alert.long:.3g} times too fast over {shown(alert.window.long * unit)} and "
        f"{alert.short:.3g} over {shown(alert.window.short * unit)}, more than {alert.window.rate:g} "
        f"({now.severity}); {left}"
    )
    if now.exhausted_in:
        # To the minute: it is a forecast.
        message += f", and spent in {shown(60 * math.ceil(now.exhausted_in / 60))} at this rate"
    return "Warning", "BudgetBurning", message


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
        used = _effective(plan, rings.within(len(SPANS) - 1), _WHOLE * rings.unit)
        return Burn(1 - used, None, _CALM) if used else _UNSPENT
    seen, unit = rings.look(now), rings.unit
    windows = []
    for window, (long_place, short_place, whole) in zip(BURN_WINDOWS, _PLACES_OF_WINDOWS, strict=True):
        long, short = _effective(plan, seen[long_place], whole * unit), _rate(plan, seen[short_place])
        one = Burning(window, long, short, firing=False)
        fires = plan.burn_alerts and one.exceeds(window.rate)
        windows.append(Burning(window, long, short, firing=True) if fires else one)
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
    if not plan.burn_alerts:
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


_PLACES_OF_WINDOWS = [
    (PLACE_OF[w.long], PLACE_OF[w.short], w.long - SPANS[PLACE_OF[w.long]].width) for w in BURN_WINDOWS
]
"""Of each window: where in ``SPANS`` its long and its short one are, and how many units make the long one whole."""

_WHOLE = UNITS - WIDTHS[-1]

_LONGEST_SHORT = max(w.short + SPANS[PLACE_OF[w.short]].width for w in BURN_WINDOWS)
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
