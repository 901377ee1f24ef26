"""Events are written behind everybody's back: a rollback must not wait for its own story."""

import asyncio
import time
from collections import deque

import structlog

from lastgood.domain.ports import Cluster, ClusterError, NotLeader, Object

_log = structlog.get_logger(__name__)
MOST = 20_000
"""Events that may wait; more than these are lost, since status tells the story too."""
PAUSE = 0.1
"""How long each waits, seconds: the API server has more urgent work while a revision is being put back."""


class Events:
    """Writer of Events, in the order in which they were told, one at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: deque[tuple[Object, str, str, str, float]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def tell(self, regarding: Object, kind: str, reason: str, message: str) -> None:
        """Have an Event of kind "Normal" or "Warning" written soon."""
        if len(self._waiting) >= MOST:
            _log.warning("event not written", reason=reason, error="too many wait")
            return
        self._waiting.append((regarding, kind, reason, message, time.time()))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="events")

    async def _write(self) -> None:
        while self._waiting:
            regarding, kind, reason, message, at = self._waiting.popleft()
            await asyncio.sleep(at + PAUSE - time.time())
            try:
                await self._cluster.event(regarding, kind, reason, message, at)
            except (ClusterError, NotLeader) as error:
                _log.warning("event not written", reason=reason, error=str(error))
