"""A track, which passes over most samples, against judging each of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.budget import burn
from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence
from lastgood.domain.objective import ObjectiveState, judge
from lastgood.domain.objective_plan import BudgetPlan, ObjectivePlan, objective_plan
from lastgood.domain.rings import BURN_WINDOWS, BudgetRings
from lastgood.domain.track import Track
from lastgood.domain.window import Window

T0 = 1_800_000_000.0
DOWN = Nothing(Silence.SOURCE_DOWN)


def plan(indicator: str, target: dict[str, str], alerts: list[dict[str, Any]], **more: Any) -> ObjectivePlan:
    spec = {"source": {"probe": {}}, "indicator": {indicator: {}}, "target": target, "alerts": alerts}
    if indicator == "quantile":
        spec["indicator"] = {"quantile": {"of": "90%"}}
    return objective_plan("x", ServiceLevelObjectiveSpec.model_validate(spec | more))


LATENCY = plan(
    "quantile",
    {"below": "1s"},
    [
        {"severity": "warning", "threshold": "2s", "for": "30s"},
        {"severity": "critical", "threshold": "4s", "for": "50s", "minSamples": 3},
    ],
)
DISK = plan("value", {"above": "30%"}, [{"severity": "critical", "threshold": "10%", "for": "20s"}])
ERRORS = plan(
    "ratio",
    {"below": "10%"},
    [{"severity": "critical", "threshold": "50%", "for": "40s", "minSamples": 20, "minRate": "0.5"}],
    budget={"objective": "90%"},
)
BARE = plan("average", {"below": "1s"}, [])

SAMPLES: dict[str, tuple[ObjectivePlan, st.SearchStrategy[Sample]]] = {
    "quantile": (LATENCY, st.sampled_from([0.5, 1.5, 3.0, 5.0]).map(lambda v: Points((v,)))),
    "value": (DISK, st.sampled_from([0.9, 0.3, 0.2, 0.1, 0.05]).map(Gauge)),
    "ratio": (
        ERRORS,
        st.sampled_from([(0, 20), (3, 20), (15, 20), (20, 20), (1, 2), (0, 0)]).map(lambda c: Counts(*c)),
    ),
    "average": (BARE, st.sampled_from([0.5, 1.0, 9.0]).map(Gauge)),
}
STEPS = st.sampled_from([10.0, 10.0, 10.0, 10.0, 3.0, 14.9, 15.1, 40.0, 61.0, 200.0, 0.0, -5.0, -300.0])


@pytest.mark.parametrize("kind", SAMPLES)
@given(st.data())
def test_a_track_says_what_judging_each_sample_does(kind: str, data: st.DataObject) -> None:
    plan, samples = SAMPLES[kind]
    track, window = (
        Track(plan, "as written"),
        Window(plan.kind, window=plan.window, interval=plan.interval, quantile=0.9),
    )
    state, wanted, now = ObjectiveState(), ObjectiveState(), T0
    # Runs of alike samples: that is where a track passes over them.
    spans = st.lists(st.tuples(samples | st.just(DOWN), st.integers(1, 12), STEPS), min_size=1, max_size=8)
    for sample, times, step in data.draw(spans):
        for again in range(times):
            now += step if not again else 10.0
            taken = window.add(sample, now)
            seen = taken if isinstance(taken, Nothing) else window.read(now)
            wanted = judge(plan, seen, wanted, now)
            state, _ = track.take(sample, state, now, steady=False)
            assert track.settled(state) == wanted
            assert track.seen == seen
            assert track.value == getattr(seen, "value", None)


@given(st.lists(st.tuples(SAMPLES["ratio"][1], STEPS), min_size=1, max_size=60))
def test_no_event_is_lost_on_the_way_to_minutes_and_budget(events: list[tuple[Sample, float]]) -> None:
    track, rings, state, now = Track(ERRORS, "x"), BudgetRings(30 * 86400.0), ObjectiveState(), T0
    minutes = []
    for sample, step in events:
        now += step
        state, minute = track.take(sample, state, now, steady=False)
        assert isinstance(sample, Counts)
        rings.add(sample.bad, sample.total, 10, now)
        minutes += [minute] if minute is not None else []
    assert track.rings is not None
    assert track.rings.spent(43_200, now) == rings.spent(43_200, now)
    told = sum(m.total for m in minutes)
    assert told <= sum(s.total for s, _ in events if isinstance(s, Counts))
    # Half an hour later all has been handed over but the last minute, which is empty.
    _, last = track.take(Counts(0, 1), state, now + 1800, steady=False)
    assert told + (last.total if last else 0) == sum(s.total for s, _ in events if isinstance(s, Counts))


@pytest.mark.parametrize("kind", ["quantile", "value", "average"])
@given(st.data())
def test_without_events_each_sample_is_a_part_of_a_minute(kind: str, data: st.DataObject) -> None:
    bare, samples = SAMPLES[kind]
    plan = replace(bare, budget=ERRORS.budget)
    track, state, now = Track(plan, "x"), ObjectiveState(), T0
    rings, minutes, told = BudgetRings(30 * 86400.0), [0.0, 0.0], [0.0, 0.0]
    events = st.lists(st.tuples(samples | st.just(DOWN), st.integers(1, 9), STEPS), min_size=1, max_size=12)
    for sample, times, step in data.draw(events):
        for again in range(times):
            now += step if not again else 10.0
            state, minute = track.take(sample, state, now, steady=False)
            if minute is not None:
                told = [told[0] + minute.bad, told[1] + minute.total]
            if track.value is not None:
                missed = plan.interval / 60 * plan.beyond(track.value, plan.target)
                rings.add(missed, plan.interval / 60, plan.interval, now)
                minutes = [minutes[0] + missed, minutes[1] + plan.interval / 60]
    assert track.rings is not None
    assert track.rings.spent(43_200, now) == pytest.approx(rings.spent(43_200, now), rel=1e-6)
    # Whatever comes half an hour later ends the last minute.
    _, last = track.take(data.draw(samples), state, now + 1800, steady=False)
    told = [told[0] + last.bad, told[1] + last.total] if last is not None else told
    assert told == pytest.approx(minutes)


@settings(deadline=None)
@given(st.lists(st.tuples(SAMPLES["ratio"][1], st.integers(1, 30), st.integers(1, 200)), min_size=1, max_size=6))
def test_an_alert_on_the_burn_rate_is_told_within_a_minute(spans: list[tuple[Sample, int, float]]) -> None:
    # Of a week, so that minutes of errors are enough for each of the four alerts.
    budget = BudgetPlan(0.01, 7 * 86400.0)
    track, rings, state, now = (
        Track(replace(ERRORS, budget=budget), "x"),
        BudgetRings(budget.period),
        ObjectiveState(),
        T0,
    )
    for sample, times, step in spans:
        for again in range(times):
            now += step if not again else 10.0
            known, before = track.burn, now if not again else now - 10
            state, _ = track.take(sample, state, now, steady=False)
            assert isinstance(sample, Counts)
            rings.add(sample.bad, sample.total, 10, now)
            if track.burn is not known:
                assert track.burn == burn(budget, rings, now)
            elif now // 60 != before // 60:
                # A minute has begun: it was looked at, and the same alerts fire, of which the fastest is none.
                assert track.burn is not None
                assert burn(budget, rings, now).alarm == track.burn.alarm < BURN_WINDOWS[0].rate
