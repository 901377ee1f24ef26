"""The operator as a process: quiet when nothing changes, undisturbed by what is hostile, alone when it leads."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster
from tests.integration.manifests import deployment, secret, secret_ref, service
from tests.integration.process import Operator
from tests.integration.stage import Stage, quiet

pytestmark = pytest.mark.integration

WRITES, OUTCOMES = "lastgood_api_writes_total", "lastgood_probe_outcomes_total"


def test_pages_and_orderly_end(operator: Operator, cluster: Cluster) -> None:
    assert operator.page("/healthz").text == "ok\n"
    until(lambda: operator.page("/readyz").text == "leader\n", within=10, says="ready")
    assert operator.stop() == 0
    lease = cluster.get("Lease", "lastgood")
    assert lease is not None
    # The next one starts at once.
    assert not lease["spec"].get("holderIdentity")


def test_three_hundred_settle_and_then_nothing_is_written(operator: Operator, stage: Stage) -> None:
    stage.cluster.create(deployment("app"))
    bodies = []
    for number in range(300):
        body = stage.monitored(f"s{number}", probe={"interval": "3s", "timeout": "2s"})
        body["spec"]["targetRef"]["name"] = "app"
        bodies.append(body)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stage.cluster.create, bodies))

    def settled() -> bool:
        states = [b.get("status") or {} for b in stage.cluster.all("MonitoredService")]
        return len(states) == 300 and all(
            s.get("lastGood") == "v1" and {c["type"]: c["status"] for c in s["conditions"]}["Healthy"] == "True"
            for s in states
        )

    until(settled, within=60, every=1, says="all are good")
    assert operator.total("lastgood_services") == 300
    until(quiet(operator, 600), within=40, says="two rounds of probes without one write")
    # Good revisions are kept once for each service, and status needs no second try.
    assert operator.total(WRITES, kind="controllerrevisions") == 300
    assert "Traceback" not in operator.log


def test_deleted_service_is_forgotten(operator: Operator, stage: Stage) -> None:
    stage.become_good("app")
    kept = stage.status("app")["goodRevisions"][0]["snapshot"]
    stage.cluster.delete("MonitoredService", "app")
    until(lambda: operator.total("lastgood_services") == 0, within=20, says="forgotten")
    until(lambda: stage.cluster.get("ControllerRevision", kept) is None, within=120, says="its snapshots go with it")
    stage.become_good("app")


HOSTILE_STATUS: list[dict[str, Any]] = [
    {"health": {"state": "False", "since": "1970-01-01T00:00:00Z"}},
    {"goodRevisions": [{
        "key": "forged", "templateHash": "x", "revision": -1, "goodSince": "9999-12-31T23:59:59Z",
        "snapshot": "../../secrets/s", "version": "v0",
    }]},
    {"current": {"key": "", "revision": -5, "version": "\u202e" * 50, "since": "0001-01-01T00:00:00Z"}},
    {"probes": [{"name": "nobody", "state": "Failing", "since": "2999-01-01T00:00:00+14:00", "reason": "X" * 5000}]},
    {"rollbacks": [{"name": "ghost", "badKey": "", "at": "2026-01-01T00:00:00Z", "outcome": ""}]},
    {"rollbacks": [{"name": "x" * 300, "badKey": "\u0000", "at": "2026-01-01T00:00:00Z", "outcome": "Nonsense"}]},
    {"leftGoodAt": "2999-01-01T00:00:00Z"},
    {"conditions": [{
        "type": "Ready", "status": "Unknown", "reason": "", "message": "x" * 30000,
        "lastTransitionTime": "0001-01-01T00:00:00Z",
    }]},
    {"conditions": None, "health": None, "probes": None, "current": None, "goodRevisions": None},
    {"lastGood": "v666", "observedGeneration": 99999999},
]  # fmt: skip


def test_status_edited_by_a_hostile_hand(spawn: Callable[..., Operator], stage: Stage) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    names = [f"h{number}" for number in range(len(HOSTILE_STATUS))]
    stage.become_good("bystander", *names)
    for name, status in zip(names, HOSTILE_STATUS, strict=True):
        stage.cluster.patch("MonitoredService", name, {"status": status}, status=True)
    first.stop()
    # What was written while it ran was its own word; now it must believe the forger's.
    for name, status in zip(names, HOSTILE_STATUS, strict=True):
        stage.cluster.patch("MonitoredService", name, {"status": status}, status=True)

    second = spawn()
    second.wait_for_log('"leading"')
    for name in ["bystander", *names]:
        stage.wait(name, "Healthy", "ProbesPassing", status="True")
        stage.wait(name, "Ready", "Accepted", status="True")
    stage.release_bad("bystander")
    stage.rolled_back("bystander")
    assert {stage.version(name) for name in names} == {"v1"}
    assert not [r for name in names for r in stage.rollbacks(name)]
    assert second.running
    assert "Traceback" not in second.log
    # One whose status said that a rollback was under way which never was must not wait for it for ever.
    for name in names:
        stage.wait(name, "RollingBack", "NotNeeded", status="False", within=15)


def test_forged_good_revision_leads_nowhere(spawn: Callable[..., Operator], stage: Stage) -> None:
    """A ledger entry without the ControllerRevision that it names changes no Deployment."""
    first = spawn()
    first.wait_for_log('"leading"')
    stage.become_good("app")
    first.stop()
    forged = {**stage.status("app")["goodRevisions"][0], "key": "forged", "snapshot": "no-such", "version": "v0"}
    stage.cluster.patch("MonitoredService", "app", {"status": {"goodRevisions": [forged]}}, status=True)
    spawn().wait_for_log('"leading"')
    stage.release_bad("app")
    stage.wait("app", "RollingBack", "ConfigGone", status="False")
    assert stage.version("app") == "v2"


def deep(levels: int) -> str:
    return "(" * levels + "x" + ")" * levels


def hostile_manifests(url: str) -> dict[str, dict[str, Any]]:
    """Accepted by the schema, every one."""
    huge = [
        {"name": f"p{number}", "interval": "1s", "timeout": "500ms",
         "http": {"url": url, "method": "POST", "body": "ü" * 16384,
                  "headers": [{"name": f"x-{n}", "value": "v" * 4096} for n in range(32)]}}
        for number in range(5)
    ]  # fmt: skip

    def http(**more: Any) -> list[dict[str, Any]]:
        return [{"name": "p", "interval": "1s", "timeout": "500ms", "http": {"url": url, **more}}]

    return {
        "huge": {"probes": huge},
        "unicode": {"probes": http(headers=[{"name": "X", "value": "\U0001f600\u202e\u0000"}], bodyPattern="\U0001f600")},
        "newline": {"probes": http(headers=[{"name": "X", "value": "a\r\nInjected: yes"}])},
        "deep-pattern": {"probes": http(bodyPattern=deep(500))},
        "greedy-pattern": {"probes": http(bodyPattern="(a+)+" * 50 + "$")},
        "huge-repeat": {"probes": http(bodyPattern="((a{100}){100}){100}")},
        "broken-pattern": {"probes": http(bodyPattern="(((")},
        "deep-path": {"probes": http(json=[{"path": "$" + "[0]" * 170, "exists": True}])},
        "wide-path": {"probes": http(json=[{"path": "$" + "..*" * 100, "exists": True}])},
        "deep-filter": {"probes": http(json=[{"path": "$[?" + "(" * 200 + "@" + ")" * 200 + "]", "exists": True}])},
        "broken-path": {"probes": http(json=[{"path": "$[", "exists": True}])},
        "strange-host": {"probes": [{"name": "p", "interval": "1s", "timeout": "500ms",
                                     "tcp": {"host": "a..b" + "." * 50 + "c", "port": 1}}]},
        "long-label": {"probes": http(url="http://" + "a" * 200 + ".example/")},
        "strange-port": {"probes": http(url="http://127.0.0.1:99999/")},
        "no-port": {"probes": http(url="http://[::1/")},
    }  # fmt: skip


def test_hostile_manifests_disturb_nobody(operator: Operator, stage: Stage) -> None:
    stage.become_good("bystander")
    bodies = hostile_manifests(stage.target.url("x"))
    for name, spec in bodies.items():
        body = service(name, **spec)
        body["spec"]["targetRef"]["name"] = "bystander"
        body["metadata"]["annotations"] = {"note": "\U0001f4a3" * 20000}
        stage.cluster.create(body)
    for name in bodies:
        until(lambda n=name: stage.cluster.condition(n, "Ready"), within=30, says=f"{name} is told about")
    for name in ("broken-pattern", "broken-path"):
        stage.wait(name, "Ready", "BadProbe", status="False")

    def failing() -> list[str]:
        return [name for name in bodies if stage.cluster.condition(name, "Healthy").get("status") == "False"]

    # What fails because its manifest is nonsense was never healthy: it is no mass breach that holds others back.
    until(
        lambda: len(failing()) + 1 >= len(["bystander", *bodies]) / 2, within=30, says="half fail, with the bystander"
    )
    stage.release_bad("bystander")
    stage.rolled_back("bystander")
    stage.wait("bystander", "Healthy", "ProbesPassing", status="True")
    assert operator.running
    assert operator.page("/healthz").text == "ok\n"
    assert "Traceback" not in operator.log, operator.log[operator.log.index("Traceback") - 300 :][:3000]
    assert "Injected" not in stage.target.headers.get("x", {})


def test_killed_leader_is_followed_within_fifteen_seconds(spawn: Callable[..., Operator], stage: Stage) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    second = spawn()
    until(lambda: second.page("/readyz").text == "follower\n", within=10, says="the second waits")
    stage.become_good("app")
    assert second.total(WRITES) == 0
    first.kill()
    killed = time.monotonic()
    second.wait_for_log('"leading"', within=15)
    assert time.monotonic() - killed < 15
    stage.release_bad("app")
    stage.rolled_back("app")
    assert len(stage.rollbacks("app")) == 1


def test_stopped_leader_hands_over_at_once(spawn: Callable[..., Operator]) -> None:
    first = spawn()
    first.wait_for_log('"leading"')
    second = spawn()
    assert first.stop() == 0
    second.wait_for_log('"leading"', within=8)


def take_lease(cluster: Cluster, number: int) -> None:
    spec = {"holderIdentity": "somebody-else", "renewTime": f"2099-01-01T00:00:{number % 60:02}.000000Z"}
    until(lambda: not cluster.patch("Lease", "lastgood", {"spec": spec}) or True, within=5, says="the Lease is taken")


def test_taken_lease_stops_all_writes(operator: Operator, stage: Stage) -> None:
    stage.become_good("app")
    take_lease(stage.cluster, 0)
    operator.wait_for_log("leadership lost", within=10)
    assert operator.page("/readyz").text == "follower\n"
    writes = operator.total(WRITES)
    stage.target.answers("app", 503)
    stage.begin("newcomer")
    stage.release_bad("newcomer")
    number = 0

    def seen_and_renewed() -> bool:
        nonlocal number
        number += 1
        take_lease(stage.cluster, number)
        # Some rounds of its Lease, in which it has seen the newcomer and all that would be worth a write.
        return number > 16 and operator.total("lastgood_services") == 2

    until(seen_and_renewed, within=30, every=0.5, says="it watches on")
    assert operator.total(WRITES) == writes
    assert not stage.status("newcomer")
    assert stage.wait("app", "Healthy", "ProbesPassing", status="True")
    # The other one falls silent.
    until(lambda: operator.page("/readyz").text == "leader\n", within=20, says="it leads again")
    stage.wait("app", "Healthy", "ProbesFailing", status="False")
    stage.wait("newcomer", "Ready", "Accepted")


CANARY = "CANARY-9f2c41"


def test_secrets_stay_where_they_are(spawn: Callable[..., Operator], stage: Stage) -> None:
    """Through good times, failing probes, unusable values and a rollback with its diff."""
    operator = spawn("--log-level", "debug", LASTGOOD_TEST_SECRET=CANARY + "-environment", PGPASSWORD=CANARY + "-pg")
    operator.wait_for_log('"leading"')
    stage.cluster.put(
        secret(
            "s",
            token=f"Bearer {CANARY}-token",
            line=f"{CANARY}-line\r\nX: y",
            dsn=f"postgresql://{CANARY}-user:{CANARY}-password@127.0.0.1:9/{CANARY}-db",
            bad=f"postgresql://u:{CANARY}-password@127.0.0.1:port/?{CANARY}=1",
            words=f"{CANARY} no dsn at all",
            url=f"redis://:{CANARY}-password@127.0.0.1:9/0",
            nourl=f"{CANARY}://x",
            ca=f"-----BEGIN CERTIFICATE-----\n{CANARY}\n-----END CERTIFICATE-----",
        )
    )

    def header(key: str) -> dict[str, Any]:
        return {"headers": [{"name": "Authorization", "valueFrom": secret_ref("s", key)}]}

    stage.begin("app", probe={"http": {"url": stage.target.url("app"), **header("token")}})
    probes: dict[str, dict[str, Any]] = {
        "line": {"http": {"url": stage.target.url("line"), **header("line")}},
        "dsn": {"postgres": {"dsn": secret_ref("s", "dsn")}},
        "bad": {"postgres": {"dsn": secret_ref("s", "bad")}},
        "words": {"postgres": {"dsn": secret_ref("s", "words")}},
        "url": {"redis": {"url": secret_ref("s", "url")}},
        "nourl": {"redis": {"url": secret_ref("s", "nourl")}},
        "ca": {"http": {"url": "https://127.0.0.1:9/", "tls": {"ca": secret_ref("s", "ca")}}},
    }
    for name, probe in probes.items():
        common = {"name": "p", "interval": "1s", "timeout": "900ms", "failureThreshold": 1}
        stage.cluster.put(stage.monitored(name, probes=[{**common, **probe}]))
    stage.good("app")
    assert stage.target.headers["app"]["Authorization"] == f"Bearer {CANARY}-token"
    for name in ("bad", "words", "nourl", "ca"):
        stage.wait(name, "Ready", "BadProbe", status="False")
    for name in ("dsn", "url"):
        stage.wait(name, "Healthy", "ProbesFailing", status="False")

    leaky = {"PASSWORD": {"value": f"{CANARY}-env"}}
    stage.release_bad("app", env=leaky)
    done = stage.rolled_back("app")
    assert "PASSWORD" in done["status"]["diff"]

    shown = {
        "services": [b.get("status") for b in stage.cluster.all("MonitoredService")],
        "rollbacks": stage.cluster.all("Rollback"),
        "events": [e for e in stage.cluster.all("Event") if e.get("reportingController") == "lastgood.dev/operator"],
        "log": operator.log,
        "metrics": operator.page("/metrics").text,
    }
    assert len(shown["events"]) > 3
    for where, what in shown.items():
        text = what if isinstance(what, str) else json.dumps(what)
        assert CANARY not in text, (where, text[text.index(CANARY) - 300 : text.index(CANARY) + 60])


def test_one_rollback_at_a_time_where_the_limit_is_one(spawn: Callable[..., Operator], stage: Stage) -> None:
    spawn("--storm-limit", "1").wait_for_log('"leading"')
    stage.become_good("slow", "other")
    stage.kubelet.idle_for.add("slow")
    # Its new pods never become ready, so its rollback is under way until the test lets it end.
    stage.target.answers("slow", 503)
    stage.cluster.put(deployment("slow", "v2"))
    until(lambda: stage.status("slow")["current"]["version"] == "v2", within=20, says="v2 seen")
    stage.target.answers("slow", 200)
    stage.wait("slow", "Healthy", "ProbesPassing", status="True")
    stage.target.answers("slow", 503)
    until(lambda: stage.rollbacks("slow", "Running"), within=40, says="slow's rollback is under way")
    stage.release_bad("other")
    stage.wait("other", "RollingBack", "StormLimit", status="False")
    stage.kubelet.idle_for.clear()
    stage.target.answers("slow", 200)
    stage.rolled_back("slow")
    stage.rolled_back("other")


def test_mass_breach(operator: Operator, stage: Stage) -> None:
    names = [f"m{number}" for number in range(6)]
    stage.become_good(*names, rollback={"triggers": {"healthFailing": {"for": "6s"}}})
    for name in names:
        stage.release_bad(name)
    for name in names:
        stage.wait(name, "RollingBack", "MassBreach", status="False")
    assert not stage.cluster.all("Rollback")
    for name in names[:3]:
        stage.target.broken.discard((name, "v2"))
    for name in names[3:]:
        stage.rolled_back(name)
    assert {stage.version(name) for name in names[:3]} == {"v2"}
