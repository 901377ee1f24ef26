"""The port `KubeStats`: figures of pods and nodes, read through the API server, each once for all who ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lastgood.domain.ports import ClusterError
from lastgood.domain.stats import NodeSeen, PodUse, allocatable, node_seen, pods_use
from lastgood.kube.cluster import KubeCluster

_METRICS = "/apis/metrics.k8s.io/v1beta1"
_NODES = "/api/v1/nodes"

_AT_ONCE = 8
"""Requests under way. A summary is some hundred kilobytes, and a Deployment may have pods on every node."""

_NO_METRICS = 60.0
"""Seconds after which it is looked up anew whether the cluster has the Metrics API."""

_KEPT = 600.0
"""Seconds after which an answer that nobody asked for again is dropped."""


@dataclass(slots=True)
class _Entry:
    """The latest answer, which may be a failure, or the question that is under way."""

    task: asyncio.Task[Any]
    asked: float


class ClusterStats:
    """Asks once, and gives the answer, or the failure, to all who ask within their ``max_age``."""

    def __init__(
        self,
        cluster: KubeCluster,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cluster, self._clock, self._wall = cluster, clock, wall
        self._known: dict[tuple[str, str], _Entry] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._no_metrics_until = float("-inf")

    async def pods(self, namespace: str, *, max_age: float) -> Mapping[str, PodUse] | None:
        """See the port."""
        if self._clock() < self._no_metrics_until:
            return None
        found: Mapping[str, PodUse] | None = await self._shared(
            ("pods", namespace), max_age, lambda: self._metrics(namespace)
        )
        return found

    async def node(self, name: str, *, max_age: float) -> NodeSeen:
        """See the port."""
        path = f"{_NODES}/{quote(name, safe='')}/proxy/stats/summary"
        found: NodeSeen = await self._shared(("node", name), max_age, lambda: self._read(path, node_seen))
        return found

    async def allocatable(self, name: str, *, max_age: float) -> Mapping[str, float]:
        """See the port."""
        path = f"{_NODES}/{quote(name, safe='')}"
        found: Mapping[str, float] = await self._shared(
            ("allocatable", name), max_age, lambda: self._read(path, allocatable)
        )
        return found

    async def aclose(self) -> None:
        """Let go of what is under way."""
        tasks = [entry.task for entry in self._known.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._known.clear()

    async def _metrics(self, namespace: str) -> Mapping[str, PodUse] | None:
        path = f"{_METRICS}/namespaces/{quote(namespace, safe='')}/pods"
        try:
            found: Mapping[str, PodUse] = await self._read(path, lambda body: pods_use(body, self._wall()))
        except ClusterError as error:
            if error.status != 404:
                raise
            self._no_metrics_until = self._clock() + _NO_METRICS
            return None
        return found

    async def _read(self, path: str, parse: Callable[[Any], Any]) -> Any:
        async with self._room:
            try:
                return parse(await self._cluster.read(path))
            except ValueError:
                # What a kubelet says passes through the API server as it is.
                raise ClusterError(0, "the answer was not understood") from None

    async def _shared(self, key: tuple[str, str], max_age: float, ask: Callable[[], Awaitable[Any]]) -> Any:
        now = self._clock()
        entry = self._known.get(key)
        if entry is None or (entry.task.done() and now - entry.asked >= max_age):
            self._forget(now)
            task = asyncio.ensure_future(ask())
            task.add_done_callback(_heard)
            entry = self._known[key] = _Entry(task, now)
        # Shielded: the one that asked first may run out of time, and the others still wait.
        return await asyncio.shield(entry.task)

    def _forget(self, now: float) -> None:
        for key in [k for k, entry in self._known.items() if entry.task.done() and now - entry.asked >= _KEPT]:
            del self._known[key]


def _heard(task: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
