"""Which series of an answer an objective means, and what they are: numbers or histograms."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lastgood.api.sources import Series
from lastgood.domain.counters import Cumulative
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import shown
from lastgood.probes.jsonquery import compile_pattern
from lastgood.sources.exposition import Reading, labels_of

Key = str
"""The labels of a series in one order, however they are written. One text: tuples take five times the room."""

CODE_LABELS = ("code", "status", "status_code", "http_status_code", "http_response_status_code")
"""Labels in which clients keep an HTTP status code."""

_CODE = re.compile(r"[1-5][0-9][0-9]")
_SUFFIXES = ("_bucket", "_count", "_sum")
_REMEMBERED = 50_000
"""Label sets whose meaning is remembered from one answer to the next."""


class Selector:
    """The series of one metric whose labels match.

    A label that a series does not have is empty, as in PromQL.
    """

    def __init__(self, series: Series) -> None:
        """Compile. Raises BadProbe."""
        if series.metric is None:
            msg = "a scraped indicator names its series: write metric, not query"
            raise BadProbe(msg)
        self.metric = series.metric
        self.shown = shown(series.metric)
        self._patterns: dict[str, Any] = {
            label: compile_pattern(pattern) for label, pattern in (series.labels or {}).items()
        }
        self._known: dict[tuple[bool, bytes], tuple[Key, float | None] | None] = {}

    # Names of samples in which to look.

    @property
    def of_numbers(self) -> tuple[str, ...]:
        """A counter may be named by its family, as OpenMetrics has it, or by its sample."""
        return (self.metric, f"{self.metric}_total")

    @property
    def declared(self) -> str:
        """The name in the TYPE line of OpenMetrics, which leaves a counter's suffix away."""
        return self.metric.removesuffix("_total")

    @property
    def family(self) -> str:
        """The histogram's name, also when one of its samples was named."""
        for suffix in _SUFFIXES:
            if self.metric.endswith(suffix):
                return self.metric.removesuffix(suffix)
        return self.metric

    @property
    def of_histograms(self) -> tuple[str, ...]:
        """Names of a histogram's samples."""
        return (self.family, *(self.family + suffix for suffix in _SUFFIXES))

    # What an answer holds.

    def numbers(self, reading: Reading) -> dict[Key, float] | None:
        """The matching series that have a finite value; None when nothing goes by that name."""
        found = next((name for name in self.of_numbers if name in reading.numbers), None)
        if found is None:
            return {} if any(name in reading.names for name in (*self.of_numbers, self.declared)) else None
        values: dict[Key, float] = {}
        for written, value in reading.numbers[found].items():
            series = self._series(written, buckets=False)
            if series is not None and math.isfinite(value):
                values.setdefault(series[0], value)
        return values

    def histograms(self, reading: Reading) -> dict[Key, Cumulative] | None:
        """The matching histograms and, without bins, summaries; None when nothing goes by that name."""
        names = self.of_histograms
        if not any(name in reading.names for name in names):
            return None
        counts: dict[Key, dict[float, float]] = {}
        for written, value in reading.numbers.get(f"{self.family}_bucket", {}).items():
            series = self._series(written, buckets=True)
            if series is not None and series[1] is not None and _countable(value):
                counts.setdefault(series[0], {}).setdefault(series[1], value)
        totals, sums = self._of(reading, "_count"), self._of(reading, "_sum")
        for key, total in totals.items():
            if _countable(total):
                counts.setdefault(key, {}).setdefault(math.inf, total)
        found = {key: Cumulative(bins, _finite(sums.get(key))) for key, bins in counts.items()}
        for written, histogram in reading.natives.get(self.family, {}).items():
            series = self._series(written, buckets=True)
            if series is not None:
                found.setdefault(series[0], histogram)
        return found

    def has_bins(self, reading: Reading) -> bool:
        """Whether what goes by that name could hold bins."""
        plain = any(name in reading.numbers for name in (self.family, f"{self.family}_count"))
        return not plain or f"{self.family}_bucket" in reading.numbers or self.family in reading.natives

    def _of(self, reading: Reading, suffix: str) -> dict[Key, float]:
        values: dict[Key, float] = {}
        for written, value in reading.numbers.get(self.family + suffix, {}).items():
            series = self._series(written, buckets=True)
            if series is not None:
                values.setdefault(series[0], value)
        return values

    def _series(self, written: bytes, *, buckets: bool) -> tuple[Key, float | None] | None:
        """Its labels, and the bound where it is a bin; None when it is not meant."""
        try:
            return self._known[buckets, written]
        except KeyError:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            series = self._known[buckets, written] = self._read(labels_of(written), buckets=buckets)
            return series

    def _read(self, labels: dict[str, str], *, buckets: bool) -> tuple[Key, float | None] | None:
        bound = _bound(labels.pop("le", None)) if buckets else None
        if not all(pattern.fullmatch(labels.get(label, "")) for label, pattern in self._patterns.items()):
            return None
        return "\0".join(part for pair in sorted(labels.items()) for part in pair), bound


def _countable(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _bound(text: str | None) -> float | None:
    try:
        bound = float(text) if text is not None else None
    except ValueError:
        return None
    return None if bound is None or math.isnan(bound) else bound


def code_in(labels: Mapping[str, str]) -> int | None:
    """The HTTP status code that labels tell; None when they tell none."""
    for label in CODE_LABELS:
        if _CODE.fullmatch(labels.get(label, "")):
            return int(labels[label])
    return None


@lru_cache(maxsize=10_000)
def code_of(key: Key) -> int | None:
    """The HTTP status code among the labels of a series."""
    parts = key.split("\0")
    return code_in(dict(zip(parts[::2], parts[1::2], strict=False)))


def known(readings: Mapping[str, dict[Key, Any] | None]) -> bool:
    """Whether the metric is there at all, in any pod."""
    return any(found is not None for found in readings.values())
