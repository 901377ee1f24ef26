"""On which side of each bound an indicator is, as one number: as long as it stays the same, so does the verdict."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from lastgood.domain.objective_plan import Kind, ObjectivePlan, cut
from lastgood.domain.steady import LATE
from lastgood.domain.window import Window

_NO_VALUE = -1
_STEPS = 64
"""More than there are thresholds, or numbers of samples that one of them asks for."""


class Sides:
    """All bounds that a verdict over one objective looks at: thresholds, and how many events each wants to see."""

    __slots__ = ("_cuts", "_events", "_find", "_rates", "_spans", "below", "each", "most", "soon", "target")

    def __init__(self, plan: ObjectivePlan, more: Iterable[float] = ()) -> None:
        bounds = {plan.target, *(alert.threshold for alert in plan.alerts), *more}
        self._cuts = sorted(cut(bound, below=plan.below) for bound in bounds)
        edges = [-math.inf, *self._cuts, math.inf]
        # A value on a cut is on its good side. Kept, so that all tracks hold the same numbers.
        self._spans = [
            (math.nextafter(low, math.inf), high) if plan.below else (low, math.nextafter(high, -math.inf))
            for low, high in pairwise(edges)
        ]
        self._find = bisect_left if plan.below else bisect_right
        self._events = sorted({1.0, *(float(alert.min_samples) for alert in plan.alerts)})
        self.most = self._events[-1]
        """So many events are enough for all."""
        self._rates = sorted({alert.min_rate for alert in plan.alerts if alert.min_rate})
        self.below = plan.below
        self.target = cut(plan.target, below=plan.below)
        """What a value has to be beyond to miss the target."""
        self.each = 0.0 if plan.kind is Kind.RATIO else plan.interval / 60
        """Without events a minute is the event, and this is the part of it that a sample speaks for."""
        self.soon = LATE * plan.interval
        """Seconds within which a sample comes that leaves no gap."""

    def of(self, window: Window) -> int:
        """The same number for a window after two samples means: each bound compares with both alike."""
        value, events = window.value, window.events
        side = _NO_VALUE if value is None else self._find(self._cuts, value)
        side = side * _STEPS + (len(self._events) if events >= self.most else bisect_right(self._events, events))
        return side * _STEPS + bisect_right(self._rates, window.rate) if self._rates else side

    def span(self, window: Window) -> tuple[float, float]:
        """From which value to which, both included, the side of a window with enough events stays the same.

        That is none where how many events there are has a say: then only ``of`` can tell.
        """
        value = window.value
        if value is None or window.events < self.most or self._rates:
            return math.inf, -math.inf
        return self._spans[self._find(self._cuts, value)]


@lru_cache(maxsize=4096)
def sides_of(plan: ObjectivePlan, more: tuple[float, ...] = ()) -> Sides:
    """One for all services that are judged by the same plan; ``more`` are bounds of triggers."""
    return Sides(plan, more)
