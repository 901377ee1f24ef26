"""What starts a rollback, since when, and when it is due."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0

from lastgood.api.triggers import Triggers
from lastgood.domain.baseline import Baseline
from lastgood.domain.budget import Burn, Burning
from lastgood.domain.health import Health
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.objective import ObjectiveState, Standing, judge
from lastgood.domain.objective_plan import AlertPlan, Kind, ObjectivePlan
from lastgood.domain.rings import BURN_WINDOWS
from lastgood.domain.steady import Run
from lastgood.domain.triggers import (
    Breach,
    Evidence,
    Looked,
    Signal,
    TriggerKind,
    evaluate,
    first_due,
    from_status,
    next_due,
    to_status,
    triggers_of,
)
from lastgood.domain.window import Aggregate

ERRORS = ObjectivePlan("errors", Kind.RATIO, True, 0.01, "1%", "%", 0.01, 10, 60, 60)
LATENCY = replace(
    ERRORS,
    name="latency",
    kind=Kind.QUANTILE,
    quantile=0.95,
    target=2.0,
    shown="2s",
    unit="s",
    scale=1.0,
    alerts=(AlertPlan("critical", 5.0, "5s", 60), AlertPlan("warning", 3.0, "3s")),
)
WELL = Health("True", T0)
BASE = Baseline(1.0, 1000, 600)


class Play:
    """Samples one objective each 10 s and evaluates after each."""

    def __init__(self, plan: ObjectivePlan, **triggers: Any) -> None:
        self.plan, self.triggers = plan, triggers_of(Triggers.model_validate(triggers))
        self.state, self.runs = ObjectiveState(), dict[str, Run]()
        self.breaches: tuple[Breach, ...] = ()
        self.second = -10

    def on(self, seconds: int, value: float | None, *, events: float = 100, baseline: Baseline | None = BASE) -> None:
        """So many seconds of this value; None for silence."""
        for _ in range(seconds // 10):
            self.second += 10
            now = T0 + self.second
            seen = Nothing(Silence.TIMEOUT) if value is None else Aggregate(value, events, 6, events / 60, 60)
            self.state = judge(self.plan, seen, self.state, now)
            looked = Looked(self.plan, self.state, seen, now, baseline)
            self.breaches, self.runs = evaluate(
                self.triggers, Evidence(WELL, objectives={self.plan.name: looked}), self.runs, now
            )

    def due(self) -> Breach | None:
        return first_due(self.breaches, T0 + self.second)


def test_triggers_of_a_spec() -> None:
    found = triggers_of(
        Triggers.model_validate(
            {
                "errorRate": {},
                "degradation": {"objective": "latency"},
                "objectives": [{"name": "cpu", "for": "2m"}],
                "burnRates": [{"name": "errors"}],
                "signals": [{"type": "SecurityIncident", "skipCooldown": True}],
            }
        )
    )
    assert [(t.kind, t.name, t.lasting) for t in found] == [
        ("HealthFailing", "", 300),
        ("ErrorRate", "", 600),
        ("Degradation", "latency", 300),
        ("Objective", "cpu", 120),
        ("BurnRate", "errors", 0),
        ("Signal", "SecurityIncident", 0),
    ]
    assert [t.above for t in found] == [0, 0.1, 0.5, 0, 14.4, 0]
    assert (found[2].min_samples, found[3].severity, found[5].skip_cooldown) == (30, "critical", True)
    assert len(triggers_of(Triggers())) == 1


def test_health_through_the_same_type() -> None:
    triggers = triggers_of(Triggers())
    assert evaluate(triggers, Evidence(WELL), {}, T0) == ((), {})
    health = Health("False", T0)
    (early,), _ = evaluate(triggers, Evidence(health, ["http"]), {}, T0 + 299)
    assert (early.since, early.due_at, early.due(T0 + 299), early.confirmed) == (T0, T0 + 300, False, True)
    assert (first_due([early], T0 + 299), next_due([early], T0 + 299)) == (None, T0 + 300)
    (late,), _ = evaluate(triggers, Evidence(health, ["db", "http"]), {}, T0 + 300)
    assert first_due([late], T0 + 300) is late
    assert late.message == "health was False for 5m (db, http)"
    (restored,), _ = evaluate(triggers, Evidence(health), {}, T0 + 400)
    assert not restored.confirmed


def test_error_rate_for_ten_minutes_without_a_break() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(600, 0.12)
    assert play.due() is None
    assert next_due(play.breaches, T0 + play.second) == T0 + 600
    play.on(10, 0.12)
    due = play.due()
    assert due is not None
    assert (due.trigger.kind, due.since, due.objective) == (TriggerKind.ERROR_RATE, T0, "errors")
    assert due.message == "the share of bad events of errors was above 10% for 10m (now 12%)"


def test_exactly_the_rate_is_not_above_it_and_one_good_sample_begins_anew() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(900, 0.1)
    assert play.breaches == ()
    play.on(600, 0.2)
    play.on(10, 0.05)
    play.on(600, 0.2)
    assert play.due() is None
    play.on(10, 0.2)
    assert play.due() is not None


def test_no_requests_are_no_error_rate() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(900, 1.0, events=0)
    assert play.breaches == ()


def test_silence_is_not_counted_and_a_due_breach_is_not_confirmed_by_it() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(590, 0.2)
    play.on(50, None)
    assert [(b.confirmed, b.due(T0 + play.second)) for b in play.breaches] == [(False, True)]
    play.on(10, 0.2)
    assert play.due() is None
    play.on(10, 0.2)
    due = play.due()
    assert due is not None
    assert " for 10m, not counting 50s without an observation (now 20%)" in due.message
    play.on(70, None)
    assert play.breaches == ()


def test_degradation_wants_enough_on_both_sides() -> None:
    play = Play(LATENCY, degradation={})
    play.on(900, 1.6, events=29)
    assert play.breaches == ()
    play.on(900, 1.6, baseline=None)
    assert play.breaches == ()
    play.on(300, 1.6)
    assert play.due() is None
    play.on(10, 1.6)
    due = play.due()
    assert due is not None
    assert due.message == (
        "latency was worse than with the last good revision by more than 50% for 5m (now 60%: 1.6, then 1)"
    )
    play.on(10, 1.5)
    assert play.breaches == ()


def test_a_change_that_is_nothing_beside_the_target_is_no_degradation() -> None:
    """Two milliseconds become four on a busy node: that is 100 %, and nobody's service is worse for it."""
    quick = replace(BASE, value=0.002)
    play = Play(LATENCY, degradation={})
    play.on(900, 0.004, baseline=quick)
    assert play.breaches == ()
    edge = 0.05 * play.plan.target
    play.on(900, 0.002 + edge, baseline=quick)
    assert play.breaches == ()
    play.on(310, 0.003 + edge, baseline=quick)
    assert play.due() is not None
    play = Play(LATENCY, degradation={"leastChange": "0%"})
    play.on(310, 0.004, baseline=quick)
    assert play.due() is not None


def test_an_objective_counts_from_its_alert_and_began_before_it() -> None:
    play = Play(LATENCY, objectives=[{"name": "latency", "for": "30s"}])
    play.on(60, 9.0)
    assert play.breaches == ()
    play.on(30, 9.0)
    assert play.due() is None
    play.on(10, 9.0)
    due = play.due()
    assert due is not None
    assert (due.since, due.due_at) == (T0, T0 + 90)
    assert due.message.startswith("objective latency was breached, critical or worse, for 30s (p95 is 9s, target")
    play.on(10, 4.0)
    assert (play.state.severity, play.breaches) == ("warning", ())


def test_a_higher_severity_is_enough() -> None:
    play = Play(LATENCY, objectives=[{"name": "latency", "severity": "warning"}])
    play.on(100, 9.0)
    assert play.state.severity == "critical"
    due = play.due()
    assert due is not None
    assert due.since == T0


def burning(long: float | None, short: float | None, number: int = 0) -> Burn:
    windows = [Burning(w, 0.0, 0.0, firing=False) for w in BURN_WINDOWS]
    windows[number] = Burning(BURN_WINDOWS[number], long, short, firing=False)
    return Burn(0.9, None, tuple(windows))


@pytest.mark.parametrize(
    ("above", "burn", "due"),
    [
        pytest.param("14.4", burning(15, 15), True, id="both windows"),
        pytest.param("14.4", burning(15, 14), False, id="the short one has recovered"),
        pytest.param("14.4", burning(15, None), False, id="nothing in the short one"),
        pytest.param("6", burning(6.5, 6.5, 1), True, id="the next lower rate has windows of its own"),
        pytest.param("14.4", burning(15, 15, 1), False, id="another rate's windows say nothing"),
        pytest.param("1", burning(1.1, 1.1, 3), True, id="the lowest"),
        pytest.param("14.4", None, False, id="no budget"),
    ],
)
def test_burn_rates(above: str, burn: Burn | None, due: bool) -> None:
    triggers = triggers_of(Triggers.model_validate({"burnRates": [{"name": "errors", "above": above}]}))
    looked = Looked(ERRORS, ObjectiveState(), Nothing(Silence.NO_DATA), T0, burn=burn)
    breaches, _ = evaluate(triggers, Evidence(WELL, objectives={"errors": looked}), {}, T0)
    assert (first_due(breaches, T0) is not None) is due


def test_signals_are_due_at_once_and_only_those_that_are_asked_for() -> None:
    triggers = triggers_of(Triggers.model_validate({"signals": [{"type": "SecurityIncident"}]}))
    raised = Signal("SecurityIncident", T0 - 5, "alice", "keys leaked")
    other = Signal("DataIntegrity", T0 - 5, "bob")
    breaches, _ = evaluate(triggers, Evidence(WELL, signals=[other, raised]), {}, T0)
    assert [(b.message, b.due_at) for b in breaches] == [("SecurityIncident was raised by alice: keys leaked", T0 - 5)]


def test_a_trigger_for_any_objective_takes_each_by_itself() -> None:
    """Two that are bad in turn are not one that is bad without a break."""
    triggers = triggers_of(Triggers.model_validate({"errorRate": {"for": "1m"}}))
    runs: dict[str, Run] = {}
    for second in range(0, 200, 10):
        now = T0 + second
        looked = {}
        for name, bad in (("a", second % 20 == 0), ("b", second % 20 != 0)):
            state = ObjectiveState(Standing.AT_RISK, since=T0, seen_at=now, fresh=True)
            seen = Aggregate(0.5 if bad else 0.0, 100, 6, 10, 60)
            looked[name] = Looked(replace(ERRORS, name=name), state, seen, now)
        breaches, runs = evaluate(triggers, Evidence(WELL, objectives=looked), runs, now)
        assert len(breaches) == 1
        assert first_due(breaches, now) is None


def test_the_first_due_comes_first_and_confirmed_before_not() -> None:
    triggers = triggers_of(Triggers.model_validate({"signals": [{"type": "DataIntegrity"}]}))
    health = Health("False", T0 - 400)
    evidence = Evidence(health, [], signals=[Signal("DataIntegrity", T0 - 50, "bob")])
    breaches, _ = evaluate(triggers, evidence, {}, T0)
    assert [b.trigger.kind for b in breaches] == ["HealthFailing", "Signal"]
    first = first_due(breaches, T0)
    assert first is not None
    assert first.trigger.kind == "Signal"


def test_evaluating_between_samples_changes_nothing() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(100, 0.2)
    looked = Looked(ERRORS, play.state, Aggregate(0.2, 100, 6, 10, 60), T0 + play.second)
    for more in (0, 3, 9, 20):
        again, runs = evaluate(
            play.triggers, Evidence(WELL, objectives={"errors": looked}), play.runs, T0 + play.second + more
        )
        assert runs == play.runs
        assert [(b.since, b.due_at) for b in again] == [(b.since, b.due_at) for b in play.breaches]
    gone, _ = evaluate(play.triggers, Evidence(WELL, objectives={"errors": looked}), play.runs, T0 + play.second + 61)
    assert gone == ()


def test_an_objective_that_is_gone_takes_its_runs_along() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(100, 0.2)
    assert evaluate(play.triggers, Evidence(WELL), play.runs, T0 + 110) == ((), {})


def test_a_look_of_long_ago_confirms_nothing() -> None:
    state = ObjectiveState(Standing.AT_RISK, since=T0, seen_at=T0, fresh=True)
    looked = Looked(ERRORS, state, Aggregate(0.5, 100, 6, 10, 60), T0)
    triggers = triggers_of(Triggers.model_validate({"errorRate": {"for": "1m"}}))
    for late, confirmed in ((60, True), (61, False)):
        (breach,), _ = evaluate(triggers, Evidence(WELL, objectives={"errors": looked}), {}, T0 + late)
        assert breach.confirmed is confirmed


def test_runs_survive_a_restart_until_the_first_sample_and_the_gap_is_not_counted() -> None:
    play = Play(ERRORS, errorRate={})
    play.on(310, 0.2)
    texts = to_status(play.runs)
    assert texts == ["ErrorRate/errors/10%=2027-01-15T08:00:00.000000Z"]
    play.runs, play.state = from_status(texts, unobserved=40), ObjectiveState()
    _, waiting = evaluate(play.triggers, Evidence(WELL), play.runs, T0 + 340)
    assert waiting == play.runs
    play.second = 340
    play.on(280, 0.2)
    assert play.due() is None
    play.on(20, 0.2)
    assert play.due() is not None
    play.runs = from_status(texts, unobserved=61)
    play.on(10, 0.2)
    assert play.due() is None


@pytest.mark.parametrize("text", ["", "ErrorRate/errors/10%", "ErrorRate/errors/10%=yesterday"])
def test_what_nobody_here_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        from_status([text])
