"""On which side of each bound an indicator is, as one number: as long as it stays the same, so does the verdict."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache

from lastgood.domain.objective_plan import ObjectivePlan, cut
from lastgood.domain.window import Window

_NO_VALUE = -1
_STEPS = 64
"""More than there are thresholds, or numbers of samples that one of them asks for."""


class Sides:
    """All bounds that a verdict over one objective looks at: thresholds, and how many events each wants to see."""

    __slots__ = ("_below", "_cuts", "_events", "_rates")

    def __init__(self, plan: ObjectivePlan, more: Iterable[float] = ()) -> None:
        bounds = {plan.target, *(alert.threshold for alert in plan.alerts), *more}
        self._below = plan.below
        self._cuts = sorted(cut(bound, below=plan.below) for bound in bounds)
        self._events = sorted({1.0, *(float(alert.min_samples) for alert in plan.alerts)})
        self._rates = sorted({alert.min_rate for alert in plan.alerts if alert.min_rate})

    def of(self, value: float | None, window: Window) -> int:
        """The same number for two looks at a window, and its value then, means: each bound compares with both alike."""
        if value is None:
            side = _NO_VALUE
        elif self._below:
            side = bisect_left(self._cuts, value)
        else:
            side = bisect_right(self._cuts, value)
        side = side * _STEPS + bisect_right(self._events, window.events())
        return side * _STEPS + bisect_right(self._rates, window.rate()) if self._rates else side


@lru_cache(maxsize=4096)
def sides_of(plan: ObjectivePlan, more: tuple[float, ...] = ()) -> Sides:
    """One for all services that are judged by the same plan; ``more`` are bounds of triggers."""
    return Sides(plan, more)
