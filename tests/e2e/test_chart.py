"""The chart: linted, installed, tested, upgraded and uninstalled; what users declared stays."""

import subprocess
from collections.abc import Iterator

import pytest
from tests.demo.cluster import OPERATOR_IMAGE, PYTHON_BASE, operator_context
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, monitored, service
from tests.e2e.test_rollback import rollbacks, running_version, wait_good

pytestmark = pytest.mark.e2e
CHART = "charts/lastgood"


class Helm:
    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._call = [cluster.tool("helm"), f"--kubeconfig={cluster.kubeconfig}", "--namespace", namespace]

    def run(self, *args: str) -> str:
        done = subprocess.run([*self._call, *args], text=True, capture_output=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.fixture
def helm(cluster: Cluster, kube: Kube) -> Iterator[Helm]:
    with operator_context() as context:
        packages = ["python3", "python3-venv", "ca-certificates"]
        cluster.load(context / "Dockerfile", context, OPERATOR_IMAGE, PYTHON_BASE, packages)
    helm = Helm(cluster, kube.namespace)
    yield helm
    helm.run("uninstall", "lastgood", "--ignore-not-found", "--wait")


def test_install_act_upgrade_uninstall(kube: Kube, helm: Helm) -> None:
    helm.run("lint", "--strict", CHART)
    # The tests of other operators share this cluster and its CRDs: this release watches one namespace and owns none.
    chosen = [
        "--set",
        f"watchNamespaces={{{kube.namespace}}}",
        "--set",
        "crds.install=false",
        "--wait",
        "--timeout",
        "3m",
    ]
    chosen += ["--set", "rbac.userRoles=false"]
    helm.run("install", "lastgood", CHART, *chosen)
    assert "Succeeded" in helm.run("test", "lastgood")
    kube.apply(app(), service(), monitored(namespace=kube.namespace))
    wait_good(kube, "v1.0.0")
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: rollbacks(kube), within=90, says="rolled back with the chart's rights")
    assert running_version(kube) == "v1.0.0"
    helm.run("upgrade", "lastgood", CHART, *chosen, "--set", "replicas=1")
    helm.run("uninstall", "lastgood", "--wait")
    assert kube.get("monitoredservice", "app") is not None
    assert kube.get("deployment", "app") is not None
    assert kube.get("rollback", rollbacks(kube)[0]["metadata"]["name"]) is not None


def test_rights_are_named_and_secrets_are_never_listed(helm: Helm) -> None:
    import yaml

    for secrets in ("true", "false"):
        text = helm.run("template", "lastgood", CHART, "--set", f"rbac.secrets={secrets}")
        rules = [
            rule
            for document in yaml.safe_load_all(text)
            if document and document["kind"] in {"Role", "ClusterRole"}
            for rule in document["rules"]
        ]
        assert rules
        assert not any("*" in rule[k] for rule in rules for k in ("apiGroups", "resources", "verbs"))
        verbs = {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]}
        assert verbs == ({"get"} if secrets == "true" else set())
