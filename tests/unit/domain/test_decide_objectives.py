"""Decisions over what objectives measure: conditions, triggers in their order, and what keeps a revision from being good."""

from dataclasses import replace

import pytest
from tests.unit.domain.build import T0, around, failing, good, passing, plan, seen

from lastgood.domain.decide import Condition, Decision, StartRollback, decide
from lastgood.domain.health import Health
from lastgood.domain.ledger import candidate
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.model import Current, Memory, Surroundings
from lastgood.domain.objective import ObjectiveState, Standing
from lastgood.domain.objective_plan import AlertPlan, Kind, ObjectivePlan
from lastgood.domain.steady import Run
from lastgood.domain.triggers import Looked, Signal, Trigger, TriggerKind
from lastgood.domain.window import Aggregate

LATENCY = ObjectivePlan(
    "latency",
    Kind.QUANTILE,
    True,
    2.0,
    "2s",
    "s",
    1.0,
    10,
    60,
    60,
    0.95,
    alerts=(AlertPlan("critical", 5.0, "5s", 60),),
)
SOUND = ObjectivePlan("sound", Kind.VALUE, True, 0.0, "0", "", 1.0, 10, 60, 60, integrity=True)
SLOW = ObjectiveState(
    Standing.BREACHED, "critical", T0 - 40, "ThresholdExceeded", "p95 is 9s", {"critical": Run(T0 - 100, T0)}, T0, True
)
WELL = ObjectiveState(Standing.MET, "", T0 - 4000, "", "p95 is 1s", None, T0, True)
ON_OBJECTIVE = Trigger(TriggerKind.OBJECTIVE, "latency", severity="critical")
PLAN = plan(objectives=("latency",), triggers=(ON_OBJECTIVE,))


def memory(**changes: object) -> Memory:
    """v1 was good; v2 runs since 1,000 s, and its probes pass."""
    base = Memory(
        probes={"http": passing(T0 - 5000, last=T0 - 5)},
        health=Health("True", T0 - 5000),
        current=Current("v2", T0 - 1000, 2, "v2"),
        complete_since=T0 - 900,
        watched=True,
        left_good_at=T0 - 1000,
        ledger=(good("v1"),),
        objectives={"latency": SLOW},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def looked(state: ObjectiveState = SLOW, **changes: object) -> Surroundings:
    base = Looked(LATENCY, state, Aggregate(9.0, 100, 6), T0)
    return around(objectives={"latency": replace(base, **changes)})  # type: ignore[arg-type]


def judged(memory: Memory, surroundings: Surroundings, **changes: object) -> Decision:
    chosen = replace(PLAN, **changes)  # type: ignore[arg-type]
    return decide(service="shop", plan=chosen, memory=memory, seen=seen("v2"), around=surroundings, now=T0)


def told(decision: Decision, kind: str) -> Condition:
    return next(c for c in decision.conditions if c.type == kind)


def standing(state: Standing, **changes: object) -> Decision:
    fresh = WELL._replace(state=state, **changes)  # type: ignore[arg-type]
    return judged(memory(objectives={"latency": fresh}), looked(fresh), triggers=())


OBJECTIVES = [
    pytest.param(standing(Standing.MET), "True", "TargetsMet", "latency: p95 is 1s", id="met"),
    pytest.param(standing(Standing.AT_RISK), "False", "TargetMissed", "latency: p95 is 1s", id="at risk"),
    pytest.param(
        standing(Standing.BREACHED, severity="critical"), "False", "ObjectiveBreached", "latency: p95", id="breached"
    ),
    pytest.param(
        standing(Standing.UNKNOWN, message="no observation (NoData)"),
        "Unknown",
        "ObjectiveUnknown",
        "latency: no observation (NoData)",
        id="unknown",
    ),
    pytest.param(
        judged(memory(objectives={}), around()),
        "Unknown",
        "ObjectiveUnknown",
        "latency: nothing was measured yet",
        id="not looked at",
    ),
]


@pytest.mark.parametrize(("decision", "status", "reason", "message"), OBJECTIVES)
def test_the_condition_over_objectives(decision: Decision, status: str, reason: str, message: str) -> None:
    condition = told(decision, "ObjectivesMet")
    assert (condition.status, condition.reason) == (status, reason)
    assert condition.message.startswith(message)


def test_how_minutes_are_kept_is_told_where_there_is_a_budget() -> None:
    kept = judged(memory(), replace(looked(), history=("HistoryKept", "")))
    assert told(kept, "HistoryKept").status == "True"
    lost = judged(memory(), replace(looked(), history=("HistoryInMemory", "in memory alone")))
    assert told(lost, "HistoryKept") == Condition("HistoryKept", "False", "HistoryInMemory", "in memory alone")


def test_a_breached_objective_goes_back_though_all_probes_pass() -> None:
    decision = judged(memory(), looked())
    (action,) = decision.actions
    assert isinstance(action, StartRollback)
    assert (action.trigger, action.trigger_name, action.breach_since) == (TriggerKind.OBJECTIVE, "latency", T0 - 100)
    assert action.message.startswith("objective latency was breached, critical or worse, for 0s (p95 is 9s), from v2")


def test_without_a_trigger_on_it_a_breached_objective_changes_nothing() -> None:
    decision = judged(memory(), looked(), triggers=())
    assert not decision.actions
    assert told(decision, "RollingBack").reason == "NotNeeded"


def test_a_trigger_waits_for_its_time_and_says_until_when() -> None:
    decision = judged(memory(), looked(), triggers=(replace(ON_OBJECTIVE, lasting=30),))
    assert told(decision, "RollingBack").reason == "BreachPending"
    assert decision.recheck_at == T0 + 30
    assert decision.memory.runs["Objective/latency/critical"].since == T0


@pytest.mark.parametrize(
    ("surroundings", "changes", "reason"),
    [
        pytest.param(looked(proven=False), {}, "ObjectiveUnproven", id="never met as it is written"),
        pytest.param(looked(), {"left_good_at": T0 - 50}, "BreachOlderThanRelease", id="older than the release"),
        pytest.param(
            looked(SLOW._replace(fresh=False), seen=Nothing(Silence.TIMEOUT)),
            {"runs": {"Objective/latency/critical": Run(T0 - 30, T0 - 10)}},
            "TooFewSamples",
            id="the latest sample is none",
        ),
        pytest.param(
            looked(), {"health": Health("False", T0 - 4000)}, "BreachOlderThanRelease", id="health failed before it"
        ),
    ],
)
def test_what_speaks_against_it(surroundings: Surroundings, changes: dict[str, object], reason: str) -> None:
    decision = judged(memory(**changes), surroundings)
    assert not decision.actions
    assert told(decision, "RollingBack").reason == reason


def test_a_chronic_breach_hides_no_other_one() -> None:
    """Of health, which began after the release; that of the objective is older."""
    old = SLOW._replace(failing={"critical": Run(T0 - 9000, T0)})
    runs = {"Objective/latency/critical": Run(T0 - 9000, T0)}
    decision = judged(
        memory(
            probes={"http": failing(T0 - 400)}, health=Health("False", T0 - 400), runs=runs, objectives={"latency": old}
        ),
        looked(old),
    )
    (action,) = decision.actions
    assert isinstance(action, StartRollback)
    assert action.trigger is TriggerKind.HEALTH_FAILING


def test_a_signal_is_acted_on_at_once_and_no_longer_than_it_stands() -> None:
    incident = Signal("SecurityIncident", T0 - 5, "alice", "keys leaked", T0 + 1)
    wanted = (Trigger(TriggerKind.SIGNAL, "SecurityIncident"),)
    decision = judged(memory(signals=(incident,)), looked(WELL), triggers=wanted)
    (action,) = decision.actions
    assert isinstance(action, StartRollback)
    assert (action.trigger, action.trigger_name) == (TriggerKind.SIGNAL, "SecurityIncident")
    assert action.message.startswith("SecurityIncident was raised by alice: keys leaked")
    over = judged(memory(signals=(replace(incident, until=T0),)), looked(WELL), triggers=wanted)
    assert not over.actions


def test_a_violation_of_integrity_is_a_signal() -> None:
    broken = WELL._replace(state=Standing.AT_RISK, since=T0 - 20, message="value is 1, target below 0")
    seen_so = around(objectives={"sound": Looked(SOUND, broken, Aggregate(1.0, 6, 6), T0)})
    decision = judged(
        memory(objectives={"sound": broken}),
        seen_so,
        objectives=("sound",),
        triggers=(Trigger(TriggerKind.SIGNAL, "DataIntegrity"),),
    )
    (action,) = decision.actions
    assert isinstance(action, StartRollback)
    assert "DataIntegrity was raised by objective sound: value is 1" in action.message


@pytest.mark.parametrize(
    ("changes", "waiting_for"),
    [
        pytest.param({}, "objective latency to be met, or at risk at worst", id="not seen to be fine"),
        pytest.param({"fine": {"latency": T0 - 599}}, "the soak time to pass", id="fine for less than the soak"),
        pytest.param(
            {"fine": {"latency": T0 - 900}, "signals": (Signal("SecurityIncident", T0 - 9, "bob"),)},
            "SecurityIncident, raised by bob, to end",
            id="a signal stands",
        ),
        pytest.param(
            {"fine": {"latency": T0 - 900}, "runs": {"Degradation/latency/50%": Run(T0 - 9)}},
            "what Degradation/latency/50% looks at to be well again",
            id="a trigger is breached, not yet for long enough",
        ),
        pytest.param({"fine": {"latency": T0 - 900}}, "", id="all is well"),
    ],
)
def test_what_keeps_a_revision_from_being_good(changes: dict[str, object], waiting_for: str) -> None:
    wanted = plan(objectives=("latency",), triggers=(Trigger(TriggerKind.SIGNAL, "SecurityIncident"),))
    soaking = candidate(wanted, memory(objectives={"latency": WELL}, **changes), seen("v2"), None, T0)
    assert soaking is not None
    assert (soaking.done, soaking.waiting_for) == (not waiting_for, waiting_for)
