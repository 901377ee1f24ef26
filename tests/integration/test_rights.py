"""Rights tried for real: the chart's roles, tokens of ServiceAccounts, an API server that refuses what is not in them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Kubelet, Object, Refused
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.restoring import DAY, IMAGE, Restoring, lastgood, restore, schedule
from tests.integration.rights import Installed, Pods, installed, laid_out, refused
from tests.integration.test_restores import SERVER, stateful
from tests.lab import Lab

pytestmark = pytest.mark.integration
CORE = "/api/v1/namespaces/{}"
KINDS = ["configmaps", "services", "deployments.apps", "persistentvolumeclaims"]


@pytest.fixture
def chart(lab: Lab, cluster: Cluster, kubectl: Kube, tmp_path: Path) -> Iterator[Installed]:
    with installed(lab, cluster, kubectl, tmp_path) as made:
        yield made


@pytest.fixture
def pods(chart: Installed, tmp_path: Path) -> Pods:
    return Pods(chart, laid_out(tmp_path / "pod"))


@pytest.fixture
def begin(spawn: Callable[..., Operator], chart: Installed) -> Callable[[], Operator]:
    """An operator that holds what the chart gives it and nothing else."""

    def start() -> Operator:
        operator = spawn(*chart.options, "--backup-image", IMAGE)
        operator.wait_for_log('"leading"')
        return operator

    return start


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


def test_jobs_can_do_what_they_must_and_nothing_else(
    begin: Callable[[], Operator],
    pods: Pods,
    chart: Installed,
    cluster: Cluster,
    kubelet: Kubelet,
    namespace_for: Callable[[], str],
) -> None:
    del kubelet
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"k": "c4n4ry"}}
    cluster.put(KEY, config_map("rules", rule="old"), deployment("shop", replicas=2), secret)
    resources = {"resources": ["configmaps", "deployments.apps", "monitoredservices.lastgood.dev"]}
    cluster.put(
        planned("logs", logs={"workloads": [{"name": "shop"}]}),
        planned("plain", config=resources),
        planned("whole", config={**resources, "secrets": True}),
    )
    until(
        lambda: len([p for p in cluster.all("Pod") if p["metadata"]["labels"].get("app") == "shop"]) == 2,
        within=20,
        says="two pods",
    )
    operator = begin()
    for name, contents in (
        ("logs", ["Deployment/shop: 2 containers"]),
        # ConfigMaps of the schedules' own jobs are made by a controller.
        ("plain", ["configmaps: 1", "deployments.apps: 1", "monitoredservices.lastgood.dev: 0"]),
        ("whole", ["configmaps: 1", "deployments.apps: 1", "monitoredservices.lastgood.dev: 0", "secrets: 2"]),
    ):
        cluster.create(lastgood("Backup", f"{name}-now", {"schedule": name}))
        ran = pods.run(f"{name}-now")
        assert ran.result.ok, ran.log
        assert (ran.account, ran.result.backup) == (f"{name}-backup", f"{name}-now")
        told = (cluster.get("Backup", f"{name}-now") or {})["status"]
        assert (told["phase"], told["contents"]) == ("Succeeded", contents)
        for task in ("data-sample", "restore-test", "full-check", "prune"):
            ran = pods.from_cron(f"{name}-{task}", f"{name}-{task}-1")
            assert ran.result.ok, ran.log
        proofs = (cluster.get("Backup", f"{name}-now") or {})["status"]["verified"]
        assert {"RestoreTest", "Structure"} <= {v["how"] for v in proofs}
    # A point that no retention keeps: its Backup goes, by the job's own right.
    cluster.patch(
        "BackupSchedule",
        "plain",
        {"spec": {"retention": {"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0}}},
    )
    cluster.create(lastgood("Backup", "plain-later", {"schedule": "plain"}))
    assert pods.run("plain-later").result.ok
    until(
        lambda: '"last": 1' in (cluster.get("ConfigMap", "plain-jobs") or {})["data"]["prune.json"],
        within=30,
        says="the jobs know",
    )
    assert pods.from_cron("plain-prune", "plain-prune-2").result.removed == ["plain-now"]
    assert cluster.get("Backup", "plain-now") is None
    assert not [ran.log for ran in pods.ran if "not recorded" in ran.log or "not removed" in ran.log]
    assert "c4n4ry" not in "".join(ran.log for ran in pods.ran)
    never_forbidden(operator)

    here, there = CORE.format(cluster.namespace), CORE.format(namespace_for())
    backups = f"/apis/lastgood.dev/v1alpha1/namespaces/{there.rpartition('/')[2]}/backups"
    for name, own in (("logs", ("pods",)), ("plain", ("configmaps",)), ("whole", ("configmaps", "secrets"))):
        with chart.as_account(f"{name}-backup") as job:
            for kind in ("configmaps", "secrets", "pods"):
                assert refused(job, "GET", f"{here}/{kind}") == (kind not in own), (name, kind)
                assert refused(job, "GET", f"{there}/{kind}"), (name, kind)
            assert refused(job, "POST", f"{here}/configmaps", **config_map("x"))
            assert refused(job, "PATCH", f"{here}/configmaps/rules")
            assert refused(job, "DELETE", f"{here}/configmaps/rules")
            assert refused(job, "POST", backups, **lastgood("Backup", "x", {"schedule": "s"}))
            assert refused(job, "POST", f"{here}/serviceaccounts/default/token")
            assert refused(job, "POST", job.path("RoleBinding"))
            assert refused(job, "POST", job.path("Restore"))


def restored(name: str = "back", **spec: Any) -> Object:
    return restore(name, schedule="declared", **spec)


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
    begin: Callable[[], Operator], pods: Pods, cluster: Cluster, kubelet: Kubelet, kubectl: Kube
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
    operator = begin()
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
    for _ in range(3):
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
    begin: Callable[[], Operator], pods: Pods, cluster: Cluster
) -> None:
    play = Restoring(cluster)
    cluster.put(KEY, config_map("rules", rule="old"), planned("declared", config={"resources": ["configmaps"]}))
    operator = begin()
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


def test_the_operators_rights_suffice_for_restores_of_every_kind(
    begin: Callable[[], Operator], chart: Installed, cluster: Cluster, kubelet: Kubelet
) -> None:
    """Scaling, autoscalers, claims, Jobs, finalizers, Events; the jobs' pods are played."""
    del kubelet
    play = Restoring(cluster)
    wal = schedule("wal", postgres={"dsn": {"name": "db", "key": "dsn"}, "method": "wal"})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop-scaler"},
        "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 3},
    }
    cluster.put(schedule(), wal, stateful(), deployment("shop", replicas=2), scaler)
    cluster.put(schedule("files", volume={"claims": ["uploads"]}))
    play.point("new", 3600)
    play.point("base", DAY, schedule="wal", method="wal", earliest="2026-01-01T00:00:00Z")
    play.point("file", 3600, schedule="files", method="volume")
    until(lambda: [p for p in cluster.all("Pod") if p["metadata"]["name"] == "pg-0"], within=20, says="pg-0")
    operator = begin()

    cluster.create(restore("swap"))
    for task in ("verify", "safety", "restore", "validate", "swap"):
        play.play("swap", task, says={"backup": "safe"} if task == "safety" else {})
    done = play.reached("swap", phase="Succeeded")
    assert done["stopped"] == [{"kind": "Deployment", "name": "shop", "replicas": 2, "autoscaler": "shop-scaler"}]

    cluster.create(restore("server", schedule="wal", server=SERVER))
    for task in ("verify", "safety", "restore", "validate"):
        play.play("server", task, says={"backup": "safe"} if task == "safety" else {})
    play.reached("server", phase="Succeeded")
    assert (play.replicas("pg", "StatefulSet"), play.replicas()) == (1, 2)

    cluster.create(restore("volume", schedule="files", stop=[], into={"newVolume": {"claim": "new", "size": "1Gi"}}))
    for task in ("verify", "restore", "validate"):
        play.play("volume", task)
    play.reached("volume", phase="Succeeded")
    assert cluster.get("PersistentVolumeClaim", "new") is not None

    cluster.create(restore("gone"))
    play.play("gone", "verify")
    play.job("gone", "safety")
    cluster.delete("Restore", "gone")
    until(lambda: cluster.get("Restore", "gone") is None, within=30, says="gone")
    assert play.replicas() == 2
    never_forbidden(operator)
    reasons = {e["reason"] for e in cluster.all("Event")}
    assert {"RestoreSucceeded", "StoppedForRestore", "StartedAfterRestore"} <= reasons
    operator.stop()

    # What the operator may not: write what its Restores write, hand out the rights to do so, or act as another.
    with chart.as_account(chart.name) as mine:
        for role in ("config-restore", "config-restore-secrets"):
            reference = {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"{chart.roles}-{role}",
            }
            with pytest.raises(Refused) as caught:
                mine.request("POST", mine.path("RoleBinding"), json={"metadata": {"name": role}, "roleRef": reference})
            assert caught.value.status == 403
        assert refused(mine, "POST", mine.path("ServiceAccount", "default") + "/token")
        assert refused(mine, "POST", f"{CORE.format(cluster.namespace)}/services")


def test_whoever_names_an_account_must_be_allowed_to_act_as_it(
    chart: Installed, cluster: Cluster, kubectl: Kube
) -> None:
    """A tenant that may create Restores, or schedules, gains no right of another's by it."""
    kubectl.run("create", "serviceaccount", "mighty")
    kubectl.run(
        "create",
        "role",
        "asks",
        "--verb=create,patch,update,get",
        "--resource=restores.lastgood.dev,backupschedules.lastgood.dev",
    )
    kubectl.run("create", "rolebinding", "asks", "--role=asks", "--user=tenant")
    kubectl.run("create", "rolebinding", "edits", "--clusterrole=edit", "--user=owner")
    kubectl.run("create", "rolebinding", "asks-too", "--role=asks", "--user=owner")

    def creates(user: str, body: Object) -> str:
        done = kubectl.run("create", "-f", "-", "--as", user, stdin=json.dumps(body), check=False)
        return done.stderr

    def refuses() -> bool:
        # The API server takes a policy up within seconds.
        return "ServiceAccount mighty, which you may not do yourself" in creates(
            "tenant", restored("no", serviceAccount="mighty")
        )

    until(refuses, within=30, says="the policy is in force")
    assert cluster.get("Restore", "no") is None or chart.cluster.delete("Restore", "no") is None
    assert creates("tenant", restored("plain")) == ""
    assert creates("owner", restored("mine", serviceAccount="mighty")) == ""
    other = schedule("theirs", config={"resources": ["configmaps"]})
    other["spec"]["job"] = {"serviceAccount": "mighty"}
    assert "impersonate on serviceaccounts/mighty" in creates("tenant", other)
    assert creates("owner", other) == ""
    # What names it already may be changed elsewhere by anybody with the right to.
    patch = json.dumps({"spec": {"approval": "Approved"}})
    done = kubectl.run(
        "patch", "restores.lastgood.dev", "mine", "--type=merge", "-p", patch, "--as", "tenant", check=False
    )
    assert done.returncode == 0, done.stderr
