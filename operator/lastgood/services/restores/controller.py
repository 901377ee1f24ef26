"""Restores while this process leads: which to look at, and when."""

import time

from lastgood.domain.backups.pods import Options
from lastgood.domain.model import Key
from lastgood.domain.ports import Cluster, ClusterError
from lastgood.domain.restores.state import FINAL
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.restores.executor import Restores
from lastgood.services.table import Table
from lastgood.services.workqueue import WorkQueue

_FORBIDDEN = 403


class RestoreController:
    """A queue of Restores."""

    def __init__(self, cluster: Cluster, table: Table, metrics: Metrics, events: Events, options: Options) -> None:
        self._table, self._events = table, events
        self._forbidden: dict[Key, str] = {}
        """What the API server last said that the operator may not do."""
        self._restores = Restores(cluster, table, metrics, events, options)
        self.queue = WorkQueue(self.reconcile)
        self.leading = False

    def lead(self) -> None:
        """Take over: what status says is what is gone on from."""
        self.leading = True
        for place in self._table.restores:
            self.queue.add(place)

    def follow(self) -> None:
        """Stop acting."""
        self.leading = False
        self.queue.clear()

    async def reconcile(self, place: Key) -> None:
        """Take one Restore as far as it goes now."""
        body = self._table.restores.get(place)
        if not self.leading or body is None:
            self._forbidden.pop(place, None)
            return
        before = (body.get("status") or {}).get("phase")
        try:
            after, at = await self._restores.carry_on(body)
        except ClusterError as error:
            self._say_forbidden(place, error)
            raise
        self._forbidden.pop(place, None)
        if at is not None:
            self.queue.add_at(place, at - time.time())
        phase = (after.get("status") or {}).get("phase")
        if phase != before and phase in FINAL:
            for other, waiting in self._table.restores.items():
                if other[0] == place[0] and (waiting.get("status") or {}).get("phase") == "Waiting":
                    self.queue.add(other)

    def _say_forbidden(self, place: Key, error: ClusterError) -> None:
        """Say once what is missing: until it is there, the Restore stands where its status says."""
        body = self._table.restores.get(place)
        if error.status != _FORBIDDEN or body is None or self._forbidden.get(place) == error.message:
            return
        self._forbidden[place] = error.message
        text = f"Lastgood may not do what comes next: {error.message}. Once it may, it goes on: see the ClusterRoles"
        self._events.tell(body, "Warning", "Forbidden", text)
