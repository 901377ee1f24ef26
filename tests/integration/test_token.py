"""The token of a service account in a pod: renewed, and refused for a while. A mount namespace stands for the pod."""

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Object
from tests.integration.process import Operator
from tests.integration.stage import Stage
from tests.lab import Lab

pytestmark = pytest.mark.integration
OUTCOMES = "lastgood_probe_outcomes_total"
PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"


class Account:
    """A service account that may do anything in one namespace, and the folder that a pod would have of it."""

    def __init__(self, cluster: Cluster, lab: Lab, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        folder.mkdir()
        config = json.loads(lab.kubeconfig.read_text())["clusters"][0]["cluster"]
        (folder / "ca.crt").write_bytes(base64.b64decode(config["certificate-authority-data"]))
        (folder / "namespace").write_text(cluster.namespace)
        host, port = config["server"].removeprefix("https://").split(":")
        self.environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        self.make()
        name = {"kind": "ServiceAccount", "name": "operator", "namespace": cluster.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding = {"metadata": {"name": "operator"}, "subjects": [name], "roleRef": role}
        cluster.request("POST", f"{RBAC.format(cluster.namespace)}/rolebindings", json=binding)

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._cluster.namespace}/serviceaccounts"

    def make(self) -> None:
        self._cluster.request("POST", self._path, json={"metadata": {"name": "operator"}})

    def delete(self) -> None:
        """Every token that it was given is refused from now on."""
        self._cluster.request("DELETE", f"{self._path}/operator")

    @property
    def token(self) -> str:
        return (self._folder / "token").read_text()

    def write_token(self) -> None:
        """As the kubelet does: a new file in the place of the old one."""
        asked: Object = {"spec": {"expirationSeconds": 3600}}
        told = self._cluster.request("POST", f"{self._path}/operator/token", json=asked)
        fresh = self._folder / "token.new"
        fresh.write_text(told["status"]["token"])
        fresh.replace(self._folder / "token")


@pytest.fixture
def account(lab: Lab, cluster: Cluster, tmp_path: Path) -> Account:
    return Account(cluster, lab, tmp_path / "account")


@pytest.fixture
def in_pod(account: Account, cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[], Operator]]:
    """Starts an operator that finds the account where a pod does."""
    if not shutil.which("unshare") or os.geteuid() != 0:  # pragma: no cover
        pytest.fail("takes root and unshare, to give a process a /var/run/secrets of its own")
    mine = f"mount -t tmpfs none /var/run && mkdir -p {PLACE} && mount --bind {tmp_path}/account {PLACE}"
    prefix = ["unshare", "--mount", "sh", "-c", f'{mine} && exec "$@"', "sh"]
    started: list[Operator] = []

    def start() -> Operator:
        running = Operator(
            None, cluster.namespace, tmp_path / "operator.log", environment=account.environment, prefix=prefix
        )
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.mark.long
def test_refused_for_a_while_and_renewed(in_pod: Callable[[], Operator], account: Account, stage: Stage) -> None:
    """Probing goes on, the process stays, nothing is rolled back, and all is caught up with the new token."""
    account.write_token()
    operator = in_pod()
    operator.wait_for_log('"leading"')
    stage.become_good("app", "other")
    account.delete()
    # The API server believes a token for some seconds after it has seen it.
    operator.wait_for_log("lease not renewed", within=40)
    operator.more(OUTCOMES, 10)
    stage.target.answers("other", 503)
    operator.more(OUTCOMES, 10)
    assert operator.running
    account.make()
    account.write_token()
    stage.wait("other", "Healthy", "ProbesFailing", status="False", within=120)
    until(lambda: operator.page("/readyz").text == "leader\n", within=60, says="it leads again")
    stage.release_bad("app")
    stage.rolled_back("app")
    assert not stage.rollbacks("other")
    assert operator.running
    assert account.token not in operator.log
