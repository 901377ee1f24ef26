"""CPU, memory and disk, as sources tell them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.sources.build import spec, target

from lastgood.domain.measure import Gauge, Nothing, Sample, Silence
from lastgood.domain.ports import BadProbe, ClusterError
from lastgood.domain.sources import PodSeen, Target
from lastgood.domain.stats import Figure, NodeSeen, PodUse
from lastgood.sources.resources import prepare_resources

POD = PodSeen("a", "uid-a", "10.0.0.1", "n1", limits={"cpu": 2.0, "memory": 100.0}, volumes=("data",))
OTHER = PodSeen("b", "uid-b", "10.0.0.2", "n2", limits={"cpu": 2.0, "memory": 100.0})
SEEN = NodeSeen(
    pods={"uid-a": PodUse(Figure(1.0, 5), Figure(70.0, 5))},
    volumes={("uid-a", "data"): Figure(0.25, 5)},
    disks=[Figure(0.4, 5)],
)
DENIED = ClusterError(403, 'nodes "n1" is forbidden: User "system:serviceaccount:x:lastgood" cannot get nodes/proxy')


class Stats:
    """Answers, or failures, by what is asked."""

    def __init__(self, metrics: Any = None, **nodes: Any) -> None:
        self.metrics, self.nodes = metrics, nodes
        self.ages: list[float] = []

    async def pods(self, namespace: str, *, max_age: float) -> Mapping[str, PodUse] | None:
        self.ages.append(max_age)
        return self._answer(self.metrics)

    async def node(self, name: str, *, max_age: float) -> NodeSeen:
        self.ages.append(max_age)
        found: NodeSeen = self._answer(self.nodes.get(name, ClusterError(404, "not found")))
        return found

    async def allocatable(self, name: str, *, max_age: float) -> Mapping[str, float]:
        found: Mapping[str, float] = self._answer(self.nodes["allocatable"])
        return found

    @staticmethod
    def _answer(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


async def told(stats: Stats, *pods: PodSeen, resource: str = "cpu", **more: Any) -> Sample:
    source = prepare_resources(
        spec({"resources": {"resource": resource, **more}}, interval="30s"), target(*(pods or (POD,))), stats=stats
    )
    return await source.sample()


async def test_from_the_metrics_api_where_there_is_one() -> None:
    stats = Stats({"a": PodUse(Figure(0.5, 1), Figure(10, 1))}, n1=AssertionError("not asked"))
    assert await told(stats) == Gauge(0.25)
    assert await told(stats, resource="memory") == Gauge(0.1)
    assert stats.ages == [15.0, 15.0]


@pytest.mark.parametrize("metrics", [None, ClusterError(503, "unavailable"), ClusterError(403, "forbidden")])
async def test_else_from_the_kubelet(metrics: Any) -> None:
    assert await told(Stats(metrics, n1=SEEN)) == Gauge(0.5)
    assert await told(Stats(metrics, n1=SEEN), resource="memory") == Gauge(0.7)


async def test_disks_come_from_the_kubelet() -> None:
    stats = Stats(AssertionError("not asked"), n1=SEEN)
    assert await told(stats, resource="disk") == Gauge(0.25)
    assert await told(stats, resource="disk", volume="data") == Gauge(0.25)
    assert await told(stats, resource="nodeDisk") == Gauge(0.4)


async def test_of_the_node() -> None:
    assert await told(Stats(None, n1=SEEN, allocatable={"cpu": 10.0, "memory": 1.0}), of="Node") == Gauge(0.1)
    denied = await told(Stats(None, n1=SEEN, allocatable=DENIED), of="Node")
    assert denied == Nothing(Silence.DENIED, "reading nodes is not allowed: set rbac.nodeStats in the chart")


@pytest.mark.parametrize(
    ("metrics", "resource", "words"),
    [
        (
            None,
            "cpu",
            "the cluster has no Metrics API, and reading nodes/proxy is not allowed: install metrics-server, or set",
        ),
        (ClusterError(403, "x"), "cpu", "reading pods of metrics.k8s.io is not allowed"),
        (ClusterError(503, "x"), "cpu", "the Metrics API fails, and reading nodes/proxy is not allowed"),
        (None, "disk", "reading nodes/proxy is not allowed: set rbac.nodeStats in the chart"),
        (None, "nodeDisk", "reading nodes/proxy is not allowed: set rbac.nodeStats in the chart"),
    ],
)
async def test_the_missing_right_is_named(metrics: Any, resource: str, words: str) -> None:
    denied = await told(Stats(metrics, n1=DENIED), resource=resource)
    assert isinstance(denied, Nothing)
    assert denied.reason is Silence.DENIED
    assert denied.detail.startswith(words)
    assert "serviceaccount" not in denied.detail


@pytest.mark.parametrize(
    ("failure", "told_instead"),
    [
        (ClusterError(502, "dial tcp 10.1.2.3:10250"), Nothing(Silence.SOURCE_DOWN, "the API server answers 502")),
        (ClusterError(0, "TimeoutError"), Nothing(Silence.TIMEOUT, "no answer from the API server in time")),
        (ClusterError(0, "ClientOSError"), Nothing(Silence.SOURCE_DOWN, "no answer from the API server")),
        (ClusterError(404, "gone"), Nothing(Silence.NO_DATA, "the node of the pods is gone")),
        (RuntimeError("with a secret"), Nothing(Silence.SOURCE_DOWN, "RuntimeError")),
    ],
)
async def test_failures(failure: Exception, told_instead: Nothing) -> None:
    assert await told(Stats(None, n1=failure), resource="nodeDisk") == told_instead


async def test_one_node_that_is_silent_does_not_silence_the_others() -> None:
    assert await told(Stats(None, n1=SEEN, n2=ClusterError(502, "x")), POD, OTHER) == Gauge(0.5)


async def test_no_pods() -> None:
    async def none() -> tuple[PodSeen, ...]:
        return ()

    async def refused() -> tuple[PodSeen, ...]:
        raise ClusterError(403, "x")

    for pods, wanted in ((none, Silence.NO_PODS), (refused, Silence.DENIED)):
        for resource in ("cpu", "disk", "nodeDisk"):
            wish = spec({"resources": {"resource": resource}})
            sample = await prepare_resources(wish, Target("shop", "web", "web", pods), stats=Stats(None)).sample()
            assert isinstance(sample, Nothing)
            assert sample.reason is wanted


async def test_a_time_out_and_a_cancellation() -> None:
    asked = asyncio.Event()

    class Hangs(Stats):
        async def node(self, name: str, *, max_age: float) -> NodeSeen:
            asked.set()
            await asyncio.sleep(60)
            raise AssertionError

    wish = spec({"resources": {"resource": "disk"}}, timeout="20ms")
    source = prepare_resources(wish, target(POD), stats=Hangs())
    assert await source.sample() == Nothing(Silence.TIMEOUT, "no answer from the API server in time")
    wish = spec({"resources": {"resource": "disk"}})
    run = asyncio.ensure_future(prepare_resources(wish, target(POD), stats=Hangs()).sample())
    asked.clear()
    await asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


def test_an_objective_of_another_kind() -> None:
    with pytest.raises(BadProbe):
        prepare_resources(spec({"redis": {"address": "r:1", "measure": "memory"}}), target(), stats=Stats())
