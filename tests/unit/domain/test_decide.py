"""What is decided, said and done, case by case; every condition reason is reached here."""

import inspect
import re
from dataclasses import replace

import pytest
from tests.unit.domain.build import T0, around, breaching, failing, good, green, mark, passing, plan, seen
from tests.unit.domain.test_decide_objectives import OBJECTIVES

from lastgood.api.monitoredservice import RollbackLimit
from lastgood.domain import decide as module
from lastgood.domain.decide import (
    MARKS,
    Condition,
    Decision,
    RecordGood,
    StartRollback,
    decide,
    mark_ended,
    mark_started,
    rollback_name,
)
from lastgood.domain.health import Health, ProbeState, State
from lastgood.domain.model import Current, Memory, Plan, Problem, Surroundings, TargetSeen
from lastgood.domain.outcome import Verdict


def decided(
    memory: Memory,
    *,
    plan_: Plan | None = None,
    target: TargetSeen | None = None,
    around_: Surroundings | None = None,
    now: float = T0,
    gone: bool = False,
) -> Decision:
    return decide(
        service="shop",
        plan=plan_ or plan(),
        memory=memory,
        seen=None if gone else target or seen(memory.current.key if memory.current else "v1"),
        around=around_ or around(),
        now=now,
    )


def told(decision: Decision, kind: str) -> Condition:
    (found,) = [c for c in decision.conditions if c.type == kind]
    return found


READY = [
    pytest.param(decided(green()), "True", "Accepted", 'watching Deployment "backend"', id="accepted"),
    pytest.param(
        decided(green(), gone=True),
        "False",
        "TargetNotFound",
        'Deployment "backend" does not exist in this namespace: create it or name another',
        id="no target",
    ),
    pytest.param(
        decided(green(), plan_=plan(suspend=True)),
        "False",
        "Suspended",
        "spec.suspend is true: no probe runs and nothing is changed",
        id="suspended",
    ),
    pytest.param(
        decided(green(), around_=around(problems=(Problem("SecretNotFound", "one"), Problem("BadProbe", "two")))),
        "False",
        "SecretNotFound",
        "one; two",
        id="the first problem's reason, every problem's sentence",
    ),
]

_WAITING = ProbeState()
HEALTHY = [
    pytest.param(decided(green()), "True", "ProbesPassing", "1 of 1 probes pass", id="passing"),
    pytest.param(
        decided(breaching()),
        "False",
        "ProbesFailing",
        "probe http: UnexpectedStatus (expected 2xx, got 500), since 07:55:00Z",
        id="failing",
    ),
    pytest.param(
        decided(breaching(probes={"b": failing(T0), "a": failing(T0), "c": passing(T0)})),
        "False",
        "ProbesFailing",
        "probe a: UnexpectedStatus (expected 2xx, got 500); probe b: UnexpectedStatus (expected 2xx, got 500), "
        "since 07:55:00Z",
        id="two fail, by name",
    ),
    pytest.param(
        decided(green(probes={"http": _WAITING}, health=Health("Unknown", T0))),
        "Unknown",
        "WaitingForProbes",
        "not enough outcomes yet",
        id="waiting",
    ),
    pytest.param(
        decided(
            green(
                probes={
                    "http": ProbeState(State.UNKNOWN, T0, "AddressDenied", "169.254.169.254", Verdict.UNKNOWN, 3, T0)
                },
                health=Health("Unknown", T0),
            )
        ),
        "Unknown",
        "ProbesUnknown",
        "probe http: AddressDenied (169.254.169.254)",
        id="unknown",
    ),
    pytest.param(
        decided(breaching(), plan_=plan(suspend=True)), "Unknown", "Suspended", "probes are suspended", id="suspended"
    ),
]

STABLE = [
    pytest.param(
        decided(green(ledger=(good("v1", good_since=T0 - 60),))),
        "True",
        "Remembered",
        "v1 (revision 1) is good since 07:59:00Z",
        id="known",
    ),
    pytest.param(
        decided(green(T0 - 60)),
        "False",
        "NoneYet",
        "waiting for the soak time to pass, at 08:09:00Z at the earliest",
        id="soaking",
    ),
    pytest.param(
        decided(green(), target=seen("v1", complete=False)),
        "False",
        "NoneYet",
        "waiting for the rollout to complete",
        id="rollout",
    ),
    pytest.param(
        decided(breaching(ledger=())), "False", "NoneYet", "waiting for every probe to be green", id="not green"
    ),
]

ROLLING = [
    pytest.param(decided(green()), "False", "NotNeeded", "health is not False", id="healthy"),
    pytest.param(
        decided(breaching(T0 - 299)),
        "False",
        "BreachPending",
        "health is False since 07:55:01Z; a rollback is considered at 08:00:01Z",
        id="pending",
    ),
    pytest.param(
        decided(breaching()),
        "True",
        "Starting",
        "health was False for 5m (http), from v2 to v1",
        id="starting",
    ),
    pytest.param(
        decided(breaching(), target=seen("v2", version="", revision=7)),
        "True",
        "Starting",
        "health was False for 5m (http), from revision 7 to v1",
        id="starting from one without a version",
    ),
    pytest.param(
        decided(breaching(), target=seen("v2", version="v1", template_hash="t-v1")),
        "True",
        "Starting",
        "health was False for 5m (http), from v1 to the ConfigMaps with which v1 was good",
        id="starting from the same template",
    ),
    pytest.param(
        decided(breaching(), target=seen("v2", version="v1")),
        "True",
        "Starting",
        "health was False for 5m (http), from v1 (revision 2) to v1 (revision 1)",
        id="starting from the same version",
    ),
    pytest.param(
        decided(breaching(marks=(mark(ended=None, outcome=""),))),
        "True",
        "InProgress",
        "Rollback rb is under way",
        id="under way",
    ),
    pytest.param(
        decided(breaching(marks=(mark(ended=None, outcome=""),)), around_=around(awaiting_approval=("rb",))),
        "False",
        "AwaitingApproval",
        "waiting for approval: kubectl patch rollback rb --type=merge -p "
        """'{"spec":{"approval":"Approved"}}' (or "Refused")""",
        id="awaiting approval",
    ),
    pytest.param(
        decided(breaching(marks=(mark(ended=None, outcome=""),)), around_=around(awaiting_approval=("other",))),
        "True",
        "InProgress",
        "Rollback rb is under way",
        id="another one awaits approval",
    ),
    pytest.param(
        decided(breaching(), plan_=plan(policy="Disabled")),
        "False",
        "Disabled",
        "rollback is off for this service: set spec.rollback.policy to turn it on",
        id="disabled is told at once, without a wait",
    ),
    pytest.param(
        decided(breaching(T0 - 1), plan_=plan(policy="Disabled")),
        "False",
        "Disabled",
        "rollback is off for this service: set spec.rollback.policy to turn it on",
        id="disabled within the wait",
    ),
    pytest.param(decided(breaching(), plan_=plan(suspend=True)), "False", "NotNeeded", "suspended", id="suspended"),
    pytest.param(
        decided(breaching(ledger=())),
        "False",
        "NoGoodRevision",
        "no revision of this service has been seen to be good yet: one must be complete and green for 10m "
        "(spec.stability.soak)",
        id="a guard's reason",
    ),
]


@pytest.mark.parametrize(
    ("kind", "decision", "status", "reason", "message"),
    [
        pytest.param(kind, *case.values, id=f"{kind}: {case.id}")
        for kind, cases in (
            ("Ready", READY),
            ("Healthy", HEALTHY),
            ("StableRevisionKnown", STABLE),
            ("RollingBack", ROLLING),
        )
        for case in cases
    ],
)
def test_condition(kind: str, decision: Decision, status: str, reason: str, message: str) -> None:
    assert told(decision, kind) == Condition(kind, status, reason, message)


def test_every_reason_in_the_source_is_asserted_on_above() -> None:
    source = inspect.getsource(module)
    reasons = set(re.findall(r'Condition\(\s*"\w+", "\w+", "(\w+)"', source)) | {"ProbesUnknown", "WaitingForProbes"}
    asserted = {case.values[2] for case in [*READY, *HEALTHY, *STABLE, *ROLLING]} | {
        "Suspended",
        *(case.values[2] for case in OBJECTIVES),
    }
    assert len(reasons) > 10
    assert reasons <= asserted


def test_without_objectives_the_conditions_are_always_the_same_four_in_the_same_order() -> None:
    for case in [*READY, *HEALTHY, *STABLE, *ROLLING]:
        decision = case.values[0]
        assert isinstance(decision, Decision)
        kinds = [c.type for c in decision.conditions]
        assert kinds == ["Ready", "Healthy", "StableRevisionKnown", "RollingBack"]


START = StartRollback(
    name="shop-v2",
    bad_key="v2",
    target=good("v1"),
    breach_since=T0 - 300,
    needs_approval=False,
    dry_run=False,
    message="health was False for 5m (http), from v2 to v1",
)


@pytest.mark.parametrize(
    ("decision", "actions"),
    [
        pytest.param(decided(breaching()), (START,), id="breach of a release after a good one"),
        pytest.param(
            decided(breaching(), plan_=plan(policy="Manual")), (replace(START, needs_approval=True),), id="manual"
        ),
        pytest.param(
            decided(breaching(), plan_=plan(policy="DryRun")),
            (replace(START, dry_run=True, name="shop-v2-dry"),),
            id="dry run",
        ),
        pytest.param(decided(breaching(), plan_=plan(policy="Disabled")), (), id="disabled"),
        pytest.param(decided(breaching(T0 - 299)), (), id="a second too early"),
        pytest.param(decided(breaching(), plan_=plan(suspend=True)), (), id="suspended"),
        pytest.param(decided(breaching(), gone=True), (), id="no target"),
        pytest.param(decided(breaching(marks=(mark(ended=None, outcome=""),))), (), id="one is under way"),
        pytest.param(decided(breaching(), around_=around(mass_breach="x")), (), id="a guard objects"),
        pytest.param(decided(breaching(health=Health("Unknown", T0 - 900))), (), id="Unknown is never a breach"),
        pytest.param(decided(green()), (RecordGood("v1"),), id="soaked"),
        pytest.param(decided(green(T0 - 599)), (), id="not soaked"),
        pytest.param(decided(green(ledger=(good("v1"),))), (), id="known already"),
        pytest.param(
            decided(green(ledger=(good("v2"), good("v1")))), (RecordGood("v1"),), id="an older good one is newest again"
        ),
        pytest.param(decided(green(), plan_=plan(suspend=True)), (), id="soaked but suspended"),
        pytest.param(
            decided(green(marks=(mark(ended=None, outcome=""),))), (), id="soaked while a rollback is under way"
        ),
        pytest.param(
            decided(green(), plan_=plan(policy="Disabled")), (RecordGood("v1"),), id="remembered though disabled"
        ),
    ],
)
def test_actions(decision: Decision, actions: tuple[object, ...]) -> None:
    assert decision.actions == actions


@pytest.mark.parametrize(
    ("decision", "at"),
    [
        pytest.param(decided(green(T0 - 60)), T0 + 540, id="when the soak ends"),
        pytest.param(decided(green(ledger=(good("v1"),))), None, id="nothing to wait for"),
        pytest.param(decided(breaching(T0 - 60)), T0 + 240, id="when the breach is old enough"),
        pytest.param(decided(breaching()), T0 + 5, id="after a start"),
        pytest.param(
            decided(breaching(marks=(mark(bad_key="x", ended=T0 - 100),))), T0 + 500, id="end of the cooldown"
        ),
        pytest.param(decided(breaching(ledger=())), None, id="an objection that time does not lift"),
    ],
)
def test_looks_again(decision: Decision, at: float | None) -> None:
    assert decision.recheck_at == at


def test_the_same_bad_revision_always_gives_the_same_name_and_a_dry_run_another() -> None:
    assert rollback_name("shop", "0123456789abcdef", dry_run=False) == "shop-0123456789"
    assert rollback_name("shop", "0123456789abcdef", dry_run=True) == "shop-0123456789-dry"
    assert len(rollback_name("s" * 253, "0123456789abcdef", dry_run=True)) <= 253


def test_a_start_is_marked_once() -> None:
    memory = mark_started(breaching(), START, T0)
    assert [(m.name, m.bad_key, m.at, m.ended, m.outcome) for m in memory.marks] == [("shop-v2", "v2", T0, None, "")]
    assert mark_started(memory, START, T0 + 9) == memory


def test_a_revision_that_was_good_in_between_is_marked_anew_under_the_same_name() -> None:
    memory = breaching(marks=(mark("shop-v2", bad_key=""), mark("other", "v9")))
    after = mark_started(memory, START, T0)
    assert [(m.name, m.bad_key, m.outcome) for m in after.marks] == [
        ("shop-v2", "v2", ""),
        ("other", "v9", "Succeeded"),
    ]


def test_old_marks_go_and_the_newest_stay() -> None:
    memory = Memory(marks=tuple(mark(f"r{n}") for n in range(MARKS)))
    after = mark_started(memory, START, T0)
    assert len(after.marks) == MARKS
    assert (after.marks[0].name, after.marks[-1].name) == ("shop-v2", f"r{MARKS - 2}")


def test_a_mark_of_a_rollback_under_way_never_goes_and_the_largest_limit_can_be_reached() -> None:
    waits = mark("waits", ended=None, outcome="")
    memory = Memory(marks=(*(mark(f"r{n}") for n in range(MARKS)), waits))
    assert mark_started(memory, START, T0).marks[-1] == waits
    largest = RollbackLimit.model_fields["count"].metadata
    assert max(getattr(m, "le", 0) or 0 for m in largest) < MARKS


def test_an_end_is_noted_on_its_mark_alone_and_stays() -> None:
    memory = Memory(marks=(mark("a", ended=None, outcome=""), mark("b", ended=None, outcome="")))
    after = mark_ended(memory, "a", "Failed", T0)
    assert [(m.name, m.ended, m.outcome) for m in after.marks] == [("a", T0, "Failed"), ("b", None, "")]
    assert mark_ended(after, "a", "Succeeded", T0 + 9) == after


def test_a_restart_rolls_back_a_minute_later_and_only_on_a_failure_of_its_own() -> None:
    """Failing for 4 minutes, killed; the successor sees the first failure and waits for the fifth minute."""
    restored = breaching(T0, probes={"http": failing(T0, run=None)}, watched=False)
    silent = decided(restored, now=T0 + 301)
    assert (silent.actions, told(silent, "RollingBack").reason) == ((), "TooFewSamples")
    fresh = replace(restored, probes={"http": failing(T0, runs=1)})
    assert decided(fresh, now=T0 + 299).actions == ()
    (action,) = decided(fresh, now=T0 + 300).actions
    assert isinstance(action, StartRollback)
    assert action.target == good("v1")


def test_a_first_look_remembers_the_target() -> None:
    assert decided(Memory(), target=seen("v1")).memory.current == Current("v1", T0, 1, "v1")
