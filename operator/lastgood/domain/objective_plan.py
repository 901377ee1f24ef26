"""The plan that an objective is judged by, and how it comes from the spec of a ServiceLevelObjective."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from lastgood.api.base import amount, seconds
from lastgood.api.objective import ServiceLevelObjectiveSpec

_DAY = 86400.0

_NEAR = 1e-9
"""Two numbers that differ by no more than this share of them are the same."""


class Kind(StrEnum):
    """What is made of observations."""

    QUANTILE = "quantile"
    AVERAGE = "average"
    RATIO = "ratio"
    VALUE = "value"


SEVERITIES = ("info", "warning", "critical", "emergency")
"""From the least to the most severe."""


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """A level at which something is said; ``lasting`` in seconds."""

    severity: str
    threshold: float
    shown: str
    """The threshold as the spec has it."""
    lasting: float = 0.0
    min_samples: int = 1
    min_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """An error budget: ``allowed`` is the share of events, or of minutes, that may be bad; ``period`` in seconds."""

    allowed: float
    period: float
    burn_alerts: bool = True


@dataclass(frozen=True, slots=True)
class ObjectivePlan:
    """What a ServiceLevelObjective asks for, in seconds, shares and bytes."""

    name: str
    kind: Kind
    below: bool
    """Whether less is better."""
    target: float
    shown: str
    """The target as the spec has it: "2s"."""
    unit: str
    """Of the target, and what values are shown in."""
    scale: float
    """How much one unit is."""
    interval: float
    window: float
    unknown_after: float
    quantile: float = 0.0
    alerts: tuple[AlertPlan, ...] = ()
    """The most severe first."""
    budget: BudgetPlan | None = None
    integrity: bool = False
    """Whether it tells if data is sound: a violation is a signal."""

    def beyond(self, value: float, bound: float) -> bool:
        """Whether a value is on the bad side of a bound; on the bound is not. 0.1 + 0.2 is 0.3 here."""
        return value > cut(bound, below=True) if self.below else value < cut(bound, below=False)


def cut(bound: float, *, below: bool) -> float:
    """What a value that should be below the bound, or else above it, has to be beyond to be on its bad side."""
    near = abs(bound) * _NEAR
    return bound + near if below else bound - near


def share(percent: str) -> float:
    """A percentage such as "99.9%" as a share, not above 1. By decimals: 1 - 0.999 is not 0.001 in binary."""
    return float(_share(percent))


def _share(percent: str) -> Decimal:
    return min(Decimal(percent.removesuffix("%")) / 100, Decimal(1))


def objective_plan(name: str, spec: ServiceLevelObjectiveSpec) -> ObjectivePlan:
    """The plan in plain values. Raises ValueError for a spec that the schema would refuse."""
    indicator, goal = spec.indicator, spec.target
    below = goal.below is not None
    target = goal.below if goal.below is not None else goal.above
    if target is None:
        msg = "an objective has a target: write below or above"
        raise ValueError(msg)
    if indicator.quantile is not None:
        kind = Kind.QUANTILE
    elif indicator.average is not None:
        kind = Kind.AVERAGE
    else:
        kind = Kind.RATIO if indicator.ratio is not None else Kind.VALUE
    interval, window = seconds(spec.interval), seconds(spec.window)
    alerts = [
        AlertPlan(
            severity=alert.severity,
            threshold=amount(alert.threshold),
            shown=alert.threshold,
            lasting=seconds(alert.for_),
            min_samples=alert.min_samples,
            min_rate=amount(alert.min_rate) if alert.min_rate is not None else 0.0,
        )
        for alert in spec.alerts
    ]
    unit = re.sub(r"^[0-9.]+", "", target)
    return ObjectivePlan(
        name=name,
        kind=kind,
        below=below,
        target=amount(target),
        shown=target,
        unit=unit,
        scale=amount(f"1{unit}"),
        interval=interval,
        window=window,
        unknown_after=seconds(spec.unknown_after) if spec.unknown_after is not None else max(3 * interval, window),
        quantile=share(indicator.quantile.of) if indicator.quantile is not None else 0.0,
        alerts=tuple(sorted(alerts, key=lambda alert: -SEVERITIES.index(alert.severity))),
        budget=None
        if spec.budget is None
        else BudgetPlan(
            allowed=float(1 - _share(spec.budget.objective)),
            period=int(spec.budget.period.removesuffix("d")) * _DAY,
            burn_alerts=spec.budget.burn_alerts,
        ),
        integrity=spec.source.postgres is not None and spec.source.postgres.integrity is not None,
    )
