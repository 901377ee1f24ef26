"""A control plane without nodes, a namespace of its own for each test, and operators as processes."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster, Kubelet, Refused
from tests.integration.process import Operator
from tests.integration.stage import Stage
from tests.integration.target import Target
from tests.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, CRDs applied; one that was up before is left up. Runs beside each other need names of their own."""
    lab = Lab(name=os.environ.get("LASTGOOD_INTEGRATION_LAB", "integration"), mode="control-plane", controllers=True)
    was_up = bool(lab.status()) and all(state in {"running", "ready"} for state in lab.status().values())
    lab.up()
    Kube(str(lab.bin("kubectl")), lab.kubeconfig, "default").run(
        "apply", "--server-side", "--force-conflicts", "-f", "crds/"
    )
    Kube(str(lab.bin("kubectl")), lab.kubeconfig, "default").run(
        "wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"
    )
    yield lab
    if not was_up and "LASTGOOD_KEEP_LAB" not in os.environ:
        lab.down()


@pytest.fixture(scope="session")
def namespace_for(lab: Lab) -> Iterator[Callable[[], str]]:
    """Makes namespaces; all end with the session."""
    admin = Cluster(lab.kubeconfig, "default")
    made: list[str] = []

    def make() -> str:
        name = f"t-{secrets.token_hex(4)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        admin.request("POST", "/api/v1/namespaces", json=body)
        made.append(name)
        return name

    yield make
    for name in made:
        try:
            admin.request("DELETE", f"/api/v1/namespaces/{name}")
        except Refused as error:
            # A test has deleted it itself.
            if error.status not in {404, 409}:
                raise
    admin.close()


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
        operator.wait_for_log('"started"')
        return operator

    yield start
    for operator in started:
        operator.stop()


@pytest.fixture
def operator(spawn: Callable[..., Operator]) -> Operator:
    running = spawn()
    running.wait_for_log('"leading"')
    return running
