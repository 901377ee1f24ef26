"""Figures are asked for once, however many want them."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from lastgood.domain.ports import ClusterError
from lastgood.kube.cluster import KubeCluster
from lastgood.kube.stats import ClusterStats

SUMMARY = json.loads((Path(__file__).parents[1] / "domain" / "summary.json").read_text())
NODE = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}


class Api:
    """Answers GET by path."""

    def __init__(self, **answers: Any) -> None:
        self.answers: Any = answers
        self.asked: list[str] = []
        self.now = 0.0
        self.slow = asyncio.Event()
        self.slow.set()
        self.under_way = self.most = 0

    def stats(self) -> ClusterStats:
        return ClusterStats(cast(KubeCluster, self), clock=lambda: self.now, wall=lambda: 1767225600.0)

    async def read(self, path: str) -> Any:
        self.asked.append(path)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.slow.wait()
        finally:
            self.under_way -= 1
        word = next(word for word in ("summary", "metrics", "nodes") if word in path)
        answer = self.answers[word]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_one_summary_for_all_within_half_an_interval() -> None:
    api = Api(summary=SUMMARY)
    stats = api.stats()
    answers = await asyncio.gather(*(stats.node("n 1/..", max_age=5) for _ in range(10)))
    assert api.asked == ["/api/v1/nodes/n%201%2F../proxy/stats/summary"]
    assert all(answer is answers[0] for answer in answers)
    api.now = 4.9
    await stats.node("n 1/..", max_age=5)
    assert len(api.asked) == 1
    api.now = 5.0
    await stats.node("n 1/..", max_age=60)
    assert len(api.asked) == 1
    await stats.node("n 1/..", max_age=5)
    assert len(api.asked) == 2
    await stats.aclose()


async def test_who_asked_first_and_gave_up_takes_nothing_from_the_others() -> None:
    api = Api(summary=SUMMARY)
    stats = api.stats()
    api.slow.clear()
    first = asyncio.ensure_future(stats.node("n", max_age=5))
    second = asyncio.ensure_future(stats.node("n", max_age=5))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    api.slow.set()
    assert (await second).pods
    assert len(api.asked) == 1


async def test_a_failure_is_shared_too_and_asked_for_again_later() -> None:
    api = Api(summary=ClusterError(502, "x"))
    stats = api.stats()
    for _ in range(3):
        with pytest.raises(ClusterError):
            await stats.node("n", max_age=5)
    assert len(api.asked) == 1
    api.answers["summary"], api.now = SUMMARY, 5
    assert (await stats.node("n", max_age=5)).pods


async def test_an_answer_that_is_none() -> None:
    with pytest.raises(ClusterError, match="not understood"):
        await Api(summary={"node": "<html>"}).stats().node("n", max_age=5)


async def test_a_cluster_without_the_metrics_api_is_asked_again_after_a_minute() -> None:
    api = Api(metrics=ClusterError(404, "the server could not find the requested resource"))
    stats = api.stats()
    assert await stats.pods("shop", max_age=1) is None
    api.now = 59
    assert await stats.pods("other", max_age=1) is None
    assert api.asked == ["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"]
    api.now, api.answers["metrics"] = 61, {"items": []}
    assert await stats.pods("shop", max_age=1) == {}
    api.now, api.answers["metrics"] = 70, ClusterError(403, "x")
    with pytest.raises(ClusterError):
        await stats.pods("shop", max_age=1)


async def test_what_nobody_asks_for_is_dropped_and_few_are_asked_at_once() -> None:
    api = Api(summary=SUMMARY, nodes=NODE)
    stats = api.stats()
    api.slow.clear()
    many = asyncio.gather(*(stats.node(f"n{number}", max_age=5) for number in range(30)))
    for _ in range(5):
        await asyncio.sleep(0)
    api.slow.set()
    await many
    assert api.most == 8
    api.now = 1000
    assert await stats.allocatable("n1", max_age=5) == {"cpu": 2.0, "memory": 2.0**30}
    assert len(stats._known) == 1
    await stats.aclose()
