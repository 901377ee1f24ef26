"""What /metrics shows. Documented in docs/metrics.md; a test holds the two together.

What is counted for every probe is kept in plain numbers and made into metrics when somebody asks: a counter of
prometheus_client takes a lock, a histogram three, and a label set of its own for each service a kilobyte.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lastgood.domain.model import Key
from lastgood.domain.outcome import Outcome, ProbeReason

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5)


class Spread:
    """How often durations fell between which bounds."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._total = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Tell a histogram."""
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(self._counts), strict=True)), self._total)


class _OfOneKind:
    """Outcomes of probes of one kind."""

    __slots__ = ("reasons", "seconds")

    def __init__(self) -> None:
        self.reasons: defaultdict[ProbeReason, int] = defaultdict(int)
        self.seconds = Spread(_FAST)


class _Probing(Collector):
    """Tells what the fleet counts. Called in a thread of the web server's: looks at copies."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """All families, with their samples as they are now."""
        outcomes = CounterMetricFamily("lastgood_probe_outcomes", "Probe outcomes.", labels=["kind", "reason"])
        durations = HistogramMetricFamily("lastgood_probe_duration_seconds", "Duration of probes.", labels=["kind"])
        lag = HistogramMetricFamily("lastgood_probe_start_lag_seconds", "How late probes start after they are due.")
        health = GaugeMetricFamily(
            "lastgood_service_healthy", "1 healthy, 0 failing, -1 unknown.", labels=["namespace", "service"]
        )
        for kind, seen in list(self._metrics.probes.items()):
            for reason, count in list(seen.reasons.items()):
                outcomes.add_metric([kind, str(reason)], count)
            seen.seconds.add_to(durations, kind)
        self._metrics.lag.add_to(lag)
        for key, value in list(self._metrics.health.items()):
            health.add_metric(key, value)
        yield from (outcomes, durations, lag, health)


class Metrics:
    """All metrics of one operator, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.probes: defaultdict[str, _OfOneKind] = defaultdict(_OfOneKind)
        """Outcomes by kind of probe."""
        self.lag = Spread(_LAG)
        self.health: dict[Key, int] = {}
        """By service: 1 healthy, 0 failing, -1 unknown."""
        self.registry.register(_Probing(self))
        self.skipped = Counter(
            "lastgood_probe_skipped",
            "Probes not started because the one before was still in flight.",
            registry=self.registry,
        )
        self.decisions = Counter(
            "lastgood_rollback_verdicts",
            "Changes of the RollingBack condition, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.rollbacks = Counter("lastgood_rollbacks", "Ended rollbacks.", ["result", "reason"], registry=self.registry)
        self.writes = Counter(
            "lastgood_api_writes", "Writes to the API server.", ["verb", "kind", "status"], registry=self.registry
        )
        self.services = Gauge("lastgood_services", "MonitoredServices known.", registry=self.registry)
        self.scheduled = Gauge("lastgood_probes_scheduled", "Probes on the schedule.", registry=self.registry)
        self.leader = Gauge("lastgood_leader", "1 while this process holds the Lease.", registry=self.registry)
        self.reaction = Histogram(
            "lastgood_reaction_seconds",
            "From the failing outcome that completed a breach to the accepted patch.",
            buckets=_FAST,
            registry=self.registry,
        )

    def count_outcome(self, kind: str, outcome: Outcome) -> None:
        """Count one run of a probe."""
        seen = self.probes[kind]
        seen.reasons[outcome.reason] += 1
        seen.seconds.observe(outcome.seconds)

    def count_write(self, verb: str, kind: str, status: int) -> None:
        """Count one write to the API server."""
        self.writes.labels(verb, kind, str(status)).inc()
