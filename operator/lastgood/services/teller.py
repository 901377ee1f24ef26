"""Tells what was decided: status when something flipped, an Event when a condition did, a log line for each."""

import time
from dataclasses import replace

import structlog

from lastgood.domain.decide import Condition, Decision
from lastgood.domain.ports import Cluster
from lastgood.domain.status import merge_conditions, to_status
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.table import Service, shared

_log = structlog.get_logger(__name__)


class Teller:
    """Writer of MonitoredService status and Events."""

    def __init__(self, cluster: Cluster, metrics: Metrics, events: Events) -> None:
        self._cluster, self._metrics, self._events = cluster, metrics, events

    async def write(self, service: Service, decision: Decision) -> None:
        """Write what flipped, and nothing when nothing did."""
        now = time.time()
        conditions = self._settled(service, decision.conditions)
        wanted = to_status(service.memory)
        wanted["observedGeneration"] = service.generation
        wanted["conditions"] = merge_conditions(
            service.status.get("conditions") or (), conditions, service.generation, now
        )
        change = {
            k: v
            for k, v in wanted.items()
            if service.status.get(k) != v and not (v in (None, [], "") and not service.status.get(k))
        }
        if not change:
            return
        written = await self._cluster.merge_status("monitoredservices", *service.key, change)
        service.status = {**service.status, **wanted, **shared(written.get("status") or {})}
        self._tell(service, conditions)

    @staticmethod
    def _settled(service: Service, conditions: tuple[Condition, ...]) -> list[Condition]:
        """Keep the old words while a condition stands as it stood: a message that ticks would be a heartbeat."""
        old = {c["type"]: c for c in service.status.get("conditions") or ()}
        kept = []
        for condition in conditions:
            was = old.get(condition.type)
            if was and (was["status"], was["reason"]) == (condition.status, condition.reason):
                stable = condition.type in {"Healthy", "RollingBack"} and condition.reason != "InProgress"
                kept.append(replace(condition, message=was.get("message", "")) if stable else condition)
            else:
                kept.append(condition)
        return kept

    def _tell(self, service: Service, conditions: list[Condition]) -> None:
        for condition in conditions:
            said = (condition.status, condition.reason)
            before = service.said.get(condition.type)
            service.said[condition.type] = said
            if before == said or (before is None and condition.status != "False"):
                continue
            if condition.type == "RollingBack":
                self._metrics.decisions.labels(condition.reason).inc()
                if condition.reason in {"NotNeeded", "InProgress", "Starting", "Disabled"}:
                    continue
            bad = condition.status == "False" and condition.type != "StableRevisionKnown"
            event = {"Healthy": {"True": "Healthy", "False": "Unhealthy", "Unknown": "HealthUnknown"}[condition.status]}
            reason = event.get(condition.type, condition.reason)
            if condition.type == "RollingBack" and condition.reason != "BreachPending":
                reason = "RollbackBlocked"
            if condition.type in {"StableRevisionKnown", "ObjectivesMet", "BackupsCurrent"}:
                # Each objective and each schedule that flips has an Event of its own.
                continue
            message = condition.message if reason != "RollbackBlocked" else f"{condition.reason}: {condition.message}"
            _log.info(
                "condition",
                service=service.key,
                type=condition.type,
                status=condition.status,
                reason=condition.reason,
                message=condition.message,
            )
            self.event(service, "Warning" if bad else "Normal", reason, message)

    def event(self, service: Service, kind: str, reason: str, message: str) -> None:
        """Have an Event about a service written."""
        self._events.tell(service.reference(), kind, reason, message)
