"""Rights tried for real: the chart's roles, tokens of ServiceAccounts, an API server that refuses what is not in them."""

import json
from collections.abc import Callable

import pytest
from tests.e2e.kube import Kube, until
from tests.integration.cluster import Cluster, Kubelet, Object, Refused
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.restoring import DAY, Restoring, lastgood, restore, schedule
from tests.integration.rights import KEY, Installed, Pods, config_map, never_forbidden, planned, refused, restored
from tests.integration.test_restores import SERVER, stateful

pytestmark = pytest.mark.integration
CORE = "/api/v1/namespaces/{}"


def test_jobs_can_do_what_they_must_and_nothing_else(
    as_installed: Callable[[], Operator],
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
    operator = as_installed()
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


def test_what_stays_is_not_tried_again_and_what_may_pass_is(
    as_installed: Callable[[], Operator], pods: Pods, cluster: Cluster, kubelet: Kubelet
) -> None:
    del kubelet
    cluster.put(KEY, config_map("rules", rule="old"), planned("plain", config={"resources": ["configmaps"]}))
    as_installed()

    def ended(job: str) -> str:
        told = ((cluster.get("Job", job) or {}).get("status") or {}).get("conditions") or ()
        return next((c["reason"] for c in told if c["type"] == "Failed" and c["status"] == "True"), "")

    pods.places.credential("key/current").rename(pods.places.credential("key/gone"))
    cluster.create(lastgood("Backup", "keyless", {"schedule": "plain"}))
    assert pods.run("keyless").result.reason == "KeyMissing"
    until(lambda: ended("keyless") == "PodFailurePolicy", within=30, says="the Job has failed")
    until(
        lambda: (cluster.get("Backup", "keyless") or {})["status"].get("phase") == "Failed",
        within=30,
        says="the Backup has failed",
    )
    assert [pod for pod in cluster.all("Pod") if pod["metadata"]["labels"].get("job-name") == "keyless"] == [
        pod for pod in cluster.all("Pod") if pod["metadata"]["name"] == pods.ran[-1].pod["metadata"]["name"]
    ]
    pods.places.credential("key/gone").rename(pods.places.credential("key/current"))

    # No room: by the next try there may be some.
    (pods.places.repository("primary") / "plain").write_text("in the way of the repository's folder")
    cluster.create(lastgood("Backup", "blocked", {"schedule": "plain"}))
    first = pods.run("blocked")
    assert not first.result.ok
    assert first.result.reason not in {"KeyMissing", "InternalError"}
    (pods.places.repository("primary") / "plain").unlink()
    assert pods.run("blocked", within=60).result.ok


def test_the_operators_rights_suffice_for_restores_of_every_kind(
    as_installed: Callable[[], Operator], chart: Installed, cluster: Cluster, kubelet: Kubelet
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
    operator = as_installed()

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
    expected = {"RestoreSucceeded", "StoppedForRestore", "StartedAfterRestore"}
    until(lambda: expected <= {e["reason"] for e in cluster.all("Event")}, within=10, says="the Events tell it")
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
