"""A control plane without nodes, a namespace of its own for each test, and operators as processes."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster, Kubelet
from tests.integration.controlplane import NAME, SharedLab, begin, end, namespaces
from tests.integration.process import Operator
from tests.integration.restoring import IMAGE
from tests.integration.rights import Installed, Pods, installed, laid_out
from tests.integration.stage import Stage
from tests.integration.target import Target
from tests.lab import Lab
from tests.workers import common_folder, shared

from lastgood.context import Context, Options, make


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The control plane that all workers of a run have, and that none may stop: see alone/."""
    with shared(common_folder(tmp_path_factory) / "control-plane", up=lambda: begin(NAME), down=lambda: end(NAME)):
        yield SharedLab(NAME)


@pytest.fixture(scope="session")
def namespace_for(lab: Lab) -> Iterator[Callable[[], str]]:
    with namespaces(lab) as make:
        yield make


@pytest.fixture
def cluster(lab: Lab, namespace_for: Callable[[], str]) -> Iterator[Cluster]:
    cluster = Cluster(lab.kubeconfig, namespace_for())
    yield cluster
    cluster.close()


@pytest.fixture
def kubectl(lab: Lab, cluster: Cluster) -> Kube:
    return Kube(str(lab.bin("kubectl")), lab.kubeconfig, cluster.namespace)


@pytest.fixture
def kubelet(lab: Lab, cluster: Cluster) -> Iterator[Kubelet]:
    with Kubelet(lambda: Cluster(lab.kubeconfig, cluster.namespace)) as kubelet:
        yield kubelet


@pytest.fixture
def target(kubelet: Kubelet) -> Iterator[Target]:
    with Target(lambda: kubelet.running) as target:
        yield target


@pytest.fixture
def stage(cluster: Cluster, kubelet: Kubelet, target: Target) -> Stage:
    return Stage(cluster, kubelet, target)


@pytest.fixture
def spawn(lab: Lab, cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Starts operators; all end with the test."""
    started: list[Operator] = []

    def start(*options: str, **environment: str) -> Operator:
        log = tmp_path / f"operator-{len(started)}.log"
        operator = Operator(lab.kubeconfig, cluster.namespace, log, options, environment)
        started.append(operator)
        operator.wait_for_log('"started"', within=90)
        return operator

    yield start
    for operator in started:
        operator.stop()


@pytest.fixture
def operator(spawn: Callable[..., Operator]) -> Operator:
    running = spawn()
    running.wait_for_log('"leading"')
    return running


@pytest.fixture
def chart(lab: Lab, cluster: Cluster, kubectl: Kube, tmp_path: Path) -> Iterator[Installed]:
    with installed(lab, cluster, kubectl, tmp_path) as made:
        yield made


@pytest.fixture
def pods(chart: Installed, tmp_path: Path) -> Pods:
    return Pods(chart, laid_out(tmp_path / "pod"))


@pytest.fixture
def as_installed(spawn: Callable[..., Operator], chart: Installed) -> Callable[[], Operator]:
    """An operator that holds what the chart gives it and nothing else."""

    def start() -> Operator:
        operator = spawn(*chart.options, "--backup-image", IMAGE)
        operator.wait_for_log('"leading"')
        return operator

    return start


@pytest.fixture
async def context(lab: Lab, cluster: Cluster) -> AsyncIterator[Context]:
    """An operator's parts, none of them running."""
    context = await make(Options(namespaces=(cluster.namespace,), kubeconfig=str(lab.kubeconfig)))
    yield context
    await context.aclose()
