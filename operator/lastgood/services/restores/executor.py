"""Carries out what `domain.restores.advance` says, one thing at a time, each told in the Restore's status."""

import asyncio
import time

import structlog
from pydantic import ValidationError

from lastgood.domain.backups.pods import Options
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.restores.advance import Do, Next, advance, refused
from lastgood.domain.restores.observed import FINALIZER, restore_seen
from lastgood.domain.restores.plan import sentence
from lastgood.domain.restores.state import Case, RestoreSeen, WorkloadSeen
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.restores.jobs import RestoreJobs
from lastgood.services.restores.teller import RestoreTeller
from lastgood.services.restores.world import RestoreWorld
from lastgood.services.table import Table
from lastgood.services.workloads import Workloads

_log = structlog.get_logger(__name__)
_CONFLICT = frozenset({409, 422})
_REFUSED = frozenset({400, 403, 404, 422})
_TURNS = 24
"""Things that can be done in one go: a few a step."""
_SOON = 0.5


class Restores:
    """Executor of Restore objects."""

    def __init__(self, cluster: Cluster, table: Table, metrics: Metrics, events: Events, options: Options) -> None:
        self._cluster, self._events = cluster, events
        self._world = RestoreWorld(cluster, table)
        self._workloads = Workloads(cluster)
        self._jobs = RestoreJobs(cluster, options)
        self._teller = RestoreTeller(cluster, table, metrics, events)
        self._gate = asyncio.Lock()

    async def carry_on(self, body: Object) -> tuple[Object, float | None]:
        """Do all that can be done now. Returns the Restore as it stands and when to look again, if that is known."""
        for _ in range(_TURNS):
            try:
                restore = restore_seen(body)
            except ValidationError:
                # From before the schema, or newer.
                _log.warning("restore not understood", restore=body["metadata"]["name"])
                return body, None
            if restore.holds or restore.final:
                after, todo = await self._turn(restore, body)
            else:
                # Of two that come to the gate at once, the second must see that the first has passed: what it reads is
                # read after the first has written.
                async with self._gate:
                    after, todo = await self._turn(restore, body)
            body = after
            if todo.recheck_at is not None:
                return body, todo.recheck_at
            if todo.do in {Do.NOTHING, Do.AWAIT_APPROVAL, Do.REFUSE, Do.END}:
                return body, None
            if todo.do is Do.LET_GO and restore.deleting:
                return body, None
        return body, time.time() + _SOON

    async def _turn(self, restore: RestoreSeen, body: Object) -> tuple[Object, Next]:
        case = await self._world.look(restore, body)
        todo = advance(restore=restore, schedule=case.schedule, backups=case.backups, world=case.world, now=case.now)
        if restore.deleting:
            return await self._farewell(case, body, todo), todo
        return await self._do(case, body, todo), todo

    async def _do(self, case: Case, body: Object, todo: Next) -> Object:  # noqa: C901, PLR0912 - an arm for each thing to do
        tell = self._teller
        match todo.do:
            case Do.NOTHING:
                return body
            case Do.IDENTIFY:
                return await tell.identified(body, todo, sentence(case, todo.chosen) if todo.chosen else "")
            case Do.AWAIT_APPROVAL:
                return await tell.pending(body, todo, "AwaitingApproval")
            case Do.QUEUE:
                return await tell.pending(body, todo, "Waiting")
            case Do.REMEMBER:
                return await self._remember(body, todo)
            case Do.STOP:
                return await self._stop(case, body, todo)
            case Do.RUN:
                return await self._run(case, body, todo)
            case Do.WAIT:
                return await tell.waiting(body, todo, case.restore)
            case Do.PASS | Do.SKIP:
                return await tell.passed(body, todo, case)
            case Do.START:
                return await self._start(case, body, todo)
            case Do.LET_GO:
                return await self._let_go(body)
            case Do.FAIL:
                return await tell.failed(body, todo, case.restore)
            case Do.END | Do.REFUSE:
                return await tell.ended(body, todo)

    async def _remember(self, body: Object, todo: Next) -> Object:
        """The finalizer, then the status, then, by the next look, the scaling.

        Killed after the finalizer: noted anew, since nothing was. Killed after the status: what it says is what is gone
        back to, however the workloads stand then.
        """
        if todo.workloads and FINALIZER not in (body["metadata"].get("finalizers") or ()):
            held = await self._finalizers(body, add=True)
            if held is None:
                return await self._again(body)
            body = held
        noted = [
            {
                "kind": w.kind,
                "name": w.name,
                # What a Restore that failed has left at 0 goes back to what it was before that one.
                "replicas": w.was if w.replicas == 0 and w.was is not None else w.replicas,
                "autoscaler": w.autoscaler,
            }
            for w in todo.workloads
        ]
        return await self._teller.remembered(body, todo, noted)

    async def _stop(self, case: Case, body: Object, todo: Next) -> Object:
        restore = case.restore
        told = await self._teller.waiting(body, todo, restore)
        for w in todo.workloads:
            noted = restore.remembered((w.kind, w.name))
            before = noted.replicas if noted is not None else w.replicas
            await self._workloads.stop(restore.namespace, w.kind, w.name, replicas=before, holder=restore.holder)
            if w.holder == restore.holder and w.replicas:
                # We stopped it before: somebody, or something, has scaled it up since.
                text = f"scaled to 0 again: Restore {restore.name} is putting its data back"
                self._about(restore, w, "Warning", "StoppedAgain", text)
            else:
                text = f"scaled from {before} to 0 while Restore {restore.name} puts its data back"
                self._about(restore, w, "Normal", "StoppedForRestore", text)
        return told

    async def _start(self, case: Case, body: Object, todo: Next) -> Object:
        restore = case.restore
        if restore.failed is None:
            # The step's time is what later probes must have passed after: written before anything runs.
            body = await self._teller.waiting(body, todo, restore)
        await self._scale_back(restore, todo.workloads)
        return body

    async def _scale_back(self, restore: RestoreSeen, workloads: tuple[WorkloadSeen, ...]) -> None:
        for w in workloads:
            noted = restore.remembered((w.kind, w.name))
            before = noted.replicas if noted is not None else (w.was or 0)
            if await self._workloads.start(restore.namespace, w.kind, w.name, replicas=before, holder=restore.holder):
                text = f"scaled back to {before} by Restore {restore.name}"
                self._about(restore, w, "Normal", "StartedAfterRestore", text)

    def _about(self, restore: RestoreSeen, w: WorkloadSeen, kind: str, reason: str, message: str) -> None:
        regarding = {
            "apiVersion": "apps/v1",
            "kind": w.kind,
            "metadata": {"namespace": restore.namespace, "name": w.name, "uid": w.uid},
        }
        self._events.tell(regarding, kind, reason, message)

    async def _run(self, case: Case, body: Object, todo: Next) -> Object:
        """Create the Job, then note it. Killed in between, it is found by its name."""
        assert todo.task is not None  # noqa: S101 - RUN is about a Job
        try:
            await self._jobs.create(case, todo.task)
        except ClusterError as error:
            if error.status not in _REFUSED:
                raise
            text = f"the API server refuses the Job: {error.message}"
            return await self._teller.failed(body, refused(case, todo.step, text), case.restore)
        return await self._teller.waiting(body, todo, case.restore)

    # -- the finalizer --------------------------------------------------------------------------------------------

    async def _let_go(self, body: Object) -> Object:
        return await self._finalizers(body, add=False) or await self._again(body)

    async def _finalizers(self, body: Object, *, add: bool) -> Object | None:
        """Put ours on or take it off; None when the object has changed since it was read."""
        metadata = body["metadata"]
        others = [f for f in metadata.get("finalizers") or () if f != FINALIZER]
        patch: list[Object] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": [*others, FINALIZER] if add else others},
        ]
        try:
            written = await self._cluster.json_patch("restores", metadata["namespace"], metadata["name"], patch)
        except ClusterError as error:
            if error.status == 404:
                return body
            if error.status in _CONFLICT:
                return None
            raise
        self._teller.keep(written)
        return written

    async def _again(self, body: Object) -> Object:
        found = await self._cluster.get("restores", body["metadata"]["namespace"], body["metadata"]["name"])
        return found if found is not None else body

    async def _farewell(self, case: Case, body: Object, todo: Next) -> Object:
        """Deleted while workloads are stopped: start them if that is right, and let go whatever comes of it."""
        restore = case.restore
        if todo.do is Do.START:
            try:
                await self._scale_back(restore, todo.workloads)
            except ClusterError as error:
                if error.status not in _REFUSED:
                    raise
                _log.warning("not started again", restore=restore.name, error=str(error))
                return await self._let_go(body)
            return body
        if todo.do is Do.LET_GO:
            for w in todo.workloads:
                text = f"Restore {restore.name} was deleted before its data was whole: this stays at 0 replicas"
                self._about(restore, w, "Warning", "LeftStopped", text)
            return await self._let_go(body)
        return body
