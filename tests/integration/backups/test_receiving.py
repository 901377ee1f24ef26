"""A receiver that is told to end, with a real PostgreSQL and a real API server: the slot that it leaves, or not."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.backing import ROLES, roles
from tests.e2e.kube import until
from tests.integration.backups.conftest import Pod
from tests.integration.backups.jobs import Job
from tests.integration.backups.postgres.conftest import Server, serving
from tests.integration.cluster import Cluster
from tests.integration.probes.conftest import PASSWORD, free_port
from tests.integration.scheduling import schedule
from tests.lab import Lab
from tests.warm import Warm

from lastgood.api.backupjob import JobResult
from lastgood.backups.postgres.spool import Spool
from lastgood.domain.backups.names import slot_of

pytestmark = pytest.mark.integration
WAL = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "wal"}}
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("15") as server:
        yield server


class Receiver:
    """The process of a receiver's pod, as the account that its schedule has."""

    def __init__(self, server: Server, cluster: Cluster, job: Job) -> None:
        self.server, self.cluster, self.job = server, cluster, job
        self.uid: str = cluster.create(schedule(source=WAL))["metadata"]["uid"]
        self.slot = slot_of(self.uid)
        row = server.execute(f"SELECT lsn::text FROM pg_create_physical_replication_slot('{self.slot}', true)")
        job.pod.places.spool.mkdir(parents=True, exist_ok=True)
        Spool(job.pod.places.spool).begin(row[0][0])
        job.pod.credential("source/dsn", server.dsn())
        job.namespace = cluster.namespace
        job.spec = {**job.spec, "source": WAL}
        self.process: Warm | None = None

    def start(self) -> None:
        names = {"schedule": "shop", "scheduleUid": self.uid, "slot": self.slot}
        self.process = self.job.start("receive", "receive", **names)
        until(lambda: self.state() == [(True,)], within=60, says="it receives")

    def state(self) -> list[tuple[Any, ...]]:
        """Whether its slot is in use; empty without a slot."""
        return self.server.execute(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{self.slot}'")

    def end(self) -> JobResult:
        """As the kubelet does."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        log, _ = self.process.communicate(timeout=60)
        assert PASSWORD not in log
        return self.job.result("receive")


@pytest.fixture
def job(pod: Pod, tmp_path: Path, cluster: Cluster, lab: Lab) -> Job:
    """With the chart's rights for a receiver, and the token of an account that has no other."""
    for body in roles():
        try:
            cluster.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", json=body)
        except Exception as error:
            if getattr(error, "status", 0) != 409:
                raise
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "receiver"}})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "receiver"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{ROLES}-backup-receive"},
        "subjects": [{"kind": "ServiceAccount", "name": "receiver", "namespace": cluster.namespace}],
    }
    cluster.request("POST", BINDINGS.format(cluster.namespace), json=binding)
    account = cluster.path("ServiceAccount", "receiver") + "/token"
    token = cluster.request("POST", account, json={"spec": {"expirationSeconds": 3600}})["status"]["token"]
    (tmp_path / "token").write_text(token)
    config = json.loads(lab.kubeconfig.read_text())
    config["users"][0]["user"] = {"tokenFile": str(tmp_path / "token")}
    (tmp_path / "out").mkdir()
    job = Job(pod, tmp_path / "out")
    job.kubeconfig = tmp_path / "receiver.kubeconfig"
    job.kubeconfig.write_text(json.dumps(config))
    return job


@pytest.fixture
def receiver(server: Server, cluster: Cluster, job: Job) -> Iterator[Receiver]:
    made = Receiver(server, cluster, job)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()
    if made.state():
        server.execute(f"SELECT pg_drop_replication_slot('{made.slot}')")


def test_a_restart_keeps_the_slot(receiver: Receiver) -> None:
    for _ in range(2):
        receiver.start()
        result = receiver.end()
        assert (result.ok, result.message) == (True, f"slot {receiver.slot} is kept: the schedule goes on")
        assert receiver.state() == [(False,)]


def _with_account_and_rights_gone(cluster: Cluster) -> None:
    """As the garbage collector leaves it: what the receiver could ask with goes before the receiver is told to end."""
    cluster.delete("BackupSchedule", "shop")
    cluster.request("DELETE", BINDINGS.format(cluster.namespace) + "/receiver")
    cluster.delete("ServiceAccount", "receiver")


def _dumps(cluster: Cluster) -> None:
    """As the operator does it: the right to ask goes first here, too."""
    source = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}}
    cluster.patch("BackupSchedule", "shop", {"spec": {"source": source}})
    cluster.request("DELETE", BINDINGS.format(cluster.namespace) + "/receiver")


def _deleted(cluster: Cluster) -> None:
    cluster.delete("BackupSchedule", "shop")


def _deleted_and_made_anew(cluster: Cluster) -> None:
    cluster.delete("BackupSchedule", "shop")
    cluster.create(schedule(source=WAL))


def _with_its_namespace(cluster: Cluster) -> None:
    cluster.request("DELETE", f"/api/v1/namespaces/{cluster.namespace}")


@pytest.mark.parametrize(
    "change", [_deleted, _deleted_and_made_anew, _with_account_and_rights_gone, _dumps, _with_its_namespace]
)
def test_a_schedule_that_is_gone_leaves_no_slot(receiver: Receiver, change: Callable[[Cluster], None]) -> None:
    receiver.start()
    change(receiver.cluster)
    result = receiver.end()
    assert (result.ok, f"slot {receiver.slot} was dropped" in result.message) == (True, True), result
    assert receiver.state() == []


def test_a_namespace_whose_end_begins_after_the_receivers_leaves_no_slot(receiver: Receiver, cluster: Cluster) -> None:
    """Of a namespace all goes at once, in no order: the right to ask is gone, the schedule not yet."""
    receiver.start()
    cluster.request("DELETE", BINDINGS.format(cluster.namespace) + "/receiver")
    assert receiver.process
    receiver.process.send_signal(signal.SIGTERM)
    until(lambda: receiver.state() == [(False,)], within=20, says="it receives no more")
    cluster.delete("BackupSchedule", "shop")
    receiver.process.communicate(timeout=60)
    assert "the schedule was deleted" in receiver.job.result("receive").message
    assert receiver.state() == []


@pytest.mark.parametrize("limit", ["-1", "1GB"])
def test_a_suspended_schedule_keeps_its_slot_only_where_the_server_limits_it(receiver: Receiver, limit: str) -> None:
    receiver.start()
    receiver.server.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{limit}'")
    receiver.server.execute("SELECT pg_reload_conf()")
    receiver.cluster.patch("BackupSchedule", "shop", {"spec": {"suspend": True}})
    try:
        result = receiver.end()
    finally:
        receiver.server.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        receiver.server.execute("SELECT pg_reload_conf()")
    assert result.ok, result
    assert receiver.state() == ([] if limit == "-1" else [(False,)])


@pytest.mark.parametrize("suspended", [True, False])
def test_a_job_leaves_no_slot_either_that_nobody_reads(receiver: Receiver, suspended: bool) -> None:
    """The receiver has ended while it ran, and it may have made the slot anew."""
    receiver.cluster.patch("BackupSchedule", "shop", {"spec": {"suspend": suspended}})
    names = {"schedule": "shop", "scheduleUid": receiver.uid, "slot": receiver.slot}
    assert receiver.job.run("full", "base", **names).ok
    assert receiver.state() == ([] if suspended else [(False,)])


def _refused(receiver: Receiver) -> None:
    """By an account that never had the right."""
    cluster = receiver.cluster
    cluster.request("DELETE", BINDINGS.format(cluster.namespace) + "/receiver")


def _away(receiver: Receiver) -> None:
    assert receiver.job.kubeconfig
    config = json.loads(receiver.job.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    receiver.job.kubeconfig.write_text(json.dumps(config))


def _without(receiver: Receiver) -> None:
    receiver.job.kubeconfig = None


@pytest.mark.parametrize("unknown", [_refused, _away, _without])
def test_what_is_not_known_keeps_the_slot(receiver: Receiver, unknown: Callable[[Receiver], None]) -> None:
    unknown(receiver)
    receiver.start()
    receiver.cluster.delete("BackupSchedule", "shop")
    result = receiver.end()
    assert result.ok
    assert f"slot {receiver.slot} is kept: " in result.message
    assert receiver.state() == [(False,)]


def test_a_server_that_is_away_is_told_with_what_to_run(receiver: Receiver) -> None:
    receiver.start()
    receiver.cluster.delete("BackupSchedule", "shop")
    receiver.job.pod.credential("source/dsn", "")
    receiver.server.stop()
    try:
        result = receiver.end()
    finally:
        receiver.server.start()
    assert (result.ok, result.reason) == (False, "Unreachable")
    assert f"SELECT pg_drop_replication_slot('{receiver.slot}')" in result.message
