"""The CRDs on a real API server: what it refuses, in which words, and that `lastgood validate` says the same."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from tests.e2e.kube import Kube, until
from tests.integration import test_crds_backups, test_crds_objectives
from tests.integration.cluster import Cluster, Refused, refusal
from tests.integration.manifests import rollback, secret_ref, service

from lastgood.api.kinds import KINDS
from lastgood.api.schema import structural
from lastgood.api.validation import validate

pytestmark = pytest.mark.integration

GONE = object()
"""In place of a value: the field is left out."""

CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}


def whole() -> dict[str, Any]:
    """A MonitoredService with every field, all of them good."""
    body = service()
    body["spec"].update(
        suspend=False,
        dependsOn=[{"name": "db"}],
        backups=[{"name": "db"}],
        stability={"soak": "1h", "keep": 3},
        probes=[
            {
                "name": "http",
                "interval": "30s",
                "timeout": "5s",
                "failureThreshold": 3,
                "successThreshold": 2,
                "connection": "Keep",
                "http": {
                    "url": "https://app:8443/health?deep=1",
                    "method": "POST",
                    "headers": [
                        {"name": "X-Plain", "value": "1"},
                        {"name": "Authorization", "valueFrom": secret_ref()},
                    ],
                    "body": "{}",
                    "statusCodes": ["200", "2xx", "200-299"],
                    "json": [
                        {"path": "$.a", "equals": "ok"},
                        {"path": "$.b", "matches": "^v"},
                        {"path": "$.c", "exists": False},
                    ],
                    "bodyPattern": "ok",
                    "followRedirects": True,
                    "tls": {"ca": CA, "serverName": "app.example", "minDaysToExpiry": 14},
                },
            },
            {"name": "tcp", "tcp": {"host": "10.0.0.7", "port": 5432}},
            {
                "name": "grpc",
                "grpc": {
                    "host": "app",
                    "port": 50051,
                    "service": "shop",
                    "tls": {"ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}, "serverName": "app"},
                },
            },
            {"name": "postgres", "postgres": {"dsn": secret_ref(), "query": "SELECT 2"}},
            {"name": "redis", "redis": {"address": "redis:6379"}},
            {"name": "redis-url", "redis": {"url": secret_ref()}},
        ],
        rollback={
            "policy": "Manual",
            "triggers": {"healthFailing": {"for": "1h30m"}},
            "cooldown": "0s",
            "limit": {"count": 1, "window": "1h"},
            "configMaps": "Ignore",
            "gitOps": "Override",
            "rolloutTimeout": "5m",
            "validationTimeout": "5m",
        },
    )
    return copy.deepcopy(body)


def whole_rollback() -> dict[str, Any]:
    return rollback(to={"version": "v1"}, reason="customers complain", needsApproval=True, dryRun=True)


@dataclass(frozen=True)
class Bad:
    """A good manifest with these places changed, and a part of what is said of it."""

    name: str
    changes: dict[str, Any]
    says: str
    base: Callable[[], dict[str, Any]] = whole


def changed(bad: Bad) -> dict[str, Any]:
    body = bad.base()
    for path, value in bad.changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = body
        for part in parents:
            place = place[part]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = copy.deepcopy(value)
    return body


HTTP, GRPC, TLS = "spec.probes.0.http", "spec.probes.2.grpc", "spec.probes.0.http.tls"
FORM = 'write a duration as a number and a unit, such as "30s", "5m" or "1h30m"'
NAME = 'write the name of an object: lower-case letters, digits, "-" and "."'
HOST = 'write a host name or an IP address without scheme or port, such as "postgres" or "10.0.0.7"'
ONE_CA = "write exactly one of secretKeyRef or configMapKeyRef: a CA bundle has one source"
NO_VERIFY = "write either ca or insecureSkipVerify: with verification off, the CA is never looked at"
ABSOLUTE = 'write an absolute URL without user name or password, such as "http://backend:8000/health"'
REF = {"name": "Not_A_Name", "key": "k"}

# Place, a text that is no duration, one too short, one too long, and the bounds as the sentence has them.
DURATIONS = [
    ("spec.probes.0.interval", "999ms", "25h", "1s and 24h"),
    ("spec.probes.0.timeout", "9ms", "301s", "10ms and 5m"),
    ("spec.stability.soak", "999ms", "169h", "1s and 168h"),
    ("spec.rollback.triggers.healthFailing.for", "0s", "24h1s", "1s and 24h"),
    ("spec.rollback.cooldown", None, "168h1ms", "0s and 168h"),
    ("spec.rollback.limit.window", "59s", "200h", "1m and 168h"),
    ("spec.rollback.rolloutTimeout", "9s", "25h", "10s and 24h"),
    ("spec.rollback.validationTimeout", "4s", "25h", "5s and 24h"),
]

NAMES = [
    "spec.targetRef.name",
    "spec.dependsOn.0.name",
    "spec.backups.0.name",
    f"{HTTP}.headers.1.valueFrom.secretKeyRef.name",
    f"{TLS}.ca.secretKeyRef.name",
    f"{GRPC}.tls.ca.configMapKeyRef.name",
    "spec.probes.3.postgres.dsn.secretKeyRef.name",
    "spec.probes.5.redis.url.secretKeyRef.name",
]


def table() -> Iterator[Bad]:
    for path, short, long, bounds in DURATIONS:
        # A timeout is compared with the interval too: give that one room.
        room = {"spec.probes.0.interval": "1h"} if path.endswith(".timeout") else {}
        for text in ("5", "five minutes", "-5s", "5s ", "1d", "1.5h"):
            yield Bad(f"{path}={text!r}", {path: text}, FORM)
        yield Bad(f"{path} empty", {path: ""}, FORM)
        for text in filter(None, (short, long)):
            yield Bad(f"{path}={text}", {**room, path: text}, f"write a duration between {bounds}")
    for path in NAMES:
        for text in ("Not_A_Name", "-x", "x-", "a b"):
            yield Bad(f"{path}={text!r}", {path: text}, NAME)
    yield Bad("ca ConfigMap name", {f"{TLS}.ca": {"configMapKeyRef": REF}}, NAME)
    yield Bad("grpc ca Secret name", {f"{GRPC}.tls.ca": {"secretKeyRef": REF}}, NAME)

    one_probe = "write exactly one of http, tcp, grpc, postgres or redis: a probe asks one thing"
    yield Bad("probe of no kind", {"spec.probes.1.tcp": GONE}, one_probe)
    yield Bad("probe of two kinds", {"spec.probes.1.redis": {"address": "r:1"}}, one_probe)
    for timeout in ("30s", "31s"):
        yield Bad(f"timeout {timeout}", {"spec.probes.0.timeout": timeout}, "write a timeout shorter than the interval")
    yield Bad("tls over http", {f"{HTTP}.url": "http://app/"}, "tls is only looked at for https")
    yield Bad("body with GET", {f"{HTTP}.method": "GET"}, "a body is not sent with GET or HEAD")
    yield Bad("body with no method", {f"{HTTP}.method": GONE}, "a body is not sent with GET or HEAD")
    head = {f"{HTTP}.method": "HEAD", f"{HTTP}.body": GONE}
    yield Bad("json of HEAD", {**head, f"{HTTP}.bodyPattern": GONE}, "a HEAD response has no body")
    yield Bad("pattern of HEAD", {**head, f"{HTTP}.json": GONE}, "a HEAD response has no body")
    urls = ("ftp://app/", "app:8000/health", "https://me:pw@app/", "https://", "https://app /x", "https:///x")
    for url in urls:
        yield Bad(f"url {url!r}", {f"{HTTP}.url": url, TLS: GONE}, ABSOLUTE)
    one_value = "write exactly one of value or valueFrom: a header has one value"
    yield Bad("header without value", {f"{HTTP}.headers.0.value": GONE}, one_value)
    yield Bad("header of two values", {f"{HTTP}.headers.1.value": "x"}, one_value)
    for text in ("20", "600", "2XX", "200-", "ok"):
        yield Bad(f"status {text!r}", {f"{HTTP}.statusCodes.0": text}, 'write a status as "200", "2xx" or "200-299"')
    one_test = "write exactly one of equals, matches or exists: an assertion has one test"
    yield Bad("assertion without test", {f"{HTTP}.json.0.equals": GONE}, one_test)
    yield Bad("assertion of two tests", {f"{HTTP}.json.0.exists": True}, one_test)
    for place in (TLS, f"{GRPC}.tls"):
        yield Bad(f"{place} ca unused", {f"{place}.insecureSkipVerify": True}, NO_VERIFY)
        yield Bad(f"{place} ca of no source", {f"{place}.ca": {}}, ONE_CA)
        yield Bad(
            f"{place} ca of two sources", {f"{place}.ca": {**CA, "configMapKeyRef": {"name": "a", "key": "b"}}}, ONE_CA
        )
        yield Bad(f"{place} serverName", {f"{place}.serverName": "https://app"}, HOST)
    for place in ("spec.probes.1.tcp.host", f"{GRPC}.host"):
        for text in ("http://app", "-app", "a/b", "a b"):
            yield Bad(f"{place}={text!r}", {place: text}, HOST)
    one_server = "write exactly one of address or url: a plain address, or a Secret with a redis:// or rediss:// URL"
    yield Bad("redis nowhere", {"spec.probes.4.redis": {}}, one_server)
    yield Bad("redis twice", {"spec.probes.4.redis.url": secret_ref()}, one_server)
    for text in ("redis", "redis:", "redis://redis:6379", "me@redis:6379"):
        yield Bad(f"redis {text!r}", {"spec.probes.4.redis.address": text}, 'write host and port, such as "redis:6379"')

    yield from structural_cases()
    yield from rollback_cases()


def structural_cases() -> Iterator[Bad]:
    yield Bad("no spec", {"spec": GONE}, "spec: Required value")
    yield Bad("no target", {"spec.targetRef": GONE}, "spec.targetRef: Required value")
    yield Bad("target without name", {"spec.targetRef": {}}, "spec.targetRef.name: Required value")
    yield Bad("no probes", {"spec.probes": GONE}, "spec.probes: Required value")
    yield Bad("empty probes", {"spec.probes": []}, "should have at least 1 items")
    seventeen = [{"name": f"p{n}", "tcp": {"host": "h", "port": 1}} for n in range(17)]
    yield Bad("seventeen probes", {"spec.probes": seventeen}, "spec.probes: Too many: 17: must have at most 16 items")
    yield Bad("same probe twice", {"spec.probes.1.name": "http"}, "Duplicate value")
    yield Bad("same header twice", {f"{HTTP}.headers.1.name": "X-Plain"}, "Duplicate value")
    yield Bad("unknown kind of target", {"spec.targetRef.kind": "StatefulSet"}, "Unsupported value")
    yield Bad("unknown policy", {"spec.rollback.policy": "Sometimes"}, "Unsupported value")
    yield Bad("probe name", {"spec.probes.1.name": "TCP"}, "should match")
    yield Bad("long probe name", {"spec.probes.1.name": "x" * 64}, "Too long: may not be more than 63")
    yield Bad("port 0", {"spec.probes.1.tcp.port": 0}, "should be greater than or equal to 1")
    yield Bad("port 65536", {"spec.probes.1.tcp.port": 65536}, "should be less than or equal to 65535")
    yield Bad("port as text", {"spec.probes.1.tcp.port": "5432"}, "must be of type integer")
    yield Bad("interval as number", {"spec.probes.0.interval": 30}, "must be of type string")
    yield Bad("suspend as text", {"spec.suspend": "yes"}, "must be of type boolean")
    yield Bad("probes as object", {"spec.probes": {}}, "must be of type array")
    yield Bad("null spec", {"spec": None}, "spec: ")
    yield Bad("null target", {"spec.targetRef": None}, "spec.targetRef: ")
    yield Bad("probe name beyond ASCII", {"spec.probes.1.name": "ü"}, "should match")
    yield Bad("pattern and rule at once", {"spec.probes.1.name": "TCP", "spec.stability.soak": "5"}, FORM)
    yield Bad("type and rule at once", {"spec.probes.1.tcp.port": "1", "spec.stability.soak": "5"}, "of type integer")
    yield Bad("typo and rule at once", {"spec.probez": [], "spec.stability.soak": "5"}, "unknown field")
    yield Bad("target as text", {"spec.targetRef": "app"}, "must be of type object")
    yield Bad("empty name", {"spec.targetRef.name": ""}, "should be at least 1 chars long")
    yield Bad("unknown field", {"spec.probez": []}, 'unknown field "spec.probez"')
    yield Bad("unknown field deep down", {f"{HTTP}.uri": "x"}, 'unknown field "spec.probes[0].http.uri"')
    yield Bad("unknown field at the top", {"specs": {}}, 'unknown field "specs"')


def rollback_cases() -> Iterator[Bad]:
    one_goal = "write exactly one of lastGood, revision or version: a rollback has one goal"
    yield Bad("no goal", {"spec.to": {}}, one_goal, whole_rollback)
    yield Bad("two goals", {"spec.to.revision": 2}, one_goal, whole_rollback)
    yield Bad("lastGood false", {"spec.to": {"lastGood": False}}, "write lastGood: true", whole_rollback)
    yield Bad("service name", {"spec.service": "A b"}, NAME, whole_rollback)
    yield Bad("no service", {"spec.service": GONE}, "spec.service: Required value", whole_rollback)
    yield Bad("revision 0", {"spec.to": {"revision": 0}}, "greater than or equal to 1", whole_rollback)
    yield Bad("approval", {"spec.approval": "Maybe"}, "Unsupported value", whole_rollback)


TABLE = list(table())


@pytest.fixture(scope="module")
def shared(lab: Any, namespace_for: Callable[[], str]) -> Iterator[Cluster]:
    cluster = Cluster(lab.kubeconfig, namespace_for())
    yield cluster
    cluster.close()


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_server_and_offline_say_the_same(shared: Cluster, bad: Bad) -> None:
    body = changed(bad)
    said = refusal(shared, body)
    assert any(bad.says in sentence for sentence in said), said
    assert set(validate(body)) == said


GOOD = [
    Bad("whole", {}, ""),
    Bad("whole rollback", {}, "", whole_rollback),
    Bad("smallest", {}, "", service),
    Bad("smallest rollback", {}, "", rollback),
    Bad("HEAD", {f"{HTTP}.method": "HEAD", **dict.fromkeys((f"{HTTP}.{f}" for f in ("body", "json", "bodyPattern")), GONE)}, ""),
    Bad("http without tls", {f"{HTTP}.url": "http://app/", TLS: GONE}, ""),
    Bad("IPv6", {f"{HTTP}.url": "https://[::1]:8443/", "spec.probes.1.tcp.host": "fd00::7"}, ""),
    Bad("skip verify without ca", {TLS: {"insecureSkipVerify": True}}, ""),
    Bad("ca with verification said", {f"{TLS}.insecureSkipVerify": False}, ""),
    Bad("lastGood", {"spec.to": {"lastGood": True}}, "", whole_rollback),
    Bad("revision", {"spec.to": {"revision": 1}}, "", whole_rollback),
    Bad("null is absent", {"spec.rollback.cooldown": None, "spec.suspend": None}, ""),
    Bad("null list", {"spec.dependsOn": None}, ""),
    Bad("labels and annotations", {"metadata.labels": {"a": "b"}, "metadata.annotations": {"c": "d"}}, ""),
    Bad("timeout just below", {"spec.probes.0.timeout": "29s999ms"}, ""),
    Bad("64 letters in 128 bytes", {"spec.probes.3.postgres.query": "SELECT 'ü'"}, ""),
    Bad("4096 two-byte letters", {"spec.probes.3.postgres.query": "ü" * 4096}, ""),
    *(Bad(f"{path} {text}", {"spec.probes.0.interval": "24h", path: text}, "")
      for path, text in [
          ("spec.probes.0.interval", "24h"), ("spec.probes.0.timeout", "10ms"), ("spec.probes.0.timeout", "5m"),
          ("spec.stability.soak", "1s"), ("spec.stability.soak", "168h"), ("spec.rollback.cooldown", "168h"),
          ("spec.rollback.limit.window", "1m"), ("spec.rollback.limit.window", "10080m"),
          ("spec.rollback.triggers.healthFailing.for", "1s"), ("spec.rollback.triggers.healthFailing.for", "24h"),
          ("spec.rollback.rolloutTimeout", "10s"), ("spec.rollback.rolloutTimeout", "24h"),
          ("spec.rollback.validationTimeout", "5s"), ("spec.rollback.validationTimeout", "24h"),
      ]),
]  # fmt: skip


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)
def test_server_and_offline_take_it(shared: Cluster, good: Bad) -> None:
    body = changed(good)
    assert refusal(shared, body) == set()
    assert validate(body) == []


def rules_of(schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
        for entry in node.get("x-kubernetes-validations", []):
            yield path, entry["rule"], entry["message"]
        for name, child in node.get("properties", {}).items():
            yield from walk(child, f"{path}.{name}" if path else name)
        if "items" in node:
            yield from walk(node["items"], path)

    return walk(schema, "")


def test_every_rule_is_in_a_table() -> None:
    import re

    said = {(re.sub(r"\[\d+\]", "", s.partition(": ")[0]), s) for bad in TABLE for s in validate(changed(bad))}
    others = (*test_crds_objectives.PLACES, *test_crds_backups.PLACES)
    said |= {(path.replace("[]", ""), message) for _, path, message in others}
    for kind in KINDS:
        for path, rule, message in rules_of(structural(kind.model)):
            if "oldSelf" in rule:
                continue
            assert any(where == path and message in sentence for where, sentence in said), (path, message)


def test_defaults_are_filled_in(cluster: Cluster) -> None:
    smallest = {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "app"},
        "spec": {"targetRef": {"name": "app"}, "probes": [{"name": "h", "http": {"url": "http://app/"}}]},
    }
    spec = cluster.create(smallest)["spec"]
    assert spec["targetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}
    assert spec["suspend"] is False
    assert spec["stability"] == {"soak": "10m", "keep": 5, "secrets": "Note"}
    # Nothing is changed by an operator that nobody asked to change anything.
    assert spec["rollback"] == {
        "policy": "Disabled",
        "triggers": {"healthFailing": {"for": "5m"}},
        "cooldown": "10m",
        "limit": {"count": 3, "window": "24h"},
        "configMaps": "Restore",
        "data": "Keep",
        "dataNeedsApproval": True,
        "gitOps": "AlertOnly",
        "rolloutTimeout": "10m",
        "validationTimeout": "5m",
    }
    assert spec["probes"] == [
        {
            "name": "h",
            "interval": "30s",
            "timeout": "5s",
            "failureThreshold": 3,
            "successThreshold": 1,
            "connection": "Fresh",
            "http": {"url": "http://app/", "method": "GET", "statusCodes": ["2xx"], "followRedirects": False},
        }
    ]
    asked = cluster.create({**smallest, "metadata": {"name": "asked"}, "spec": {**smallest["spec"], "rollback": {}}})
    assert asked["spec"]["rollback"]["policy"] == "Automatic"
    back = cluster.create(rollback())["spec"]
    assert back == {
        "service": "app",
        "to": {"lastGood": True},
        "reason": "",
        "needsApproval": False,
        "dryRun": False,
        "data": "Keep",
    }


def test_target_stays(cluster: Cluster) -> None:
    cluster.create(service())
    with pytest.raises(Refused, match="targetRef cannot be changed, since the remembered revisions belong to it"):
        cluster.patch("MonitoredService", "app", {"spec": {"targetRef": {"name": "other"}}})
    cluster.patch("MonitoredService", "app", {"spec": {"targetRef": {"name": "app"}, "suspend": True}})


TRIGGER = {"type": "HealthFailing", "since": "2026-01-01T00:00:00Z", "badKey": "b", "targetKey": "t"}


@pytest.mark.parametrize(
    "change",
    [
        {"service": "other"},
        {"to": {"version": "v9"}},
        {"to": {"version": None, "lastGood": True}},
        {"dryRun": True},
        {"needsApproval": False},
        {"trigger": {"badKey": "c"}},
        {"trigger": None},
    ],
    ids=str,
)
def test_rollback_stays(cluster: Cluster, change: dict[str, Any]) -> None:
    cluster.create(rollback(to={"version": "v1"}, needsApproval=True, trigger=TRIGGER))
    with pytest.raises(Refused, match="a Rollback cannot be changed once it exists: only spec.approval may be set"):
        cluster.patch("Rollback", "back", {"spec": change})
    assert cluster.patch("Rollback", "back", {"spec": {"approval": "Approved"}})["spec"]["approval"] == "Approved"


def test_no_trigger_is_added_by_hand(cluster: Cluster) -> None:
    cluster.create(rollback())
    with pytest.raises(Refused, match="a Rollback cannot be changed"):
        cluster.patch("Rollback", "back", {"spec": {"trigger": TRIGGER}})


@pytest.mark.parametrize("first", ["Approved", "Refused"])
def test_approval_is_given_once(cluster: Cluster, first: str) -> None:
    cluster.create(rollback(needsApproval=True))
    cluster.patch("Rollback", "back", {"spec": {"approval": first}})
    for later in ({"Approved", "Refused"} - {first}).pop(), None:
        with pytest.raises(Refused, match="the approval was given and stays as it is"):
            cluster.patch("Rollback", "back", {"spec": {"approval": later}})
    cluster.patch("Rollback", "back", {"spec": {"approval": first}})


def test_spec_and_status_are_written_apart(cluster: Cluster) -> None:
    cluster.create({**service(), "status": {"lastGood": "forged"}})
    assert "status" not in (cluster.get("MonitoredService", "app") or {})
    written = cluster.patch(
        "MonitoredService", "app", {"spec": {"suspend": True}, "status": {"lastGood": "v1"}}, status=True
    )
    assert written["status"]["lastGood"] == "v1"
    assert not written["spec"]["suspend"]
    assert written["metadata"]["generation"] == 1


def test_crds_are_healthy(cluster: Cluster) -> None:
    for kind in KINDS:
        crd = cluster.request(
            "GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.lastgood.dev"
        )
        words = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert words["Established"] == words["NamesAccepted"] == "True"
        assert words.get("NonStructuralSchema", "False") == "False"


def test_explain_tells_what_fields_are_for(kubectl: Kube) -> None:
    def explain(place: str) -> str:
        # The API server publishes the schema of a new CRD a moment after it is established.
        done = until(
            lambda: (d := kubectl.run("explain", place, check=False)).returncode == 0 and d, within=20, says=place
        )
        return " ".join(done.stdout.split())

    assert "where it runs, how its health is seen, and what is done when a release breaks it" in explain("ms")
    assert "How long the rollout must be complete and every probe green" in explain("ms.spec.stability.soak")
    assert "Automatic acts; Manual prepares a Rollback that waits" in explain("monitoredservice.spec.rollback.policy")
    assert "Keeps a credential out of this manifest" in explain("ms.spec.probes.http.headers.valueFrom")
    assert "Wait until spec.approval is set" in explain("rb.spec.needsApproval")
    assert "what it should be, and when to alert" in explain("slo")
    assert "Not above this" in explain("slo.spec.target.below")
    assert "FREE share" in explain("slo.spec.source.resources.resource")
    assert "the whole value of each label must match" in explain("slo.spec.indicator.ratio.bad.labels")
    assert "One of spec.objectives, with a budget" in explain("ms.spec.rollback.triggers.burnRates.name")


def test_columns_short_names_and_category(kubectl: Kube, cluster: Cluster) -> None:
    cluster.create(service())
    cluster.create(rollback())
    now = "2026-01-01T00:00:00Z"

    def told(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
        return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now}

    conditions = [
        told("Ready", "True", "Accepted", ""),
        told("Healthy", "False", "ProbesFailing", "got 503"),
        told("RollingBack", "True", "InProgress", ""),
    ]
    current = {"key": "k", "version": "v2", "since": now}
    cluster.patch(
        "MonitoredService",
        "app",
        {"status": {"lastGood": "v1", "current": current, "conditions": conditions}},
        status=True,
    )
    complete = [told("Complete", "False", "Executed", "pod template put back")]
    ends = {"phase": "Running", "from": {"version": "v2"}, "to": {"version": "v1"}, "conditions": complete}
    cluster.patch("Rollback", "back", {"status": ends}, status=True)

    head, row = kubectl.run("get", "ms").stdout.splitlines()
    assert head.split("  ") != []
    assert " ".join(head.split()) == "NAME TARGET HEALTHY CURRENT LAST GOOD POLICY ROLLING BACK AGE"
    assert row.split()[:7] == ["app", "app", "False", "v2", "v1", "Automatic", "InProgress"]
    wide = kubectl.run("get", "ms", "-o", "wide").stdout
    assert "READY" in wide
    assert "got 503" in wide
    head, row = kubectl.run("get", "rb").stdout.splitlines()
    assert head.split() == ["NAME", "SERVICE", "PHASE", "FROM", "TO", "TRIGGER", "AGE"]
    assert row.split()[:5] == ["back", "app", "Running", "v2", "v1"]
    assert "pod template put back" in kubectl.run("get", "rb", "-o", "wide").stdout
    both = kubectl.run("get", "lastgood", "-o", "name").stdout.split()
    assert sorted(both) == ["monitoredservice.lastgood.dev/app", "rollback.lastgood.dev/back"]


def test_kubectl_says_the_sentence(kubectl: Kube) -> None:
    body = service(probe={"timeout": "2s"})
    done = kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump(body), check=False)
    assert done.returncode
    for sentence in validate(body):
        assert sentence in done.stderr
    typo = service(suspended=True)
    done = kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump(typo), check=False)
    assert 'unknown field "spec.suspended"' in done.stderr
