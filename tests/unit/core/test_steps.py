"""The five steps of a Rollback: what comes next from wherever a process died."""

from dataclasses import replace

import pytest
from tests.unit.core.world import FAIL, PASS, PLAN, World, good, target

from lastgood.domain.model import Memory
from lastgood.domain.rollback import Do, Next, RollbackSeen, advance

ASKED = RollbackSeen(name="rb", uid="rb-uid", service="app", phase="Running", bad_key="k-v2", target_key="k-v1")
PREPARED = replace(ASKED, done=frozenset({"Identified", "Prepared"}), from_template_hash="t-v2")
EXECUTED = replace(PREPARED, done=PREPARED.done | {"Executed"}, executed_at=1_000_100.0)
LEDGER = Memory(ledger=(good("v1"),))


def next_of(rollback: RollbackSeen, *, seen: object = "v2", memory: Memory = LEDGER, now: float = 1_000_200.0) -> Next:
    current = target(seen) if isinstance(seen, str) else seen
    return advance(rollback=rollback, plan=PLAN, memory=memory, seen=current, missing=(), now=now)  # type: ignore[arg-type]


def test_each_step_follows_the_one_before() -> None:
    assert next_of(ASKED).do is Do.IDENTIFY
    assert next_of(replace(ASKED, done=frozenset({"Identified"}))).do is Do.PREPARE
    assert next_of(PREPARED).do is Do.EXECUTE
    assert next_of(replace(PREPARED, dry_run=True)).do is Do.REHEARSE
    validated = replace(EXECUTED, done=EXECUTED.done | {"Validated"})
    assert next_of(validated, seen="v1").do is Do.DOCUMENT
    assert next_of(replace(ASKED, phase="Succeeded")).do is Do.NOTHING


def test_a_patch_that_is_there_already_is_adopted_and_not_made_again() -> None:
    assert next_of(PREPARED, seen=target("v1", rolled_back_by="rb-uid")).do is Do.ADOPT


def test_killed_between_configmaps_and_template_goes_on() -> None:
    halfway = replace(target("v2"), key="k-half")
    assert next_of(PREPARED, seen=halfway).do is Do.EXECUTE


def test_approval_is_waited_for_and_can_be_refused() -> None:
    manual = replace(PREPARED, needs_approval=True)
    waiting = next_of(manual)
    assert waiting.do is Do.AWAIT_APPROVAL
    assert "kubectl patch rollback rb" in waiting.message
    assert next_of(replace(manual, approval="Approved")).do is Do.EXECUTE
    assert next_of(replace(manual, approval="Refused")).do is Do.REFUSE


@pytest.mark.parametrize(
    ("rollback", "seen", "memory", "reason"),
    [
        (ASKED, None, LEDGER, "TargetNotFound"),
        (ASKED, "v2", Memory(), "NoSuchGoodRevision"),
        (replace(ASKED, bad_key=""), "v1", LEDGER, "AlreadyRunning"),
        (ASKED, "v3", LEDGER, "Superseded"),
        (ASKED, target("v2", paused=True), LEDGER, "TargetPaused"),
        (ASKED, target("v2", gitops="Flux"), LEDGER, "GitOpsManaged"),
        (PREPARED, "v3", LEDGER, "Superseded"),
        (PREPARED, target("v2", paused=True), LEDGER, "TargetPaused"),
        (PREPARED, "v2", Memory(), "TargetForgotten"),
        (EXECUTED, "v3", LEDGER, "Superseded"),
    ],
)
def test_failures_have_their_reasons(rollback: RollbackSeen, seen: object, memory: Memory, reason: str) -> None:
    todo = next_of(rollback, seen=seen, memory=memory)
    assert (todo.do, todo.reason) == (Do.FAIL, reason)
    assert todo.message


def test_person_asks_by_version_or_revision() -> None:
    memory = Memory(ledger=(replace(good("v2.0.0"), revision=7), replace(good("v1.0.0"), revision=3)))
    by_hand = RollbackSeen(name="rb", uid="u", service="app")
    for wish in ({"version": "v1.0.0"}, {"version": "1.0.0"}, {"revision": 3}):
        todo = next_of(replace(by_hand, **wish), seen="v2.0.0", memory=memory)  # type: ignore[arg-type]
        assert todo.target is not None
        assert todo.target.version == "v1.0.0"
    assert next_of(by_hand, seen="v2.0.0", memory=memory).target.version == "v1.0.0"  # type: ignore[union-attr]


def test_validation_counts_only_what_came_after_the_rollout() -> None:
    world = World(seen=target("v1"), memory=replace(LEDGER, complete_since=1_000_100.0))
    world.now = 1_000_090.0
    world.outcome(PASS)
    todo = next_of(EXECUTED, seen="v1", memory=world.memory, now=1_000_110)
    assert (todo.do, todo.reason) == (Do.WAIT, "WaitingForProbes")
    world.now = 1_000_111.0
    world.outcome(PASS)
    assert next_of(EXECUTED, seen="v1", memory=world.memory, now=1_000_112).do is Do.VALIDATE


def test_validation_ends_in_failure_when_time_is_up() -> None:
    under_way = replace(target("v1"), complete=False)
    assert next_of(EXECUTED, seen=under_way, now=1_000_699).reason == "RolloutUnderWay"
    assert next_of(EXECUTED, seen=under_way, now=1_000_701).reason == "RolloutTimeout"
    world = World(seen=target("v1"), memory=replace(LEDGER, complete_since=1_000_100.0))
    for _ in range(3):
        world.outcome(FAIL)
    assert next_of(EXECUTED, seen="v1", memory=world.memory, now=1_000_401).reason == "ProbesNotGreen"
