"""Logs of pods, from a server that answers as the API server does for pods that ran; and how it is asked."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.backups.conftest import TAGS, Pod, tree
from tests.integration.probes.conftest import free_port

from lastgood.api.backupschedule import LogsSource
from lastgood.backups.logs import LogsEngine, containers, selector
from lastgood.domain.backups.ports import JobFailed, Point
from lastgood.domain.ports import ClusterError
from lastgood.kube.plain import Door, PlainApi

SOURCE = LogsSource.model_validate({"workloads": [{"name": "web"}, {"kind": "DaemonSet", "name": "agent"}]})
PODS = [
    {
        "metadata": {"name": "web-1"},
        "spec": {"containers": [{"name": "app"}, {"name": "side"}], "initContainers": [{"name": "init"}]},
        "status": {
            "containerStatuses": [{"name": "app", "restartCount": 2}, {"name": "side", "restartCount": 0}],
        },
    }
]


@dataclass
class Server:
    """What was asked, and what is answered."""

    asked: list[dict[str, str]] = field(default_factory=list)
    busy: int = 0
    status: int = 200
    port: int = 0


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    state = Server()

    async def workload(request: web.Request) -> web.Response:
        if state.busy:
            state.busy -= 1
            return web.json_response({"message": "busy"}, status=503)
        if request.match_info["name"] != "web":
            return web.json_response({"message": "not found"}, status=404)
        return web.json_response({"spec": {"selector": {"matchLabels": {"app": "web"}}}})

    async def pods(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "app=web"
        return web.json_response({"items": PODS})

    async def log(request: web.Request) -> web.Response:
        state.asked.append(dict(request.query))
        if state.status != 200:
            return web.json_response({"message": "no"}, status=state.status)
        if request.query["container"] == "init":
            return web.json_response({"message": "container is waiting to start"}, status=400)
        return web.Response(text=f"{request.query['container']} {request.query.get('previous', 'now')}\n")

    app = web.Application()
    app.router.add_get("/apis/apps/v1/namespaces/shop/{kind}/{name}", workload)
    app.router.add_get("/api/v1/namespaces/shop/pods", pods)
    app.router.add_get("/api/v1/namespaces/shop/pods/{name}/log", log)
    runner = web.AppRunner(app)
    await runner.setup()
    state.port = free_port()
    await web.TCPSite(runner, "127.0.0.1", state.port).start()
    yield state
    await runner.cleanup()


@pytest.fixture
async def api(server: Server, tmp_path: Path) -> AsyncIterator[PlainApi]:
    (tmp_path / "token").write_text("t0ken\n")
    api = PlainApi(Door(f"http://127.0.0.1:{server.port}", trust=True, token=tmp_path / "token"), attempts=3)
    yield api
    await api.aclose()


def work(pod: Pod, name: str) -> Path:
    folder = pod.places.scratch / name
    folder.mkdir()
    return folder


async def test_logs_since_the_run_before_of_each_container(pod: Pod, server: Server, api: PlainApi) -> None:
    repository = pod.volume()
    await repository.ensure()
    engine = LogsEngine(SOURCE, "shop", api, time.time)
    made = await engine.full(work(pod, "one"), repository, TAGS)
    assert made.contents == ["Deployment/web: 3 containers", "DaemonSet/agent: not there"]
    assert tree(pod.places.scratch / "one") == {
        "SINCE": b"the start of each container\n",
        "Deployment-web/web-1/app.log": b"app now\n",
        "Deployment-web/web-1/app.previous.log": b"app true\n",
        "Deployment-web/web-1/init.log": (
            b"no log: /api/v1/namespaces/shop/pods/web-1/log: container is waiting to start\n"
        ),
        "Deployment-web/web-1/side.log": b"side now\n",
    }
    assert all("sinceTime" not in query and query["timestamps"] == "true" for query in server.asked)
    server.asked.clear()
    await engine.incremental(work(pod, "two"), repository, {**TAGS, "backup": "b-2"})
    assert {query["sinceTime"] for query in server.asked} == {made.point}
    (first, _) = await repository.snapshots({"part": "logs"})
    proof = await engine.test(work(pod, "test"), repository, Point("b-1", 0.0, [first]))
    assert proof.passed
    assert proof.message.startswith("5 files")


async def test_what_is_forbidden_fails_and_what_is_busy_is_asked_again(pod: Pod, server: Server, api: PlainApi) -> None:
    repository = pod.volume()
    await repository.ensure()
    engine = LogsEngine(SOURCE, "shop", api, time.time)
    server.status = 403
    with pytest.raises(JobFailed) as caught:
        await engine.full(work(pod, "one"), repository, TAGS)
    assert caught.value.reason == "ClusterForbidden"
    server.status, server.busy = 200, 2
    assert (await engine.full(work(pod, "two"), repository, TAGS)).contents[0] == "Deployment/web: 3 containers"
    none = LogsSource.model_validate({"workloads": [{"name": "gone"}]})
    with pytest.raises(JobFailed) as caught:
        await LogsEngine(none, "shop", api, time.time).full(work(pod, "three"), repository, TAGS)
    assert (caught.value.reason, "Deployment/gone" in caught.value.message) == ("ObjectMissing", True)


async def test_one_that_is_away_is_asked_once_until_it_is_back(server: Server, api: PlainApi) -> None:
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    server.busy = 3
    with pytest.raises(ClusterError):
        await api.request("GET", path)
    assert server.busy == 0
    gone = PlainApi(Door(f"http://127.0.0.1:{free_port()}", trust=True), attempts=3)
    with pytest.raises(ClusterError) as caught:
        await gone.request("GET", path)
    assert caught.value.status == 0
    assert gone._away
    await gone.aclose()


def test_selectors() -> None:
    expressions = [
        {"key": "a", "operator": "In", "values": ["x", "y"]},
        {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    assert selector({"matchLabels": {"app": "web"}, "matchExpressions": expressions}) == (
        "app=web,a in (x,y),b notin (z),c,!d"
    )
    assert containers(PODS[0]) == [("init", 0), ("app", 2), ("side", 0)]
