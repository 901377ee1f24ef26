"""What tests of backups stand on: servers with data, repositories, schedules, and looks at what is there."""

import subprocess
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.demo.cluster import (
    BACKUP_IMAGE,
    BACKUP_PACKAGES,
    DEBIAN_BASE,
    OPERATOR_IMAGE,
    OPERATOR_PACKAGES,
    PYTHON_BASE,
    ROOT,
    SHOP_IMAGE,
    SHOP_PACKAGES,
    build_context,
)
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import IMAGE

Object = dict[str, Any]
USER = 65532
PASSPHRASE, S3_ID, S3_SECRET, PASSWORD = "e2e-passphrase", "e2e-access", "e2e-secret-word", "e2e-database-word"
ROLES = "lastgood-system:lastgood"
"""Prefix of the jobs' ClusterRoles, as the manifests name them."""
FAR = "30 3 1 1 *"
"""Once a year, for what a test starts by hand."""
CHECKSUM = "SELECT count(*) || ' ' || md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o"


def load_images(cluster: Cluster) -> None:
    """The image of jobs, made of the operator's, and the servers'."""
    with build_context() as context:
        cluster.load(context / "Dockerfile", context, OPERATOR_IMAGE, PYTHON_BASE, OPERATOR_PACKAGES)
    with build_context("Dockerfile.backup", "backup-tools.txt") as context:
        cluster.load(context / "Dockerfile.backup", context, BACKUP_IMAGE, PYTHON_BASE, BACKUP_PACKAGES)
    folder = ROOT / "manifests" / "demo" / "image"
    cluster.load(folder / "Dockerfile", folder, SHOP_IMAGE, DEBIAN_BASE, SHOP_PACKAGES)


def roles() -> list[Object]:
    """The chart's ClusterRoles of jobs, which the operator binds in each namespace, and the one that a person binds."""
    text = (ROOT / "manifests/install/lastgood.yaml").read_text()
    return [
        body
        for body in yaml.safe_load_all(text)
        if body["kind"] == "ClusterRole"
        and body["metadata"]["name"].startswith((f"{ROLES}-backup-", f"{ROLES}-config-restore"))
    ]


def install(cluster: Cluster) -> None:
    """All that backups take besides an operator: the images on the node, and the ClusterRoles of their jobs."""
    load_images(cluster)
    Kube(cluster.tool("kubectl"), cluster.kubeconfig, "default").apply(*roles())


def node_address(kube: Kube) -> str:
    """Of what listens in the node's network, for pods and operators."""
    addresses = kube.all("nodes")[0]["status"]["addresses"]
    return str(next(a["address"] for a in addresses if a["type"] == "InternalIP"))


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def claim(name: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def server(namespace: str, name: str, *arguments: str, port: int, data: str = "") -> list[Object]:
    """One of the shop's servers with a Service; on a claim where ``data`` names one, else on nothing that stays."""
    labels = {"app": name}
    container: Object = {
        "name": name,
        "image": SHOP_IMAGE,
        "imagePullPolicy": "Never",
        "args": [name, *arguments],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "env": [{"name": "POSTGRES_PASSWORD", "value": PASSWORD}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"persistentVolumeClaim": {"claimName": data}} if data else {"emptyDir": {}}
    # Once is enough: PostgreSQL starts on no directory that a group may write, which it would be made at each mount.
    group = {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    pod: Object = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, **group},
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "data", **volume}],
    }
    head = {"metadata": {"name": name, "namespace": namespace}}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    return [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", **head, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", **head, "spec": {"selector": labels, "ports": [{"port": port}]}},
    ]


class Data:
    """The databases of a namespace."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def dsn(self, database: str = "sales", password: str = PASSWORD) -> str:
        return f"postgresql://shop:{password}@postgres.{self._kube.namespace}:5432/{database}"

    def sql(self, *statements: str, database: str = "sales") -> str:
        """What the statements print, run one after the other."""
        named = [word for statement in statements for word in ("-c", statement)]
        psql = ["/usr/lib/postgresql/15/bin/psql", "-h", "/tmp", "-U", "shop", "-d", database, "-XAtq"]
        command = ["exec", "postgres-0", "--", "env", f"PGPASSWORD={PASSWORD}", *psql, "-v", "ON_ERROR_STOP=1", *named]
        return self._kube.run(*command).stdout.strip()

    def fill(self, rows: int = 20000) -> str:
        """Make a database with a table of orders; return its checksum."""
        self.sql("CREATE DATABASE sales", database="postgres")
        self.sql(
            "CREATE TABLE orders (id bigint PRIMARY KEY, what text, at timestamptz DEFAULT now())",
            f"INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, {rows}) n",
        )
        return self.sql(CHECKSUM)


def volume(name: str = "backups") -> Object:
    return {"volume": {"claim": name}}


class Bucket:
    """An S3 server in the node's network, on a folder of this machine."""

    NAME = "backups"

    def __init__(self, cluster: Cluster, kube: Kube, folder: Path, port: int) -> None:
        self._cluster, self._folder, self._port = cluster, folder, port
        self._node = node_address(kube)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / self.NAME).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        command = [self._cluster.tool("versitygw"), "--access", S3_ID, "--secret", S3_SECRET]
        command += ["--port", f":{self._port}", "--quiet", "posix", "--nometa", str(self._folder)]
        with (self._folder.parent / "s3.log").open("ab") as log:
            self._process = subprocess.Popen([*self._cluster.exec_prefix, *command], stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def place(self) -> Object:
        key = {"name": "s3"}
        return {
            "s3": {
                "endpoint": f"http://{self._node}:{self._port}",
                "bucket": self.NAME,
                "accessKeyId": {**key, "key": "id"},
                "secretAccessKey": {**key, "key": "secret"},
            }
        }


@contextmanager
def bucket(cluster: Cluster, kube: Kube, port: int) -> Iterator[Bucket]:
    with tempfile.TemporaryDirectory() as folder:
        made = Bucket(cluster, kube, Path(folder) / "s3", port)
        made.start()
        try:
            yield made
        finally:
            made.stop()


def secrets(data: Data, password: str = PASSWORD) -> list[Object]:
    return [
        secret("database", dsn=data.dsn(password=password)),
        secret("key", passphrase=PASSPHRASE, other="not the passphrase"),
        secret("s3", id=S3_ID, secret=S3_SECRET),
    ]


def schedule(source: Object, *secondary: Object, name: str = "sales", **spec: Any) -> Object:
    """A BackupSchedule whose jobs start by hand only, unless ``spec`` says otherwise."""
    copies = [{"name": f"copy-{n}", **place} for n, place in enumerate(secondary)]
    yearly = {"schedule": FAR}
    body = {
        "source": source,
        "schedule": {"full": FAR, "incremental": "30 4 1 1 *", **spec.pop("schedule", {})},
        "repositories": {"primary": volume(), "secondary": copies},
        "encryption": {"secretKeyRef": {"name": "key", "key": "passphrase"}},
        "verification": {"dataSample": yearly, "restoreTest": yearly, "fullCheck": yearly},
        **spec,
    }
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "BackupSchedule",
        "metadata": {"name": name},
        "spec": body,
    }


READY = ("rollout", "status", "statefulset/postgres", "--timeout=5s")
POSTGRES = {"postgres": {"dsn": {"name": "database", "key": "dsn"}, "method": "logical"}}


class Looks:
    """Starts what a person starts, and waits for what they would look for."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def backups(self, phase: str = "Succeeded") -> list[Object]:
        """Oldest first."""
        found = [b for b in self._kube.all("backups") if b.get("status", {}).get("phase") == phase]
        return sorted(found, key=lambda b: (b["status"].get("finishedAt") or "", b["metadata"]["name"]))

    def backup(self, name: str, kind: str = "Full", *, of: str = "sales", within: float = 180) -> Object:
        """Make one by hand; its object once it has ended."""
        spec = {"schedule": of, "type": kind}
        body = {"apiVersion": "lastgood.dev/v1alpha1", "kind": "Backup", "metadata": {"name": name}, "spec": spec}
        self._kube.apply(body)
        return self.ended("backup", name, within=within)

    def ended(self, kind: str, name: str, *, within: float = 180) -> Object:
        """The Backup or Restore once it has succeeded or failed; a Backup's copies come after that, in the same Job."""

        def look() -> Object | None:
            copying = kind == "backup" and not self._over(name)
            body = self._kube.get(kind, name) or {}
            ended = body.get("status", {}).get("phase") in {"Succeeded", "Failed", "Refused"}
            return body if ended and not copying else None

        try:
            return until(look, within=within, says=f"{kind} {name} has ended", every=1)
        except AssertionError as error:
            msg = f"{error}\n{self.told()}"
            raise AssertionError(msg) from None

    def _over(self, job: str) -> bool:
        conditions = (self._kube.get("job", job) or {}).get("status", {}).get("conditions", [])
        return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)

    def copied(self) -> list[Object]:
        """Backups that have succeeded and whose Jobs have ended: what was to be copied is."""
        return [body for body in self.backups() if self._over(body["metadata"]["name"])]

    def task(self, name: str, task: str, *, of: str = "sales", within: float = 240) -> bool:
        """Start a task of the schedule's CronJob now; whether its Job succeeded."""
        self._kube.run("create", "job", name, f"--from=cronjob/{of}-{task}")

        def look() -> str | None:
            conditions = (self._kube.get("job", name) or {}).get("status", {}).get("conditions", [])
            ends = [c["type"] for c in conditions if c["status"] == "True" and c["type"] in {"Complete", "Failed"}]
            return ends[0] if ends else None

        try:
            return until(look, within=within, says=f"job {name} has ended", every=1) == "Complete"
        except AssertionError as error:
            msg = f"{error}\n{self.told()}"
            raise AssertionError(msg) from None

    def restore(self, name: str, *, within: float = 300, **spec: Any) -> Object:
        """Ask for one that waits for no approval; its object once it has ended."""
        whole = {"schedule": "sales", "needsApproval": False, **spec}
        self._kube.apply(
            {"apiVersion": "lastgood.dev/v1alpha1", "kind": "Restore", "metadata": {"name": name}, "spec": whole}
        )
        return self.ended("restore", name, within=within)

    def condition(self, kind: str, *, of: str = "sales", what: str = "backupschedule") -> Object:
        body = self._kube.get(what, of) or {}
        found = [c for c in body.get("status", {}).get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def inside(self, claim_name: str, script: str, *, user: int = USER) -> str:
        """What a shell says in a pod that has the claim as /claim, as the user of the jobs."""
        name = "look"
        mount = {"name": "claim", "mountPath": "/claim"}
        container = {
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-ec", textwrap.dedent(script)],
            "volumeMounts": [mount],
        }
        spec = {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": user, "runAsGroup": user, "fsGroup": user},
            "containers": [container],
            "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim_name}}],
        }
        self._kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        phase = until(
            lambda: next(
                (
                    p
                    for p in [(self._kube.get("pod", name) or {}).get("status", {}).get("phase")]
                    if p in {"Succeeded", "Failed"}
                ),
                None,
            ),
            within=90,
            says="the look inside has ended",
        )
        said = self._kube.run("logs", name).stdout
        self._kube.run("delete", "pod", name, "--now", "--wait=true")
        assert phase == "Succeeded", said
        return said

    def told(self) -> str:
        """What the cluster says of jobs, for a test that failed."""
        said = [self._kube.run("get", "bs,bk,rst,jobs,pods", "-o", "wide", check=False).stdout]
        said += [
            self._kube.run("logs", pod["metadata"]["name"], "--tail=30", check=False).stdout
            for pod in self._kube.all("pods")
            if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "lastgood-backup"
        ]
        said.append(self._kube.run("get", "events", "--sort-by=.lastTimestamp", check=False).stdout[-3000:])
        return "\n".join(said)
