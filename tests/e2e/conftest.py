"""A real node, a namespace of its own for each test, and an operator of its own in it."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.kube import Kube
from tests.e2e.objects import IMAGE
from tests.e2e.operator_process import Operator
from tests.lab import Lab, images


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab; one that was up before is left up."""
    lab = Lab(name=os.environ.get("LASTGOOD_LAB", "lab"))
    was_up = all(state in {"running", "ready"} for state in lab.status().values()) if lab.status() else False
    lab.up()
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text("FROM docker.io/local/e2e-base:1\nUSER 65532\n")
        tar = images.build(
            dockerfile, Path(folder), IMAGE, {"docker.io/local/e2e-base:1": ["python3", "ca-certificates"]}, {}
        )
        lab.load_image(tar)
    Kube(str(lab.bin("kubectl")), lab.kubeconfig, "default").run("apply", "-f", "crds/")
    yield lab
    if not was_up and "LASTGOOD_KEEP_LAB" not in os.environ:
        lab.down()


@pytest.fixture
def kube(lab: Lab) -> Iterator[Kube]:
    namespace = f"t-{secrets.token_hex(4)}"
    kube = Kube(str(lab.bin("kubectl")), lab.kubeconfig, namespace)
    kube.run("create", "namespace", namespace)
    yield kube
    kube.run("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def spawn(lab: Lab, kube: Kube, tmp_path: Path) -> Iterator[Callable[[], Operator]]:
    """Starts operators; all end with the test."""
    started: list[Operator] = []

    def start() -> Operator:
        number = len(started)
        operator = Operator(lab, kube.namespace, tmp_path / f"operator-{number}.log", port=18080 + number)
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
