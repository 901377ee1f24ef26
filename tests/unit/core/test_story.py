"""What follows from what was seen: named stories, each with the reason that it must end in."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.core.world import FAIL, PASS, PLAN, UNKNOWN, World, good, target
from tests.unit.domain.build import health_breach

from lastgood.domain.guards import CHAIN, Case, first_objection
from lastgood.domain.model import Surroundings


def good_then_bad(**plan: object) -> World:
    world = World(plan=replace(PLAN, **plan))  # type: ignore[arg-type]
    world.run(120, PASS)
    assert world.recorded == ["k-v1"]
    world.seen = target("v2")
    return world


def test_bad_release_is_rolled_back_after_five_minutes() -> None:
    world = good_then_bad()
    world.run(300, FAIL)
    assert not world.started
    world.run(30, FAIL)
    (at, action), *more = world.started
    assert not more
    assert action.target.version == "v1"
    assert at - action.breach_since == 300


def test_v1_good_v2_bad_v3_bad_goes_to_v1() -> None:
    world = good_then_bad()
    world.run(180, FAIL)
    world.seen = target("v3")
    world.run(150, FAIL)
    assert [a.target.version for _, a in world.started] == ["v1"]
    assert world.started[0][1].bad_key == "k-v3"


def test_second_bad_release_after_a_rollback_waits_for_the_cooldown_only() -> None:
    world = good_then_bad()
    world.run(360, FAIL)
    world.finish()
    ended = world.now
    world.run(60, PASS)
    world.seen = target("v3")
    world.run(330, FAIL)
    assert world.reason("RollingBack") == "Cooldown"
    world.run(600, FAIL)
    assert [a.bad_key for _, a in world.started] == ["k-v2", "k-v3"]
    assert world.started[1][0] - ended >= PLAN.cooldown


def test_same_bad_revision_again_is_quarantined() -> None:
    world = good_then_bad()
    world.run(360, FAIL)
    world.finish()
    world.run(60, PASS)
    world.seen = target("v2")
    world.run(3600, FAIL)
    assert world.reason("RollingBack") == "Quarantined"
    assert len(world.started) == 1


def test_failing_for_four_minutes_before_a_kill_is_rolled_back_one_minute_after() -> None:
    world = good_then_bad()
    world.run(270, FAIL)
    since = world.memory.health.since
    world.now += 10
    world.restart(unobserved=10)
    assert world.memory.health.since == since + 10
    world.run(60, FAIL)
    assert len(world.started) == 1


def test_a_restored_failure_alone_rolls_nothing_back() -> None:
    world = good_then_bad()
    world.run(270, FAIL)
    world.restart()
    world.now += 3600
    world.step()
    assert world.reason("RollingBack") == "TooFewSamples"
    world.outcome(PASS)
    world.step()
    assert world.memory.health.state == "True"
    assert not world.started


def test_unknown_is_never_bad_and_does_not_end_a_failure_at_once() -> None:
    world = good_then_bad()
    world.run(3600, UNKNOWN)
    assert world.memory.health.state == "Unknown"
    assert not world.started

    world = good_then_bad()
    world.run(240, FAIL)
    world.now += 30
    world.outcome(UNKNOWN)
    world.step()
    assert world.memory.health.state == "False"
    world.run(60, FAIL)
    assert len(world.started) == 1


def test_good_revision_that_breaks_is_not_rolled_back() -> None:
    world = World()
    world.run(120, PASS)
    world.run(600, FAIL)
    assert world.reason("RollingBack") == "AlreadyOnLastGood"


def test_breach_that_began_before_the_release_is_not_its_fault() -> None:
    world = World()
    world.run(120, PASS)
    world.run(200, FAIL)
    world.seen = target("v2")
    world.run(600, FAIL)
    assert world.reason("RollingBack") == "BreachOlderThanRelease"


def test_pods_that_come_and_go_begin_the_soak_anew() -> None:
    world = World()
    world.run(45, PASS, every=15)
    world.seen = replace(target("v1"), complete=False)
    world.step()
    world.seen = target("v1", completed_at=world.now - 3600)
    world.run(30, PASS, every=15)
    assert not world.recorded
    world.run(45, PASS, every=15)
    assert world.recorded == ["k-v1"]


def test_restart_during_the_soak_neither_shortens_nor_restarts_it() -> None:
    world = World(seen=target("v1", completed_at=1_000_000.0))
    world.run(30, PASS, every=10)
    world.restart()
    world.run(20, PASS, every=10)
    assert not world.recorded
    world.run(20, PASS, every=10)
    assert world.recorded == ["k-v1"]


BLOCKS: list[tuple[str, Callable[[World], None]]] = [
    ("Disabled", lambda w: setattr(w, "plan", replace(w.plan, policy="Disabled"))),
    ("TargetNotFound", lambda w: setattr(w, "seen", None)),
    ("TargetPaused", lambda w: setattr(w, "seen", target("v2", paused=True))),
    ("ScaledToZero", lambda w: setattr(w, "seen", target("v2", replicas=0))),
    ("NoGoodRevision", lambda w: setattr(w, "memory", replace(w.memory, ledger=()))),
    ("AlreadyOnLastGood", lambda w: setattr(w, "memory", replace(w.memory, ledger=(good("v2"),)))),
    ("BreachOlderThanRelease", lambda w: setattr(w, "memory", replace(w.memory, left_good_at=w.now))),
    ("ConnectivitySuspect", lambda w: setattr(w, "around", Surroundings(connectivity="no answer"))),
    ("MassBreach", lambda w: setattr(w, "around", Surroundings(mass_breach="9 of 10 services fail at once"))),
    ("DependencyUnhealthy", lambda w: setattr(w, "around", Surroundings(failing_dependencies=("db",)))),
    ("DependencyUnknown", lambda w: setattr(w, "around", Surroundings(unknown_dependencies=("db",)))),
    ("TooFewSamples", lambda w: w.outcome(UNKNOWN)),
    ("GitOpsManaged", lambda w: setattr(w, "seen", target("v2", gitops="Argo CD"))),
    ("ConfigGone", lambda w: setattr(w, "around", Surroundings(missing_configs=("Secret db",)))),
    ("StormLimit", lambda w: setattr(w, "around", Surroundings(rollbacks_under_way=5))),
]


@pytest.mark.parametrize(("reason", "spoil"), BLOCKS, ids=[r for r, _ in BLOCKS])
def test_each_guard_objects_and_otherwise_does_not(reason: str, spoil: Callable[[World], None]) -> None:
    world = good_then_bad()
    world.run(300, FAIL)
    world.now += 30
    world.outcome(FAIL)
    memory = world.decide().memory
    case = Case(
        plan=world.plan,
        memory=memory,
        seen=world.seen,
        around=world.around,
        now=world.now,
        breach=health_breach(world.plan, memory),
    )
    assert first_objection(case, CHAIN) is None
    spoil(world)
    decision = world.decide()
    rolling = decision.conditions[-1]
    assert rolling.reason == reason
    assert rolling.message
    assert not decision.actions


def test_policies_manual_and_dry_run() -> None:
    world = good_then_bad(policy="Manual")
    world.run(330, FAIL)
    assert world.started[0][1].needs_approval
    world.finish("Refused")
    world.run(600, FAIL)
    assert world.reason("RollingBack") == "Refused"

    world = good_then_bad(policy="DryRun")
    world.run(330, FAIL)
    assert world.started[0][1].dry_run
    world.finish("DryRun")
    world.run(600, FAIL)
    assert world.reason("RollingBack") == "DryRun"
    world.plan = replace(world.plan, policy="Automatic")
    world.run(30, FAIL)
    assert len(world.started) == 2
    assert not world.started[1][1].dry_run
