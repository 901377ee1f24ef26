"""Writes the status of Restores, and the Events and metrics that go with it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from lastgood.api.restore import StepName
from lastgood.domain.clock import from_text, shown, to_text
from lastgood.domain.decide import Condition
from lastgood.domain.ports import Cluster, Object
from lastgood.domain.restores.advance import Do, Next
from lastgood.domain.restores.state import STEPS, Case, RestoreSeen, databases_of, job_name
from lastgood.domain.status import merge_conditions
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.table import Table

_log = structlog.get_logger(__name__)


class RestoreTeller:
    """Writer of Restores' status. Nothing is written that says nothing new. All calls raise ClusterError."""

    def __init__(self, cluster: Cluster, table: Table, metrics: Metrics, events: Events) -> None:
        self._cluster, self._table, self._metrics, self._events = cluster, table, metrics, events

    def keep(self, body: Object) -> None:
        """Note an answer of the API server."""
        self._table.put_restore(body)

    async def identified(self, body: Object, todo: Next, message: str) -> Object:
        """The point is chosen, and stays, whatever is backed up later."""
        chosen = todo.chosen
        fields: dict[str, Any] = {"phase": "Running", "startedAt": to_text(time.time())}
        if chosen is not None:
            fields |= {"backup": chosen.backup, "point": to_text(chosen.point)}
        return await self._tell(body, todo, "Done", message, **fields)

    async def pending(self, body: Object, todo: Next, phase: str) -> Object:
        """It waits for a person, or for another, and holds nothing."""
        approved = [Condition("Approved", "False", todo.reason, todo.message)] if phase == "AwaitingApproval" else []
        return await self._tell(body, todo, "Pending", todo.message, conditions=approved, phase=phase)

    async def remembered(self, body: Object, todo: Next, stopped: Sequence[Object]) -> Object:
        """It has passed the gate."""
        asked = body["spec"].get("needsApproval", True)
        approved = (
            Condition("Approved", "True", "Approved", "a person approved it")
            if asked
            else Condition("Approved", "True", "NotNeeded", "spec.needsApproval is false")
        )
        conditions = [approved]
        if not todo.whole:
            text = "a Restore before this one left the workloads at 0 on half their data: they start once it is valid"
            conditions.append(Condition("DataWhole", "False", "LeftByAnother", text))
        return await self._tell(
            body, todo, "Running", todo.message, conditions=conditions, phase="Running", stopped=list(stopped)
        )

    async def waiting(self, body: Object, todo: Next, restore: RestoreSeen) -> Object:
        """A step is under way."""
        if restore.failed is not None:
            return body
        job = job_name(restore, todo.task) if todo.task is not None else ""
        return await self._tell(body, todo, "Running", todo.message, job=job, phase="Running")

    async def passed(self, body: Object, todo: Next, case: Case) -> Object:
        """A step is done, or there was nothing to do."""
        fields: dict[str, Any] = {"phase": "Running"}
        task, restore = todo.task, case.restore
        if task == "safety" and todo.do is Do.PASS:
            job = case.world.jobs.get("safety")
            named = job.result.backup if job is not None and job.result is not None else ""
            fields["safetyBackup"] = named or job_name(restore, "safety")
        if task == "swap":
            fields["keptDatabase"] = databases_of(restore, case.backups)[2]
        state = "Skipped" if todo.do is Do.SKIP else "Done"
        job_of = job_name(restore, task) if task is not None else ""
        return await self._tell(body, todo, state, todo.message, job=job_of, **fields)

    async def failed(self, body: Object, todo: Next, restore: RestoreSeen) -> Object:
        """A step has failed. What is started again is started after this is written."""
        half = "what the applications use may be half restored"
        sound = Condition("DataWhole", "True", "Whole", "what the applications use is whole")
        data = sound if todo.whole else Condition("DataWhole", "False", "HalfRestored", half)
        job = job_name(restore, todo.task) if todo.task is not None else ""
        written = await self._tell(
            body, todo, "Failed", todo.message, job=job, conditions=[data], phase="Running", wayBack=todo.way_back
        )
        text = f"at step {todo.step}: {todo.reason}: {todo.message}"
        self._events.tell(written, "Warning", "RestoreStepFailed", f"{text}; {todo.way_back}")
        return written

    async def ended(self, body: Object, todo: Next) -> Object:
        """It has ended: well, not well, or refused."""
        status, now = body.get("status") or {}, time.time()
        took = now - from_text(status["startedAt"]) if status.get("startedAt") else 0.0
        before: Mapping[str, str] = next((c for c in status.get("conditions") or () if c["type"] == "Complete"), {})
        good = todo.phase == "Succeeded"
        message = todo.message or before.get("message", "")
        if good:
            kept = f"; the old database is kept as {status['keptDatabase']}" if status.get("keptDatabase") else ""
            message = f"restored Backup {status.get('backup')} as of {status.get('point')} in {shown(took)}{kept}"
        reason = todo.reason or before.get("reason") or todo.phase
        conditions = [Condition("Complete", "True" if good else "False", reason, message)]
        if todo.phase == "Refused":
            conditions.append(Condition("Approved", "False", "Refused", "a person refused it"))
        if good and any(c["type"] == "DataWhole" for c in status.get("conditions") or ()):
            conditions.append(Condition("DataWhole", "True", "Whole", "what the applications use is whole"))
        steps = _steps(status)
        for step in steps.values():
            if step["state"] in {"Pending", "Running"}:
                step |= {"state": "Skipped", "message": ""}
        self._metrics.restores.labels(todo.phase, reason).inc()
        if good:
            self._metrics.restore_seconds.observe(took)
        log = _log.info if good else _log.warning
        log("restore ended", restore=body["metadata"]["name"], phase=todo.phase, reason=reason, message=message)
        written = await self._write(
            body,
            {
                "phase": todo.phase,
                "finishedAt": to_text(now),
                "steps": [steps[name] for name in STEPS],
                **self._conditions(body, conditions),
            },
        )
        event = {"Succeeded": "RestoreSucceeded", "Refused": "RestoreRefused"}.get(todo.phase, "RestoreFailed")
        kind = "Normal" if good or todo.phase == "Refused" else "Warning"
        self._events.tell(written, kind, event, message if good else f"{reason}: {message}")
        for name in body["spec"].get("services") or ():
            service = self._table.services.get((body["metadata"]["namespace"], name))
            if service is not None:
                told = f"Restore {body['metadata']['name']}: {message if good else f'{reason}: {message}'}"
                self._events.tell(service.reference(), kind, event, told)
        return written

    async def _tell(
        self,
        body: Object,
        todo: Next,
        state: str,
        message: str,
        *,
        job: str = "",
        conditions: Sequence[Condition] = (),
        **fields: Any,
    ) -> Object:
        """Write one step, only when it says something new."""
        status, step = body.get("status") or {}, todo.step
        steps = _steps(status)
        old = steps[step]
        # A step's time is that of its latest change of state: its deadline is counted from there.
        at = old.get("at") if old["state"] == state and old.get("at") else to_text(time.time())
        new = {"name": step, "state": state, "message": message, "job": job or old.get("job") or "", "at": at}
        same = {k: old.get(k, "") for k in ("state", "message", "job")} == {
            k: new[k] for k in ("state", "message", "job")
        }
        if same and status.get("phase") == fields.get("phase") and not fields.keys() - {"phase"}:
            return body
        steps[step] = new
        complete = Condition("Complete", "False", todo.reason or step, message)
        change = {
            "observedGeneration": body["metadata"].get("generation"),
            "steps": [steps[name] for name in STEPS],
            **self._conditions(body, [complete, *conditions]),
            **fields,
        }
        name = body["metadata"]["name"]
        _log.info("restore", restore=name, step=step, state=state, reason=todo.reason, message=message)
        written = await self._write(body, change)
        if state in {"Done", "Skipped"} or (todo.do in {Do.AWAIT_APPROVAL, Do.QUEUE} and old.get("message") != message):
            self._events.tell(written, "Normal", todo.reason or step, message)
        return written

    @staticmethod
    def _conditions(body: Object, conditions: Sequence[Condition]) -> Mapping[str, Any]:
        before = (body.get("status") or {}).get("conditions") or ()
        generation = body["metadata"].get("generation", 1)
        return {"conditions": merge_conditions(before, conditions, generation, time.time())}

    async def _write(self, body: Object, change: Mapping[str, Any]) -> Object:
        metadata = body["metadata"]
        written = await self._cluster.merge_status("restores", metadata["namespace"], metadata["name"], change)
        self.keep(written)
        return written


def _steps(status: Mapping[str, Any]) -> dict[StepName, dict[str, Any]]:
    found = {s["name"]: dict(s) for s in status.get("steps") or ()}
    for name in STEPS:
        found.setdefault(name, {"name": name, "state": "Pending", "message": ""})
    return found
