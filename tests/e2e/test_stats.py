"""What a real kubelet tells of pods that burn, fill and hold."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.e2e.kube import Kube
from tests.e2e.objects import IMAGE
from tests.lab import Lab
from tests.unit.sources.build import spec

from lastgood.domain.measure import Gauge, Nothing, Sample, Silence
from lastgood.domain.pods import pods_seen
from lastgood.domain.sources import PodSeen, Target
from lastgood.kube.cluster import KubeCluster
from lastgood.kube.config import load
from lastgood.kube.stats import ClusterStats
from lastgood.sources.resources import prepare_resources

pytestmark = pytest.mark.e2e
CHART = "charts/lastgood"
WORK = """
import time
held = bytearray(80 << 20)
open('/data/half', 'wb').write(bytes(48 << 20))
while True: pass
"""


def worker(claim: str) -> dict[str, Any]:
    container = {
        "name": "work",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", WORK],
        "resources": {"limits": {"cpu": "200m", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "scratch", "mountPath": "/scratch"}],
    }
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": claim}},
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        {"name": "host", "hostPath": {"path": "/var"}},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "work"},
        "spec": {
            "selector": {"matchLabels": {"app": "work"}},
            "template": {
                "metadata": {"labels": {"app": "work"}},
                "spec": {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 0},
            },
        },
    }


@pytest.fixture
def rights(lab: Lab, kube: Kube) -> Iterator[Callable[[bool], str]]:
    """Gives the chart's rights for one namespace, with or without nodeStats; returns a token of who has them."""
    yield lambda node_stats: _rights(lab, kube, node_stats=node_stats)
    for kind in ("clusterrole", "clusterrolebinding"):
        kube.run("delete", kind, f"{kube.namespace}:lastgood-{kube.namespace}-node-stats", "--ignore-not-found")


def _rights(lab: Lab, kube: Kube, *, node_stats: bool) -> str:
    release = f"lastgood-{kube.namespace}"
    chosen = [
        f"watchNamespaces={{{kube.namespace}}}",
        f"rbac.nodeStats={str(node_stats).lower()}",
        "rbac.userRoles=false",
    ]
    command = [
        str(lab.bin("helm")),
        "template",
        release,
        CHART,
        "--namespace",
        kube.namespace,
        "-s",
        "templates/rbac.yaml",
    ]
    told = subprocess.run(
        [*command, *(part for one in chosen for part in ("--set", one))], text=True, capture_output=True, check=True
    )
    kube.run("apply", "-f", "-", stdin=told.stdout)
    if kube.get("serviceaccount", release) is None:
        kube.run("create", "serviceaccount", release)
    return kube.run("create", "token", release).stdout.strip()


@asynccontextmanager
async def cluster(lab: Lab, token: str = "") -> Any:
    access = await load(str(lab.kubeconfig), None)
    configuration = access.configuration
    if token:
        configuration.cert_file = configuration.key_file = None
        configuration.api_key = {"BearerToken": f"Bearer {token}"}
    made = KubeCluster(configuration=configuration, fence=lambda: None, count=lambda *_: None)
    try:
        yield made
    finally:
        await made.aclose()


def target_of(made: KubeCluster, namespace: str) -> Target:
    async def pods() -> tuple[PodSeen, ...]:
        return pods_seen(await made.list_objects("pods", namespace, "app=work"))

    return Target(namespace, "work", "work", pods)


async def until(ask: Callable[[], Awaitable[Sample]], low: float, high: float, *, within: float) -> None:
    """Poll until a figure lies between."""
    told: list[Sample] = []
    try:
        async with asyncio.timeout(within):
            while True:
                told.append(await ask())
                if isinstance(told[-1], Gauge) and low <= told[-1].value <= high:
                    return
                await asyncio.sleep(1)
    except TimeoutError:
        pytest.fail(f"not between {low} and {high}, but {told[-5:]}")


@pytest.mark.long
async def test_a_pod_that_burns_fills_and_holds(
    lab: Lab, kube: Kube, small: str, rights: Callable[[bool], str]
) -> None:
    token = rights(True)
    kube.apply(worker(small))
    async with cluster(lab, token) as made:
        stats, target = ClusterStats(made), target_of(made, kube.namespace)

        def look(resource: str, **more: Any) -> Callable[[], Awaitable[Sample]]:
            wish = spec({"resources": {"resource": resource, **more}}, interval="2s")
            return prepare_resources(wish, target, stats=stats).sample

        await until(look("cpu"), 0.85, 1.15, within=120)
        await until(look("cpu", of="Request"), 3.4, 4.6, within=30)
        await until(look("cpu", of="Node"), 0.02, 0.21, within=30)
        # What was written to a file system in memory counts as the writer's.
        await until(look("memory"), 0.45, 0.65, within=60)
        # The kubelet looks at volumes once a minute.
        await until(look("disk"), 0.2, 0.3, within=120)
        await until(look("disk", volume="scratch"), 0.99, 1.0, within=90)
        await until(look("nodeDisk"), 0.001, 1.0, within=10)
        hidden = await look("disk", volume="host")()
        assert isinstance(hidden, Nothing)
        assert hidden.reason is Silence.NO_DATA
        kube.run("scale", "deployment", "work", "--replicas=0")
        async with asyncio.timeout(60):
            while await look("cpu")() != Nothing(Silence.NO_PODS):  # noqa: ASYNC110 - the API tells when it is asked
                await asyncio.sleep(0.5)
        await stats.aclose()


async def test_the_chart_gives_no_more_than_is_said(lab: Lab, kube: Kube, rights: Callable[[bool], str]) -> None:
    kube.run("create", "deployment", "work", f"--image={IMAGE}", "--", "sleep", "600")
    kube.run("rollout", "status", "deployment/work", "--timeout=60s")
    denied: Mapping[str, str] = {
        "cpu": "the cluster has no Metrics API, and reading nodes/proxy is not allowed",
        "memory": "the cluster has no Metrics API, and reading nodes/proxy is not allowed",
        "disk": "reading nodes/proxy is not allowed: set rbac.nodeStats in the chart",
        "nodeDisk": "reading nodes/proxy is not allowed: set rbac.nodeStats in the chart",
    }
    async with cluster(lab, rights(False)) as made:
        stats, target = ClusterStats(made), target_of(made, kube.namespace)
        for resource, words in denied.items():
            told = await prepare_resources(spec({"resources": {"resource": resource}}), target, stats=stats).sample()
            assert isinstance(told, Nothing)
            assert (told.reason, words in told.detail) == (Silence.DENIED, True), told
        await stats.aclose()
    async with cluster(lab, rights(True)) as made:
        stats, target = ClusterStats(made), target_of(made, kube.namespace)
        told = await prepare_resources(spec({"resources": {"resource": "cpu"}}), target, stats=stats).sample()
        assert isinstance(told, Nothing)
        assert told.reason is Silence.NO_LIMIT
        await stats.aclose()
