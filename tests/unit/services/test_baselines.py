"""Baselines on their way to the snapshot of a good revision and back, with an API server that is a dictionary."""

import json
from typing import Any, cast

import pytest
from tests.unit.domain.build import T0, good, plan, seen
from tests.unit.sources.build import spec

from lastgood.domain.baseline import Recorder
from lastgood.domain.measure import Points
from lastgood.domain.model import Memory
from lastgood.domain.objective_plan import Kind, objective_plan
from lastgood.domain.ports import Cluster, ClusterError
from lastgood.domain.track import Track
from lastgood.domain.triggers import Trigger, TriggerKind
from lastgood.services.baselines import ANNOTATION, DAY, Baselines
from lastgood.services.table import Service

NEWEST = good("v1")
WORSE = Trigger(TriggerKind.DEGRADATION, above=0.5)


class Api:
    """ControllerRevisions' annotations by name."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.gets = self.writes = 0
        self.broken = False

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        assert (kind, namespace) == ("controllerrevisions", "shop")
        self.gets += 1
        text = self.texts.get(name)
        return {"metadata": {"name": name, **({"annotations": {ANNOTATION: text}} if text is not None else {})}}

    async def replace(self, kind: str, namespace: str, body: dict[str, Any]) -> None:
        assert (kind, namespace) == ("controllerrevisions", "shop")
        if self.broken:
            raise ClusterError(500, "away")
        self.writes += 1
        self.texts[body["metadata"]["name"]] = body["metadata"]["annotations"][ANNOTATION]


def service(*, running: str = "v1", triggers: tuple[Trigger, ...] = (WORSE,), definition: str = "d") -> Service:
    made = objective_plan("latency", spec({"probe": {}}, indicator="quantile", below="1s"))
    found = Service(("shop", "api"), "u", 1, plan(), b"{}", {})
    found.memory = Memory(ledger=(NEWEST,), current=seen(running))
    found.tracks = {"latency": Track(made, definition, triggers)}
    return found


def record(of: Service, samples: int, *, apart: float = 10, value: float = 0.2) -> Recorder:
    recorder = of.tracks["latency"].recorder
    assert recorder is not None
    for number in range(samples):
        recorder.add(Points((value,)), T0 + apart * number)
    return recorder


async def kept(samples: int = 30, **changes: Any) -> Api:
    """An API server that holds what another process has saved."""
    api, before = Api(), service(**changes)
    record(before, samples)
    await Baselines(cast("Cluster", api)).save(before, NEWEST.snapshot)
    assert api.writes == 1
    api.gets = 0
    return api


async def test_what_one_process_saves_another_compares_with_and_goes_on_from() -> None:
    api, after = await kept(), service()
    await Baselines(cast("Cluster", api)).load(after)
    track = after.tracks["latency"]
    assert track.baseline is not None
    assert (track.baseline.events, track.baseline.seconds) == (30, 290)
    assert track.baseline.value == pytest.approx(0.2, rel=0.01)
    assert track.recorder is not None
    assert track.recorder.baseline().events == 30
    await Baselines(cast("Cluster", api)).load(after)
    assert api.gets == 1, "it has it"


async def test_of_another_revision_it_is_compared_with_and_not_gone_on_from() -> None:
    api, after = await kept(), service(running="v2")
    await Baselines(cast("Cluster", api)).load(after)
    track = after.tracks["latency"]
    assert track.baseline is not None
    assert track.recorder is not None
    assert track.recorder.baseline().events == 0


async def test_what_this_process_has_more_of_stays() -> None:
    api, after = await kept(5), service()
    own = record(after, 6)
    await Baselines(cast("Cluster", api)).load(after)
    assert after.tracks["latency"].recorder is own


async def test_the_baseline_of_another_definition_is_none() -> None:
    api, after = await kept(), service(definition="other")
    await Baselines(cast("Cluster", api)).load(after)
    assert after.tracks["latency"].baseline is None
    assert after.baseline_of == NEWEST.snapshot, "there is nothing to be read again"


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[1]",
        "{}",
        json.dumps({"latency": "c4n4ry", "latency/as": "d"}),
        json.dumps({"latency": Recorder(Kind.AVERAGE).to_text(), "latency/as": "d"}),
    ],
)
async def test_what_somebody_wrote_into_it_is_as_good_as_none(text: str) -> None:
    api, after = Api(), service()
    api.texts[NEWEST.snapshot] = text
    await Baselines(cast("Cluster", api)).load(after)
    assert after.tracks["latency"].baseline is None


async def test_nothing_is_read_or_written_where_nothing_is_compared() -> None:
    api, without, empty, new = Api(), service(triggers=()), service(), service()
    new.memory = Memory()
    for one in (without, new):
        await Baselines(cast("Cluster", api)).load(one)
    for one in (without, empty):
        await Baselines(cast("Cluster", api)).save(one, NEWEST.snapshot)
        assert one.baseline_of == ""
    assert (api.gets, api.writes) == (0, 0)


@pytest.mark.parametrize(
    ("kept_for", "seen_for", "written"),
    [
        pytest.param(600, 3590, False, id="not yet an hour"),
        pytest.param(600, 3600, True, id="an hour"),
        pytest.param(7200, 14390, False, id="not twice as long"),
        pytest.param(7200, 14400, True, id="twice as long"),
        pytest.param(3 * DAY, 4 * DAY - 3600, False, id="of days not a day more"),
        pytest.param(3 * DAY, 4 * DAY, True, id="a day more"),
    ],
)
async def test_more_is_kept_when_much_has_come(kept_for: float, seen_for: float, written: bool) -> None:
    api, running = Api(), service()
    baselines = Baselines(cast("Cluster", api))
    step = 10 if seen_for < DAY else 3600
    record(running, int(kept_for / step) + 1, apart=step)
    await baselines.save(running, NEWEST.snapshot)
    recorder = running.tracks["latency"].recorder
    assert recorder is not None
    for number in range(int(kept_for / step) + 1, int(seen_for / step) + 1):
        recorder.add(Points((0.2,)), T0 + step * number)
    await baselines.refresh(running)
    assert api.writes == 1 + written


@pytest.mark.parametrize("running", ["v2", "v1"])
async def test_only_the_newest_good_revision_that_runs_is_kept_more_of(running: str) -> None:
    api, one = Api(), service(running=running)
    record(one, 500)
    one.baseline_of = NEWEST.snapshot if running == "v2" else "another"
    await Baselines(cast("Cluster", api)).refresh(one)
    assert api.writes == 0


async def test_an_api_server_that_is_away_costs_the_baseline_alone() -> None:
    api, one = Api(), service()
    record(one, 500)
    api.broken, one.baseline_of = True, NEWEST.snapshot
    baselines = Baselines(cast("Cluster", api))
    await baselines.refresh(one)
    await baselines.keep(one, NEWEST.snapshot)
    with pytest.raises(ClusterError):
        await baselines.save(one, NEWEST.snapshot)
    api.broken = False
    await baselines.keep(one, NEWEST.snapshot)
    assert api.writes == 1
