"""Restores of declared objects, from the Restore to the objects: the pods of their jobs really run."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Kubelet, Object
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.restoring import Restoring, lastgood
from tests.integration.rights import KEY, Installed, Pods, config_map, never_forbidden, planned, restored

pytestmark = pytest.mark.integration
KINDS = ["configmaps", "services", "deployments.apps", "persistentvolumeclaims"]


@dataclass
class Shop:
    """A point of a shop's declared objects, and what people did in the afternoon after it."""

    cluster: Cluster
    pods: Pods
    operator: Operator
    template: Object
    """Of the Deployment's pods, as in the point."""

    @property
    def play(self) -> Restoring:
        return Restoring(self.cluster)

    def data(self, name: str) -> Object:
        return dict((self.cluster.get("ConfigMap", name) or {})["data"])

    def run(self, restore: str, *tasks: str) -> dict[str, str]:
        """Run the pods of a Restore; as whom each ran."""
        accounts = {}
        for task in tasks:
            ran = self.pods.run(self.play.job(restore, task)["metadata"]["name"])
            assert ran.result.ok, ran.log
            accounts[task] = ran.account
        return accounts


@pytest.fixture
def shop(
    as_installed: Callable[[], Operator], pods: Pods, cluster: Cluster, kubelet: Kubelet, kubectl: Kube
) -> Iterator[Shop]:
    del kubelet
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.put(
        KEY,
        config_map("rules", rule="old"),
        config_map("gone", x="1"),
        deployment("shop", replicas=2),
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
    )
    kubectl.run("create", "service", "clusterip", "web", "--tcp=80")
    cluster.put(planned("declared", config={"resources": KINDS}))
    operator = as_installed()
    cluster.create(lastgood("Backup", "before", {"schedule": "declared"}))
    assert pods.run("before").result.ok
    template = (cluster.get("Deployment", "shop") or {})["spec"]["template"]
    cluster.delete("ConfigMap", "gone")
    cluster.patch("ConfigMap", "rules", {"data": {"rule": "new", "more": "1"}, "metadata": {"labels": {"since": "x"}}})
    added = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "example/side:1"}]}}}}
    kubectl.run("patch", "deployment", "shop", "-p", json.dumps(added))
    cluster.put(config_map("later", y="2"))
    kubectl.run("create", "serviceaccount", "config-restore")
    yield Shop(cluster, pods, operator, template)
    never_forbidden(operator)


def test_declared_objects_come_back_as_they_were_and_the_way_back_works(
    shop: Shop, chart: Installed, cluster: Cluster, kubectl: Kube
) -> None:
    kubectl.run(
        *("create", "rolebinding", "config-restore", f"--clusterrole={chart.roles}-config-restore"),
        f"--serviceaccount={cluster.namespace}:config-restore",
    )
    cluster.create(restored(serviceAccount="config-restore"))
    accounts = shop.run("back", "verify", "safety", "restore", "validate")
    done = shop.play.reached("back", phase="Succeeded")
    assert accounts == {
        **dict.fromkeys(("verify", "restore", "validate"), "config-restore"),
        "safety": "declared-backup",
    }
    steps = {s["name"]: s["message"] for s in done["steps"]}
    assert "would take 5 objects: 1 to create, 2 to change, 2 as in the backup already" in steps["Verified"]
    assert steps["Restored"].startswith("5 objects: 1 created, 2 changed, 2 as in the backup already")
    assert steps["Validated"] == "5 objects read back: as in the backup"
    assert (shop.data("rules"), shop.data("gone"), shop.data("later")) == ({"rule": "old"}, {"x": "1"}, {"y": "2"})
    assert (cluster.get("ConfigMap", "rules") or {})["metadata"]["labels"] == {"since": "x"}
    assert (cluster.get("Deployment", "shop") or {})["spec"]["template"] == shop.template
    assert shop.play.replicas() == 2

    # And back to the afternoon.
    back = {"to": {"backup": done["safetyBackup"]}, "safetyBackup": False, "stop": []}
    cluster.create(restored("again", serviceAccount="config-restore", **back))
    shop.run("again", "verify", "restore", "validate")
    shop.play.reached("again", phase="Succeeded")
    assert shop.data("rules") == {"rule": "new", "more": "1"}
    containers = (cluster.get("Deployment", "shop") or {})["spec"]["template"]["spec"]["containers"]
    assert "side" in {c["name"] for c in containers}
    assert shop.play.replicas() == 2, "taken while it was stopped, the safety backup knows what was declared"


def test_an_account_without_rights_is_refused_before_anything_is_stopped(
    shop: Shop, cluster: Cluster, kubectl: Kube
) -> None:
    play = shop.play
    cluster.create(restored("unnamed"))
    missing = play.reached("unnamed", phase="Failed", reason="ServiceAccountMissing")
    assert "kubectl create serviceaccount config-restore" in missing["conditions"][0]["message"]
    cluster.create(restored("nobody", serviceAccount="nobody"))
    play.reached("nobody", phase="Failed", reason="ServiceAccountNotFound")
    cluster.create(restored("powerless", serviceAccount="config-restore"))
    job = play.job("powerless", "verify")["metadata"]["name"]
    ran = shop.pods.run(job, within=90)
    assert (ran.account, ran.result.reason) == ("config-restore", "ClusterForbidden"), ran.log
    failed = play.reached("powerless", phase="Failed", reason="ClusterForbidden", within=60)
    assert (failed["wayBack"], play.replicas()) == ("nothing was changed", 2)
    told = next(c["message"] for c in failed["conditions"] if c["type"] == "Complete")
    assert "ServiceAccount config-restore may not get configmaps" in told
    # The commands in it, as a person would paste them.
    for command in told.split("Give it these rights: ")[1].split(" && "):
        kubectl.run(*command.removeprefix("kubectl ").split())
    cluster.create(restored(serviceAccount="config-restore"))
    shop.run("back", "verify", "safety")
    # Taken away again between the look and the deed: the deed looks once more before it writes.
    kubectl.run("delete", "rolebinding", "config-restore-more")
    ran = shop.pods.run(play.job("back", "restore")["metadata"]["name"])
    assert (ran.result.reason, ran.result.untouched) == ("ClusterForbidden", True)
    failed = play.reached("back", phase="Failed", reason="ClusterForbidden", Restored="Failed")
    assert failed["wayBack"] == "nothing was changed; deployment/shop is started again"
    assert (play.replicas(), shop.data("rules")["rule"]) == (2, "new")


def test_into_a_claim_nothing_of_the_cluster_is_written(
    as_installed: Callable[[], Operator], pods: Pods, cluster: Cluster
) -> None:
    play = Restoring(cluster)
    cluster.put(KEY, config_map("rules", rule="old"), planned("declared", config={"resources": ["configmaps"]}))
    operator = as_installed()
    cluster.create(lastgood("Backup", "before", {"schedule": "declared"}))
    assert pods.run("before").result.ok
    until(lambda: cluster.get("Backup", "before")["status"]["phase"] == "Succeeded", within=20, says="a point")  # type: ignore[index]
    into = {"newVolume": {"claim": "look", "size": "1Gi"}}
    cluster.create(restored("named", into=into, stop=[], serviceAccount="default"))
    play.reached("named", phase="Failed", reason="ServiceAccountNotUsed")
    cluster.create(restored(into=into, stop=[]))
    pods.places.target("look").mkdir(parents=True)
    for task in ("verify", "restore", "validate"):
        ran = pods.run(play.job("back", task)["metadata"]["name"])
        assert ran.result.ok, ran.log
        assert not ran.pod["spec"].get("automountServiceAccountToken")
    play.reached("back", phase="Succeeded")
    assert "rule: old" in (pods.places.target("look") / "configmaps" / "rules.yaml").read_text()
    assert cluster.get("PersistentVolumeClaim", "look") is not None
    never_forbidden(operator)
