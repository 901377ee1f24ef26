"""The chart's rights on a real API server, and pods of jobs that really run, with the token of their ServiceAccount."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Object
from tests.integration.process import Operator
from tests.integration.restoring import restore, schedule
from tests.lab import Lab
from tests.warm import Warm

from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.ports import Places
from lastgood.domain.backups.trying import exit_status

_WIDE = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}
_KINDS = {"Role", "RoleBinding", "ServiceAccount", *_WIDE}


@dataclass
class Installed:
    """The chart's rights for one namespace, named after it."""

    lab: Lab
    cluster: Cluster
    folder: Path
    made: int = 0

    @property
    def name(self) -> str:
        """Of the release's objects in the namespace, and of its Lease."""
        return f"{self.cluster.namespace}-lastgood"

    @property
    def roles(self) -> str:
        """What its ClusterRoles begin with."""
        return f"{self.cluster.namespace}:{self.name}"

    @property
    def options(self) -> list[str]:
        """Of an operator that runs with the release's rights and no others."""
        return [
            "--kubeconfig",
            str(self.kubeconfig(self.name)),
            "--lease-name",
            self.name,
            "--backup-roles",
            self.roles,
        ]

    def token(self, account: str) -> str:
        path = f"{self.cluster.path('ServiceAccount', account)}/token"
        asked = {"spec": {"expirationSeconds": 3600}}
        return str(self.cluster.request("POST", path, json=asked)["status"]["token"])

    def kubeconfig(self, account: str) -> Path:
        """One with a token of this ServiceAccount, as text and as a file."""
        self.made += 1
        token = self.folder / f"{account}-{self.made}.token"
        token.write_text(self.token(account))
        config = json.loads(self.lab.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token.read_text(), "tokenFile": str(token)}
        place = self.folder / f"{account}-{self.made}.kubeconfig"
        place.write_text(json.dumps(config))
        return place

    @contextmanager
    def as_account(self, account: str, namespace: str = "") -> Iterator[Cluster]:
        cluster = Cluster(self.kubeconfig(account), namespace or self.cluster.namespace)
        yield cluster
        cluster.close()


@contextmanager
def installed(lab: Lab, cluster: Cluster, kubectl: Kube, folder: Path, *values: str) -> Iterator[Installed]:
    """Apply what the chart renders of rights, and take away after what is in no namespace."""
    chosen = [f"watchNamespaces={{{cluster.namespace}}}", "crds.install=false", *values]
    helm = [str(lab.bin("helm")), "template", cluster.namespace, "charts/lastgood", "--namespace", cluster.namespace]
    helm += [word for value in chosen for word in ("--set", value)]
    text = subprocess.run(helm, check=True, capture_output=True, text=True, timeout=60).stdout
    rights = [d for d in yaml.safe_load_all(text) if d and d["kind"] in _KINDS]
    rights = [d for d in rights if "helm.sh/hook" not in (d["metadata"].get("annotations") or {})]
    kubectl.apply(*rights)
    try:
        yield Installed(lab, cluster, folder)
    finally:
        for body in rights:
            if body["kind"] in _WIDE:
                cluster.request("DELETE", f"{_WIDE[body['kind']]}/{body['metadata']['name']}")


@dataclass
class Ran:
    """A pod that has ended."""

    pod: Object
    result: JobResult
    log: str

    @property
    def account(self) -> str:
        return str(self.pod["spec"]["serviceAccountName"])


@dataclass
class Pods:
    """Plays the kubelet for pods of backup jobs: runs the program in them on this machine.

    A pod that mounts no token is given none. Folders stand for its volumes, the same for all pods of a test.
    """

    installed: Installed
    places: Places
    ran: list[Ran] = field(default_factory=list)

    def run(self, job: str, *, within: float = 30) -> Ran:
        """Wait for the pod of a Job, run it, and say of it how it ended."""
        cluster = self.installed.cluster
        pod = until(lambda: self._pod(job), within=within, says=f"Job {job} has a pod")
        spec = self._told(pod)
        folder = self.installed.folder / pod["metadata"]["name"]
        folder.mkdir()
        (folder / "spec.json").write_text(spec)
        arguments = [
            "job",
            *("--spec", str(folder / "spec.json"), "--result", str(folder / "result")),
            *("--credentials", str(self.places.credentials), "--volumes", str(self.places.volumes)),
        ]
        if any(
            "serviceAccountToken" in s
            for v in pod["spec"]["volumes"]
            for s in (v.get("projected") or {}).get("sources", ())
        ):
            arguments += ["--kubeconfig", str(self.installed.kubeconfig(pod["spec"]["serviceAccountName"]))]
        process = Warm(arguments, {"PATH": os.environ["PATH"], "JOB_NAME": job}, folder / "log")
        log, _ = process.communicate(timeout=300)
        text = (folder / "result").read_text()
        ran = Ran(pod, JobResult.model_validate_json(text), log)
        assert process.returncode == exit_status(ok=ran.result.ok, reason=ran.result.reason), log
        ended = {"exitCode": process.returncode, "reason": "Completed", "message": text}
        container = {"name": "job", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
        status = {
            "phase": "Failed" if process.returncode else "Succeeded",
            "containerStatuses": [{**container, "state": {"terminated": ended}}],
        }
        cluster.patch("Pod", pod["metadata"]["name"], {"status": status}, status=True)
        self.ran.append(ran)
        return ran

    def from_cron(self, cron_job: str, name: str) -> Ran:
        """As `kubectl create job --from=cronjob/…` does."""
        cluster = self.installed.cluster
        made = until(lambda: cluster.get("CronJob", cron_job), within=30, says=f"CronJob {cron_job}")
        template = made["spec"]["jobTemplate"]
        cluster.create(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, **template["metadata"]},
                "spec": template["spec"],
            }
        )
        return self.run(name)

    def _pod(self, job: str) -> Object | None:
        """Its newest that nobody has run."""
        seen = {ran.pod["metadata"]["name"] for ran in self.ran}
        pods = [
            p
            for p in self.installed.cluster.all("Pod")
            if p["metadata"]["labels"].get("job-name") == job and p["metadata"]["name"] not in seen
        ]
        return pods[-1] if pods else None

    def _told(self, pod: Object) -> str:
        volume = next(v for v in pod["spec"]["volumes"] if v["name"] == "job")["configMap"]
        config = self.installed.cluster.get("ConfigMap", volume["name"])
        assert config is not None
        return str(config["data"][volume["items"][0]["key"]])


def laid_out(folder: Path) -> Places:
    """Credentials and volumes of a schedule whose primary is a claim."""
    places = Places(folder / "credentials", folder / "volumes")
    places.scratch.mkdir(parents=True)
    places.repository("primary").mkdir(parents=True)
    key = places.credential("key/current")
    key.parent.mkdir(parents=True)
    key.write_text("c4n4ry-p4ssphrase\n")
    return places


def refused(cluster: Cluster, method: str, path: str, **body: Any) -> bool:
    """Whether the API server forbids it."""
    answer = cluster._client.request(method, path, **({"json": body} if body else {}))
    return answer.status_code == 403


def planned(name: str, **source: Any) -> Object:
    """A schedule with an account that the operator makes; it runs when a test says so."""
    body = schedule(name, **source)
    body["spec"].pop("job")
    body["spec"]["repositories"] = {"primary": {"volume": {"claim": "backups", "path": name}}}
    return body


KEY = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"passphrase": "c4n4ry"}}
"""The cluster's side of what the pods' folders hold."""


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def never_forbidden(operator: Operator) -> None:
    assert '"status": 403' not in operator.log
    assert "forbidden" not in operator.log
    assert "Traceback" not in operator.log


def restored(name: str = "back", **spec: Any) -> Object:
    return restore(name, schedule="declared", **spec)
