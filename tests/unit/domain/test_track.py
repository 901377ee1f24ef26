"""A track's own parts: what a probe's outcome tells, which plan it is judged by, when triggers look at it."""

import pytest
from tests.unit.domain.build import T0

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Counts, Nothing, Points, Sample, Silence
from lastgood.domain.objective import ObjectiveState
from lastgood.domain.objective_plan import Kind, objective_plan
from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.track import Track, definition, of_outcome, plan_for
from lastgood.domain.triggers import Trigger, TriggerKind


def spec(indicator: str = "ratio", probe: str | None = None, **more: object) -> ServiceLevelObjectiveSpec:
    made = {"quantile": {"of": "95%"}}.get(indicator, {})
    source = {"probe": {"name": probe} if probe else {}}
    written = {"source": source, "indicator": {indicator: made}, "target": {"below": "50%"}}
    return ServiceLevelObjectiveSpec.model_validate(written | more)


@pytest.mark.parametrize(
    ("kind", "outcome", "sample"),
    [
        pytest.param(Kind.RATIO, Outcome(ProbeReason.OK), Counts(0, 1), id="passed"),
        pytest.param(Kind.RATIO, Outcome(ProbeReason.TIMEOUT, seconds=5), Counts(1, 1), id="timed out is bad"),
        pytest.param(Kind.RATIO, Outcome(ProbeReason.CONNECTION_REFUSED), Counts(1, 1), id="refused is bad"),
        pytest.param(Kind.QUANTILE, Outcome(ProbeReason.OK, seconds=0.2), Points((0.2,)), id="how long it took"),
        pytest.param(Kind.QUANTILE, Outcome(ProbeReason.TIMEOUT, seconds=5), Points((5.0,)), id="as long as waited"),
        pytest.param(
            Kind.AVERAGE, Outcome(ProbeReason.UNEXPECTED_STATUS, seconds=1), Points((1.0,)), id="an error, too"
        ),
    ],
)
def test_what_an_outcome_tells(kind: Kind, outcome: Outcome, sample: Sample) -> None:
    assert of_outcome(kind, outcome) == sample


@pytest.mark.parametrize("reason", [ProbeReason.CONNECTION_REFUSED, ProbeReason.TLS_FAILED, ProbeReason.DNS_NOT_FOUND])
def test_a_refusal_is_no_quick_answer(reason: ProbeReason) -> None:
    told = of_outcome(Kind.QUANTILE, Outcome(reason, seconds=0.001))
    assert isinstance(told, Nothing)
    assert told.reason is Silence.NO_DATA


@pytest.mark.parametrize("kind", list(Kind))
def test_what_the_prober_could_not_ask_tells_nothing(kind: Kind) -> None:
    told = of_outcome(kind, Outcome(ProbeReason.ADDRESS_DENIED, seconds=1))
    assert told == Nothing(Silence.SOURCE_DOWN, "AddressDenied")


def test_a_definition_is_what_is_measured_and_what_it_should_be() -> None:
    bare = definition(spec())
    assert bare == definition(spec(description="in other words", budget={"objective": "99%"}))
    assert bare != definition(spec(window="2m"))
    assert bare != definition(spec("quantile"))


def service() -> MonitoredServiceSpec:
    probes = [
        {"name": "front", "http": {"url": "http://x/"}, "interval": "30s", "timeout": "1s"},
        {"name": "back", "tcp": {"host": "x", "port": 80}, "interval": "5s", "timeout": "1s"},
    ]
    return MonitoredServiceSpec.model_validate({"targetRef": {"name": "x"}, "probes": probes})


@pytest.mark.parametrize(("probe", "interval"), [(None, 5), ("front", 30), ("back", 5)])
def test_an_objective_over_probes_is_sampled_as_often_as_they_run(probe: str | None, interval: float) -> None:
    assert plan_for("x", spec(probe=probe), service()).interval == interval


def test_a_probe_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match='measures probe "side", which this service does not have'):
        plan_for("x", spec(probe="side"), service())


@pytest.mark.parametrize(
    ("trigger", "indicator", "more", "looks", "steady"),
    [
        pytest.param(Trigger(TriggerKind.ERROR_RATE, above=0.1), "ratio", {}, True, True, id="error rate"),
        pytest.param(Trigger(TriggerKind.ERROR_RATE, above=0.1), "quantile", {}, False, True, id="of no ratio"),
        pytest.param(Trigger(TriggerKind.ERROR_RATE, "y", 0.1), "ratio", {}, False, True, id="of another"),
        pytest.param(Trigger(TriggerKind.DEGRADATION, above=0.5), "quantile", {}, True, False, id="degradation"),
        pytest.param(Trigger(TriggerKind.DEGRADATION, above=0.5), "ratio", {}, False, True, id="of a ratio"),
        pytest.param(Trigger(TriggerKind.BURN_RATE, above=6), "ratio", {}, False, True, id="without a budget"),
        pytest.param(
            Trigger(TriggerKind.BURN_RATE, above=6), "ratio", {"budget": {"objective": "99%"}}, True, False, id="burn"
        ),
        pytest.param(Trigger(TriggerKind.OBJECTIVE, "x", severity="critical"), "ratio", {}, True, True, id="objective"),
        pytest.param(Trigger(TriggerKind.SIGNAL, "x"), "ratio", {}, False, True, id="a signal is none of its"),
    ],
)
def test_which_triggers_look_at_it(
    trigger: Trigger, indicator: str, more: dict[str, object], looks: bool, steady: bool
) -> None:
    track = Track(objective_plan("x", spec(indicator, **more)), "d", (trigger,))
    assert (bool(track.triggers), bool(track.run_keys), track.steady_triggers) == (looks, looks, steady)
    assert (track.recorder is not None) is (looks and trigger.kind is TriggerKind.DEGRADATION)


def test_a_bound_of_a_trigger_is_a_side_of_its_own() -> None:
    """At 60 % and at 70 % the objective says the same; a trigger above 65 % does not."""
    alone = Track(objective_plan("x", spec()), "d")
    watched = Track(objective_plan("x", spec()), "d", (Trigger(TriggerKind.ERROR_RATE, above=0.65),))
    for track, passed_over in ((alone, True), (watched, False)):
        first, _ = track.take(Counts(60, 100), ObjectiveState(), T0, steady=False)
        again, _ = track.take(Counts(100, 100), first, T0 + 10, steady=False)
        assert (again is first) is passed_over


def test_a_minute_is_told_once_with_what_it_held() -> None:
    track, state, told = Track(objective_plan("x", spec()), "d"), ObjectiveState(), []
    for second in range(0, 180, 10):
        state, minute = track.take(Counts(1, 4), state, T0 + second, steady=False)
        told += [minute] if minute is not None else []
    assert [(m.minute, m.bad, m.total, m.value) for m in told] == [
        (T0 // 60, 6, 24, 0.25),
        (T0 // 60 + 1, 6, 24, 0.25),
    ]


def test_codes_that_a_sample_counts_are_in_the_message_of_a_breach() -> None:
    written = spec(target={"below": "1%"}, alerts=[{"severity": "critical", "threshold": "5%"}])
    track = Track(objective_plan("x", written), "d")
    for code, count in (("200", 57.0), ("500", 2.0), ("503", 41.0)):
        track.answered(code, T0, count)
    state, _ = track.take(Counts(43, 100), ObjectiveState(), T0, steady=False)
    assert state.message.endswith("(503: 41, 500: 2)")
