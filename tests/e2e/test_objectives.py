"""Objectives on a real node: slow answers, a burner, a disk that fills, a pool that runs out, data that is not sound."""

import datetime as dt
import time
from typing import Any

import pytest
import yaml
from tests.demo.cluster import DEBIAN_BASE, ROOT, SHOP_IMAGE, SHOP_PACKAGES
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import IMAGE, app, monitored, service
from tests.e2e.operator_process import Operator
from tests.e2e.test_databases import shop
from tests.e2e.test_rollback import become_good, rollbacks, running_version, wait_good

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
BURN_SECONDS = 30
BURNER = "while True: pass"
FILLER = """
import time, pathlib
for n in range(60):
    pathlib.Path(f'/data/{n}').write_bytes(bytes(1 << 20)); time.sleep(0.05)
time.sleep(3600)
"""


def objective(name: str, source: Object, indicator: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "ServiceLevelObjective",
        "metadata": {"name": name},
        "spec": {"source": source, "indicator": indicator, **spec},
    }


def standing(kube: Kube, service_name: str, name: str) -> Object:
    status = (kube.get("monitoredservice", service_name) or {}).get("status") or {}
    return next((o for o in status.get("objectives") or () if o["name"] == name), {})


def breached(kube: Kube, service_name: str, name: str, *, within: float) -> Object:
    until(
        lambda: standing(kube, service_name, name).get("state") == "Breached", within=within, says=f"{name} is breached"
    )
    return standing(kube, service_name, name)


TRIGGERS: dict[str, Object] = {
    "ErrorRate": {"errorRate": {"above": "10%", "for": "4s"}},
    "Degradation": {"degradation": {"above": "50%", "for": "4s", "minSamples": 3}},
    "Objective": {"objectives": [{"name": "latency", "severity": "critical"}]},
}
MEASURED = {"interval": "1s", "timeout": "900ms", "window": "10s"}


@pytest.mark.long
def test_releases_that_take_five_seconds_are_rolled_back(kube: Kube, operator: Operator) -> None:
    """Three services side by side, each by what another trigger makes of it; health would have to fail for an hour."""
    kube.apply(
        objective(
            "latency",
            {"probe": {}},
            {"quantile": {"of": "95%"}},
            **MEASURED,
            target={"below": "500ms"},
            alerts=[{"severity": "critical", "threshold": "800ms", "for": "3s"}],
        ),
        objective("errors", {"probe": {}}, {"ratio": {}}, **MEASURED, target={"below": "1%"}),
    )
    names = {trigger: trigger.lower() for trigger in TRIGGERS}
    for trigger, name in names.items():
        rollback = {"triggers": {"healthFailing": {"for": "1h"}, **TRIGGERS[trigger]}}
        watched_by = monitored(
            name, kube.namespace, objectives=[{"name": "latency"}, {"name": "errors"}], rollback=rollback
        )
        # Slow enough that a busy machine's milliseconds are no degradation.
        kube.apply(app(name, env={"DELAY": "0.1"}), service(name), watched_by)
    for name in names.values():
        wait_good(kube, "v1.0.0", name=name)
    # One after the other: three that break within two minutes could be taken for a breach of many.
    for trigger, name in names.items():
        kube.apply(app(name, version="v2.0.0", env={"DELAY": "5"}))
        done = until(
            lambda n=name: [r for r in rollbacks(kube) if r["spec"]["service"] == n],
            within=120,
            says=f"{name} is rolled back",
        )
        assert done[0]["spec"]["trigger"]["type"] == trigger
        assert running_version(kube, name) == "v1.0.0"
    for name in names.values():
        until(lambda n=name: standing(kube, n, "latency").get("state") == "Met", within=60, says=f"{name} quick again")
    assert len(kube.all("rollbacks")) == len(names)


def worker(name: str, program: str, volume: str = "") -> Object:
    """A pod that runs a program at a fifth of a core, with a volume at /data where one is named.

    What it writes to a volume in memory counts as its own.
    """
    body = app(name)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": IMAGE, "command": ["python3", "-c", program]}
    container["resources"] = {"limits": {"cpu": "200m", "memory": "256Mi"}}
    del container["readinessProbe"]
    if volume:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        claim = {"name": "data", "persistentVolumeClaim": {"claimName": volume}}
        body["spec"]["template"]["spec"]["volumes"] = [claim]
    return body


def watched(name: str, kube: Kube, probed: str, **spec: Any) -> Object:
    body = monitored(name, kube.namespace, rollback={"policy": "Disabled"}, **spec)
    body["spec"]["probes"][0]["http"]["url"] = f"http://{probed}.{kube.namespace}.svc.cluster.local:8000/health"
    return body


@pytest.mark.long
def test_a_burner_alerts_when_its_time_is_over_and_a_full_disk_at_once(
    kube: Kube, operator: Operator, small: str
) -> None:
    kube.apply(
        objective(
            "cpu",
            {"resources": {"resource": "cpu"}},
            {"average": {}},
            interval="10s",
            target={"below": "80%"},
            alerts=[{"severity": "critical", "threshold": "90%", "for": f"{BURN_SECONDS}s"}],
        ),
        objective(
            "disk",
            {"resources": {"resource": "disk"}},
            {"value": {}},
            interval="5s",
            timeout="2s",
            window="5s",
            target={"above": "20%"},
            alerts=[{"severity": "critical", "threshold": "10%"}],
        ),
        app(),
        service(),
        worker("burner", "import time; time.sleep(3600)"),
        worker("filler", "import time; time.sleep(3600)", small),
        watched("burner", kube, "app", objectives=[{"name": "cpu"}]),
        watched("filler", kube, "app", objectives=[{"name": "disk"}]),
    )
    for service_name, name in (("burner", "cpu"), ("filler", "disk")):
        until(
            lambda s=service_name, n=name: standing(kube, s, n).get("state") == "Met",
            within=180,
            says=f"{name} is measured and met",
        )
    began = time.time()
    kube.apply(worker("burner", BURNER), worker("filler", FILLER, small))
    said = breached(kube, "burner", "cpu", within=BURN_SECONDS + 150)
    at = dt.datetime.fromisoformat(said["since"]).timestamp()
    assert at - began >= BURN_SECONDS, "before its time was over"
    assert "critical" in str(said)
    breached(kube, "filler", "disk", within=150)
    until(lambda: "ObjectiveBreached" in dict(kube.events()), within=10, says="an Event tells of it")
    assert not kube.all("rollbacks")


@pytest.mark.long
def test_a_pool_that_runs_out_and_data_that_is_not_sound(cluster: Cluster, kube: Kube, operator: Operator) -> None:
    folder = ROOT / "manifests" / "demo" / "image"
    cluster.load(folder / "Dockerfile", folder, SHOP_IMAGE, DEBIAN_BASE, SHOP_PACKAGES)
    database = [b for b in shop(kube.namespace) if b["metadata"]["name"] in {"postgres", "database"}]
    dsn = {"dsn": {"secretKeyRef": {"name": "database", "key": "url"}}}
    quick = {"interval": "2s", "timeout": "1s", "window": "4s"}
    watch = yaml.safe_load_all((ROOT / "manifests" / "demo" / "services.yaml").read_text())
    postgres = next(b for b in watch if b["metadata"]["name"] == "postgres")
    del postgres["metadata"]["namespace"]
    postgres["spec"]["objectives"] = [{"name": "connections"}]
    kube.apply(
        *database,
        objective(
            "connections",
            {"postgres": {**dsn, "connections": {}}},
            {"value": {}},
            **quick,
            target={"below": "80%"},
            alerts=[{"severity": "critical", "threshold": "90%", "for": "4s"}],
        ),
        objective(
            "integrity",
            {
                "postgres": {
                    **dsn,
                    "integrity": {"sql": "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname = 'bad')"},
                }
            },
            {"value": {}},
            **quick,
            target={"below": "0"},
            alerts=[{"severity": "emergency", "threshold": "0"}],
        ),
        postgres,
        app(),
        service(),
    )
    become_good(
        kube,
        objectives=[{"name": "integrity"}],
        rollback={"triggers": {"healthFailing": {"for": "1h"}, "signals": [{"type": "DataIntegrity"}]}},
    )
    until(lambda: standing(kube, "postgres", "connections").get("state") == "Met", within=60, says="room is left")

    # A release that answers well and writes what must not be.
    soak = {"spec": {"stability": {"soak": "10m"}}}
    kube.run("patch", "ms", "app", "--type=merge", "-p", yaml.safe_dump(soak))
    kube.apply(app(version="v2.0.0"))
    until(lambda: running_version(kube) == "v2.0.0", within=60, says="the release is out")
    kube.run("rollout", "status", "deployment/app", "--timeout=60s")
    psql = ["exec", "deployment/postgres", "--", "sh", "-c"]
    login = "PGPASSWORD=$POSTGRES_PASSWORD psql -qXh 127.0.0.1 -U shop postgres"
    time_for_clocks_of_whole_seconds = 2
    time.sleep(time_for_clocks_of_whole_seconds)
    kube.run(*psql, f"{login} -c 'CREATE TABLE bad ()'")
    done = until(lambda: rollbacks(kube), within=60, says="a Rollback succeeded")
    assert (done[0]["spec"]["trigger"]["type"], done[0]["spec"]["trigger"]["name"]) == ("Signal", "DataIntegrity")
    assert running_version(kube) == "v1.0.0"

    hold = f"for n in $(seq 94); do {login} -c 'SELECT pg_sleep(40)' >/dev/null 2>&1 & done; wait"
    kube.run(*psql, f"({hold}) >/dev/null 2>&1 &")
    breached(kube, "postgres", "connections", within=30)
    until(lambda: standing(kube, "postgres", "connections").get("state") == "Met", within=90, says="room again")
    texts = "\n".join(note for _, note in kube.events()) + kube.run("get", "ms", "-o", "yaml").stdout + operator.log
    assert "only-for-the-demo" not in texts
