"""Which points are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lastgood.api.base import seconds
from lastgood.api.repositories import Retention


@dataclass(frozen=True, slots=True)
class Age:
    """A usable point, as far as retention looks at it."""

    name: str
    at: float
    """Seconds since the epoch."""
    base: str = ""
    """The full backup that it needs; empty when it stands alone."""


def _hour(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _week(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%G-W%V")


def _month(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def kept(points: Sequence[Age], retention: Retention, now: float) -> frozenset[str]:
    """Names of the points that are kept.

    Of each of the newest ``hourly`` hours (in UTC) that have points, the newest point; of days, ISO weeks and months
    the newest that stands alone, where there is one: an increment there would keep its whole chain. Always the newest
    of all. What a kept point needs is kept with it: its base, and the increments between.
    """
    ordered = sorted(points, key=lambda p: (p.at, p.name))
    chosen = {p.name for p in ordered[-max(retention.last, 1) :]}
    chosen |= _of_each(ordered, retention.hourly, _hour, alone=False)
    for count, bucket in ((retention.daily, _day), (retention.weekly, _week), (retention.monthly, _month)):
        chosen |= _of_each(ordered, count, bucket, alone=True)
    if retention.within is not None:
        chosen |= {p.name for p in ordered if p.at >= now - seconds(retention.within)}
    return frozenset(chosen | {name for p in ordered if p.name in chosen for name in _needs(ordered, p)})


def _of_each(ordered: Sequence[Age], count: int, bucket: Callable[[float], str], *, alone: bool) -> set[str]:
    """Names of one point of each of the newest ``count`` buckets."""
    best: dict[str, Age] = {}
    for each in ordered:
        there = best.get(bucket(each.at))
        if there is None or not alone or bool(there.base) or not each.base:
            best[bucket(each.at)] = each
    return {best[key].name for key in sorted(best)[len(best) - min(count, len(best)) :]}


def _needs(ordered: Sequence[Age], one: Age) -> set[str]:
    if not one.base:
        return set()
    return {
        p.name for p in ordered if p.name == one.base or (p.base == one.base and (p.at, p.name) <= (one.at, one.name))
    }
