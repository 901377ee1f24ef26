"""CPU, memory and disk of the target's pods."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from lastgood.api.base import seconds
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.api.sources import ResourcesSource as ResourcesSpec
from lastgood.domain.measure import Nothing, Sample, Silence
from lastgood.domain.ports import BadProbe, ClusterError
from lastgood.domain.sources import KubeStats, PodSeen, Target
from lastgood.domain.stats import NodeSeen, PodUse
from lastgood.domain.usage import free_share_of_nodes, free_share_of_volumes, used_share

T = TypeVar("T")

_NO_SUMMARY = "reading nodes/proxy is not allowed: set rbac.nodeStats in the chart"
_NO_METRICS = (
    "reading pods of metrics.k8s.io is not allowed, and neither is nodes/proxy: install the chart's rights anew"
)
_NO_EITHER = (
    "the cluster has no Metrics API, and reading nodes/proxy is not allowed: install metrics-server, or set "
    "rbac.nodeStats in the chart"
)
_NO_NODES = "reading nodes is not allowed: set rbac.nodeStats in the chart"
_NO_PODS = "listing pods is not allowed: install the chart's rights anew"

_NODE_AGE = 300.0
"""Seconds for which what a node has is believed: it hardly ever changes."""


class _Denied(Exception):
    """The API server said 403; the text names the right."""


class Resources:
    """One resource of one target."""

    def __init__(
        self, spec: ResourcesSpec, target: Target, stats: KubeStats, *, timeout: float, max_age: float
    ) -> None:
        self._spec, self._target, self._stats = spec, target, stats
        self._timeout, self._max_age = timeout, max_age

    @property
    def host(self) -> str:
        """The target: what all ask together is shared, and needs no cap."""
        return f"{self._target.namespace}/{self._target.deployment}"

    async def sample(self) -> Sample:
        """See the port."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._look()
        except _Denied as denied:
            return Nothing(Silence.DENIED, str(denied))
        except ClusterError as error:
            return _silence(error)
        except TimeoutError:
            return Nothing(Silence.TIMEOUT, "no answer from the API server in time")
        except Exception as error:  # noqa: BLE001 - one broken source must not end the loop that samples them all
            return Nothing(Silence.SOURCE_DOWN, type(error).__name__)

    async def aclose(self) -> None:
        """Nothing is held."""

    async def _look(self) -> Sample:
        pods = await _allowed(self._target.pods(), _NO_PODS)
        match self._spec.resource:
            case "cpu" | "memory" as resource:
                nodes: Mapping[str, Mapping[str, float]] = {}
                if self._spec.of == "Node":
                    nodes = await self._of_nodes(
                        pods, lambda name: self._stats.allocatable(name, max_age=_NODE_AGE), _NO_NODES
                    )
                use = await self._use(pods)
                return used_share(pods, use, resource=resource, of=self._spec.of, nodes=nodes)
            case "disk":
                return free_share_of_volumes(pods, await self._summaries(pods, _NO_SUMMARY), volume=self._spec.volume)
            case "nodeDisk":
                return free_share_of_nodes(pods, await self._summaries(pods, _NO_SUMMARY))

    async def _use(self, pods: Sequence[PodSeen]) -> Callable[[PodSeen], PodUse | None]:
        """From the Metrics API, which needs the lesser right; where it gives nothing, from the kubelets."""
        denial = _NO_EITHER
        try:
            if pods:
                metrics = await self._stats.pods(self._target.namespace, max_age=self._max_age)
                if metrics is not None:
                    return lambda pod: metrics.get(pod.name)
        except ClusterError as error:
            denial = _NO_METRICS if error.status in {401, 403} else f"the Metrics API fails, and {_NO_SUMMARY}"
        summaries = await self._summaries(pods, denial)
        return lambda pod: summaries[pod.node].pods.get(pod.uid) if pod.node in summaries else None

    async def _summaries(self, pods: Sequence[PodSeen], denial: str) -> Mapping[str, NodeSeen]:
        return await self._of_nodes(pods, lambda name: self._stats.node(name, max_age=self._max_age), denial)

    async def _of_nodes(
        self, pods: Sequence[PodSeen], read: Callable[[str], Awaitable[T]], denial: str
    ) -> Mapping[str, T]:
        """Ask for each node of the pods; one that does not answer does not silence the others."""
        names = sorted({pod.node for pod in pods if pod.node})
        answers = await asyncio.gather(*(_allowed(read(name), denial) for name in names), return_exceptions=True)
        found: dict[str, T] = {}
        failures: list[BaseException] = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, BaseException):
                failures.append(answer)
            else:
                found[name] = answer
        if failures and not found:
            raise failures[0]
        return found


def prepare_resources(spec: ServiceLevelObjectiveSpec, target: Target, *, stats: KubeStats) -> Resources:
    """A source for an objective with ``source.resources``. Raises BadProbe when it has none."""
    if spec.source.resources is None:
        msg = "source.resources is missing"
        raise BadProbe(msg)
    # Half an interval: two samples in a row never tell the same answer.
    max_age = seconds(spec.interval) / 2
    return Resources(spec.source.resources, target, stats, timeout=seconds(spec.timeout), max_age=max_age)


async def _allowed(reading: Awaitable[T], denial: str) -> T:
    try:
        return await reading
    except ClusterError as error:
        if error.status in {401, 403}:
            raise _Denied(denial) from None
        raise


def _silence(error: ClusterError) -> Nothing:
    """What the API server says may hold names of others: only its status is shown."""
    if error.status == 404:
        return Nothing(Silence.NO_DATA, "the node of the pods is gone")
    if error.status == 0 and error.message == "TimeoutError":
        return Nothing(Silence.TIMEOUT, "no answer from the API server in time")
    answered = f"the API server answers {error.status}" if error.status else "no answer from the API server"
    return Nothing(Silence.SOURCE_DOWN, answered)
