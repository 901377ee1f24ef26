"""From a service's objectives to tracks and slots: one that is wrong disturbs no other, one that stays goes on."""

import json
from typing import Any, cast

import pytest
from tests.unit.domain.build import plan
from tests.unit.sources.build import spec

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Gauge, Sample
from lastgood.domain.model import Problem
from lastgood.domain.observed import Sketch
from lastgood.domain.ports import BadProbe, Cluster
from lastgood.domain.sources import SourceFactory, Target
from lastgood.domain.triggers import Trigger, TriggerKind
from lastgood.services import sampling
from lastgood.services.table import ObjectiveKnown, Service, Table

SECRET = {"secretKeyRef": {"name": "db", "key": "dsn"}}
HTTP = {"http": {"url": "http://agent/", "path": "rate"}}
OWN = {"targetRef": {"name": "web"}, "probes": [{"name": "front", "http": {"url": "http://x/"}, "interval": "7s"}]}


class Made:
    """A source."""

    host = "agent:80"

    async def sample(self) -> Sample:
        return Gauge(1)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Factory:
    """Makes sources, but for those whose objective has this description."""

    def __init__(self) -> None:
        self.targets: list[Target] = []

    def prepare(self, spec: ServiceLevelObjectiveSpec, values: Any, target: Target) -> Made:
        if spec.description == "bad":
            msg = "no such thing"
            raise BadProbe(msg)
        self.targets.append(target)
        return Made()


class Lists:
    """Counts how often pods were listed."""

    def __init__(self) -> None:
        self.lists = 0

    async def list_objects(self, kind: str, namespace: str, selector: str) -> list[dict[str, Any]]:
        assert (kind, namespace, selector) == ("pods", "shop", "app=web")
        self.lists += 1
        status = {"phase": "Running", "podIP": "10.0.0.1"}
        return [{"metadata": {"name": "web-1", "uid": "u"}, "spec": {"containers": []}, "status": status}]


def service(*objectives: str, triggers: tuple[Trigger, ...] = ()) -> Service:
    own = json.dumps(OWN).encode()
    return Service(("shop", "web"), "u", 1, plan(target="web", objectives=objectives, triggers=triggers), own, {})


def known(name: str, uid: str = "u", generation: int = 1, *, spec: bytes = b"") -> ObjectiveKnown:
    return ObjectiveKnown(("shop", name), uid, generation, spec, {})


def measure(of: Service, wanted: dict[str, ServiceLevelObjectiveSpec], values: Any = None) -> sampling.Measured:
    pods = sampling.Pods(cast("Cluster", Lists()), Table(), ("shop", "web"))
    return sampling.measure(cast("SourceFactory", Factory()), of, wanted, values or {}, pods)


def test_one_that_is_wrong_disturbs_no_other() -> None:
    needs = {"postgres": {"dsn": SECRET, "connections": {}}}
    wanted = {
        "good": spec(HTTP, interval="30s"),
        "bad": spec(HTTP, description="bad"),
        "nowhere": spec({"probe": {"name": "side"}}, indicator="ratio"),
        "secret": spec(needs),
        "probed": spec({"probe": {}}, indicator="ratio"),
        "front": spec({"probe": {"name": "front"}}, indicator="ratio"),
    }
    told = measure(service(*wanted), wanted)
    assert set(told.tracks) == {"good", "probed", "front"}
    assert [(slot.key, slot.name, slot.kind, slot.interval) for slot in told.slots] == [
        (("shop", "web"), "good", "http", 30)
    ]
    assert [problem.reason for problem in told.problems] == ["BadObjective", "BadObjective"]
    assert told.problems[0].message == "objective bad: no such thing"
    assert 'objective "nowhere" measures probe "side"' in told.problems[1].message
    assert {name: track.probe for name, track in told.tracks.items()} == {"good": None, "probed": "", "front": "front"}
    assert told.tracks["probed"].plan.interval == 7
    with_secret = measure(service(*wanted), {"secret": wanted["secret"]}, {("Secret", "db", "dsn"): b"x"})
    assert set(with_secret.tracks) == {"secret"}


@pytest.mark.parametrize(
    ("more", "triggers", "kept"),
    [
        pytest.param({}, (), True, id="as it was"),
        pytest.param({"description": "in other words"}, (), True, id="other words"),
        pytest.param({"window": "2m"}, (), False, id="another window"),
        pytest.param({"budget": {"objective": "99%"}}, (), False, id="a budget"),
        pytest.param({}, (Trigger(TriggerKind.OBJECTIVE, "x", severity="critical"),), False, id="a trigger"),
        pytest.param({}, (Trigger(TriggerKind.OBJECTIVE, "y", severity="critical"),), True, id="another's trigger"),
    ],
)
def test_a_track_that_stays_as_it_is_written_goes_on(
    more: dict[str, Any], triggers: tuple[Trigger, ...], kept: bool
) -> None:
    before = service("x")
    before.tracks = measure(before, {"x": spec(HTTP)}).tracks
    after = service("x", triggers=triggers)
    after.tracks = before.tracks
    told = measure(after, {"x": spec(HTTP, **more)})
    assert (told.tracks["x"] is before.tracks["x"]) is kept


@pytest.mark.parametrize("stays", [True, False])
def test_a_track_with_a_trigger_goes_on_as_long_as_it_has_it(stays: bool) -> None:
    triggers = (Trigger(TriggerKind.OBJECTIVE, "x", severity="critical"),)
    before, after = service("x", triggers=triggers), service("x", triggers=triggers if stays else ())
    after.tracks = before.tracks = measure(before, {"x": spec(HTTP)}).tracks
    assert (measure(after, {"x": spec(HTTP)}).tracks["x"] is before.tracks["x"]) is stays


def test_what_there_is_not_and_what_is_not_understood_is_said() -> None:
    table = Table()
    written = spec(HTTP).model_dump_json(by_alias=True, exclude_none=True).encode()
    table.objectives = {
        ("shop", "good"): known("good", spec=written),
        ("shop", "broken"): known("broken"),
        ("other", "gone"): known("gone", spec=written),
    }
    found, problems = sampling.specs(table, service("good", "broken", "gone"))
    assert found == {"good": spec(HTTP)}
    assert problems == [
        Problem("BadObjective", 'ServiceLevelObjective "broken" is not understood: see kubectl describe slo broken'),
        Problem(
            "UnknownObjective",
            'ServiceLevelObjective "gone" does not exist here: create it, or mend the name in objectives',
        ),
    ]


def test_a_fingerprint_is_of_what_is_written_and_of_who_is_it() -> None:
    table, one = Table(), service("x")
    seen = {sampling.fingerprint(table, one)}
    for uid, generation in (("u", 1), ("u", 2), ("v", 2)):
        table.objectives["shop", "x"] = known("x", uid, generation)
        seen.add(sampling.fingerprint(table, one))
    one.generation = 2
    seen.add(sampling.fingerprint(table, one))
    table.objectives["shop", "y"] = known("y")
    seen.add(sampling.fingerprint(table, one))
    assert len(seen) == 5, "one that it does not list changes nothing"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (HTTP, []),
        ({"postgres": {"dsn": SECRET, "connections": {}}}, [("Secret", "db", "dsn")]),
        (
            {
                "prometheus": {
                    "url": "https://p/",
                    "bearerToken": {"secretKeyRef": {"name": "t", "key": "token"}},
                    "tls": {"ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}},
                }
            },
            [("Secret", "t", "token"), ("ConfigMap", "ca", "ca.crt")],
        ),
    ],
)
def test_references_wherever_they_are(source: dict[str, Any], found: list[tuple[str, str, str]]) -> None:
    made = ServiceLevelObjectiveSpec.model_validate(
        {
            "source": source,
            "indicator": {"value": {"series": {"query": "x"}} if "prometheus" in source else {}},
            "target": {"below": "1"},
        }
    )
    assert sorted(sampling.references(made.source)) == sorted(found)
    assert sampling.source_kind(made.source) == next(iter(source))


async def test_pods_are_listed_when_the_deployment_changes_or_a_minute_has_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now)
    table, api = Table(), Lists()
    pods = sampling.Pods(cast("Cluster", api), table, ("shop", "web"))
    assert await pods() == ()
    assert api.lists == 0, "there is no Deployment"
    table.deployments["shop", "web"] = sketch(1)
    assert [pod.name for pod in await pods()] == ["web-1"]
    now += sampling.PODS_SECONDS - 1
    await pods()
    assert api.lists == 1
    table.deployments["shop", "web"] = sketch(2)
    await pods()
    assert api.lists == 2
    now += sampling.PODS_SECONDS
    await pods()
    assert api.lists == 3


def sketch(version: int) -> Sketch:
    return cast("Sketch", Known(version))


class Known:
    """What of a Deployment is looked at."""

    def __init__(self, version: int) -> None:
        self.selector, self.resource_version = "app=web", version
