"""A node whose power is cut under a backup, and under a restore: what was there before is there after."""

import os
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.backing import (
    CHECKSUM,
    POSTGRES,
    READY,
    Data,
    Looks,
    claim,
    install,
    schedule,
    secrets,
    server,
)
from tests.e2e.cluster import LabCluster
from tests.e2e.conftest import prepare
from tests.e2e.kube import Kube, until
from tests.e2e.operator_process import Operator

pytestmark = [pytest.mark.e2e, pytest.mark.long]
ROWS = 600_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[LabCluster]:
    """A node of its own: on the common one are the pods of other tests."""
    if os.environ.get("CLUSTER") == "kind":
        pytest.skip("cuts the power of a node whose programs are processes of this machine, which kind's are not")
    cluster = LabCluster("reboot")
    try:
        prepare(cluster)
        install(cluster)
        yield cluster
    finally:
        cluster.down()


class Plant:
    """A node with a PostgreSQL, an operator, and a schedule of backups."""

    def __init__(self, cluster: LabCluster, kube: Kube, spawn: Callable[[], Operator]) -> None:
        self._cluster, self._kube, self._spawn = cluster, kube, spawn
        self.data, self.looks = Data(kube), Looks(kube)
        kube.apply(*server(kube.namespace, "postgres", port=5432, data="data"), *secrets(self.data))
        kube.apply(claim("data"), claim("backups"))
        self._served()
        self.checksum = self.data.fill(rows=ROWS)
        self.operator = self._started()
        kube.apply(schedule(POSTGRES))

    def _served(self) -> None:
        until(lambda: self._kube.run(*READY, check=False).returncode == 0, within=180, says="PostgreSQL is there")
        until(lambda: self._answers() == "1", within=120, says="PostgreSQL answers")

    def _answers(self) -> str:
        try:
            return self.data.sql("SELECT 1", database="postgres")
        except AssertionError:
            return ""

    def _started(self) -> Operator:
        operator = self._spawn()
        operator.wait_for_log('"leading"', within=120)
        return operator

    def cut(self) -> None:
        self.operator.kill()
        self._cluster.reboot()
        self._served()
        self.operator = self._started()

    def working(self, job: str, task: str) -> str:
        """The pod of a job's task, once it does its work."""

        def look() -> str | None:
            for pod in self._kube.all("pods"):
                labels = pod["metadata"].get("labels", {})
                named = labels.get("batch.kubernetes.io/job-name", "").startswith(job)
                if named and labels.get("lastgood.dev/task") == task and pod["status"].get("phase") == "Running":
                    return str(pod["metadata"]["name"])
            return None

        return until(look, within=240, says=f"a pod of {job} runs", every=0.1)

    def died(self, pod: str) -> None:
        """The kubelet has seen that a pod did not come to its end."""

        def look() -> bool:
            found = self._kube.get("pod", pod)
            return found is None or found["status"].get("phase") == "Failed"

        until(look, within=120, says=f"{pod} has died")


@pytest.fixture
def plant(cluster: LabCluster, kube: Kube, spawn: Callable[[], Operator]) -> Plant:
    return Plant(cluster, kube, spawn)


def test_the_power_of_a_node_is_cut_under_a_backup_and_under_a_restore(plant: Plant, kube: Kube) -> None:
    data, looks = plant.data, plant.looks
    before = looks.backup("before", within=300)["status"]
    assert before["phase"] == "Succeeded", before

    kube.apply(backup("cut"))
    victim = plant.working("cut", "full")
    plant.cut()
    plant.died(victim)
    cut = looks.ended("backup", "cut", within=600)["status"]
    complete = next(c for c in cut["conditions"] if c["type"] == "Complete")
    # Its Job makes another pod, and that one the backup.
    assert (cut["phase"], complete["reason"]) == ("Succeeded", "Done"), cut
    after = looks.backup("after", within=400)["status"]
    assert after["phase"] == "Succeeded", after
    assert data.sql(CHECKSUM) == plant.checksum
    assert looks.task("structure", "full-check"), looks.told()

    data.sql("UPDATE orders SET what = 'wrong' WHERE id % 2 = 0")
    wrong = data.sql(CHECKSUM)
    spec = {"schedule": "sales", "needsApproval": False, "into": {"swap": True}, "to": {"backup": "before"}}
    kube.apply({**backup("back"), "kind": "Restore", "spec": spec})
    victim = plant.working("back", "restore")
    plant.cut()
    plant.died(victim)
    back = looks.ended("restore", "back", within=600)["status"]
    # Nobody can say how far it came, so that it is not tried again unasked.
    assert back["phase"] == "Failed", back
    assert back["wayBack"], back
    assert data.sql(CHECKSUM) == wrong, "the old database stands for as long as the new one is not whole"
    again = looks.restore("again", to={"backup": "before"}, into={"swap": True}, within=600)["status"]
    assert again["phase"] == "Succeeded", again
    assert data.sql(CHECKSUM) == plant.checksum
    usable = {b["metadata"]["name"] for b in looks.backups()}
    assert usable >= {"before", "cut", "after"}


def backup(name: str) -> dict[str, object]:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Backup",
        "metadata": {"name": name},
        "spec": {"schedule": "sales", "type": "Full"},
    }
