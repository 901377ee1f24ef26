"""A real node, a namespace of its own for each test, and an operator of its own in it."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.demo.cluster import PYTHON_BASE
from tests.e2e.cluster import Cluster, make
from tests.e2e.kube import Kube
from tests.e2e.objects import IMAGE
from tests.e2e.operator_process import Operator


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster, with the image that tests run and with our kinds."""
    cluster = make()
    cluster.up()
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(f"FROM {PYTHON_BASE}\nUSER 65532\n")
        cluster.load(dockerfile, Path(folder), IMAGE, PYTHON_BASE, ["python3", "ca-certificates"])
    Kube(cluster.tool("kubectl"), cluster.kubeconfig, "default").run("apply", "-f", "crds/")
    yield cluster
    cluster.down()


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    namespace = f"t-{secrets.token_hex(4)}"
    kube = Kube(cluster.tool("kubectl"), cluster.kubeconfig, namespace)
    kube.run("create", "namespace", namespace)
    yield kube
    kube.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def spawn(cluster: Cluster, kube: Kube, tmp_path: Path) -> Iterator[Callable[[], Operator]]:
    """Starts operators; all end with the test."""
    started: list[Operator] = []

    def start() -> Operator:
        number = len(started)
        operator = Operator(cluster, kube.namespace, tmp_path / f"operator-{number}.log", port=18080 + number)
        operator.start()
        started.append(operator)
        return operator

    yield start
    for operator in started:
        operator.stop()


@pytest.fixture
def operator(spawn: Callable[[], Operator]) -> Operator:
    running = spawn()
    running.wait_for_log('"leading"')
    return running
