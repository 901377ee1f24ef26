"""A real node, a namespace of its own for each test, and an operator of its own in it."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.demo.cluster import PYTHON_BASE
from tests.e2e.cluster import Cluster, make
from tests.e2e.kube import Kube
from tests.e2e.objects import IMAGE
from tests.e2e.operator_process import Operator
from tests.lab import Lab
from tests.lab.instance import Instance
from tests.workers import common_folder, shared
from tests.workers import number as worker_number


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, with the image that tests run and with our kinds. All workers of a run have the same."""
    with shared(common_folder(tmp_path_factory) / "cluster", up=prepare, down=lambda: make().down()):
        yield make()


def prepare(cluster: Cluster | None = None) -> bool:
    """Bring a cluster up, the common one if none is named; return whether it is to be taken down again."""
    cluster = cluster or make()
    made = cluster.up()
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(f"FROM {PYTHON_BASE}\nUSER 65532\n")
        cluster.load(dockerfile, Path(folder), IMAGE, PYTHON_BASE, ["python3", "ca-certificates"])
    Kube(cluster.tool("kubectl"), cluster.kubeconfig, "default").run("apply", "-f", "crds/")
    return made and "LASTGOOD_KEEP_LAB" not in os.environ


@pytest.fixture
def kube(cluster: Cluster) -> Iterator[Kube]:
    namespace = f"t-{secrets.token_hex(4)}"
    kube = Kube(cluster.tool("kubectl"), cluster.kubeconfig, namespace)
    kube.run("create", "namespace", namespace)
    yield kube
    kube.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def spawn(cluster: Cluster, kube: Kube, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Starts operators; all end with the test."""
    started: list[Operator] = []

    def start(*options: str) -> Operator:
        number = len(started)
        # All of them are on the node's loopback, those of the other workers, too.
        port = 18080 + 20 * worker_number() + number
        operator = Operator(cluster, kube.namespace, tmp_path / f"operator-{number}.log", port=port, options=options)
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


@pytest.fixture
def lab(kube: Kube) -> Lab:
    """The lab that is up: these tests go into its kubelet."""
    if os.environ.get("CLUSTER") == "kind":
        pytest.skip("takes a kubelet that is a process of this machine, which kind's is not")
    return Lab(name=os.environ.get("LASTGOOD_LAB", "lab"))


@pytest.fixture
def small(lab: Lab, kube: Kube, tmp_path: Path) -> Iterator[str]:
    """A claim of a real file system of 64 MiB: the lab's own volumes are folders of one large disk."""
    kubelet = Instance(lab.name).state
    assert kubelet is not None
    inside = ["nsenter", "--mount", f"--target={kubelet.components['kubelet'].process.pid}"]
    tmp_path.chmod(0o755)
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "tmpfs", str(tmp_path)], check=True)
    node = kube.all("nodes")[0]["metadata"]["name"]
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    shared = {"accessModes": ["ReadWriteOnce"], "storageClassName": kube.namespace}
    volume: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": kube.namespace},
        "spec": {
            **shared,
            "capacity": {"storage": "64Mi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(tmp_path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "small"},
        "spec": {**shared, "resources": {"requests": {"storage": "64Mi"}}},
    }
    kube.apply(volume, claim)
    yield "small"
    kube.run("delete", "deployment", "--all", "--wait=true")
    kube.run("delete", "pod", "--all", "--now", "--wait=true")
    kube.run("delete", "pvc", "small", "--wait=true")
    kube.run("delete", "pv", kube.namespace, "--wait=true")
    subprocess.run([*inside, "umount", str(tmp_path)], check=True)
