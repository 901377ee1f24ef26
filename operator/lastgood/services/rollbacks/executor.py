"""Carries out what `domain.rollback.advance` says, one step at a time, each told in the Rollback's status."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog

from lastgood.domain.model import Good, Memory, TargetSeen
from lastgood.domain.observed import sketch
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.revision import difference
from lastgood.domain.rollback import STEPS, Do, Next, RollbackSeen, advance
from lastgood.domain.rollbackstatus import Change, both, end_change, identified, step_change
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.revisions import Revisions
from lastgood.services.rollbacks.ahead import Ahead, Facts, at_once, gather
from lastgood.services.rollbacks.data import DataPart
from lastgood.services.rollbacks.putback import PutBack, template_patch
from lastgood.services.rollbacks.records import AWAITING_APPROVAL, rollback_seen
from lastgood.services.table import Service, Table

_log = structlog.get_logger(__name__)
_CONFLICT = frozenset({409, 422})
_TRIES = 5
_NOTHING = Memory()
DATA_SECONDS = 5.0
"""How often a Rollback looks that waits for its Restores and hears nothing of them."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step about to be carried out, and what it was judged by."""

    body: Object
    todo: Next
    service: Service
    facts: Facts
    seen: TargetSeen
    deployment: Object
    target: Good
    ahead: Ahead
    told: asyncio.Future[None] | None

    def patch(self) -> list[Object]:
        """What puts the good template back."""
        from_key = (self.body.get("status") or {}).get("from", {}).get("key", "")
        only_configs = self.seen.template_hash == self.target.template_hash and from_key != self.target.key
        return template_patch(self.deployment, self.facts.kept, self.body, self.target, restart=only_configs)

    def changed_configs(self) -> list[str]:
        """ConfigMaps that are to be put back."""
        now = {c.name: c.hash for c in self.seen.configs if c.kind == "ConfigMap"}
        return [c.name for c in self.target.configs if c.kind == "ConfigMap" and now.get(c.name) != c.hash]


def _waits(rollback: RollbackSeen) -> bool:
    """Whether something stands between what is prepared and the patch: a person's word, or the data's way back."""
    return rollback.data or (rollback.needs_approval and rollback.approval != "Approved")


class Rollbacks:
    """Executor of Rollback objects."""

    def __init__(self, cluster: Cluster, table: Table, revisions: Revisions, metrics: Metrics, events: Events) -> None:
        self._cluster, self._table, self._revisions, self._metrics = cluster, table, revisions, metrics
        self._events = events
        self._data = DataPart(cluster, table)
        self._put_back = PutBack(cluster, table, revisions.copies)

    async def first_look(self, body: Object, service: Service) -> Facts:
        """What the first step of a Rollback is judged by, read while it is being written. Raises ClusterError.

        What runs is kept then, too, where nothing will be waited for: what comes first is ready for one write.
        """
        rollback = rollback_seen(body)
        facts = await gather(self._revisions, rollback, service)
        if facts.seen is None or facts.deployment is None or facts.seen.key != rollback.bad_key or _waits(rollback):
            return facts
        name = await self._revisions.snapshot(service, facts.seen, facts.deployment, purpose="before-rollback")
        return replace(facts, snapshot=(facts.seen.key, name))

    async def carry_on(
        self,
        body: Object,
        service: Service | None,
        told: asyncio.Future[None] | None = None,
        facts: Facts | None = None,
    ) -> tuple[Object, float | None]:
        """Do all that can be done now. Returns the Rollback as it stands and when to look again.

        ``told`` is a write of the service's own status: nothing is put back before it has succeeded. ``facts`` are what
        `first_look` has just read.
        """
        ahead = Ahead(facts)
        for _ in range(len(STEPS) + _TRIES):
            rollback = rollback_seen(body, await self._data.parts(body))
            facts = ahead.take() or (await gather(self._revisions, rollback, service) if service else Facts())
            now = time.time()
            todo = advance(
                rollback=rollback,
                plan=service.plan if service else None,
                memory=service.memory if service else _NOTHING,
                seen=facts.seen,
                # What is missing keeps a rollback from being prepared; what was prepared is patched or fails by itself.
                missing=facts.missing,
                now=now,
            )
            if todo.do is Do.NOTHING:
                return body, None
            if todo.do in {Do.WAIT, Do.AWAIT_APPROVAL}:
                phase = AWAITING_APPROVAL if todo.do is Do.AWAIT_APPROVAL else "Running"
                body = await self._tell(body, todo, "Running", phase=phase)
                again = time.time() + DATA_SECONDS if rollback.parts else None
                return body, todo.recheck_at if todo.recheck_at is not None else again
            body = await self._do(body, todo, service, facts, ahead, told)
            if todo.do in {Do.FAIL, Do.REFUSE, Do.DOCUMENT, Do.REHEARSE}:
                return body, None
        return body, time.time() + 1

    async def _do(
        self,
        body: Object,
        todo: Next,
        service: Service | None,
        facts: Facts,
        ahead: Ahead,
        told: asyncio.Future[None] | None,
    ) -> Object:
        seen, deployment = facts.seen, facts.deployment
        if service is None or seen is None or deployment is None or todo.target is None:
            if todo.do is Do.REFUSE:
                return await self._end(body, todo, service, "Refused")
            return await self._end(body, todo, service, "Failed")
        step = _Step(body, todo, service, facts, seen, deployment, todo.target, ahead, told)
        match todo.do:
            case Do.IDENTIFY:
                return await self._identify(step)
            case Do.PREPARE:
                return await self._prepare(step)
            case Do.ADOPT:
                message = f"the patch to {step.target.label} had been accepted before"
                generation = deployment["metadata"]["generation"]
                return await self._tell(body, replace(todo, message=message), "Done", patchedGeneration=generation)
            case Do.EXECUTE | Do.REHEARSE:
                return await self._patch(step)
            case Do.VALIDATE:
                count = len(service.memory.probes)
                message = f"rollout of {step.target.label} complete and {count} of {count} probes green"
                return await self._tell(body, replace(todo, message=message), "Done")
            case Do.DOCUMENT:
                return await self._end(body, todo, service, "Succeeded")
            case _:
                return await self._end(body, todo, service, "Failed")

    async def _identify(self, step: _Step) -> Object:
        body, seen, target, facts = step.body, step.seen, step.target, step.facts
        todo = replace(step.todo, message=f"{target.label} (revision {target.revision}) was seen to be good")
        fields = identified(seen, target, time.time())
        if facts.snapshot[0] == seen.key and not facts.problem and not _waits(rollback_seen(body)):
            # Nothing stands between the two steps: one write tells of both.
            said = step_change(body, todo, "Done", fields, time.time()) or {}
            drafted = {**body, "status": both(body.get("status") or {}, said)}
            second = replace(step, body=drafted, todo=replace(todo, step="Prepared"))
            return await self._prepare(second, first=(todo, said))
        written, name = await at_once(
            self._tell(body, todo, "Done", **fields),
            self._revisions.snapshot(step.service, seen, step.deployment, purpose="before-rollback"),
        )
        # What is prepared is read again before it is carried out.
        step.ahead.facts = replace(facts, snapshot=(seen.key, name))
        return cast("Object", written)

    async def _prepare(self, step: _Step, first: tuple[Next, Change] | None = None) -> Object:
        """Step Prepared; ``first`` is the step before it where that is not written yet, and its change."""
        body, service, facts, ahead = step.body, step.service, step.facts, step.ahead
        if facts.problem:
            return await self._config_gone(step)
        key, name = facts.snapshot
        if key != step.seen.key:
            name = await self._revisions.snapshot(service, step.seen, step.deployment, purpose="before-rollback")
        diff = difference(step.deployment["spec"]["template"], facts.kept["data"]["template"])
        message = f"the running state is kept in ControllerRevision {name}"
        if changed := step.changed_configs():
            message += f"; ConfigMaps to put back: {', '.join(changed)}"
        fields: dict[str, Any] = {"diff": diff, "from": {"snapshot": name}}
        rollback = rollback_seen(body)
        if rollback.data and not rollback.dry_run:
            # Created before they are noted: killed in between, the same names are found again and adopted.
            fields["restores"] = await self._data.begin(body, service, step.target)
            message += f"; data goes back by {', '.join(fields['restores']) or 'nothing: no backup point was noted'}"
        telling = self._tell(body, replace(step.todo, message=message), "Done", first, **fields)
        if _waits(rollback):
            return await telling
        written, ahead.facts, ahead.rehearsed = await at_once(
            telling, gather(self._revisions, rollback, service, facts), self._rehearse(service, step.patch())
        )
        return cast("Object", written)

    async def _rehearse(self, service: Service, patch: list[Object]) -> list[Object] | None:
        """The patch, when the API server would accept it; why it would not is found out when that matters."""
        try:
            await self._cluster.json_patch("deployments", service.key[0], service.plan.target, patch, dry_run=True)
        except ClusterError:
            return None
        return patch

    async def _config_gone(self, step: _Step) -> Object:
        message = f"{step.target.label} needs {step.facts.problem}, which does not exist"
        todo = replace(step.todo, reason="ConfigGone", message=message)
        return await self._end(step.body, todo, step.service, "Failed")

    async def _patch(self, step: _Step) -> Object:
        body, todo, service, target, facts = step.body, step.todo, step.service, step.target, step.facts
        if facts.problem:
            return await self._config_gone(step)
        patch = step.patch()
        namespace, name = service.key[0], service.plan.target
        try:
            # It names the version that it was made for: the same patch is the same question.
            if patch != step.ahead.rehearsed:
                await self._cluster.json_patch("deployments", namespace, name, patch, dry_run=True)
        except ClusterError as error:
            if error.status in _CONFLICT and await self._moved(service, step.deployment):
                return body
            if error.status in {400, 403, 422}:
                todo = replace(todo, reason="PatchRefused", message=str(error))
                return await self._end(body, todo, service, "Failed")
            raise
        if todo.do is Do.REHEARSE:
            text = f"the API server would accept the patch to {target.label}; nothing was changed"
            return await self._end(body, replace(todo, message=text), service, "DryRun")
        if step.told is not None:
            await step.told
        problem = await self._put_back.configuration(service, target, facts.kept)
        if problem:
            todo = replace(todo, reason="ConfigNotRestored", message=problem)
            return await self._end(body, todo, service, "Failed")
        try:
            patched = await self._cluster.json_patch("deployments", namespace, name, patch)
        except ClusterError as error:
            if error.status in _CONFLICT:
                # Somebody changed the Deployment between our read and our write: look again, decide again.
                return body
            raise
        if service.breach_outcome_at:
            self._metrics.reaction.observe(time.time() - service.breach_outcome_at)
            service.breach_outcome_at = 0.0
        self._table.put_deployment((namespace, name), sketch(patched))
        todo = replace(todo, message=f"pod template put back to {target.label}")
        return await self._tell(body, todo, "Done", patchedGeneration=patched["metadata"]["generation"])

    async def _moved(self, service: Service, deployment: Object) -> bool:
        newest = await self._cluster.get("deployments", service.key[0], service.plan.target)
        return newest is None or newest["metadata"]["resourceVersion"] != deployment["metadata"]["resourceVersion"]

    async def _tell(
        self, body: Object, todo: Next, state: str, first: tuple[Next, Change] | None = None, **fields: Any
    ) -> Object:
        """Write one step, only when it says something new; ``first`` is one before it that goes into the same write."""
        change = step_change(body, todo, state, fields, time.time())
        if change is None:
            return body
        steps = [(todo, state)]
        if first is not None:
            steps, change = [(first[0], "Done"), *steps], both(first[1], change)
        for step, now in steps:
            name = body["metadata"]["name"]
            _log.info("rollback", rollback=name, step=step.step, state=now, message=step.message)
        written = await self._write(body, change)
        for step, now in steps:
            if now == "Done" or step.do is Do.AWAIT_APPROVAL:
                self._events.tell(written, "Normal", step.reason or step.step, step.message)
        return written

    async def _end(self, body: Object, todo: Next, service: Service | None, phase: str) -> Object:
        change = end_change(body, todo, phase, time.time())
        (condition,) = (c for c in change["conditions"] if c["type"] == "Complete")
        reason, message, good = condition["reason"], condition["message"], phase in {"Succeeded", "DryRun"}
        self._metrics.rollbacks.labels(phase, reason).inc()
        log = _log.info if good else _log.warning
        log("rollback ended", rollback=body["metadata"]["name"], phase=phase, reason=reason, message=message)
        written = await self._write(body, change)
        kind = "Normal" if good else "Warning"
        event = {"Succeeded": "RollbackSucceeded", "DryRun": "RollbackRehearsed", "Refused": "RollbackRefused"}
        told = message if good or phase == "Refused" else f"at step {todo.step}: {reason}: {message}"
        self._events.tell(written, kind, event.get(phase, "RollbackFailed"), told)
        if service is not None:
            self._events.tell(service.reference(), kind, event.get(phase, "RollbackFailed"), told)
        return written

    async def _write(self, body: Object, change: Mapping[str, Any]) -> Object:
        metadata = body["metadata"]
        written = await self._cluster.merge_status("rollbacks", metadata["namespace"], metadata["name"], change)
        self._table.put_rollback(written)
        return written
