"""An objective's verdict: alerts that last, what is too little, gaps, restarts and clocks."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.objective import ObjectiveState, describe, flipped, from_status, judge, to_status
from lastgood.domain.objective_plan import Kind, ObjectivePlan, objective_plan, share
from lastgood.domain.window import Aggregate

DOWN = Nothing(Silence.SOURCE_DOWN, "connection refused")


def plan(**changes: Any) -> ObjectivePlan:
    spec = {
        "source": {"probe": {}},
        "indicator": {"quantile": {"of": "95%"}},
        "target": {"below": "2s"},
        "alerts": [
            {"severity": "warning", "threshold": "3s", "for": "1m"},
            {"severity": "critical", "threshold": "5s", "for": "5m"},
        ],
    }
    return objective_plan("latency", ServiceLevelObjectiveSpec.model_validate(spec | changes))


PLAN = plan()


def of(value: float | None, events: float = 100, rate: float = 10) -> Aggregate:
    return Aggregate(value, events, 6, rate, 60)


def run(*spans: tuple[int, int, float | Aggregate | Nothing], to: ObjectivePlan = PLAN) -> ObjectiveState:
    """The state after samples each 10 s: (first second, last second, what)."""
    state = ObjectiveState()
    for first, last, what in spans:
        for second in range(first, last + 1, 10):
            state = judge(to, of(what) if isinstance(what, float) else what, state, T0 + second)
    return state


def test_plan_of_the_spec() -> None:
    assert (PLAN.kind, PLAN.quantile, PLAN.below, PLAN.target, PLAN.unit) == (Kind.QUANTILE, 0.95, True, 2, "s")
    assert [(a.severity, a.threshold, a.lasting) for a in PLAN.alerts] == [("critical", 5, 300), ("warning", 3, 60)]
    assert (PLAN.interval, PLAN.window, PLAN.unknown_after) == (10, 60, 60)
    assert plan(interval="1m").unknown_after == 180
    assert plan(unknownAfter="90s").unknown_after == 90
    budget = plan(budget={"objective": "99.9%", "period": "28d"}).budget
    assert budget is not None
    assert (budget.allowed, budget.period) == (0.001, 28 * 86400)
    assert share("999%") == 1


@pytest.mark.parametrize(
    ("value", "state", "message"),
    [
        pytest.param(0.35, "Met", "p95 is 0.35s, target below 2s", id="met"),
        pytest.param(2.0, "Met", "p95 is 2s, target below 2s", id="on the target is met"),
        pytest.param(2.5, "AtRisk", "p95 is 2.5s, target below 2s", id="missed"),
        pytest.param(1234.5, "AtRisk", "p95 is 1234s, target below 2s", id="far off, not yet for a minute"),
    ],
)
def test_target(value: float, state: str, message: str) -> None:
    told = run((0, 0, value))
    assert (told.state, told.message, told.since) == (state, message, T0)


def test_for_five_minutes_fires_at_five_minutes_and_not_a_second_before() -> None:
    almost = run((0, 290, 5.2))
    assert (almost.state, almost.severity) == ("Breached", "warning")
    assert judge(PLAN, of(5.2), almost, T0 + 299).severity == "warning"
    fired = judge(PLAN, of(5.2), almost, T0 + 300)
    assert (fired.state, fired.severity, fired.since, fired.breach_since) == ("Breached", "critical", T0 + 300, T0)
    assert fired.message == "p95 is 5.2s, target below 2s, critical above 5s for 5m"
    assert fired.confirmed


def test_one_sample_below_the_threshold_begins_anew() -> None:
    assert run((0, 290, 5.2), (300, 300, 4.9), (310, 600, 5.2)).severity == "warning"
    assert run((0, 290, 5.2), (300, 300, 4.9), (310, 610, 5.2)).severity == "critical"


def test_on_the_threshold_is_not_beyond_it() -> None:
    assert run((0, 600, 5.0)).severity == "warning"
    assert run((0, 600, 3.0)).state == "AtRisk"


def test_above_is_the_other_way_round_and_all_is_enough() -> None:
    free = plan(
        indicator={"value": {}},
        source={"resources": {"resource": "disk"}},
        target={"above": "20%"},
        alerts=[{"severity": "critical", "threshold": "10%"}],
    )
    assert run((0, 0, 0.95), to=free).state == "Met"
    assert run((0, 0, 0.2), to=free).state == "Met"
    assert run((0, 0, 0.15), to=free).message == "value is 15%, target above 20%"
    assert run((0, 0, 0.1), to=free).state == "AtRisk"
    assert run((0, 0, 0.06), to=free).message == "value is 6%, target above 20%, critical below 10%"
    whole = plan(indicator={"value": {}}, target={"above": "100%"}, alerts=[])
    assert run((0, 0, 1.0), to=whole).state == "Met"
    assert run((0, 0, 0.99), to=whole).state == "AtRisk"


def test_percentages_are_not_told_apart_by_their_last_bit() -> None:
    # 95 * 0.01 is 0.9500000000000001.
    assert run((0, 0, 95 / 100), to=plan(target={"above": "95%"}, alerts=[])).state == "Met"
    nothing_bad = plan(indicator={"ratio": {}}, target={"below": "0%"}, alerts=[])
    assert run((0, 0, 0.0), to=nothing_bad).state == "Met"
    assert run((0, 0, 0.001), to=nothing_bad).state == "AtRisk"


FEW = plan(alerts=[{"severity": "critical", "threshold": "5s", "for": "1m", "minSamples": 10}])


def test_too_few_samples_are_neither_met_nor_a_breach() -> None:
    for value in (0.1, 99.0):
        state = ObjectiveState()
        for second in range(0, 900, 10):
            state = judge(FEW, of(value, events=9), state, T0 + second)
        assert (state.state, state.reason, state.since, state.failing) == ("Unknown", "TooFewSamples", T0, None)
    assert state.message == "9 observations in 1m (10 a second), at least 10 are needed"
    assert judge(FEW, of(0.1, events=10), state, T0 + 900).state == "Met"


def test_none_of_none_is_too_few_with_and_without_alerts() -> None:
    for to in (FEW, plan(alerts=[])):
        state = judge(to, Aggregate(None, 0, 6, 0, 60), run((0, 0, 0.1), to=to), T0 + 10)
        assert (state.state, state.reason) == ("Unknown", "TooFewSamples")


def test_a_rate_that_is_too_low_says_nothing() -> None:
    slow = plan(alerts=[{"severity": "critical", "threshold": "5s", "minRate": "0.5"}])
    assert judge(slow, of(9.0, rate=0.4), ObjectiveState(), T0).reason == "TooFewSamples"
    assert judge(slow, of(9.0, rate=0.5), ObjectiveState(), T0).severity == "critical"


def test_each_alert_has_its_own_idea_of_enough() -> None:
    both = plan(
        alerts=[
            {"severity": "critical", "threshold": "5s", "minSamples": 100},
            {"severity": "warning", "threshold": "3s"},
        ]
    )
    assert judge(both, of(9.0, events=5), ObjectiveState(), T0).severity == "warning"
    assert judge(both, of(9.0, events=100), ObjectiveState(), T0).severity == "critical"


def test_too_few_for_a_while_is_taken_out_of_the_time_and_for_long_ends_it() -> None:
    few = of(9.0, events=3)
    # 50 s breaching, 20 s with too little to say, which leaves one interval of the gap: 10 s more make 70 s.
    state = run((0, 50, 9.0), (60, 80, few), (90, 90, 9.0), to=FEW)
    assert (state.state, state.severity) == ("Breached", "critical")
    assert state.breach_since == T0 + 30
    assert run((0, 30, 9.0), (40, 60, few), (70, 70, 9.0), to=FEW).state == "AtRisk"
    assert run((0, 50, 9.0), (60, 130, few), (140, 140, 9.0), to=FEW).failing == run((140, 140, 9.0), to=FEW).failing


def test_silence_keeps_the_state_until_it_lasts_too_long() -> None:
    for value, state in ((0.1, "Met"), (2.5, "AtRisk")):
        held = run((0, 100, value), (110, 160, DOWN))
        assert (held.state, held.since, held.fresh) == (state, T0, False)
        lost = judge(PLAN, DOWN, held, T0 + 161)
        assert (lost.state, lost.reason, lost.since) == ("Unknown", "SourceDown", T0 + 161)
        assert lost.message == "no observation (SourceDown): connection refused"


def test_silence_never_fires_and_is_not_counted() -> None:
    waiting = run((0, 280, 9.0), (290, 330, DOWN))
    assert waiting.severity == "warning"
    assert not waiting.confirmed
    # 60 s from observation to observation, 10 of them as always.
    back = judge(PLAN, of(9.0), waiting, T0 + 340)
    assert (back.severity, back.breach_since) == ("warning", T0 + 50)
    fired = run((0, 280, 9.0), (290, 330, DOWN), (340, 350, 9.0))
    assert fired.severity == "critical"
    assert fired.message.endswith(", critical above 5s for 5m, not counting 50s without an observation")
    # Two gaps, of which the second is told together with the first.
    again = run((0, 100, 9.0), (110, 150, DOWN), (160, 300, 9.0), (310, 340, DOWN), (350, 390, 9.0))
    assert again.message.endswith(" for 5m, not counting 1m30s without an observation")


def test_silence_for_too_long_ends_a_run() -> None:
    state = run((0, 290, 9.0), (300, 360, DOWN), (370, 370, 9.0))
    assert (state.state, state.breach_since) == ("AtRisk", T0 + 370)


def test_a_day_without_a_single_call_is_a_gap_too() -> None:
    state = judge(PLAN, of(9.0), run((0, 300, 9.0)), T0 + 86400)
    assert (state.state, state.breach_since) == ("AtRisk", T0 + 86400)


def test_nothing_from_the_start_says_why_at_once() -> None:
    first = judge(PLAN, Nothing(Silence.FIRST_LOOK), ObjectiveState(), T0)
    assert (first.state, first.reason, first.since) == ("Unknown", "FirstLook", T0)
    again = judge(PLAN, DOWN, first, T0 + 10)
    assert (again.reason, again.since) == ("SourceDown", T0)


def test_a_clock_that_goes_back_neither_counts_nor_forgets() -> None:
    state = run((0, 200, 9.0))
    for second in range(-3400, -3300, 10):
        state = judge(PLAN, of(9.0), state, T0 + second)
    # 200 s before the step, 90 after it.
    assert state.severity == "warning"
    assert state.since <= T0 - 3310
    assert judge(PLAN, of(9.0), state, T0 - 3300).severity == "critical"
    assert judge(PLAN, DOWN, run((0, 0, 0.1)), T0 - 9999).state == "Met"


def test_a_restart_carries_a_breach_over_the_gap_and_does_not_count_it() -> None:
    before = run((0, 240, 9.0))
    status = to_status("latency", before)
    assert status["failingSince"] == ["critical=2027-01-15T08:00:00.000000Z", "warning=2027-01-15T08:00:00.000000Z"]
    restored = from_status(status, unobserved=30)
    assert not restored.confirmed
    assert (restored.state, restored.severity, restored.message) == (before.state, before.severity, before.message)
    state = restored
    for second in range(270, 330, 10):
        state = judge(PLAN, of(9.0), state, T0 + second)
        assert state.severity == "warning"
    state = judge(PLAN, of(9.0), state, T0 + 330)
    assert (state.severity, state.breach_since) == ("critical", T0 + 30)
    assert state.message.endswith(" for 5m, not counting 30s without an observation")


def test_a_restart_after_too_long_begins_anew() -> None:
    restored = from_status(to_status("latency", run((0, 310, 9.0))), unobserved=61)
    assert judge(PLAN, DOWN, restored, T0 + 371).state == "Unknown"
    assert judge(PLAN, of(9.0), restored, T0 + 371).state == "AtRisk"


def test_a_restored_state_is_held_from_the_first_silence_on() -> None:
    state = from_status(to_status("latency", run((0, 310, 9.0))), unobserved=20)
    for second in range(340, 401, 10):
        state = judge(PLAN, DOWN, state, T0 + second)
        assert (state.state, state.confirmed) == ("Breached", False)
    assert judge(PLAN, DOWN, state, T0 + 401).state == "Unknown"


def test_what_flips_is_told_and_what_does_not_is_not() -> None:
    met = run((0, 0, 0.1))
    assert flipped(ObjectiveState(), met)
    assert not flipped(met, judge(PLAN, of(0.2), met, T0 + 10))
    missed = judge(PLAN, of(2.5), met, T0 + 10)
    assert flipped(met, missed)
    failing = judge(PLAN, of(3.5), missed, T0 + 20)
    assert flipped(missed, failing)
    assert not flipped(failing, judge(PLAN, of(3.5), failing, T0 + 30))
    assert flipped(failing, judge(PLAN, of(3.5), failing, T0 + 60))


def test_the_three_most_frequent_codes_are_named() -> None:
    ratio = replace(PLAN, kind=Kind.RATIO, unit="%", scale=0.01, target=0.01, shown="1%", alerts=())
    codes = {"500": 3.0, "503": 41.0, "504": 3.0, "502": 1.0, "200": 900.0}
    assert describe(ratio, 0.073, codes=codes) == (
        "share of bad events is 7.3%, target below 1% (503: 41, 500: 3, 504: 3)"
    )
    assert describe(ratio, 0.073, codes={"200": 7.0, "302": 1.0}).endswith("(200: 7, 302: 1)")


def test_entries_that_nobody_here_wrote_are_refused() -> None:
    entry = to_status("x", run((0, 0, 9.0)))
    for wrong in ({"state": "Fine"}, {"since": "now"}, {"failingSince": ["critical"]}):
        with pytest.raises(ValueError):  # noqa: PT011 - any will do
            from_status(entry | wrong)
