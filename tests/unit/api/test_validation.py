"""Sentences of offline validation that are not a rule's: the shape of a manifest, word for word."""

import copy
from typing import Any

import pytest

from lastgood.api import API_VERSION
from lastgood.api.base import seconds
from lastgood.api.kinds import KINDS
from lastgood.api.schema import structural
from lastgood.api.validation import apply_defaults, validate

GOOD: dict[str, Any] = {
    "apiVersion": API_VERSION,
    "kind": "MonitoredService",
    "metadata": {"name": "shop"},
    "spec": {"targetRef": {"name": "backend"}, "probes": [{"name": "tcp", "tcp": {"host": "backend", "port": 80}}]},
}


def spec(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "spec": {**GOOD["spec"], **changes}}


def probe(**changes: Any) -> dict[str, Any]:
    return spec(probes=[{"name": "tcp", "tcp": {"host": "backend", "port": 80}, **changes}])


def http(**changes: Any) -> dict[str, Any]:
    return spec(probes=[{"name": "web", "http": {"url": "http://a", **changes}}])


def without(manifest: dict[str, Any], *path: str) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    node = changed
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    return changed


@pytest.mark.parametrize(
    ("manifest", "sentences"),
    [
        pytest.param(GOOD, [], id="right"),
        pytest.param(["x"], ["the document is no object: write apiVersion, kind, metadata and spec"], id="a list"),
        pytest.param({"apiVersion": "v1", "kind": "ConfigMap"}, [], id="not ours"),
        pytest.param({**GOOD, "metadata": {"generateName": "shop-"}}, [], id="generateName"),
        pytest.param({**GOOD, "status": {"anything": 1}}, [], id="status is not looked at"),
        pytest.param(
            {**GOOD, "kind": "Monitor"},
            [
                (
                    'no kind "Monitor" in version "lastgood.dev/v1alpha1": write apiVersion lastgood.dev/v1alpha1 and one '
                    "of Backup, BackupSchedule, MonitoredService, Restore, Rollback, ServiceLevelObjective"
                )
            ],
            id="unknown kind",
        ),
        pytest.param(
            {**GOOD, "apiVersion": "lastgood.dev/v9"},
            [
                (
                    'no kind "MonitoredService" in version "lastgood.dev/v9": write apiVersion lastgood.dev/v1alpha1 and '
                    "one of Backup, BackupSchedule, MonitoredService, Restore, Rollback, ServiceLevelObjective"
                )
            ],
            id="unknown version",
        ),
        pytest.param(
            without(GOOD, "metadata"),
            ["metadata.name: Required value: name or generateName is required"],
            id="no metadata",
        ),
        pytest.param(without(GOOD, "spec"), ["spec: Required value"], id="no spec"),
        pytest.param(without(GOOD, "spec", "targetRef"), ["spec.targetRef: Required value"], id="no target"),
        pytest.param({**GOOD, "sepc": {}}, ['unknown field "sepc"'], id="misspelt at the top"),
        pytest.param(spec(probe=[]), ['unknown field "spec.probe"'], id="misspelt in spec"),
        pytest.param(
            probe(tcp={"host": "a", "port": 1, "prot": 2}),
            ['unknown field "spec.probes[0].tcp.prot"'],
            id="misspelt deep",
        ),
        pytest.param(
            spec(probes=[]),
            ["spec.probes: Invalid value: 0: spec.probes in body should have at least 1 items"],
            id="no probes",
        ),
        pytest.param(
            spec(dependsOn=[{"name": f"d{n}"} for n in range(17)]),
            ["spec.dependsOn: Too many: 17: must have at most 16 items"],
            id="too many dependencies",
        ),
        pytest.param(
            spec(dependsOn=[{"name": "db"}, {"name": "db"}]),
            ['spec.dependsOn[1]: Duplicate value: {"name":"db"}'],
            id="the same dependency twice",
        ),
        pytest.param(
            probe(tcp={"host": "a", "port": 0}),
            [
                (
                    "spec.probes[0].tcp.port: Invalid value: 0: spec.probes[0].tcp.port in body should be greater than or "
                    "equal to 1"
                )
            ],
            id="port 0",
        ),
        pytest.param(
            probe(tcp={"host": "a", "port": 65536}),
            [
                (
                    "spec.probes[0].tcp.port: Invalid value: 65536: spec.probes[0].tcp.port in body should be less than or "
                    "equal to 65535"
                )
            ],
            id="port 65536",
        ),
        pytest.param(
            probe(tcp={"host": "a", "port": "80"}),
            [
                (
                    'spec.probes[0].tcp.port: Invalid value: "string": spec.probes[0].tcp.port in body must be of type '
                    'integer: "string"'
                )
            ],
            id="a port in quotes",
        ),
        pytest.param(
            probe(tcp={"host": "a", "port": True}),
            [
                (
                    'spec.probes[0].tcp.port: Invalid value: "boolean": spec.probes[0].tcp.port in body must be of type '
                    'integer: "boolean"'
                )
            ],
            id="a port that is true",
        ),
        pytest.param(
            spec(suspend="no"),
            ['spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"'],
            id="suspend in words",
        ),
        pytest.param(
            spec(targetRef={"name": "a", "kind": "StatefulSet"}),
            ['spec.targetRef.kind: Unsupported value: "StatefulSet": supported values: "Deployment"'],
            id="a kind that is not there yet",
        ),
        pytest.param(
            spec(rollback={"policy": "automatic"}),
            [
                (
                    'spec.rollback.policy: Unsupported value: "automatic": supported values: "Automatic", "Manual", '
                    '"DryRun", "Disabled"'
                )
            ],
            id="policy in lower case",
        ),
        pytest.param(
            probe(name="x" * 64),
            ["spec.probes[0].name: Too long: may not be more than 63 bytes"],
            id="a long name",
        ),
        pytest.param(
            probe(name="Web"),
            [
                (
                    'spec.probes[0].name: Invalid value: "Web": spec.probes[0].name in body should match '
                    "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'"
                )
            ],
            id="a name in capitals",
        ),
        pytest.param(
            http(bodyPattern=""),
            [
                (
                    'spec.probes[0].http.bodyPattern: Invalid value: "": spec.probes[0].http.bodyPattern in body should '
                    "be at least 1 chars long"
                )
            ],
            id="an empty pattern",
        ),
        pytest.param(
            {**probe(interval="5", tcp={"host": "a"}), "x": 1},
            ['unknown field "x"', "spec.probes[0].tcp.port: Required value"],
            id="shape before rules",
        ),
        pytest.param(
            probe(name="Web", interval="5"),
            [
                (
                    'spec.probes[0].name: Invalid value: "Web": spec.probes[0].name in body should match '
                    "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'"
                ),
                (
                    'spec.probes[0].interval: Invalid value: "string": write a duration as a number and a unit, such as '
                    '"30s", "5m" or "1h30m"'
                ),
            ],
            id="a pattern and a rule at once",
        ),
        pytest.param(spec(targetRef=None), ["spec.targetRef: Required value"], id="null is no target"),
        pytest.param(spec(suspend=None), [], id="null is absence"),
        pytest.param(probe(tcp={"host": "a", "port": 1}, http=None), [], id="null is no second probe"),
    ],
)
def test_sentences(manifest: Any, sentences: list[str]) -> None:
    assert validate(manifest) == sentences


def test_a_secret_that_is_refused_is_not_shown() -> None:
    (sentence,) = validate(http(url="http://admin:hunter2@a/"))
    assert "hunter2" not in sentence


def test_validation_leaves_the_manifest_alone() -> None:
    manifest = copy.deepcopy(GOOD)
    validate(manifest)
    assert manifest == GOOD


def test_defaults_are_those_of_the_models() -> None:
    """The server fills in what the schema says, the operator what the models say: both must be the same."""
    for kind, body in ((KINDS[0], GOOD), (KINDS[1], {"spec": {"service": "shop"}})):
        filled = {"spec": copy.deepcopy(body["spec"])}
        apply_defaults(filled, structural(kind.model))
        assert kind.model.model_validate(filled) == kind.model.model_validate({"spec": body["spec"]})


@pytest.mark.parametrize(
    ("text", "length"), [("5s", 5), ("250ms", 0.25), ("1h30m", 5400), ("1m1s1ms", 61.001), ("0s", 0)]
)
def test_seconds(text: str, length: float) -> None:
    assert seconds(text) == pytest.approx(length)


@pytest.mark.parametrize("text", ["", "5", "s", "1.5h", "-1s", "1d", " 1s", "1s "])
def test_what_is_no_duration_raises_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write a number and a unit") as caught:
        seconds(text)
    assert str(caught.value).startswith(f'"{text}"')
