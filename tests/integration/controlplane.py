"""Control planes: the one that tests share, and one of a worker's own for those that stop it or bend its rules."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster, Refused
from tests.lab import Lab
from tests.workers import number

NAME = os.environ.get("LASTGOOD_INTEGRATION_LAB", "integration")
"""Runs beside each other need names of their own."""


class SharedLab(Lab):
    """One that others are just using."""

    def stop(self, component: str, *, kill: bool = False) -> NoReturn:
        msg = f"other tests use this lab's {component} now: do it in tests/integration/alone"
        raise AssertionError(msg)


def begin(name: str) -> bool:
    """Bring it up, CRDs applied; return whether it is to be taken down: one that was up before is left up."""
    lab = Lab(name, mode="control-plane", controllers=True)
    was_up = bool(lab.status()) and all(state in {"running", "ready"} for state in lab.status().values())
    lab.up()
    kube = Kube(str(lab.bin("kubectl")), lab.kubeconfig, "default")
    kube.run("apply", "--server-side", "--force-conflicts", "-f", "crds/")
    kube.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    return not was_up and "LASTGOOD_KEEP_LAB" not in os.environ


def end(name: str) -> None:
    Lab(name).down()


@contextmanager
def own_lab() -> Iterator[Lab]:
    """A control plane of this worker's own."""
    name = f"{NAME}-own{number()}"
    made = begin(name)
    try:
        yield Lab(name)
    finally:
        if made:
            end(name)


@contextmanager
def namespaces(lab: Lab) -> Iterator[Callable[[], str]]:
    """Makes namespaces; all end with the block."""
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
