"""What /metrics shows. Documented in docs/metrics.md; a test holds the two together.

What is counted for every probe is kept in plain numbers and made into metrics when somebody asks: a counter of
prometheus_client takes a lock, a histogram three, and a label set of its own for each service a kilobyte.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from lastgood.domain.measure import Nothing, Sample
from lastgood.domain.model import Key
from lastgood.domain.objective import ObjectiveState, Standing
from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.track import Track

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_REACTION = (0.01, 0.025, 0.05, 0.06, 0.075, 0.09, 0.1, 0.11, 0.125, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30)
"""Close together about a tenth of a second, which is what it should stay below."""
_LONG = (30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
_LAG = (0.01, 0.025, 0.05, 0.055, 0.06, 0.075, 0.1, 0.25, 0.5, 1, 5)
"""Close together beyond a tick's length: a quantile is interpolated, and there is where the latest of a tick are."""


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


@dataclass(frozen=True, slots=True)
class BackupsShown:
    """What is told of one schedule."""

    ages: Mapping[str, float | None]
    """By repository: the last time that can be recovered."""
    restored_at: float | None
    status: Mapping[str, Any]


_STANDINGS = {Standing.MET: 0, Standing.AT_RISK: 1, Standing.BREACHED: 2, Standing.UNKNOWN: -1}


class _Measuring(Collector):
    """Tells what objectives measure. Called in a thread of the web server's: looks at copies."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """All families, with their samples as they are now."""
        names = ["namespace", "service", "objective"]
        standing = GaugeMetricFamily(
            "lastgood_objective_state", "0 met, 1 at risk, 2 breached, -1 unknown.", labels=names
        )
        value = GaugeMetricFamily("lastgood_objective_value", "What its window holds, in base units.", labels=names)
        left = GaugeMetricFamily("lastgood_objective_budget_left", "Share of the error budget left.", labels=names)
        burning = GaugeMetricFamily(
            "lastgood_objective_burn_rate", "Burn rate over the long window of an alert.", labels=[*names, "alert"]
        )
        fires = GaugeMetricFamily(
            "lastgood_objective_budget_burning",
            "1 for the severity of the alert that fires.",
            labels=[*names, "severity"],
        )
        exhausted = GaugeMetricFamily(
            "lastgood_objective_budget_exhausted_seconds", "Forecast: until the budget is spent.", labels=names
        )
        samples = CounterMetricFamily("lastgood_source_samples", "Samples of sources.", labels=["kind", "result"])
        for key, (track, state) in list(self._metrics.objectives.items()):
            standing.add_metric(key, _STANDINGS[state.state])
            if track.value is not None:
                value.add_metric(key, track.value)
            burn = track.burn
            if burn is not None and burn.left is not None and not track.awaiting:
                left.add_metric(key, burn.left)
                for window in burn.windows:
                    if window.long is not None:
                        burning.add_metric([*key, f"{window.window.rate:g}"], window.long)
                if burn.severity:
                    fires.add_metric([*key, burn.severity], 1)
                if burn.exhausted_in is not None:
                    exhausted.add_metric(key, burn.exhausted_in)
        for (kind, result), count in list(self._metrics.samples.items()):
            samples.add_metric([kind, result], count)
        yield from (standing, value, left, burning, fires, exhausted, samples)


class _BackingUp(Collector):
    """Tells how schedules stand. Called in a thread of the web server's: looks at copies."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """All families, with their samples as they are now."""
        names, now = ["namespace", "schedule"], time.time()
        age = GaugeMetricFamily(
            "lastgood_backup_age_seconds", "Age of the last time that can be recovered.", labels=[*names, "repository"]
        )
        points = GaugeMetricFamily("lastgood_backup_points", "Usable points.", labels=[*names, "repository"])
        size = GaugeMetricFamily("lastgood_backup_repository_bytes", "Size.", labels=[*names, "repository"])
        took = GaugeMetricFamily("lastgood_backup_run_seconds", "Of the newest good run.", labels=[*names, "task"])
        verified = GaugeMetricFamily(
            "lastgood_backup_verified_age_seconds", "Since a restore test last passed.", labels=names
        )
        met = GaugeMetricFamily(
            "lastgood_backup_condition", "1 true, 0 false, -1 unknown.", labels=[*names, "condition"]
        )
        runs = CounterMetricFamily("lastgood_backup_runs", "Ended runs.", labels=[*names, "task", "result"])
        for key, shown in list(self._metrics.backups.items()):
            for repository, until in shown.ages.items():
                if until is not None:
                    age.add_metric([*key, repository], max(0.0, now - until))
            for entry in shown.status.get("repositories") or ():
                points.add_metric([*key, entry["name"]], entry.get("points") or 0)
                size.add_metric([*key, entry["name"]], entry.get("sizeBytes") or 0)
            for run in shown.status.get("runs") or ():
                if run.get("lastSuccess"):
                    took.add_metric([*key, run["name"]], run.get("seconds") or 0)
            if shown.restored_at is not None:
                verified.add_metric(key, max(0.0, now - shown.restored_at))
            for condition in shown.status.get("conditions") or ():
                value = {"True": 1, "False": 0}.get(condition["status"], -1)
                met.add_metric([*key, condition["type"]], value)
        for place, count in list(self._metrics.backup_runs.items()):
            runs.add_metric(place, count)
        yield from (age, points, size, took, verified, met, runs)


class _Probing(Collector):
    """Tells what the fleet counts. Called in a thread of the web server's: looks at copies."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """All families, with their samples as they are now."""
        outcomes = CounterMetricFamily("lastgood_probe_outcomes", "Probe outcomes.", labels=["kind", "reason"])
        durations = HistogramMetricFamily("lastgood_probe_duration_seconds", "Duration of probes.", labels=["kind"])
        lag = HistogramMetricFamily("lastgood_probe_start_lag_seconds", "How late probes start after they are due.")
        for kind, seen in list(self._metrics.probes.items()):
            for reason, count in list(seen.reasons.items()):
                outcomes.add_metric([kind, str(reason)], count)
            seen.seconds.add_to(durations, kind)
        self._metrics.lag.add_to(lag)
        yield from (outcomes, durations, lag)


class Metrics:
    """All metrics of one operator, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.probes: defaultdict[str, _OfOneKind] = defaultdict(_OfOneKind)
        """Outcomes by kind of probe."""
        self.lag = Spread(_LAG)
        self.health: dict[Key, int] = {}
        """By service: 1 healthy, 0 failing, -1 unknown."""
        self.objectives: dict[tuple[str, str, str], tuple[Track, ObjectiveState]] = {}
        """By namespace, service and objective: as the latest sample left it."""
        self.samples: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By kind of source, and "OK" or why there was nothing."""
        self.answers: defaultdict[tuple[str, str, str, int], float] = defaultdict(float)
        """By namespace, service, objective (none for probes) and status code."""
        self.sample_lag = Spread(_LAG)
        self.registry.register(_Probing(self))
        self.registry.register(_Measuring(self))
        self.backups: dict[Key, BackupsShown] = {}
        """By schedule: as last judged."""
        self.backup_runs: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        """By namespace, schedule, task and result."""
        self.registry.register(_BackingUp(self))
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
        self.restores = Counter("lastgood_restores", "Ended restores.", ["result", "reason"], registry=self.registry)
        self.restore_seconds = Histogram(
            "lastgood_restore_seconds",
            "From the start to the end of restores that succeeded.",
            buckets=_LONG,
            registry=self.registry,
        )
        self.writes = Counter(
            "lastgood_api_writes", "Writes to the API server.", ["verb", "kind", "status"], registry=self.registry
        )
        self.signals = Counter(
            "lastgood_signals", "Signals sent to this process.", ["type", "result"], registry=self.registry
        )
        self.services = Gauge("lastgood_services", "MonitoredServices known.", registry=self.registry)
        self.scheduled = Gauge("lastgood_probes_scheduled", "Probes on the schedule.", registry=self.registry)
        self.history_kept = Gauge(
            "lastgood_history_kept",
            "1 while minutes reach the store, 0 without one.",
            registry=self.registry,
        )
        self.history_waiting = Gauge(
            "lastgood_history_waiting_minutes", "Minutes that the store does not have yet.", registry=self.registry
        )
        self.leader = Gauge("lastgood_leader", "1 while this process holds the Lease.", registry=self.registry)
        self.reaction = Histogram(
            "lastgood_reaction_seconds",
            "From the failing outcome that completed a breach to the accepted patch.",
            buckets=_REACTION,
            registry=self.registry,
        )

    def page(self) -> bytes:
        """All metrics in Prometheus' text format.

        What every service has is written here: the library takes some ten times as long for a line, and while a
        thread computes, each turn of the event loop waits for it. Names of objects need no escape.
        """
        answers = (
            f'lastgood_http_answers_total{{class="{code // 100}xx",code="{code}",'
            f'namespace="{namespace}",objective="{objective}",service="{service}"}} {count}\n'
            for (namespace, service, objective, code), count in list(self.answers.items())
        )
        health = (
            f'lastgood_service_healthy{{namespace="{namespace}",service="{service}"}} {value}.0\n'
            for (namespace, service), value in list(self.health.items())
        )
        own = (
            "# HELP lastgood_http_answers_total Answers to probes, and those that sources count.\n",
            "# TYPE lastgood_http_answers_total counter\n",
            *answers,
            "# HELP lastgood_service_healthy 1 healthy, 0 failing, -1 unknown.\n",
            "# TYPE lastgood_service_healthy gauge\n",
            *health,
        )
        return generate_latest(self.registry) + "".join(own).encode()

    def count_outcome(self, kind: str, outcome: Outcome) -> None:
        """Count one run of a probe."""
        seen = self.probes[kind]
        seen.reasons[outcome.reason] += 1
        seen.seconds.observe(outcome.seconds)

    def forget(self, key: Key) -> None:
        """Tell nothing of a service that is gone."""
        self.health.pop(key, None)
        for place in [place for place in list(self.answers) if place[:2] == key]:
            del self.answers[place]

    def count_answer(self, key: Key, code: int, count: float = 1, *, objective: str = "") -> None:
        """Count answers by their status code: to a probe, or as the source of an objective tells of them."""
        self.answers[(*key, objective, code)] += count

    def count_sample(self, kind: str, sample: Sample) -> None:
        """Count one look of a source."""
        self.samples[(kind, str(sample.reason) if isinstance(sample, Nothing) else "OK")] += 1

    def show_backups(
        self, key: Key, ages: Mapping[str, float | None], restored_at: float | None, status: Mapping[str, Any]
    ) -> None:
        """Tell of a schedule from now on what was judged, until it is dropped from ``backups``."""
        self.backups[key] = BackupsShown(ages, restored_at, status)

    def count_runs(self, key: Key, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> None:
        """Count the runs that have ended since, by what status said and says."""
        old = {run["name"]: run for run in before}
        for run in after:
            for field, result in (("lastSuccess", "succeeded"), ("lastFailure", "failed")):
                if run.get(field) and run.get(field) != old.get(run["name"], {}).get(field):
                    self.backup_runs[(*key, run["name"], result)] += 1

    def count_write(self, verb: str, kind: str, status: int) -> None:
        """Count one write to the API server."""
        self.writes.labels(verb, kind, str(status)).inc()
