"""The chart: linted, installed, tested, upgraded and uninstalled; what users declared stays."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.demo.cluster import OPERATOR_IMAGE, OPERATOR_PACKAGES, PYTHON_BASE, build_context
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, monitored, service
from tests.e2e.test_rollback import rollbacks, running_version, wait_good
from tests.unit.probes.certs import Authority

# One after the other: what a release makes in the cluster is named after it.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chart")]
CHART = "charts/lastgood"
IN_DEFAULT = ("--namespace", "default")
"""For what is only rendered: names of what is outside a namespace begin with the release's own."""


class Helm:
    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._call = [cluster.tool("helm"), f"--kubeconfig={cluster.kubeconfig}", "--namespace", namespace]

    def run(self, *args: str) -> str:
        done = subprocess.run([*self._call, *args], text=True, capture_output=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


@pytest.fixture
def helm(cluster: Cluster, kube: Kube) -> Iterator[Helm]:
    with build_context() as context:
        cluster.load(context / "Dockerfile", context, OPERATOR_IMAGE, PYTHON_BASE, OPERATOR_PACKAGES)
    helm = Helm(cluster, kube.namespace)
    yield helm
    helm.run("uninstall", "lastgood", "--ignore-not-found", "--wait")


# Reads one line with a token; prints status and text.
SEND = """
import ssl, sys, httpx
context = ssl.create_default_context(cafile=sys.argv[2])
headers = {"Authorization": "Bearer " + sys.stdin.readline().strip()}
answer = httpx.post(sys.argv[1], headers=headers, json={"type": "DataIntegrity"}, verify=context, trust_env=False, timeout=20)
print(answer.status_code, answer.text)
"""


def certificate(kube: Kube, folder: Path) -> None:
    """A Secret with a certificate for the chart's service of signals."""
    authority = Authority.make("lastgood e2e authority")
    both = authority.sign(f"lastgood-signals.{kube.namespace}.svc.cluster.local")
    (folder / "ca.crt").write_bytes(authority.pem)
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(both)
    kube.run("create", "secret", "tls", "signals", f"--cert={folder}/tls.crt", f"--key={folder}/tls.key")


def signal(cluster: Cluster, kube: Kube, folder: Path) -> str:
    """Status and text of the answer to a signal, sent by an account of the namespace's own from the node's network."""
    kube.run("create", "serviceaccount", "falco")
    kube.run("create", "role", "signaller", "--verb=create", "--resource=monitoredservices.lastgood.dev/signals")
    kube.run("create", "rolebinding", "falco", "--role=signaller", f"--serviceaccount={kube.namespace}:falco")
    token = kube.run("create", "token", "falco").stdout
    url = f"https://lastgood-signals.{kube.namespace}.svc.cluster.local:8443/v1/signals/{kube.namespace}/app"
    command = [*cluster.exec_prefix, sys.executable, "-c", SEND, url, str(folder / "ca.crt")]

    def sent() -> str | None:
        done = subprocess.run(command, input=token, text=True, capture_output=True, check=False, timeout=60)
        # The new pod is ready a moment before the node sends to it.
        assert done.returncode == 0 or "Connection refused" in done.stderr, done.stderr[-2000:]
        return done.stdout or None

    return until(sent, within=30, says="somebody takes signals", every=1)


def test_install_act_upgrade_uninstall(cluster: Cluster, kube: Kube, helm: Helm, tmp_path: Path) -> None:
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
    certificate(kube, tmp_path)
    chosen += ["--set", "replicas=1,history.volume.enabled=true,history.volume.size=1Gi"]
    chosen += ["--set", "signals.enabled=true,signals.tls.secret=signals"]
    helm.run("upgrade", "lastgood", CHART, *chosen)
    assert kube.all("pvc")[0]["status"]["phase"] == "Bound"
    answer = signal(cluster, kube, tmp_path)
    assert answer.startswith("200 "), answer
    assert "nothing follows" in answer
    assert (kube.get("monitoredservice", "app") or {})["status"]["signals"][0]["type"] == "DataIntegrity"
    helm.run("uninstall", "lastgood", "--wait")
    assert kube.get("monitoredservice", "app") is not None
    assert kube.get("deployment", "app") is not None
    assert kube.get("rollback", rollbacks(kube)[0]["metadata"]["name"]) is not None


def test_rights_are_named_and_secrets_are_never_listed(helm: Helm) -> None:
    import yaml

    for secrets in ("true", "false"):
        text = helm.run("template", "lastgood", CHART, *IN_DEFAULT, "--set", f"rbac.secrets={secrets}")
        rules = [
            rule
            for document in yaml.safe_load_all(text)
            # These are nobody's until a BackupSchedule asks for Secrets, or a person binds the other to put them back.
            if document
            and document["kind"] in {"Role", "ClusterRole"}
            and document["metadata"]["name"].removeprefix("default:lastgood-")
            not in {"backup-secrets", "config-restore-secrets"}
            for rule in document["rules"]
        ]
        assert rules
        assert not any("*" in rule[k] for rule in rules for k in ("apiGroups", "resources", "verbs"))
        verbs = {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]}
        assert verbs == ({"get", "create"} if secrets == "true" else set())
        bound = [rule for rule in rules if "bind" in rule["verbs"]]
        assert [rule["resourceNames"] for rule in bound] == [
            [f"default:lastgood-backup-{role}" for role in ("job", "receive", "logs", "config", "secrets")]
        ]


def test_without_backups_no_right_is_given_for_them(helm: Helm) -> None:
    import yaml

    text = helm.run("template", "lastgood", CHART, *IN_DEFAULT, "--set", "backups.enabled=false")
    assert "--backup-image" not in text
    documents = [d for d in yaml.safe_load_all(text) if d and d["kind"] != "CustomResourceDefinition"]
    assert not [d["metadata"]["name"] for d in documents if "backup" in d["metadata"]["name"]]
    (mine,) = [d for d in documents if d["kind"] == "ClusterRole" and d["metadata"]["name"] == "default:lastgood"]
    assert not [r for r in mine["rules"] if {"jobs", "rolebindings", "backups"} & set(r["resources"])]
    assert {v for r in mine["rules"] if "secrets" in r["resources"] for v in r["verbs"]} == {"get"}


def test_releases_of_one_name_in_two_namespaces_share_nothing(helm: Helm) -> None:
    import yaml

    made = []
    for namespace in ("one", "two"):
        chosen = ["--set", "signals.enabled=true,signals.tls.secret=x,rbac.nodeStats=true,rbac.secrets={shop}"]
        chosen += ["--set", "crds.install=false", "--namespace", namespace]
        texts = [
            helm.run("template", "lastgood", CHART, *chosen, *more)
            for more in ([], ["--set", "watchNamespaces={shop}"])
        ]
        documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
        made.append(
            {
                (d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"])
                for d in documents
                if d["kind"].startswith("Cluster") or d["metadata"].get("namespace") == "shop"
            }
        )
    assert len(made[0]) >= 12
    assert not made[0] & made[1]
