"""What is seen of services between their reconciles: outcomes of probes, measures that flip, signals."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import structlog

from lastgood.domain.health import ProbeState, Thresholds, combine, observe
from lastgood.domain.model import Key, Memory
from lastgood.domain.objective import ObjectiveState
from lastgood.domain.objective import event as objective_event
from lastgood.domain.outcome import Outcome
from lastgood.domain.status import signals_from_status
from lastgood.services.metrics import Metrics
from lastgood.services.surroundings import Around
from lastgood.services.table import Service, Table
from lastgood.services.teller import Teller
from lastgood.services.workqueue import WorkQueue

_log = structlog.get_logger(__name__)
_TELLING = 3
"""Passes in a row up to which each may complete what a new revision waits for."""

_NEW, _USUAL = ProbeState(), Thresholds()


def _at_front(memory: Memory) -> bool:
    """Whether what runs is the newest good revision."""
    return bool(memory.ledger) and memory.current is not None and memory.ledger[0].key == memory.current.key


class Evidence:
    """Notes what is seen, and has looked at whom it concerns.

    ``measure`` is told each outcome of a service that has objectives on its probes.
    """

    def __init__(self, table: Table, metrics: Metrics, around: Around, queue: WorkQueue, teller: Teller) -> None:
        self._table, self._metrics, self._around = table, metrics, around
        self._queue, self._teller = queue, teller
        self.measure: Callable[[Service, str, Outcome, float], None] = lambda *_: None

    def outcome(self, key: Key, name: str, kind: str, outcome: Outcome) -> None:
        """One probe has ended. The hot path: nothing here awaits or allocates without need."""
        self._metrics.count_outcome(kind, outcome)
        service = self._table.services.get(key)
        if service is None or not service.loaded:
            return
        now = time.time()
        memory = service.memory
        before = memory.probes.get(name, _NEW)
        after = observe(before, outcome, now, service.thresholds.get(name, _USUAL))
        # A probe that could never ask stays Unknown, and yet has a reason from some outcome on.
        flipped = after.state is not before.state or after.since != before.since
        if flipped or name not in memory.probes:
            probes = {**memory.probes, name: after}
            health = combine(memory.health, probes, now)
            service.memory = replace(memory, probes=probes, health=health)
            self.health(service)
        else:
            # Nothing that anybody compares has changed: in place, since this is most of all outcomes.
            cast("dict[str, ProbeState]", memory.probes)[name] = after
            health = memory.health
        if outcome.code:
            self._metrics.count_answer(key, outcome.code)
        if service.tracks:
            self.measure(service, name, outcome, now)
        if flipped or (memory.marks and any(not mark.outcome for mark in memory.marks)):
            self._queue.add(key)
        if health.state == "False":
            if now >= health.since + service.plan.failing_for:
                if not service.blocked and not service.breach_outcome_at:
                    service.breach_outcome_at = now
                self._queue.add(key, urgent=service.breach_outcome_at > 0)
        elif health.state == "True" and after.run_length <= _TELLING and not _at_front(memory):
            self._queue.add(key)

    def health(self, service: Service) -> None:
        """A service is in another state, or may be."""
        memory = service.memory
        state, since = memory.health.state, memory.health.since
        self._metrics.health[service.key] = {"True": 1, "False": 0}.get(state, -1)
        if state != "False" and memory.runs:
            # What it measures counts like its health when one looks for a cause that many share.
            state, since = "False", min(run.since for run in memory.runs.values())
        self._around.note(service.key, state, since)
        for other in self._table.dependents.get(service.key, ()):
            self._queue.add(other)

    def flip(self, service: Service, name: str, before: ObjectiveState, after: ObjectiveState) -> None:
        """An objective stands otherwise than before."""
        self.health(service)
        event = objective_event(name, before, after)
        if event is not None:
            self._teller.event(service, *event)

    def history_flip(self) -> None:
        """Tell it on every service with a budget, spread over half a minute."""
        for place, (key, service) in enumerate(self._table.services.items()):
            if any(track.rings is not None for track in service.tracks.values()):
                self._queue.add_at(key, 30 * (place % 997) / 997)

    def signals(self, service: Service, status: Mapping[str, Any]) -> None:
        """Signals were raised, or have ended: whoever takes them writes them into status."""
        if not status.get("signals") and not service.status.get("signals") and not service.memory.signals:
            return
        try:
            raised = signals_from_status(status)
        except (KeyError, ValueError, TypeError) as error:
            _log.warning("signals not readable", service=service.key, error=type(error).__name__)
            return
        # Kept for a process that loses the Lease and has it again, and begins from status.
        service.status = {**service.status, "signals": status.get("signals") or []}
        if raised != service.memory.signals:
            service.memory = replace(service.memory, signals=raised)
            self._queue.add(service.key)
