"""Every reason that the conditions of a MonitoredService can show without a node, and the way out of each."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Kubelet, Refused
from tests.integration.manifests import deployment, rollback, secret, secret_ref, service
from tests.integration.process import Operator
from tests.integration.stage import Stage
from tests.integration.target import Target

# All of them are one play, which one worker gives.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("conditions")]

FILLERS = 60
"""Healthy services, so that some twenty failing ones at once are no mass breach."""


# --- Ready ---


def target_not_found(stage: Stage, name: str) -> None:
    stage.cluster.put(stage.monitored(name))
    said = stage.wait(name, "Ready", "TargetNotFound", status="False")
    assert f'Deployment "{name}" does not exist' in said["message"]
    stage.cluster.put(deployment(name))
    stage.wait(name, "Ready", "Accepted", status="True")


def secret_missing(stage: Stage, name: str) -> None:
    header = {"name": "Authorization", "valueFrom": secret_ref(name, "token")}
    probe = {"http": {"url": stage.target.url(name), "headers": [header]}}
    stage.cluster.put(deployment(name), stage.monitored(name, probe=probe))
    said = stage.wait(name, "Ready", "SecretMissing", status="False")
    assert f'Secret "{name}" with key "token" does not exist here' in said["message"]
    assert stage.cluster.condition(name, "Healthy")["status"] == "Unknown"
    stage.cluster.put(secret(name, other="x"))
    stage.cluster.put(secret(name, token="x"))
    stage.wait(name, "Ready", "Accepted", status="True")
    stage.wait(name, "Healthy", "ProbesPassing", status="True")


def config_map_missing(stage: Stage, name: str) -> None:
    tls = {"ca": {"configMapKeyRef": {"name": name, "key": "ca.crt"}}}
    probe = {"http": {"url": "https://127.0.0.1:9/", "tls": tls}}
    stage.cluster.put(deployment(name), stage.monitored(name, probe=probe))
    stage.wait(name, "Ready", "ConfigMapMissing", status="False")
    stage.cluster.patch("MonitoredService", name, {"spec": stage.monitored(name)["spec"]})
    stage.wait(name, "Ready", "Accepted", status="True")


def bad_probe(stage: Stage, name: str) -> None:
    stage.cluster.put(secret(name, url="no such thing"))
    probes = [{"name": "cache", "redis": {"url": secret_ref(name, "url")}}]
    stage.cluster.put(deployment(name), stage.monitored(name, probes=probes))
    said = stage.wait(name, "Ready", "BadProbe", status="False")
    assert said["message"].startswith("probe cache: ")
    stage.cluster.put(secret(name, url="redis://127.0.0.1:9/0"))
    stage.wait(name, "Ready", "Accepted", status="True")


def unknown_dependency(stage: Stage, name: str) -> None:
    stage.begin(name, dependsOn=[{"name": f"{name}-db"}])
    said = stage.wait(name, "Ready", "UnknownDependency", status="False")
    assert f'"{name}-db", which does not exist here' in said["message"]
    stage.begin(f"{name}-db")
    stage.wait(name, "Ready", "Accepted", status="True")


def dependency_cycle(stage: Stage, name: str) -> None:
    other = f"{name}-2"
    stage.begin(name, dependsOn=[{"name": other}])
    stage.begin(other, dependsOn=[{"name": name}])
    for one in (name, other):
        assert "->" in stage.wait(one, "Ready", "DependencyCycle", status="False")["message"]
    stage.cluster.patch("MonitoredService", other, {"spec": {"dependsOn": []}})
    for one in (name, other):
        stage.wait(one, "Ready", "Accepted", status="True")


def suspended(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.cluster.patch("MonitoredService", name, {"spec": {"suspend": True}})
    stage.wait(name, "Ready", "Suspended", status="False")
    stage.wait(name, "Healthy", "Suspended", status="Unknown")
    stage.release_bad(name)
    assert stage.status(name)["lastGood"] == "v1"
    stage.target.broken.discard((name, "v2"))
    stage.cluster.put(deployment(name))
    stage.cluster.patch("MonitoredService", name, {"spec": {"suspend": False}})
    stage.wait(name, "Ready", "Accepted", status="True")
    stage.wait(name, "Healthy", "ProbesPassing", status="True")


# --- RollingBack ---


def not_needed(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.wait(name, "RollingBack", "NotNeeded", status="False")


def disabled(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"policy": "Disabled"})
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "Disabled", status="False")
    assert stage.version(name) == "v2"
    stage.cluster.patch("MonitoredService", name, {"spec": {"rollback": {"policy": "Automatic"}}})
    stage.rolled_back(name)


def breach_pending(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"triggers": {"healthFailing": {"for": "1h"}}})
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "BreachPending", status="False")
    stage.cluster.patch(
        "MonitoredService", name, {"spec": {"rollback": {"triggers": {"healthFailing": {"for": "1s"}}}}}
    )
    stage.rolled_back(name)


def breach_target_gone(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.cluster.delete("Deployment", name)
    stage.target.answers(name, 503)
    stage.wait(name, "RollingBack", "TargetNotFound", status="False")
    stage.target.answers(name, 200)
    stage.wait(name, "RollingBack", "NotNeeded")


def target_paused(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.cluster.patch("Deployment", name, {"spec": {"paused": True}})
    stage.target.answers(name, 503)
    said = stage.wait(name, "RollingBack", "TargetPaused", status="False")
    assert f"kubectl rollout resume deployment/{name}" in said["message"]
    stage.cluster.patch("Deployment", name, {"spec": {"paused": False}})
    stage.wait(name, "RollingBack", "AlreadyOnLastGood")


def scaled_to_zero(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.cluster.patch("Deployment", name, {"spec": {"replicas": 0}})
    stage.target.answers(name, 503)
    stage.wait(name, "RollingBack", "ScaledToZero", status="False")


def no_good_revision(stage: Stage, name: str) -> None:
    stage.target.answers(name, 503)
    stage.begin(name)
    stage.wait(name, "RollingBack", "NoGoodRevision", status="False")
    assert stage.cluster.condition(name, "StableRevisionKnown")["reason"] == "NoneYet"
    stage.target.answers(name, 200)
    stage.wait(name, "StableRevisionKnown", "Remembered", status="True")


def already_on_last_good(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.target.answers(name, 503)
    stage.wait(name, "RollingBack", "AlreadyOnLastGood", status="False")
    stage.target.answers(name, 200)
    stage.wait(name, "RollingBack", "NotNeeded")


def breach_older_than_release(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.target.answers(name, 503)
    stage.wait(name, "Healthy", "ProbesFailing", status="False")
    # The API server notes a release in whole seconds: this comes a second after the breach began.
    stage.wait(name, "RollingBack", "AlreadyOnLastGood", status="False")
    stage.cluster.put(deployment(name, "v2"))
    stage.wait(name, "RollingBack", "BreachOlderThanRelease", status="False")
    assert not stage.rollbacks(name)
    stage.target.answers(name, 200)
    stage.good(name, version="v2")


def dependency_unhealthy(stage: Stage, name: str) -> None:
    db = f"{name}-db"
    stage.become_good(db, rollback={"policy": "Disabled"})
    stage.become_good(name, dependsOn=[{"name": db}])
    stage.target.answers(db, 503)
    stage.wait(db, "Healthy", "ProbesFailing", status="False")
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "DependencyUnhealthy", status="False")
    assert not stage.rollbacks(name)
    stage.target.answers(db, 200)
    stage.rolled_back(name)


def dependency_unknown(stage: Stage, name: str) -> None:
    db = f"{name}-db"
    header = {"name": "Authorization", "valueFrom": secret_ref("nobody-made-it")}
    stage.begin(db, probe={"http": {"url": stage.target.url(db), "headers": [header]}})
    stage.become_good(name, dependsOn=[{"name": db}])
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "DependencyUnknown", status="False")


def too_few_samples(stage: Stage, name: str) -> None:
    stage.become_good(name)
    edit = stage.monitored(
        name, rollback={"triggers": {"healthFailing": {"for": "6s"}}}, probe={"successThreshold": 90}
    )
    stage.cluster.patch("MonitoredService", name, {"spec": edit["spec"]})
    stage.release_bad(name)
    stage.wait(name, "Healthy", "ProbesFailing", status="False")
    # It answers again, though not often enough yet to be believed: no moment for a rollback.
    stage.target.broken.discard((name, "v2"))
    stage.wait(name, "RollingBack", "TooFewSamples", status="False")


def probe_unproven(stage: Stage, name: str) -> None:
    """A probe is edited, and wrong: what it says is nobody's fault until it has passed once."""
    stage.become_good(name)
    stage.cluster.put(deployment(name, "v2", paused=True))
    stage.target.answers(f"{name}-typo", 404)
    edited = stage.monitored(name, stability={"soak": "1h"})
    edited["spec"]["probes"][0]["http"]["url"] += "-typo"
    stage.cluster.put(edited)
    stage.cluster.put(deployment(name, "v2", paused=False))
    said = stage.wait(name, "RollingBack", "ProbeUnproven", status="False")
    assert "has not passed once" in said["message"]
    assert not stage.rollbacks(name)
    stage.target.answers(f"{name}-typo", 200)
    stage.wait(name, "Healthy", "ProbesPassing", status="True")
    stage.target.answers(f"{name}-typo", 500)
    until(lambda: stage.version(name) == "v1", within=40, says="proven, it counts")
    stage.target.answers(f"{name}-typo", 200)
    stage.rolled_back(name)


def gitops_managed(stage: Stage, name: str) -> None:
    mark = {"argocd.argoproj.io/tracking-id": "shop"}
    stage.cluster.put(deployment(name, annotations=mark), stage.monitored(name))
    stage.good(name)
    stage.release_bad(name, annotations=mark)
    assert "Argo CD" in stage.wait(name, "RollingBack", "GitOpsManaged", status="False")["message"]
    stage.cluster.patch("MonitoredService", name, {"spec": {"rollback": {"gitOps": "Override"}}})
    stage.rolled_back(name)


def config_gone(stage: Stage, name: str) -> None:
    stage.cluster.put(secret(name, k="v"))
    stage.cluster.put(deployment(name, env={"K": {"valueFrom": secret_ref(name)}}), stage.monitored(name))
    stage.good(name)
    stage.cluster.delete("Secret", name)
    stage.release_bad(name)
    said = stage.wait(name, "RollingBack", "ConfigGone", status="False")
    assert f"Secret {name}" in said["message"]
    stage.cluster.put(secret(name, k="v"))
    stage.rolled_back(name)


def secret_copied(stage: Stage, name: str) -> None:
    """Where asked for, a Secret that the good revision needs is made anew; one that was changed stays as it is."""
    canary = base64.b64encode(b"canary-of-the-copy").decode()
    stage.cluster.put(secret(f"{name}-a", k="canary-of-the-copy"), secret(f"{name}-b", k="old"))
    env = {"A": {"valueFrom": secret_ref(f"{name}-a")}, "B": {"valueFrom": secret_ref(f"{name}-b")}}
    wishes = {"soak": "1s", "secrets": "Copy"}
    stage.cluster.put(deployment(name, env=env), stage.monitored(name, stability=wishes))
    stage.good(name)
    kept = stage.status(name)["goodRevisions"][0]["snapshot"]
    copy = until(lambda: stage.cluster.get("Secret", kept), within=20, says="the copy")
    assert set(copy["data"]) == {f"{name}-a", f"{name}-b"}
    assert copy["metadata"]["ownerReferences"][0]["name"] == kept
    stage.cluster.delete("Secret", f"{name}-a")
    stage.cluster.put(secret(f"{name}-b", k="new"))
    stage.release_bad(name)
    stage.rolled_back(name)
    again = stage.cluster.get("Secret", f"{name}-a")
    assert again is not None
    assert again["data"] == {"k": canary}
    changed = stage.cluster.get("Secret", f"{name}-b")
    assert changed is not None
    assert base64.b64decode(changed["data"]["k"]) == b"new"
    assert stage.operator is not None
    assert "canary-of-the-copy" not in stage.operator.log + json.dumps(stage.cluster.all("Rollback"))


def snapshot_gone(stage: Stage, name: str) -> None:
    stage.become_good(name)
    kept = stage.status(name)["goodRevisions"][0]["snapshot"]
    stage.cluster.delete("ControllerRevision", kept)
    stage.release_bad(name)
    assert kept in stage.wait(name, "RollingBack", "ConfigGone", status="False")["message"]


def quarantined(stage: Stage, name: str) -> None:
    stage.become_good(name)
    stage.release_bad(name)
    stage.rolled_back(name)
    stage.wait(name, "Healthy", "ProbesPassing", status="True")
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "Quarantined", status="False")
    assert len(stage.rollbacks(name)) == 1
    assert stage.version(name) == "v2"


def refused(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"policy": "Manual"})
    stage.release_bad(name)
    (waiting,) = until(lambda: stage.rollbacks(name, "AwaitingApproval"), within=40, says="it waits")
    stage.wait(name, "RollingBack", "AwaitingApproval", status="False")
    stage.cluster.patch("Rollback", waiting["metadata"]["name"], {"spec": {"approval": "Refused"}})
    stage.wait(name, "RollingBack", "Refused", status="False")
    assert len(stage.rollbacks(name, "Refused")) == 1
    assert stage.version(name) == "v2"


def approved(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"policy": "Manual"})
    stage.release_bad(name)
    (waiting,) = until(lambda: stage.rollbacks(name, "AwaitingApproval"), within=40, says="it waits")
    assert stage.version(name) == "v2"
    stage.cluster.patch("Rollback", waiting["metadata"]["name"], {"spec": {"approval": "Approved"}})
    stage.rolled_back(name)
    assert stage.version(name) == "v1"


def rollback_failed(stage: Stage, name: str) -> None:
    """An admission policy refuses the template that was good."""
    stage.become_good(name)
    policy = f"{stage.cluster.namespace}-no-way-back"
    where, version = (
        "/apis/admissionregistration.k8s.io/v1",
        "object.spec.template.metadata.labels['app.kubernetes.io/version']",
    )
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.cluster.namespace}}}
    spec = {
        "matchConstraints": {"resourceRules": [rule], **here},
        "validations": [{"expression": f"object.metadata.name != '{name}' || {version} != 'v1'", "message": "not v1"}],
    }
    body = {"metadata": {"name": policy}, "spec": spec}
    binding = {"metadata": {"name": policy}, "spec": {"policyName": policy, "validationActions": ["Deny"]}}
    try:
        stage.cluster.request("POST", f"{where}/validatingadmissionpolicies", json=body)
        stage.cluster.request("POST", f"{where}/validatingadmissionpolicybindings", json=binding)

        def in_force() -> bool:
            try:
                for value in ("1", None):
                    stage.cluster.patch("Deployment", name, {"metadata": {"annotations": {"tried": value}}})
            except Refused:
                return True
            return False

        until(in_force, within=20, says="the policy is in force")
        stage.release_bad(name)
        stage.wait(name, "RollingBack", "RollbackFailed", status="False")
        (failed,) = stage.rollbacks(name, "Failed")
        (condition,) = failed["status"]["conditions"]
        assert condition["reason"] == "PatchRefused"
        assert "not v1" in condition["message"]
        assert stage.version(name) == "v2"
    finally:
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            stage.cluster.request("DELETE", f"{where}/{kind}/{policy}")


def dry_run(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"policy": "DryRun"})
    stage.release_bad(name)
    stage.wait(name, "RollingBack", "DryRun", status="False")
    assert len(stage.rollbacks(name, "DryRun")) == 1
    assert stage.version(name) == "v2"
    stage.cluster.patch("MonitoredService", name, {"spec": {"rollback": {"policy": "Automatic"}}})
    stage.rolled_back(name)


def cooldown(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"cooldown": "1h"})
    stage.release_bad(name)
    stage.rolled_back(name)
    stage.release_bad(name, "v3")
    stage.wait(name, "RollingBack", "Cooldown", status="False")
    stage.cluster.patch("MonitoredService", name, {"spec": {"rollback": {"cooldown": "0s"}}})
    until(lambda: len(stage.rollbacks(name, "Succeeded")) == 2, within=40, says="the second rollback")


def limit_reached(stage: Stage, name: str) -> None:
    stage.become_good(name, rollback={"limit": {"count": 1, "window": "1h"}})
    stage.release_bad(name)
    stage.rolled_back(name)
    stage.release_bad(name, "v3")
    stage.wait(name, "RollingBack", "LimitReached", status="False")
    assert len(stage.rollbacks(name)) == 1


def by_hand(stage: Stage, name: str) -> None:
    """A person goes back from a revision that is good, too, and asks for what is not there."""
    stage.become_good(name)
    stage.cluster.put(deployment(name, "v2"))
    stage.good(name, version="v2")
    stage.cluster.create(rollback(f"{name}-nowhere", name, to={"version": "v9"}))
    until(lambda: stage.rollbacks(name, "Failed"), within=40, says="no such version")
    stage.cluster.create(rollback(f"{name}-back", name, to={"version": "v1"}, reason="customers complain"))
    stage.rolled_back(name)
    assert stage.version(name) == "v1"


def awaiting_stops_nobody(stage: Stage, name: str) -> None:
    """While one waits for approval a person goes back by hand; then the waiting one has no object any more."""
    stage.become_good(name, rollback={"policy": "Manual"})
    stage.release_bad(name)
    (waiting,) = until(lambda: stage.rollbacks(name, "AwaitingApproval"), within=40, says="it waits")
    stage.cluster.create(rollback(f"{name}-by-hand", name, reason="no time to wait"))
    stage.rolled_back(name)
    assert stage.version(name) == "v1"
    (ended,) = until(lambda: stage.rollbacks(name, "Failed"), within=40, says="the waiting one ends")
    assert ended["metadata"]["name"] == waiting["metadata"]["name"]
    assert ended["status"]["conditions"][0]["reason"] == "Superseded"
    stage.wait(name, "RollingBack", "NotNeeded")


def snapshot_gone_late(stage: Stage, name: str) -> None:
    """What is to be put back disappears, or is forged, between preparation and approval."""
    stage.become_good(name, rollback={"policy": "Manual"})
    kept = stage.status(name)["goodRevisions"][0]["snapshot"]
    stage.release_bad(name)
    (waiting,) = until(lambda: stage.rollbacks(name, "AwaitingApproval"), within=40, says="it waits")
    body = stage.cluster.get("ControllerRevision", kept)
    assert body is not None
    stage.cluster.delete("ControllerRevision", kept)
    template = body["data"]["template"]
    template["spec"]["containers"][0]["image"] = "evil/app:1"
    forged = {k: body["metadata"][k] for k in ("name", "labels", "ownerReferences")}
    stage.cluster.create({**body, "metadata": forged})
    stage.cluster.patch("Rollback", waiting["metadata"]["name"], {"spec": {"approval": "Approved"}})
    (failed,) = until(lambda: stage.rollbacks(name, "Failed"), within=40, says="it fails")
    assert failed["status"]["conditions"][0]["reason"] == "ConfigGone"
    assert "holds another pod template" in failed["status"]["conditions"][0]["message"]
    assert stage.version(name) == "v2"


def swept(stage: Stage, name: str) -> None:
    """Snapshots go when no good revision and no Rollback names them."""
    stage.become_good(name, stability={"soak": "1s", "keep": 1})
    first = stage.status(name)["goodRevisions"][0]["snapshot"]
    stage.cluster.put(deployment(name, "v2"))
    stage.good(name, version="v2")
    until(lambda: stage.cluster.get("ControllerRevision", first) is None, within=20, says="v1 is swept")
    stage.release_bad(name, "v3")
    done = stage.rolled_back(name)
    before = done["status"]["from"]["snapshot"]
    assert stage.cluster.get("ControllerRevision", before) is not None
    stage.cluster.delete("Rollback", done["metadata"]["name"])
    stage.cluster.put(deployment(name, "v4"))
    stage.good(name, version="v4")
    until(lambda: stage.cluster.get("ControllerRevision", before) is None, within=20, says="v3 is swept")


CASES: list[Callable[[Stage, str], None]] = [
    target_not_found, secret_missing, config_map_missing, bad_probe, unknown_dependency, dependency_cycle, suspended,
    not_needed, disabled, breach_pending, breach_target_gone, target_paused, scaled_to_zero, no_good_revision,
    already_on_last_good, breach_older_than_release, dependency_unhealthy, dependency_unknown, too_few_samples,
    probe_unproven, gitops_managed, config_gone, secret_copied, snapshot_gone, quarantined, refused, approved, rollback_failed, dry_run, cooldown,
    limit_reached, by_hand, awaiting_stops_nobody, snapshot_gone_late, swept,
]  # fmt: skip


@pytest.fixture(scope="module")
def played(
    lab: Any, namespace_for: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """All cases at once on one stage with one operator: each is mostly waiting for probes."""
    namespace = namespace_for()
    cluster = Cluster(lab.kubeconfig, namespace)
    log: Path = tmp_path_factory.mktemp("operator") / "log"
    with (
        Kubelet(lambda: Cluster(lab.kubeconfig, namespace)) as kubelet,
        Target(lambda: kubelet.running) as target,
        ThreadPoolExecutor(len(CASES)) as pool,
    ):
        cluster.create(deployment("filler"))
        # With a target and far from good: what is missing is looked for, and what is good is written down.
        filling = {"targetRef": {"name": "filler"}, "stability": {"soak": "1h"}, "probe": {"interval": "5s"}}
        for number in range(FILLERS):
            cluster.create(service(f"filler-{number}", target.url("filler"), **filling))
        operator = Operator(lab.kubeconfig, namespace, log, ["--storm-limit", "50"])
        operator.wait_for_log('"leading"')
        healthy = "lastgood_service_healthy"
        until(lambda: operator.total(healthy) == FILLERS, within=120, says="the fillers are healthy")
        stage = Stage(cluster, kubelet, target)
        stage.operator = operator
        futures = {case.__name__: pool.submit(case, stage, case.__name__.replace("_", "-")) for case in CASES}
        yield futures
        for future in futures.values():
            future.exception()
        assert operator.running
        text = operator.log
        assert operator.stop() == 0
        assert "Traceback" not in text, text[text.index("Traceback") - 500 :][:3000]
    cluster.close()


@pytest.mark.parametrize("name", [case.__name__ for case in CASES])
def test_condition(played: dict[str, Future[None]], name: str) -> None:
    played[name].result(timeout=120)
