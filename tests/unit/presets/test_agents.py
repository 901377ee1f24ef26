"""Presets of agents against an agent: an application that reports as JSON and counts with prometheus-client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from tests.unit.presets.test_presets import OBJECTS
from tests.unit.sources.making import Pods, factory, pod, prepared

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.objective import ObjectiveState, Standing
from lastgood.domain.objective_plan import objective_plan
from lastgood.domain.track import Track

TIMES = (
    "agent_task_duration_seconds",
    "rag_document_duration_seconds",
    "rag_query_duration_seconds",
    "compliance_document_duration_seconds",
)


class Agent:
    """All four agents in one."""

    def __init__(self) -> None:
        self.registry, self.report, self.port = CollectorRegistry(), dict[str, Any](), 0
        self.times = {
            name: Histogram(name, "Duration.", ["kind"], buckets=(1, 60), registry=self.registry) for name in TIMES
        }
        self.tasks = Counter("agent_tasks", "Tasks.", ["result"], registry=self.registry)
        for name in TIMES:
            self.times[name].labels("standard")

    def work(self, seconds: dict[str, float], failed: int) -> None:
        """Do a thousand things, of which each takes so long, and so many tasks fail."""
        for name, each in seconds.items():
            for _ in range(1000):
                self.times[name].labels("standard").observe(each)
        self.tasks.labels("failed").inc(failed)
        self.tasks.labels("done").inc(1000 - failed)


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    async def report(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(agent.report), content_type="application/json")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(agent.registry))

    app = web.Application()
    app.add_routes([web.get("/report", report), web.get("/metrics", metrics)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    agent.port = runner.addresses[0][1]
    yield
    await runner.cleanup()


def objectives(place: str, port: int) -> dict[str, ServiceLevelObjectiveSpec]:
    """Those of a preset, asked of an agent here."""
    found = {}
    for name, body in OBJECTS:
        if name == place and body["kind"] == "ServiceLevelObjective":
            written = json.dumps(body["spec"]).replace(
                f"http://{place.removesuffix('.yaml')}/", f"http://127.0.0.1:{port}/"
            )
            spec = json.loads(written)
            if "scrape" in spec["source"]:
                spec["source"]["scrape"]["port"] = port
            found[body["metadata"]["name"]] = ServiceLevelObjectiveSpec.model_validate(spec)
    return found


GOOD: dict[str, Any] = {
    "taskCompletionRate": "97.5%",
    "validationScore": 0.81,
    "relevanceScore": "83%",
    "vectorStorageAccessible": "100%",
    "accuracyRate": 0.96,
    "ruleCoverage": 1,
    "securityIncidents": 0,
    "fullSuiteSeconds": 299,
    "coverageRate": "80.5%",
    "scansCompleted": "100%",
    "worstBenchmarkDeviation": "9.9%",
}
BAD: dict[str, Any] = {
    "taskCompletionRate": "94.9%",
    "validationScore": 0.79,
    "relevanceScore": "79%",
    "vectorStorageAccessible": "99.9%",
    "accuracyRate": 0.94,
    "ruleCoverage": 0.99,
    "securityIncidents": 1,
    "fullSuiteSeconds": "301s",
    "coverageRate": "79%",
    "scansCompleted": 0.9,
    "worstBenchmarkDeviation": "11%",
}
QUICK, SLOW = dict(zip(TIMES, (29, 119, 1.9, 59), strict=True)), dict(zip(TIMES, (31, 121, 2.1, 61), strict=True))


@pytest.mark.parametrize(
    ("place", "count"),
    [("development-agent.yaml", 4), ("rag-agent.yaml", 4), ("compliance-agent.yaml", 4), ("qa-agent.yaml", 4)],
)
async def test_figures_of_an_agent_are_judged_by_its_preset(place: str, count: int) -> None:
    agent, now = Agent(), 1.8e9
    async with running(agent), factory() as sources:
        specs = objectives(place, agent.port)
        assert len(specs) == count
        for name, spec in specs.items():
            agent.report = GOOD
            source, track = prepared(sources, spec, pods=Pods(pod())), Track(objective_plan(name, spec), "")
            if spec.source.scrape is not None:
                source._max_age = -1.0  # type: ignore[attr-defined]
                first = await source.sample()
                assert isinstance(first, Nothing)
                assert first.reason is Silence.FIRST_LOOK
            state, _ = track.take(await _worked(agent, source, QUICK, 9), ObjectiveState(), now, steady=False)
            assert state.state is Standing.MET, (name, state)
            agent.report = BAD
            # A window later nothing of the good figures is left in it.
            later = now + 2 * track.plan.window
            state, _ = track.take(await _worked(agent, source, SLOW, 11), state, later, steady=False)
            incident = name == "compliance-security-incidents"
            assert state.state is (Standing.BREACHED if incident else Standing.AT_RISK), (name, state)
            assert state.severity == ("emergency" if incident else "")
            await source.aclose()


async def _worked(agent: Agent, source: Any, seconds: dict[str, float], failed: int) -> Any:
    agent.work(seconds, failed)
    return await source.sample()
