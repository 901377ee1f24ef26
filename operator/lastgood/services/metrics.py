"""What /metrics shows. Documented in docs/metrics.md; a test holds the two together."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """All metrics of one operator, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.probes = Counter("lastgood_probe_outcomes", "Probe outcomes.", ["kind", "reason"], registry=self.registry)
        self.probe_seconds = Histogram(
            "lastgood_probe_duration_seconds", "Duration of probes.", ["kind"], buckets=_FAST, registry=self.registry
        )
        self.lag = Histogram(
            "lastgood_probe_start_lag_seconds",
            "How late probes start after they are due.",
            buckets=(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5),
            registry=self.registry,
        )
        self.skipped = Counter(
            "lastgood_probe_skipped",
            "Probes not started because the one before was still in flight.",
            registry=self.registry,
        )
        self.health = Gauge(
            "lastgood_service_healthy",
            "1 healthy, 0 failing, -1 unknown.",
            ["namespace", "service"],
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

    def count_write(self, verb: str, kind: str, status: int) -> None:
        """Count one write to the API server."""
        self.writes.labels(verb, kind, str(status)).inc()
