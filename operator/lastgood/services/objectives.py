"""Objectives of services at run time: their sources are asked, each sample is judged, what flips is told."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from lastgood.domain.budget import event as budget_event
from lastgood.domain.budget import told
from lastgood.domain.health import Health
from lastgood.domain.measure import Counts, Nothing, Sample, Silence
from lastgood.domain.model import Key, Memory
from lastgood.domain.objective import ObjectiveState, Standing, flipped
from lastgood.domain.outcome import Outcome
from lastgood.domain.ports import Cluster
from lastgood.domain.sources import SourceFactory
from lastgood.domain.steady import Run
from lastgood.domain.track import Track, of_outcome
from lastgood.domain.triggers import Evidence, Looked, evaluate
from lastgood.services import preparation, sampling
from lastgood.services.fleet import Fleet
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.table import Service, Table

REFRESH_SECONDS = 300.0
"""How often Secrets that sources use are read again."""

SUSPECT_SECONDS = 30.0
"""The same while an objective is Unknown: a password may have been changed."""

FLUSH_SECONDS = 60.0

CALM_SECONDS = 30.0
"""A value that moves about its target is told so often at most."""

_NEW, _CALM = ObjectiveState(), Health()
_FINE = frozenset({Standing.MET, Standing.AT_RISK})

OnFlip = Callable[[Service, str, ObjectiveState, ObjectiveState], None]
OnEvent = Callable[[Service, str, str, str], None]
"""Of a service: type, reason and message."""


def _fault(error: Exception) -> Sample:
    return Nothing(Silence.SOURCE_DOWN, f"a fault of the operator ({type(error).__name__})")


class Objectives:
    """Belongs to the controller: works while this process leads."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        table: Table,
        factory: SourceFactory,
        metrics: Metrics,
        minutes: Minutes,
        look: Callable[[Key], None],
        look_at: Callable[[Key, float], None],
        on_flip: OnFlip,
        on_event: OnEvent,
    ) -> None:
        self._cluster, self._table, self._factory, self._metrics = cluster, table, factory, metrics
        self._look, self._look_at, self._on_flip, self._on_event = look, look_at, on_flip, on_event
        self.minutes = minutes
        self.fleet = Fleet(self.on_sample, on_lag=metrics.sample_lag.observe, on_fault=_fault)

    async def run(self) -> None:
        """Sample until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fleet.run())
            group.create_task(self._flush())

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.minutes.flush()

    def remove(self, service: Service) -> None:
        """Stop measuring a service."""
        self.fleet.remove(service.key)
        for name, track in service.tracks.items():
            self._settle(service, name, track)
            self._metrics.objectives.pop((*service.key, name), None)
        service.tracks, service.measured_for, service.baseline_of = {}, (0, 0), ""

    async def prepare(self, service: Service) -> None:
        """Have exactly the service's objectives measured, as they are written now."""
        if service.plan.suspend or not service.plan.objectives:
            if service.tracks or service.measured_for != (0, 0):
                self.remove(service)
            service.measure_problems = ()
            self._forget(service, ())
            return
        written = sampling.fingerprint(self._table, service)
        settled = service.measured_for[0] == written and not service.measure_problems
        unknown = any(state.state is Standing.UNKNOWN for state in service.memory.objectives.values())
        patience = SUSPECT_SECONDS if unknown else REFRESH_SECONDS
        if settled and (not service.measures or time.monotonic() - service.measured_at < patience):
            return
        wanted, problems = sampling.specs(self._table, service)
        values, missing = await sampling.gather(self._cluster, service.key[0], wanted)
        service.measured_at = time.monotonic()
        service.measures = any(True for spec in wanted.values() for _ in sampling.references(spec.source))
        measured_for = (written, preparation.fingerprint(values, missing))
        if measured_for == service.measured_for or self._table.services.get(service.key) is not service:
            return
        pods = sampling.Pods(self._cluster, self._table, (service.key[0], service.plan.target))
        measured = sampling.measure(self._factory, service, wanted, values, pods)
        service.measure_problems = tuple(problems + missing + measured.problems)
        for name, track in measured.tracks.items():
            if track.rings is not None and service.tracks.get(name) is not track:
                self.minutes.want(service.key, name, track)
        for name, track in service.tracks.items():
            if measured.tracks.get(name) is not track:
                self._settle(service, name, track)
        for name in service.tracks.keys() - measured.tracks.keys():
            self._metrics.objectives.pop((*service.key, name), None)
        service.tracks, service.measured_for, service.baseline_of = measured.tracks, measured_for, ""
        self.fleet.put(service.key, measured.slots)
        self._forget(service, service.plan.objectives)
        why = "; ".join(problem.message for problem in service.measure_problems)
        for name in service.plan.objectives:
            if name not in measured.tracks:
                self._unmeasured(service, name, why)

    def on_sample(self, key: Key, name: str, kind: str, sample: Sample) -> None:
        """A source has told something, or why it does not."""
        self._metrics.count_sample(kind, sample)
        service = self._table.services.get(key)
        track = service.tracks.get(name) if service is not None and service.loaded else None
        if service is not None and track is not None:
            now = time.time()
            if type(sample) is Counts and sample.codes:
                for code, count in sample.codes.items():
                    track.answered(str(code), now, count)
                    self._metrics.count_answer(key, code, count, objective=name)
            self._take(service, name, track, sample, now)

    def on_outcome(self, service: Service, name: str, outcome: Outcome, now: float) -> None:
        """A probe has ended: it is a sample of the objectives that are measured by it."""
        for objective, track in service.tracks.items():
            if track.probe is not None and track.probe in {"", name}:
                if outcome.code:
                    track.answered(str(outcome.code), now)
                self._take(service, objective, track, of_outcome(track.plan.kind, outcome), now)

    def released(self, service: Service) -> None:
        """Another revision runs: begin to measure anew."""
        for track in service.tracks.values():
            track.release()
        service.baseline_of = ""

    @staticmethod
    def _settle(service: Service, name: str, track: Track) -> None:
        """Remember what only the track knows of a state, before it goes: when the latest sample came."""
        if (state := service.memory.objectives.get(name)) is not None:
            cast("dict[str, ObjectiveState]", service.memory.objectives)[name] = track.settled(state)

    @staticmethod
    def looked(service: Service) -> dict[str, Looked]:
        """What triggers look at."""
        memory = service.memory
        return {
            name: track.looked(memory.objectives.get(name, _NEW), proven=memory.proofs.get(name) == track.definition)
            for name, track in service.tracks.items()
            if track.at
        }

    def _take(self, service: Service, name: str, track: Track, sample: Sample, now: float) -> None:
        memory = service.memory
        before, burnt = memory.objectives.get(name, _NEW), track.burn
        steady = (
            track.recorder is not None
            and memory.complete_since is not None
            and all(mark.outcome for mark in memory.marks)
        )
        state, minute = track.take(sample, before, now, steady=steady)
        if minute is not None:
            self.minutes.put(service.key, name, minute)
        if state is before and track.burn is burnt and self._settled(memory, name, track, state):
            # Most of all samples end here.
            return
        self._metrics.objectives[(*service.key, name)] = (track, state)
        changed = flipped(before, state) or name not in memory.objectives
        if changed:
            service.memory = memory = replace(memory, objectives={**memory.objectives, name: state})
        else:
            # Nothing that anybody compares has changed: in place.
            cast("dict[str, ObjectiveState]", memory.objectives)[name] = state
        urgent = self._note_fine(service, name, track, state, now)
        urgent = self._follow_triggers(service, name, track, state, now) or urgent
        # Until what came before this process is loaded, status knows better.
        budget = told(track.burn) if track.burn is not None and not track.awaiting else None
        was = memory.budgets.get(name)
        if budget is not None and was != budget:
            service.memory = replace(service.memory, budgets={**service.memory.budgets, name: budget})
            changed = True
            event = budget_event(name, track.plan.budget, was, track.burn) if track.burn and track.plan.budget else None
            if event is not None:
                urgent = True
                self._on_event(service, *event)
        if changed and {before.state, state.state} <= _FINE and not urgent and before.since:
            self._look_at(service.key, CALM_SECONDS)
        elif changed or urgent:
            self._look(service.key)
        if (before.state, before.severity) != (state.state, state.severity):
            self._on_flip(service, name, before, state)

    @staticmethod
    def _settled(memory: Memory, name: str, track: Track, state: ObjectiveState) -> bool:
        """Whether all that follows from a state that has not changed was seen to already."""
        if track.triggers and not (track.steady_triggers and memory.runs.keys().isdisjoint(track.run_keys)):
            return False
        fine = state.state in _FINE and not state.failing
        return (name in memory.fine) is fine and (not fine or memory.proofs.get(name) == track.definition)

    @staticmethod
    def _note_fine(service: Service, name: str, track: Track, state: ObjectiveState, now: float) -> bool:
        """Remember since when an objective is fine, and that it can be; whether that is new."""
        memory = service.memory
        if state.state not in _FINE or state.failing:
            # An alert that has not lasted yet is no breach, and no ground to call a revision good either.
            if name in memory.fine:
                service.memory = replace(memory, fine={n: at for n, at in memory.fine.items() if n != name})
            return False
        new = False
        if state.fresh and name not in memory.fine:
            memory, new = replace(memory, fine={**memory.fine, name: now}), True
        if state.fresh and memory.proofs.get(name) != track.definition:
            memory, new = replace(memory, proofs={**memory.proofs, name: track.definition}), True
        service.memory = memory
        return new

    @staticmethod
    def _follow_triggers(service: Service, name: str, track: Track, state: ObjectiveState, now: float) -> bool:
        """Follow the runs of the triggers that look at this objective; whether somebody has to look."""
        if not track.triggers:
            return False
        runs = service.memory.runs
        before = {key: runs[key] for key in track.run_keys if key in runs}
        looked = track.looked(state, proven=service.memory.proofs.get(name) == track.definition)
        evidence = Evidence(_CALM, objectives={name: looked})
        breaches, after = evaluate(track.triggers, evidence, before, now)
        if not before and not after:
            return False
        others = {key: run for key, run in runs.items() if key not in before}
        service.memory = replace(service.memory, runs={**others, **after})
        return _starts(before) != _starts(after) or any(breach.due(now) for breach in breaches)

    def _unmeasured(self, service: Service, name: str, why: str) -> None:
        before = service.memory.objectives.get(name, _NEW)
        if before.state is Standing.UNKNOWN and before.reason == "NotMeasured":
            return
        state = ObjectiveState(Standing.UNKNOWN, "", time.time(), "NotMeasured", why[:512])
        memory = service.memory
        fine = {n: at for n, at in memory.fine.items() if n != name}
        service.memory = replace(memory, objectives={**memory.objectives, name: state}, fine=fine)

    @staticmethod
    def _forget(service: Service, wanted: tuple[str, ...]) -> None:
        """Drop what is remembered of objectives that the service no longer has."""
        memory = service.memory
        if memory.objectives.keys() <= set(wanted) and memory.budgets.keys() <= set(wanted):
            return
        service.memory = _only(memory, set(wanted))


def _only(memory: Memory, wanted: set[str]) -> Memory:
    return replace(
        memory,
        objectives={n: s for n, s in memory.objectives.items() if n in wanted},
        proofs={n: p for n, p in memory.proofs.items() if n in wanted},
        budgets={n: b for n, b in memory.budgets.items() if n in wanted},
        fine={n: at for n, at in memory.fine.items() if n in wanted},
        runs={key: run for key, run in memory.runs.items() if key.split("/")[1] in wanted},
    )


def _starts(runs: dict[str, Run]) -> dict[str, float]:
    return {key: run.since for key, run in runs.items()}
