"""Every CEL rule both ways, by the sentence that a user reads; a rule without a pair of cases fails here."""

import copy
from collections.abc import Iterator
from typing import Any

import celpy
import pytest
from tests.unit.api import backups, objectives

from lastgood.api import API_VERSION
from lastgood.api.kinds import KINDS
from lastgood.api.schema import structural
from lastgood.api.validation import _program, validate

_CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}
_CA_MAP = {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}
_HTTP = {
    "url": "https://backend:8443/health",
    "method": "POST",
    "body": "{}",
    "headers": [{"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}}}],
    "statusCodes": ["200"],
    "json": [{"path": "$.status", "equals": "ok"}],
    "bodyPattern": "ok",
    "tls": {"ca": _CA, "serverName": "backend"},
}
_ASKS: dict[str, dict[str, Any]] = {
    "http": _HTTP,
    "http by ConfigMap": {**_HTTP, "tls": {"ca": _CA_MAP}},
    "tcp": {"host": "backend", "port": 80},
    "grpc": {"host": "backend", "port": 80, "tls": {"ca": _CA, "serverName": "backend"}},
    "grpc by ConfigMap": {"host": "backend", "port": 80, "tls": {"ca": _CA_MAP}},
    "postgres": {"dsn": {"secretKeyRef": {"name": "db", "key": "dsn"}}},
    "redis": {"address": "redis:6379"},
    "redis by Secret": {"url": {"secretKeyRef": {"name": "db", "key": "dsn"}}},
}


_TRIGGERS = {
    "healthFailing": {"for": "5m"},
    "errorRate": {"above": "10%", "for": "10m", "objective": "errors"},
    "degradation": {"above": "50%", "for": "5m", "objective": "latency", "leastChange": "5%"},
    "objectives": [{"name": "latency", "for": "1m"}],
    "burnRates": [{"name": "errors"}],
}


def service(what: str = "http", ask: dict[str, Any] | None = None) -> dict[str, Any]:
    probe = {"name": "one", "interval": "1h", "timeout": "500ms", what.partition(" ")[0]: ask or _ASKS[what]}
    return {
        "apiVersion": API_VERSION,
        "kind": "MonitoredService",
        "metadata": {"name": "shop"},
        "spec": {
            "targetRef": {"name": "backend"},
            "probes": [probe],
            "dependsOn": [{"name": "db"}],
            "objectives": [{"name": "latency"}, {"name": "errors"}],
            "backups": [{"name": "shop", "server": backups.RESTORES["in time"]["server"]}],
            "stability": {"soak": "10m"},
            "rollback": {
                "triggers": _TRIGGERS,
                "cooldown": "10m",
                "limit": {"window": "24h"},
                "rolloutTimeout": "10m",
                "validationTimeout": "5m",
            },
        },
    }


def rollback(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Rollback",
        "metadata": {"name": "rb"},
        "spec": {"service": "shop", "to": {"lastGood": True}, **spec},
    }


_SLOS = {name: objectives.objective(body) for name, body in objectives.SPECS.items()}
WHOLE = [*(service(what) for what in _ASKS), rollback(), *_SLOS.values(), *backups.MANIFESTS.values()]
"""Manifests that between them have every field that a rule stands on."""

Place = tuple[str, str, str]
"""Kind, path with [] for a list's items, and the sentence."""


def _walk(schema: dict[str, Any], kind: str, path: str) -> Iterator[tuple[Place, str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield (kind, path, rule["message"]), rule["rule"]
    for name, child in schema.get("properties", {}).items():
        yield from _walk(child, kind, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from _walk(schema["items"], kind, f"{path}[]")


RULES: dict[Place, str] = {place: rule for k in KINDS for place, rule in _walk(structural(k.model), k.name, "")}

_ON_NAMES = 'write the name of an object: lower-case letters, digits, "-" and ".", such as "backend"'
_ON_HOSTS = 'write a host name or an IP address without scheme or port, such as "postgres" or "10.0.0.7"'
_ON_DURATIONS = 'write a duration as a number and a unit, such as "30s", "5m" or "1h30m"'
_TLS = "write either ca or insecureSkipVerify: with verification off, the CA is never looked at"
_CAS = "write exactly one of secretKeyRef or configMapKeyRef: a CA bundle has one source"

VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    _ON_NAMES: (["a", "a-b.c1", "0"], ["A", "-a", "a-", "a_b", "a/b", ".a", "a "]),
    _ON_HOSTS: (["postgres", "10.0.0.7", "fd00::7", "A.example", "a_b"], ["http://a", "a/b", "a b", "-a", "a-", "u@a"]),
    _ON_DURATIONS: (["1m", "1h30m", "60000ms", "120s"], ["1", "m", "1.5h", "1 m", "-1m", "1d", "1M", ""]),
    'write a status as "200", "2xx" or "200-299"': (
        ["200", "5xx", "100-599"],
        ["2XX", "600", "20", "2x", "200-", "0xx", "200,201"],
    ),
    'write host and port, such as "redis:6379"': (
        ["redis:6379", "10.0.0.7:1"],
        ["redis", "u@redis:1", "redis:", "a/b:1"],
    ),
    'write an absolute URL without user name or password, such as "http://backend:8000/health"; '
    "credentials go into headers with valueFrom": (
        ["https://a", "https://a:1/x?y=z#w", "https://[fd00::7]:1/", "https://a/b@c"],
        ["a", "ftp://a", "https://u:p@a/", "https://", "https:///x", "https://a b", "https://a/b c", "HTTPS://a"],
    ),
    "write lastGood: true, or name a revision or a version instead": ([True], [False]),
}
"""Sentence to values that a field takes and refuses, wherever the rule stands."""


def _bounds(low: str, high: str, below: str | None, above: str) -> tuple[list[str], list[str]]:
    return [low, high], [*([below] if below else []), above]


VALUES.update(
    {
        "write a duration between 1s and 24h": _bounds("1s", "24h", "999ms", "86401s"),
        "write a duration between 10ms and 5m": _bounds("10ms", "5m", "9ms", "300001ms"),
        "write a duration between 1s and 168h": _bounds("1s", "168h", "999ms", "604801s"),
        "write a duration between 0s and 168h": _bounds("0s", "168h", None, "604801s"),
        "write a duration between 1m and 168h": _bounds("1m", "168h", "59s", "604801s"),
        "write a duration between 10s and 24h": _bounds("10s", "24h", "9s", "86401s"),
        "write a duration between 5s and 24h": _bounds("5s", "24h", "4s", "86401s"),
        "write a duration between 0s and 24h": _bounds("0s", "24h", None, "86401s"),
        "write a duration between 1s and 72h": _bounds("1s", "72h", "999ms", "259201s"),
        "write a duration between 10s and 168h": _bounds("10s", "168h", "9s", "604801s"),
        "write a duration between 0s and 1h": _bounds("0s", "1h", None, "3601s"),
        "write a duration between 1m and 8760h": _bounds("1m", "8760h", "59s", "31536001s"),
        "write a duration between 1h and 87600h": _bounds("1h", "87600h", "3599s", "315360001s"),
        **objectives.VALUES,
        **backups.VALUES,
    }
)

_A, _B = {"name": "a", "key": "k"}, {"name": "b", "key": "k"}
_FROM = {"secretKeyRef": _A}
_TCP = {"host": "a", "port": 1}
_TIMED = {"name": "one", "tcp": _TCP}


def _triggered(**triggers: Any) -> dict[str, Any]:
    return {**service()["spec"], "rollback": {"triggers": triggers}}


def _names(trigger: str, *names: str) -> dict[str, Any]:
    return _triggered(**{trigger: [{"name": name} for name in names]})


OBJECTS: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {
    ("spec.probes[]", "write exactly one of http, tcp, grpc, postgres or redis: a probe asks one thing"): (
        [_TIMED, {"name": "one", "redis": {"address": "a:1"}}],
        [{"name": "one"}, {**_TIMED, "redis": {"address": "a:1"}}, {**_TIMED, "http": {"url": "http://a"}}],
    ),
    (
        "spec.probes[]",
        "write a timeout shorter than the interval, so that one probe has ended before the next is due",
    ): (
        [{**_TIMED, "interval": "6s"}, {**_TIMED, "interval": "1s", "timeout": "999ms"}],
        [{**_TIMED, "interval": "5s"}, {**_TIMED, "interval": "1s", "timeout": "1000ms"}, {**_TIMED, "timeout": "1m"}],
    ),
    (
        "spec.probes[].http",
        'tls is only looked at for https: write a url that begins with "https://" or leave tls out',
    ): ([{"url": "https://a", "tls": {}}, {"url": "http://a"}], [{"url": "http://a", "tls": {}}]),
    (
        "spec.probes[].http",
        "a body is not sent with GET or HEAD: write method POST, PUT, PATCH, DELETE or OPTIONS, or leave body out",
    ): (
        [{"url": "http://a"}, *({"url": "http://a", "body": "x", "method": m} for m in ("POST", "PUT", "DELETE"))],
        [{"url": "http://a", "body": "x"}, {"url": "http://a", "body": "x", "method": "HEAD"}],
    ),
    (
        "spec.probes[].http",
        "a HEAD response has no body: write method GET, or leave json and bodyPattern out",
    ): (
        [{"url": "http://a", "method": "HEAD"}, {"url": "http://a", "bodyPattern": "x"}],
        [
            {"url": "http://a", "method": "HEAD", "bodyPattern": "x"},
            {"url": "http://a", "method": "HEAD", "json": [{"path": "$", "exists": True}]},
        ],
    ),
    ("spec.probes[].http.headers[]", "write exactly one of value or valueFrom: a header has one value"): (
        [{"name": "A", "value": "x"}, {"name": "A", "value": ""}, {"name": "A", "valueFrom": _FROM}],
        [{"name": "A"}, {"name": "A", "value": "x", "valueFrom": _FROM}],
    ),
    ("spec.probes[].http.json[]", "write exactly one of equals, matches or exists: an assertion has one test"): (
        [{"path": "$", "equals": "x"}, {"path": "$", "matches": "x"}, {"path": "$", "exists": False}],
        [{"path": "$"}, {"path": "$", "equals": "x", "matches": "x"}, {"path": "$", "equals": "x", "exists": True}],
    ),
    **{
        (f"spec.probes[].{kind}.tls", _TLS): (
            [{"ca": _CA}, {"insecureSkipVerify": True}, {"ca": _CA, "insecureSkipVerify": False}],
            [{"ca": _CA, "insecureSkipVerify": True}],
        )
        for kind in ("http", "grpc")
    },
    **{(f"spec.probes[].{kind}.tls.ca", _CAS): ([_CA, _CA_MAP], [{}, {**_CA, **_CA_MAP}]) for kind in ("http", "grpc")},
    (
        "spec.probes[].redis",
        "write exactly one of address or url: a plain address, or a Secret with a redis:// or rediss:// URL",
    ): ([{"address": "a:1"}, {"url": _FROM}], [{}, {"address": "a:1", "url": _FROM}]),
    ("spec.to", "write exactly one of lastGood, revision or version: a rollback has one goal"): (
        [{"lastGood": True}, {"revision": 1}, {"version": "v1"}],
        [{}, {"lastGood": True, "revision": 1}, {"revision": 1, "version": "v1"}],
    ),
    **{
        ("spec", f"{trigger} looks at an objective of spec.objectives: list it there"): (
            [_triggered(), _triggered(**{trigger: {}}), _triggered(**{trigger: {"objective": "latency"}})],
            [_triggered(**{trigger: {"objective": "other"}}), {**_triggered(**{trigger: {}}), "objectives": []}],
        )
        for trigger in ("errorRate", "degradation")
    },
    **{
        ("spec", f"{trigger} names objectives of spec.objectives: list them there"): (
            [_names(trigger), _names(trigger, "latency", "errors")],
            [
                _names(trigger, "other"),
                _names(trigger, "latency", "x"),
                {**_names(trigger, "errors"), "objectives": []},
            ],
        )
        for trigger in ("objectives", "burnRates")
    },
    **{("spec", sentence): cases for sentence, cases in objectives.WHOLE.items()},
    **objectives.PARTS,
    **{("spec", sentence): cases for sentence, cases in backups.SPEC_CASES.items()},
    **backups.PARTS,
}
"""Path and sentence to objects that the place takes and refuses."""

_TRIGGER = {"type": "HealthFailing", "since": "2027-01-15T08:00:00Z", "badKey": "b", "targetKey": "t", "message": ""}
_OLD: dict[str, Any] = {
    "service": "shop",
    "to": {"lastGood": True},
    "dryRun": False,
    "needsApproval": True,
    "data": "Keep",
}
_AUTO = {**_OLD, "trigger": _TRIGGER}
_REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}

TRANSITIONS: dict[str, tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]] = {
    "targetRef cannot be changed, since the remembered revisions belong to it: "
    "delete this MonitoredService and create one for the other workload": (
        [(_REF, _REF)],
        [(_REF, {**_REF, "name": "b"})],
    ),
    "a Rollback cannot be changed once it exists: only spec.approval may be set; create another Rollback": (
        [(_OLD, _OLD), (_AUTO, _AUTO), (_OLD, {**_OLD, "approval": "Approved"}), (_OLD, {**_OLD, "reason": "x"})],
        [
            (_OLD, {**_OLD, "service": "other"}),
            (_OLD, {**_OLD, "to": {"revision": 1}}),
            (_OLD, {**_OLD, "dryRun": True}),
            (_OLD, {**_OLD, "needsApproval": False}),
            (_OLD, {**_OLD, "data": "Restore"}),
            (_OLD, _AUTO),
            (_AUTO, _OLD),
            (_AUTO, {**_AUTO, "trigger": {**_TRIGGER, "targetKey": "other"}}),
        ],
    ),
    "the approval was given and stays as it is: create another Rollback": (
        [(_OLD, {**_OLD, "approval": "Refused"}), ({**_OLD, "approval": "Refused"}, {**_OLD, "approval": "Refused"})],
        [({**_OLD, "approval": "Refused"}, {**_OLD, "approval": "Approved"}), ({**_OLD, "approval": "Approved"}, _OLD)],
    ),
    **backups.TRANSITIONS,
}
"""Sentence to (before, after) that an update may and may not do."""


def put(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any] | None:
    """The manifest with this value at the path, first items of lists; None when the path leads nowhere."""
    changed = copy.deepcopy(manifest)
    node: Any = changed
    steps = [step for part in path.split(".") for step in ([part[:-2], 0] if part.endswith("[]") else [part])]
    for step in steps[:-1]:
        if isinstance(step, str) and step not in node:
            return None
        node = node[step]
    if isinstance(steps[-1], str) and steps[-1] not in node:
        return None
    node[steps[-1]] = value
    return changed


def at(place: Place, value: Any) -> dict[str, Any]:
    kind, path, _ = place
    found = (put(m, path, value) for m in WHOLE if m["kind"] == kind)
    return next(m for m in found if m is not None)


def cases(place: Place) -> tuple[list[Any], list[Any]]:
    _, path, message = place
    return OBJECTS.get((path, message)) or VALUES.get(message) or ([], [])


def _compared(place: Place) -> bool:
    """Whether the place is compared with others of its manifest by rules over the whole spec, which have cases there."""
    _, path, _ = place
    names = path.endswith((".objective", "objectives[].name", "burnRates[].name"))
    return names or (place[0] == "ServiceLevelObjective" and path != "spec")


PLAIN = [place for place, rule in RULES.items() if "oldSelf" not in rule]
CHANGING = {place[2]: rule for place, rule in RULES.items() if "oldSelf" in rule}


@pytest.mark.parametrize("manifest", WHOLE, ids=[*_ASKS, "rollback", *_SLOS, *backups.MANIFESTS])
def test_the_whole_manifests_are_right(manifest: dict[str, Any]) -> None:
    assert validate(manifest) == []


def test_every_rule_has_a_pair_of_cases() -> None:
    assert len(PLAIN) > 40
    assert [place for place in PLAIN if not all(cases(place))] == []
    assert set(CHANGING) == set(TRANSITIONS)


def test_every_case_belongs_to_a_rule() -> None:
    sentences = {message for _, _, message in PLAIN}
    assert set(VALUES) <= sentences
    assert set(OBJECTS) <= {(path, message) for _, path, message in PLAIN}


@pytest.mark.parametrize(
    ("place", "value"),
    [pytest.param(p, v, id=f"{p[1]}={v} ({p[2][:30]})") for p in PLAIN for v in cases(p)[0]],
)
def test_takes(place: Place, value: Any) -> None:
    """Other rules may have a word on the same value; this one has none."""
    told = validate(at(place, value))
    assert not [sentence for sentence in told if sentence.endswith(place[2])]
    if place[2] != _ON_DURATIONS and not _compared(place):
        assert told == []


@pytest.mark.parametrize(
    ("place", "value"),
    [pytest.param(p, v, id=f"{p[1]}={v} ({p[2][:30]})") for p in PLAIN for v in cases(p)[1]],
)
def test_refuses_with_its_sentence(place: Place, value: Any) -> None:
    _, path, message = place
    shown = {bool: "boolean", dict: "object", list: "array"}.get(type(value), "string")
    where = path.replace("[]", "[0]")
    told = validate(at(place, value))
    # Of the place itself one thing at a time; the rule about tls looks at the url too.
    assert [t for t in told if t.startswith(f"{where}: ")] == [f'{where}: Invalid value: "{shown}": {message}']
    assert len(told) == 1 or path.endswith(".url") or _compared(place)


def _holds(rule: str, before: Any, after: Any) -> bool:
    try:
        given = {"self": celpy.json_to_cel(after), "oldSelf": celpy.json_to_cel(before)}
        return bool(_program(rule).evaluate(given))
    except celpy.CELEvalError:
        return False


@pytest.mark.parametrize(
    ("message", "before", "after"), [(m, *pair) for m, (allowed, _) in TRANSITIONS.items() for pair in allowed]
)
def test_allows_the_change(message: str, before: Any, after: Any) -> None:
    assert _holds(CHANGING[message], before, after)


@pytest.mark.parametrize(
    ("message", "before", "after"), [(m, *pair) for m, (_, refused) in TRANSITIONS.items() for pair in refused]
)
def test_refuses_the_change(message: str, before: Any, after: Any) -> None:
    assert not _holds(CHANGING[message], before, after)


def test_a_rule_over_the_old_object_has_nothing_to_say_of_a_manifest_alone() -> None:
    assert validate(rollback(approval="Approved", needsApproval=True)) == []
