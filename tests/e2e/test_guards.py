"""What holds a rollback back on a real node, and what a person can do about it."""

import json

import pytest
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, config_map, monitored, service
from tests.e2e.operator_process import Operator
from tests.e2e.test_rollback import become_good, rollbacks, running_version, wait_good

pytestmark = pytest.mark.e2e


def blocked(kube: Kube, reason: str, name: str = "app") -> None:
    until(
        lambda: kube.condition(name, "RollingBack").get("reason") == reason,
        within=60,
        says=f"RollingBack says {reason}",
    )


def test_same_bad_release_again_is_not_fought(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube)
    bad = app(version="v2.0.0", status=503)
    kube.apply(bad)
    until(lambda: rollbacks(kube), within=90, says="rolled back")
    kube.apply(bad)
    blocked(kube, "Quarantined")
    assert len(kube.all("rollbacks")) == 1
    assert running_version(kube) == "v2.0.0"
    until(
        lambda: any(reason == "RollbackBlocked" and "Quarantined" in note for reason, note in kube.events()),
        within=10,
        says="an Event tells why",
    )


def test_manual_waits_for_approval(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube, rollback={"policy": "Manual"})
    kube.apply(app(version="v2.0.0", status=503))
    waiting = until(lambda: rollbacks(kube, "AwaitingApproval"), within=60, says="it waits")
    assert running_version(kube) == "v2.0.0"
    name = waiting[0]["metadata"]["name"]
    kube.run("patch", "rollback", name, "--type=merge", "-p", json.dumps({"spec": {"approval": "Approved"}}))
    until(lambda: rollbacks(kube), within=60, says="approved and done")
    assert running_version(kube) == "v1.0.0"


def test_manual_refused(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube, rollback={"policy": "Manual"})
    kube.apply(app(version="v2.0.0", status=503))
    waiting = until(lambda: rollbacks(kube, "AwaitingApproval"), within=60, says="it waits")
    name = waiting[0]["metadata"]["name"]
    kube.run("patch", "rollback", name, "--type=merge", "-p", json.dumps({"spec": {"approval": "Refused"}}))
    until(lambda: rollbacks(kube, "Refused"), within=60, says="refused")
    blocked(kube, "Refused")
    assert running_version(kube) == "v2.0.0"
    assert len(kube.all("rollbacks")) == 1


def test_dry_run_changes_nothing(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube, rollback={"policy": "DryRun"})
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: rollbacks(kube, "DryRun"), within=60, says="rehearsed")
    blocked(kube, "DryRun")
    assert running_version(kube) == "v2.0.0"


def test_paused_target(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube)
    kube.apply(app(version="v2.0.0", status=503))
    until(lambda: kube.condition("app", "Healthy").get("status") == "False", within=60, says="v2 fails")
    kube.run("rollout", "pause", "deployment/app")
    blocked(kube, "TargetPaused")
    kube.run("rollout", "resume", "deployment/app")
    until(lambda: rollbacks(kube), within=60, says="resumed, rolled back")


def test_dependency_down_is_no_fault_of_the_app(kube: Kube, operator: Operator) -> None:
    kube.apply(app("db"), service("db"), app(), service())
    become_good(kube, name="db", rollback={"policy": "Disabled"})
    become_good(kube, dependsOn=[{"name": "db"}])
    kube.run("scale", "deployment/db", "--replicas=0")
    until(lambda: kube.condition("db", "Healthy").get("status") == "False", within=60, says="db fails")
    kube.apply(app(version="v2.0.0", status=503))
    blocked(kube, "DependencyUnhealthy")
    assert not kube.all("rollbacks")
    kube.run("scale", "deployment/db", "--replicas=1")
    until(lambda: rollbacks(kube), within=90, says="db is back, so it was the release")


def test_gitops_is_only_told(kube: Kube, operator: Operator) -> None:
    mark = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/app"}
    kube.apply(app(annotations=mark), service())
    become_good(kube)
    kube.apply(app(version="v2.0.0", status=503, annotations=mark))
    blocked(kube, "GitOpsManaged")
    assert running_version(kube) == "v2.0.0"


def test_replicas_of_an_autoscaler_stay(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube)
    kube.apply(app(version="v2.0.0", status=503))
    kube.run("scale", "deployment/app", "--replicas=3")
    until(lambda: rollbacks(kube), within=120, says="rolled back")
    body = kube.get("deployment", "app")
    assert body is not None
    assert body["spec"]["replicas"] == 3


@pytest.mark.long
def test_config_only_release(kube: Kube, operator: Operator) -> None:
    kube.apply(config_map("settings", status="200"), app(config="settings"), service())
    become_good(kube)
    kube.apply(config_map("settings", status="500"))
    until(lambda: rollbacks(kube), within=180, says="the ConfigMap was put back")
    restored = kube.get("configmap", "settings")
    assert restored is not None
    assert restored["data"] == {"status": "200"}
    body = kube.get("monitoredservice", "app")
    assert body is not None
    assert len(body["status"]["goodRevisions"]) == 1, "pods without the new file say nothing of it"


def test_config_only_release_that_running_pods_do_not_see(kube: Kube, operator: Operator) -> None:
    """Read through the environment it breaks nothing until pods start anew, and must not be called good till then."""
    kube.apply(config_map("settings", STATUS="200"), app(config_env="settings"), service())
    become_good(kube)
    kube.apply(config_map("settings", STATUS="500"))
    until(
        lambda: "kubectl rollout restart" in kube.condition("app", "StableRevisionKnown").get("message", ""),
        within=30,
        says="told what it waits for",
    )
    assert kube.condition("app", "Healthy")["status"] == "True"
    kube.run("delete", "pods", "-l", "app=app", "--wait=false")
    until(lambda: rollbacks(kube), within=90, says="the ConfigMap was put back")
    restored = kube.get("configmap", "settings")
    assert restored is not None
    assert restored["data"] == {"STATUS": "200"}


def test_a_person_asks_by_version_and_by_revision(kube: Kube, operator: Operator) -> None:
    kube.apply(app(), service())
    become_good(kube)
    kube.apply(app(version="v2.0.0"))
    wait_good(kube, "v2.0.0")
    ask = {"apiVersion": "lastgood.dev/v1alpha1", "kind": "Rollback", "metadata": {"name": "by-hand"}}
    kube.apply({**ask, "spec": {"service": "app", "to": {"version": "v1.0.0"}, "reason": "customers complain"}})
    until(lambda: rollbacks(kube), within=60, says="went to v1.0.0")
    assert running_version(kube) == "v1.0.0"
    kube.apply({**ask, "metadata": {"name": "nowhere"}, "spec": {"service": "app", "to": {"version": "v9"}}})
    failed = until(lambda: rollbacks(kube, "Failed"), within=60, says="no such version")
    assert failed[0]["status"]["conditions"][0]["reason"] == "NoSuchGoodRevision"
    kube.apply({**ask, "metadata": {"name": "nobody"}, "spec": {"service": "ghost"}})
    until(lambda: len(rollbacks(kube, "Failed")) == 2, within=60, says="no such service")


def test_unknown_is_never_bad(kube: Kube, operator: Operator) -> None:
    """A probe that may not reach its address says nothing about the service."""
    kube.apply(app(), service())
    body = monitored(namespace=kube.namespace)
    body["spec"]["probes"][0]["http"] = {"url": "http://169.254.169.254/latest/meta-data/"}
    kube.apply(body)
    until(lambda: "AddressDenied" in kube.condition("app", "Healthy").get("message", ""), within=60, says="denied")
    assert kube.condition("app", "Healthy")["status"] == "Unknown"
    assert not kube.all("rollbacks")
