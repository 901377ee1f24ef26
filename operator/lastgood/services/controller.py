"""The reconcile of one service: gather, decide, act, tell. Level-based: it may be called at any time."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import structlog

from lastgood.domain.backups.current import with_points
from lastgood.domain.backups.pods import Options
from lastgood.domain.decide import (
    Decision,
    RecordGood,
    StartRollback,
    decide,
    evidence,
)
from lastgood.domain.ledger import candidate, newest_other, track, with_good
from lastgood.domain.model import Good, Key, Surroundings, TargetSeen
from lastgood.domain.ports import Cluster, ProbeFactory
from lastgood.domain.sources import SourceFactory
from lastgood.domain.status import from_status, unseen
from lastgood.domain.triggers import Looked, evaluate, first_due
from lastgood.services.accepting import Accepting
from lastgood.services.baselines import Baselines
from lastgood.services.events import Events
from lastgood.services.evidence import Evidence
from lastgood.services.fleet import Fleet
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.objectives import Objectives
from lastgood.services.probing import REFRESH_SECONDS, Probing
from lastgood.services.restores.controller import RestoreController
from lastgood.services.revisions import Revisions
from lastgood.services.rollbacks.ahead import at_once
from lastgood.services.rollbacks.executor import Rollbacks
from lastgood.services.rollbacks.records import is_final
from lastgood.services.rollbacks.underway import Begun, UnderWay
from lastgood.services.surroundings import Around
from lastgood.services.table import Service, Table
from lastgood.services.teller import Teller
from lastgood.services.workqueue import WorkQueue

_log = structlog.get_logger(__name__)
HEAL_SECONDS = 10.0
"""How often a service with a problem (a missing Secret, a missing target) is looked at again."""

BASELINE_SECONDS = 600.0
"""How often it is looked whether much has come to the baselines of good revisions."""


class Controller:
    """Reconciles services while this process leads."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        table: Table,
        factory: ProbeFactory,
        metrics: Metrics,
        sources: SourceFactory,
        minutes: Minutes,
        storm_limit: int = 5,
        jobs: Options | None = None,
    ) -> None:
        self._table, self._metrics = table, metrics
        self._revisions = Revisions(cluster, table)
        events = Events(cluster)
        self._rollbacks = Rollbacks(cluster, table, self._revisions, metrics, events)
        self._teller = Teller(cluster, metrics, events)
        self.restores = RestoreController(cluster, table, metrics, events, jobs or Options(image=""))
        self._around = Around(cluster, table, storm_limit=storm_limit)
        self.queue = WorkQueue(self.reconcile)
        self._accepting = Accepting(cluster, table)
        self.objective_queue = WorkQueue(self._accept)
        self.evidence = Evidence(table, metrics, self._around, self.queue, self._teller)
        self.fleet = Fleet(self.evidence.outcome, on_lag=metrics.lag.observe, on_skip=metrics.skipped.inc)
        self._probing = Probing(cluster, factory, self.fleet, on_health=self.evidence.health)
        self._under_way = UnderWay(
            cluster=cluster,
            table=table,
            rollbacks=self._rollbacks,
            teller=self._teller,
            fleet=self.fleet,
            queue=self.queue,
        )
        metrics.scheduled.set_function(lambda: len(self.fleet))
        self.objectives = Objectives(
            cluster=cluster,
            table=table,
            factory=sources,
            metrics=metrics,
            minutes=minutes,
            look=self.queue.add,
            look_at=self.queue.add_at,
            on_flip=self.evidence.flip,
            on_event=self._teller.event,
        )
        self.evidence.measure = self.objectives.on_outcome
        minutes.on_flip = self.evidence.history_flip
        self._baselines = Baselines(cluster)
        self.leading = False
        self._unobserved = 0.0

    async def lead(self, unobserved: float) -> None:
        """Take over: what status remembers is what we go on from."""
        self._unobserved, self.leading = unobserved, True
        self._metrics.leader.set(1)
        self.restores.lead()
        for service in self._table.services.values():
            service.loaded = False
            self.queue.add(service.key)
        for place in self._table.objectives:
            self.objective_queue.add(place)
        for (namespace, _), rollback in self._table.rollbacks.items():
            if not is_final(rollback):
                self.queue.add((namespace, rollback["spec"]["service"]))

    async def _accept(self, place: Key) -> None:
        if self.leading:
            await self._accepting.tell(place)

    async def run(self) -> None:
        """Probe, measure and reconcile until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self.fleet, self.queue, self.objectives, self.objective_queue, self.restores.queue):
                group.create_task(work.run())
            group.create_task(self._keep_baselines())

    async def _keep_baselines(self) -> None:
        while True:
            await asyncio.sleep(BASELINE_SECONDS)
            for service in list(self._table.services.values()):
                if self.leading and service.tracks and service.loaded:
                    await self._baselines.refresh(service)

    async def resume(self) -> None:
        """The API server is back and nobody else led: what could not be written since is written now."""
        self._around.trouble_at = time.time()
        for key in self._table.services:
            self.queue.add(key)
        self.restores.lead()

    def slept(self, seconds: float) -> None:
        """Count no failure for a time in which this process stood still (a paused machine) and saw nothing."""
        for service in self._table.services.values():
            service.memory = unseen(service.memory, seconds)

    async def follow(self) -> None:
        """Stop probing and acting, go on watching."""
        self.leading = False
        self._metrics.leader.set(0)
        self.queue.clear()
        self.objective_queue.clear()
        self.restores.follow()
        for key in list(self._table.services):
            self.fleet.remove(key)
            self._table.services[key].prepared_for = (-1, 0)
            self.objectives.remove(self._table.services[key])

    def forget(self, service: Service) -> None:
        """A service was deleted."""
        key = service.key
        self.fleet.remove(key)
        self.objectives.remove(service)
        self._metrics.forget(key)
        self.queue.forget(key)
        self._around.note(key, "")
        self._metrics.services.set(len(self._table.services))
        for other in self._table.dependents.get(key, ()):
            self.queue.add((key[0], other[1]))

    async def reconcile(self, key: Key) -> None:
        """Bring one service to where it should be."""
        if not self.leading:
            return
        service = self._table.services.get(key)
        if service is None:
            await self._under_way.orphans(key)
            return
        if not service.loaded:
            self._load(service)
        await self._probing.prepare(service)
        await self.objectives.prepare(service)
        seen = await self._revisions.see(service)
        # One time for both: a breach that came due between them would be judged without what speaks against it.
        now = time.time()
        around = await self._gather(service, seen, now)
        decision = decide(service=key[1], plan=service.plan, memory=service.memory, seen=seen, around=around, now=now)
        await self._adopt(service, decision)
        service.memory = with_points(service.memory, around.schedules)
        begun = None
        for action in decision.actions:
            match action:
                case RecordGood():
                    await self._record(service, action)
                case StartRollback():
                    begun = await self._under_way.start(service, action)
        if decision.actions:
            service.memory = with_points(service.memory, around.schedules)
            decision = decide(
                service=key[1], plan=service.plan, memory=service.memory, seen=seen, around=around, now=now
            )
        await self._baselines.load(service)
        rolling = decision.conditions[-1]
        service.blocked = rolling.status == "False" and rolling.reason not in {"NotNeeded", "BreachPending"}
        if service.blocked or not decision.breaches:
            service.breach_outcome_at = 0.0
        again = await self._tell_and_carry_on(service, decision, begun)
        if service.litter:
            # Once status no longer names them; a process that dies before this leaves it to the next one's sweep.
            await self._revisions.sweep(service)
            service.litter = False
        wishes = [at for at in (decision.recheck_at, again) if at is not None]
        if around.problems or seen is None:
            wishes.append(time.time() + HEAL_SECONDS)
        elif service.refers or service.measures:
            wishes.append(time.time() + REFRESH_SECONDS)
        if wishes:
            # The time that a breach is due at may be among them.
            self.queue.add_at(key, min(wishes) - time.time(), urgent=bool(decision.breaches) and not service.blocked)

    async def _tell_and_carry_on(self, service: Service, decision: Decision, begun: Begun | None) -> float | None:
        """Write status, and take Rollbacks further; at once where there is one, which waits for the other in time."""
        if all(mark.outcome for mark in service.memory.marks):
            await self._teller.write(service, decision)
            return await self._under_way.carry_on(service)
        telling = asyncio.create_task(self._teller.write(service, decision))
        _, again = await at_once(telling, self._under_way.carry_on(service, telling, begun))
        return cast("float | None", again)

    async def _gather(self, service: Service, seen: TargetSeen | None, now: float) -> Surroundings:
        """Surroundings; what costs requests is only asked for when a rollback may follow."""
        plan, looked = service.plan, self.objectives.looked(service)
        bare = Surroundings(objectives=looked)
        breaches, _ = evaluate(plan.all_triggers, evidence(service.memory, bare, now), service.memory.runs, now)
        due = None if plan.suspend else first_due(breaches, now)
        if due is not None and not service.blocked and not service.breach_outcome_at:
            service.breach_outcome_at = time.time()
        acting = due is not None and plan.policy != "Disabled" and all(m.outcome for m in service.memory.marks)
        target = newest_other(service.memory, seen.key) if acting and seen is not None else None
        since = due.since if due is not None and acting else None
        around, missing = await self._look_around(service, since, target, looked)
        around = replace(around, missing_configs=missing)
        if any(track.rings is not None for track in service.tracks.values()):
            around = replace(around, history=self._history())
        soaking = candidate(plan, track(service.memory, seen, now), seen, None, now)
        if soaking is not None and soaking.look:
            around = replace(around, rollout=await self._revisions.rollout(service))
        return around

    async def _look_around(
        self, service: Service, since: float | None, target: Good | None, looked: Mapping[str, Looked]
    ) -> tuple[Surroundings, tuple[str, ...]]:
        look = self._around.look(service, since=since, missing=(), objectives=looked)
        if target is None:
            return await look, ()
        around, missing = await at_once(look, self._revisions.missing(service, target))
        return around, missing

    async def _adopt(self, service: Service, decision: Decision) -> None:
        """Go on with what was decided, and begin to measure anew when another revision runs."""
        before, service.memory = service.memory, decision.memory
        current, was = decision.memory.current, before.current
        if was is not None and current is not None and current.key != was.key:
            if before.ledger and before.ledger[0].key == was.key:
                await self._baselines.keep(service, before.ledger[0].snapshot)
            self.objectives.released(service)
        if bool(before.runs) != bool(decision.memory.runs):
            self.evidence.health(service)

    def _history(self) -> tuple[str, str]:
        state = self.objectives.minutes.state
        return str(state.reason), state.message

    def _load(self, service: Service) -> None:
        try:
            service.memory = from_status(service.status, unobserved=self._unobserved)
        except (KeyError, ValueError, TypeError) as error:
            # Somebody wrote into status: begin anew rather than act on what cannot be read.
            _log.warning("status not readable, begun anew", service=service.key, error=type(error).__name__)
            service.status = {}
            service.memory = from_status({})
        service.said = {c["type"]: (c["status"], c["reason"]) for c in service.status.get("conditions") or ()}
        service.loaded = True
        self.evidence.health(service)

    async def _record(self, service: Service, action: RecordGood) -> None:
        good = await self._revisions.keep(service, action.key, time.time())
        if good is None:
            self.queue.add_at(service.key, 1)
            return
        service.memory, dropped = with_good(service.memory, good, service.plan.keep)
        await self._baselines.keep(service, good.snapshot)
        service.litter = service.litter or bool(dropped)
        _log.info("good revision", service=service.key, version=good.label, revision=good.revision, key=good.key)
        self._teller.event(
            service, "Normal", "RevisionGood", f"{good.label} (revision {good.revision}) was seen to be good"
        )
        if service.plan.copy_secrets:
            problem = await self._revisions.copies.keep(service.key, good.snapshot, good.configs)
            if problem:
                self._teller.event(
                    service, "Warning", "SecretsNotCopied", f"Secrets of {good.label} are not copied: {problem}"
                )
