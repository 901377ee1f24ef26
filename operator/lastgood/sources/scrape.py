"""Objectives on what the target's pods tell of themselves, summed over pods and matching series."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from lastgood.api.objective import Indicator
from lastgood.api.sources import ScrapeSource as ScrapeSpec
from lastgood.domain.counters import Cumulative, histogram_increase, increase, spread, together
from lastgood.domain.measure import Counts, Gauge, Nothing, Sample, Silence
from lastgood.domain.ports import BadProbe
from lastgood.domain.sources import Target
from lastgood.probes.base import Progress
from lastgood.probes.values import Values
from lastgood.sources.base import Quiet, TimedSource
from lastgood.sources.endpoint import Endpoints, Round
from lastgood.sources.exposition import NotExposition, Reading
from lastgood.sources.selection import Key, Selector, code_of, known

T = TypeVar("T")
Readings = Mapping[str, Reading]
"""Answers by pod uid."""

_SERIES_KEPT = 100_000
"""Series of one pod whose last value is kept; with more, those that vanished are forgotten."""


class Growth(Generic[T]):
    """What each pod's counters last said.

    A pod seen for the first time adds nothing, one that is gone takes nothing back, and a series that is new in a
    pod seen before began at zero.
    """

    def __init__(self) -> None:
        self._before: dict[str, dict[Key, T]] = {}

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all other pods."""
        self._before = {uid: said for uid, said in self._before.items() if uid in uids}

    def since(self, readings: Mapping[str, dict[Key, T]], grown: Callable[[T | None, T], T]) -> list[T] | None:
        """What was added since each pod's last reading; None when there was none of any."""
        by_series = self.by_series(readings, grown)
        return None if by_series is None else [more for _, more in by_series]

    def by_series(
        self, readings: Mapping[str, dict[Key, T]], grown: Callable[[T | None, T], T]
    ) -> list[tuple[Key, T]] | None:
        """The same, each with its series."""
        added: list[tuple[Key, T]] | None = None
        for uid, now in readings.items():
            before = self._before.get(uid)
            if before is None:
                self._before[uid] = now
                continue
            added = added if added is not None else []
            added += [(key, grown(before.get(key), value)) for key, value in now.items()]
            # A series that is left out once and comes back has not begun anew.
            self._before[uid] = before | now if len(before) <= _SERIES_KEPT else now
        return added


class Measure:
    """Makes a sample of the pods' answers."""

    names: frozenset[str]
    """Sample names that it looks at."""

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all other pods."""

    def of(self, readings: Readings) -> Sample:
        """The sample. Raises Quiet."""
        raise NotImplementedError


class Share(Measure):
    """Bad events of all, from two counters."""

    def __init__(self, part: Selector, total: Selector, *, good: bool) -> None:
        self._part, self._total, self._good = part, total, good
        self._parts: Growth[float] = Growth()
        self._totals: Growth[float] = Growth()
        self.names = frozenset((*part.of_numbers, part.declared, *total.of_numbers, total.declared))

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all other pods."""
        self._parts.keep(uids)
        self._totals.keep(uids)

    def of(self, readings: Readings) -> Sample:
        """The sample. Raises Quiet."""
        parts = {uid: self._part.numbers(reading) for uid, reading in readings.items()}
        totals = {uid: self._total.numbers(reading) for uid, reading in readings.items()}
        some = self._parts.since(_counters(parts), increase)
        all_ = self._totals.by_series(_counters(totals), increase)
        for selector, found in ((self._total, totals), (self._part, parts)):
            if not known(found):
                raise _missing(selector)
        if some is None or all_ is None:
            raise _first_look()
        total = sum(more for _, more in all_)
        # Both were read at one moment of a pod that goes on counting: one may be an event ahead of the other.
        part = min(sum(some), total)
        codes: dict[int, float] = {}
        for key, more in all_:
            if more and (code := code_of(key)) is not None:
                codes[code] = codes.get(code, 0) + more
        return Counts(bad=total - part if self._good else part, total=total, codes=codes or None)


class Distribution(Measure):
    """A histogram, or for a mean also a summary, or a gauge."""

    def __init__(self, selector: Selector, *, bins: bool) -> None:
        self._selector, self._bins = selector, bins
        self._growth: Growth[Cumulative] = Growth()
        self.names = frozenset((*selector.of_histograms, *(() if bins else selector.of_numbers)))

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all other pods."""
        self._growth.keep(uids)

    def of(self, readings: Readings) -> Sample:
        """The sample. Raises Quiet."""
        found = {uid: self._selector.histograms(reading) for uid, reading in readings.items()}
        if not self._bins and not any(found.values()) and self._is_gauge(readings):
            return Gauge(statistics.fmean(_by_pod(self._selector, readings)))
        added = self._growth.since({uid: histograms or {} for uid, histograms in found.items()}, histogram_increase)
        if not known(found):
            raise _missing(self._selector)
        if self._bins and not any(self._selector.has_bins(reading) for reading in readings.values()):
            raise Quiet(Silence.NO_DATA, f"{self._selector.shown} has no buckets: a quantile needs a histogram")
        if added is None:
            raise _first_look()
        return spread(together(added))

    def _is_gauge(self, readings: Readings) -> bool:
        return any(name in reading.numbers for reading in readings.values() for name in self._selector.of_numbers)


class Level(Measure):
    """A gauge."""

    def __init__(self, selector: Selector, across: Callable[[Sequence[float]], float]) -> None:
        self._selector, self._across = selector, across
        self.names = frozenset((*selector.of_numbers, selector.declared))

    def of(self, readings: Readings) -> Sample:
        """The sample. Raises Quiet."""
        return Gauge(self._across(_by_pod(self._selector, readings)))


def _counters(readings: Mapping[str, dict[Key, float] | None]) -> dict[str, dict[Key, float]]:
    # What a pod does not know yet it has not counted yet.
    return {uid: {k: v for k, v in (found or {}).items() if v >= 0} for uid, found in readings.items()}


def _by_pod(selector: Selector, readings: Readings) -> list[float]:
    """A gauge's value in each pod, summed over its series. Raises Quiet when there is none."""
    found = {uid: selector.numbers(reading) for uid, reading in readings.items()}
    if not known(found):
        raise _missing(selector)
    sums = [sum(numbers.values()) for numbers in found.values() if numbers]
    if not sums:
        raise Quiet(Silence.NO_DATA, f"no series of {selector.shown} has these labels and a finite value")
    return sums


def _missing(selector: Selector) -> Quiet:
    return Quiet(Silence.NO_DATA, f"no pod that answered has a metric named {selector.shown}")


def _first_look() -> Quiet:
    return Quiet(Silence.FIRST_LOOK, "a counter says something from its second reading on")


_ACROSS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Average": statistics.fmean,
    "Max": max,
    "Min": min,
}


def measure_of(indicator: Indicator) -> Measure:
    """What an indicator looks at. Raises BadProbe."""
    if indicator.ratio is not None:
        ratio = indicator.ratio
        part = ratio.bad or ratio.good
        if part is not None and ratio.total is not None:
            return Share(Selector(part), Selector(ratio.total), good=ratio.bad is None)
    elif indicator.quantile is not None and indicator.quantile.series is not None:
        return Distribution(Selector(indicator.quantile.series), bins=True)
    elif indicator.average is not None and indicator.average.series is not None:
        return Distribution(Selector(indicator.average.series), bins=False)
    elif indicator.value is not None and indicator.value.series is not None:
        return Level(Selector(indicator.value.series), _ACROSS[indicator.value.across])
    msg = "a scraped indicator names its series: write series (or bad and total) with metric"
    raise BadProbe(msg)


class ScrapeSource(TimedSource):
    """Samples one objective from the pods' metrics."""

    def __init__(
        self,
        spec: ScrapeSpec,
        indicator: Indicator,
        values: Values,
        target: Target,
        *,
        interval: float,
        timeout: float,
        endpoints: Endpoints,
    ) -> None:
        """Prepare. Raises BadProbe."""
        super().__init__(timeout=timeout, host=f"{target.namespace}/{target.deployment}:{spec.port}")
        self._measure = measure_of(indicator)
        self._max_age = interval / 2
        self._endpoint, self._leave = endpoints.join(
            self, spec, values, target, names=self._measure.names, timeout=timeout
        )

    async def look(self, progress: Progress) -> Sample:  # noqa: ARG002 - each pod has a progress of its own
        """Scrape, and say what the pods that answered tell together."""
        scraped = await self._endpoint.read(self, max_age=self._max_age)
        if scraped.nothing is not None:
            return scraped.nothing
        self._measure.keep(frozenset(pod.uid for pod in scraped.pods))
        if not scraped.readings:
            return _nobody(scraped)
        try:
            return self._measure.of(dict(scraped.readings))
        except NotExposition as wrong:
            raise Quiet(Silence.NOT_UNDERSTOOD, str(wrong)) from None

    async def aclose(self) -> None:
        """Leave the endpoint to the others."""
        self._leave()


def _nobody(scraped: Round) -> Nothing:
    """Why none of the pods answered: what all of them have in common, or else that they are down."""
    told = list(scraped.silent.values())
    if not told:
        return Nothing(Silence.TIMEOUT, "no pod answered in time")
    reasons = {nothing.reason for nothing in told}
    reason = told[0].reason if len(reasons) == 1 else Silence.SOURCE_DOWN
    return Nothing(reason, f"no pod answered with metrics; one of {len(told)}: {told[0].detail}")
