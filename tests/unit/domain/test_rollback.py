"""The next step of a Rollback: each thing to do, each way to fail, and a crash after each of them."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0, failing, good, green, passing, plan, seen

from lastgood.domain.health import Health
from lastgood.domain.model import Memory, Plan, TargetSeen
from lastgood.domain.revision import ConfigSeen
from lastgood.domain.rollback import FINAL, STEPS, Do, Next, RollbackSeen, advance, find_target, outcome_of

MEMORY = green(T0 - 50, key="v2", ledger=(good("v1"), good("v0", revision=9, version="0.9")))


def done(*, upto: str) -> frozenset[str]:
    """The names of all steps before this one."""
    return frozenset(STEPS[: STEPS.index(upto)])


def rollback(step: str = "Identified", **changes: Any) -> RollbackSeen:
    base = RollbackSeen(
        name="rb",
        uid="rb-uid",
        service="shop",
        done=done(upto=step),
        bad_key="v2",
        target_key="v1",
        from_template_hash="t-v2",
    )
    return replace(base, **changes)


def nexts(
    step: str,
    *,
    plan_: Plan | None = None,
    memory: Memory = MEMORY,
    target: TargetSeen | None = None,
    missing: tuple[str, ...] = (),
    now: float = T0,
    gone: bool = False,
    no_service: bool = False,
    **changes: Any,
) -> Next:
    return advance(
        rollback=rollback(step, **changes),
        plan=None if no_service else plan_ or plan(),
        memory=memory,
        seen=None if gone else target or seen("v2"),
        missing=missing,
        now=now,
    )


V1 = seen("v1", rolled_back_by="rb-uid")
"""The target after the patch."""

AFTER = green(T0 - 50, probes={"http": passing(T0 - 50, last=T0 - 1)}, ledger=MEMORY.ledger)
"""Complete and green after a patch at T0 - 100."""

PATCHED = {"target": V1, "executed_at": T0 - 100}
APPROVE = (
    "waiting for approval: kubectl patch rollback rb --type=merge "
    """-p '{"spec":{"approval":"Approved"}}' (or "Refused")"""
)


@pytest.mark.parametrize(
    ("found", "do", "step"),
    [
        pytest.param(nexts("Identified"), Do.IDENTIFY, "Identified", id="first step"),
        pytest.param(nexts("Prepared"), Do.PREPARE, "Prepared", id="second step"),
        pytest.param(nexts("Executed"), Do.EXECUTE, "Executed", id="third step"),
        pytest.param(nexts("Executed", dry_run=True), Do.REHEARSE, "Executed", id="third step of a dry run"),
        pytest.param(nexts("Executed", needs_approval=True), Do.AWAIT_APPROVAL, "Executed", id="needs approval"),
        pytest.param(
            nexts("Executed", needs_approval=True, approval="Approved"), Do.EXECUTE, "Executed", id="approved"
        ),
        pytest.param(
            nexts("Executed", needs_approval=True, dry_run=True),
            Do.AWAIT_APPROVAL,
            "Executed",
            id="approval goes first",
        ),
        pytest.param(nexts("Executed", target=V1), Do.ADOPT, "Executed", id="killed after the patch"),
        pytest.param(
            nexts("Executed", target=V1, approval="Refused"),
            Do.ADOPT,
            "Executed",
            id="a refusal after the patch is late",
        ),
        pytest.param(
            nexts("Executed", target=seen("half", template_hash="t-v2")),
            Do.EXECUTE,
            "Executed",
            id="killed between ConfigMaps and template",
        ),
        pytest.param(
            nexts("Executed", target=seen("v2", rolled_back_by="older-uid")),
            Do.EXECUTE,
            "Executed",
            id="the annotation of an older rollback is not ours",
        ),
        pytest.param(nexts("Executed", missing=("Secret db",)), Do.EXECUTE, "Executed", id="asked before, not again"),
        pytest.param(
            nexts("Validated", memory=AFTER, **PATCHED), Do.VALIDATE, "Validated", id="green after the rollout"
        ),
        pytest.param(nexts("Documented", target=V1), Do.DOCUMENT, "Documented", id="last step"),
        pytest.param(
            nexts("Documented", done=frozenset(STEPS), target=V1),
            Do.DOCUMENT,
            "Documented",
            id="all done, phase not yet",
        ),
        pytest.param(nexts("Identified", approval="Refused"), Do.REFUSE, "Identified", id="refused at once"),
        pytest.param(nexts("Prepared", approval="Refused"), Do.REFUSE, "Prepared", id="refused in preparation"),
        pytest.param(nexts("Executed", approval="Refused"), Do.REFUSE, "Executed", id="refused before the patch"),
        *(pytest.param(nexts("Identified", phase=phase), Do.NOTHING, "", id=phase) for phase in sorted(FINAL)),
    ],
)
def test_does(found: Next, do: Do, step: str) -> None:
    assert (found.do, found.step) == (do, step)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_that_acts_names_the_target(step: str) -> None:
    found = nexts(step, memory=AFTER, **(PATCHED if step in {"Validated", "Documented"} else {}))
    assert found.target == good("v1")


def test_waiting_for_approval_says_the_command() -> None:
    found = nexts("Executed", needs_approval=True)
    assert (found.reason, found.message) == ("AwaitingApproval", APPROVE)


def test_a_refusal_says_that_nothing_was_changed() -> None:
    found = nexts("Executed", needs_approval=True, approval="Refused")
    assert (found.reason, found.message) == ("Refused", "a person refused this rollback: nothing was changed")


_ALL = ("Identified", "Prepared", "Executed", "Validated", "Documented")
_BEFORE = ("Identified", "Prepared")
_PAUSED = "the Deployment is paused: kubectl rollout resume deployment/backend"
_SLOW = green(T0 - 50, complete_since=None, ledger=MEMORY.ledger)
_RED = green(T0 - 50, probes={"http": failing(T0 - 50)}, health=Health("False", T0 - 50), ledger=MEMORY.ledger)

FAILURES = [
    *(
        pytest.param(
            nexts(step, no_service=True),
            step,
            "ServiceNotFound",
            'MonitoredService "shop" does not exist in this namespace',
            id=f"no service, {step}",
        )
        for step in _ALL
    ),
    *(
        pytest.param(
            nexts(step, gone=True),
            step,
            "TargetNotFound",
            'Deployment "backend" does not exist',
            id=f"no target, {step}",
        )
        for step in _ALL
    ),
    *(
        pytest.param(
            nexts(step, target_key="v7"),
            step,
            "NoSuchGoodRevision",
            "no such good revision; known are: v1 (revision 1), 0.9 (revision 9)",
            id=f"unknown goal, {step}",
        )
        for step in _BEFORE
    ),
    pytest.param(
        nexts("Identified", target_key="", memory=replace(MEMORY, ledger=())),
        "Identified",
        "NoSuchGoodRevision",
        "no such good revision; known are: none",
        id="empty ledger",
    ),
    *(
        pytest.param(
            nexts(step, target=seen("v1")),
            step,
            "AlreadyRunning",
            "v1 is what is running now: nothing to go back to",
            id=f"goal runs, {step}",
        )
        for step in _BEFORE
    ),
    *(
        pytest.param(
            nexts(step, target=seen("v3")),
            step,
            "Superseded",
            "another revision was released meanwhile: this rollback no longer applies",
            id=f"released meanwhile, {step}",
        )
        for step in _BEFORE
    ),
    *(
        pytest.param(nexts(step, target=seen("v2", paused=True)), step, "TargetPaused", _PAUSED, id=f"paused, {step}")
        for step in (*_BEFORE, "Executed")
    ),
    *(
        pytest.param(
            nexts(step, target=seen("v2", gitops="Flux")),
            step,
            "GitOpsManaged",
            "Flux manages this Deployment: revert there, or set spec.rollback.gitOps to Override",
            id=f"GitOps, {step}",
        )
        for step in _BEFORE
    ),
    *(
        pytest.param(
            nexts(step, missing=("ConfigMap app", "Secret db")),
            step,
            "ConfigGone",
            "v1 needs ConfigMap app, Secret db, which does not exist",
            id=f"configuration gone, {step}",
        )
        for step in _BEFORE
    ),
    *(
        pytest.param(
            nexts(step, target_key="v7", target=V1),
            step,
            "TargetForgotten",
            "the good revision fell out of the ledger: raise spec.stability.keep",
            id=f"forgotten, {step}",
        )
        for step in ("Executed", "Validated", "Documented")
    ),
    pytest.param(
        nexts("Executed", target=seen("v3")),
        "Executed",
        "Superseded",
        "another revision was released before the patch: this rollback no longer applies",
        id="released just before the patch",
    ),
    pytest.param(
        nexts("Executed", target=seen("half", template_hash="t-v2"), plan_=plan(restore_config_maps=False)),
        "Executed",
        "Superseded",
        "another revision was released before the patch: this rollback no longer applies",
        id="ConfigMaps are left alone, so this is no half-way",
    ),
    pytest.param(
        nexts("Validated", memory=AFTER, target=seen("v3"), executed_at=T0 - 100),
        "Validated",
        "Superseded",
        "another release changed the pod template while the rollback was being validated",
        id="released while validating",
    ),
    pytest.param(
        nexts("Validated", memory=_SLOW, target=V1, executed_at=T0 - 600),
        "Validated",
        "RolloutTimeout",
        "the rollout of v1 was not complete within 10m",
        id="rollout too slow",
    ),
    pytest.param(
        nexts("Validated", memory=_RED, target=V1, executed_at=T0 - 400, now=T0 + 250),
        "Validated",
        "ProbesNotGreen",
        "probes were not green within 5m after the rollout of v1",
        id="not green",
    ),
]


@pytest.mark.parametrize(("found", "step", "reason", "message"), FAILURES)
def test_fails(found: Next, step: str, reason: str, message: str) -> None:
    assert found == Next(Do.FAIL, step, reason, message)


def test_every_do_is_reached_by_a_case() -> None:
    waits = nexts("Validated", memory=_SLOW, **PATCHED)
    assert waits.do is Do.WAIT
    cases = test_does.pytestmark[0].args[1]
    assert {case.values[1] for case in cases} | {Do.WAIT, Do.FAIL} == set(Do)


@pytest.mark.parametrize(
    ("found", "reason", "until"),
    [
        pytest.param(nexts("Validated", memory=_SLOW, **PATCHED), "RolloutUnderWay", T0 + 500, id="rollout"),
        pytest.param(
            nexts("Validated", memory=AFTER, target=replace(V1, complete=False), executed_at=T0 - 100),
            "RolloutUnderWay",
            T0 + 500,
            id="the memory is of before the patch",
        ),
        pytest.param(nexts("Validated", memory=_RED, **PATCHED), "WaitingForProbes", T0 + 250, id="probes fail"),
        pytest.param(
            nexts("Validated", memory=replace(AFTER, probes={"http": passing(T0 - 500, last=T0 - 51)}), **PATCHED),
            "WaitingForProbes",
            T0 + 250,
            id="the last pass was of before the rollout's end",
        ),
        pytest.param(
            nexts(
                "Validated",
                memory=replace(AFTER, probes={"a": passing(T0 - 50, last=T0), "b": passing(T0 - 500, last=T0 - 51)}),
                **PATCHED,
            ),
            "WaitingForProbes",
            T0 + 250,
            id="one of two probes has not passed since",
        ),
        pytest.param(
            nexts("Validated", memory=replace(AFTER, complete_since=T0 - 900), target=V1, executed_at=T0),
            "WaitingForProbes",
            T0 + 300,
            id="complete since before the patch: the patch counts",
        ),
        pytest.param(
            nexts("Validated", memory=AFTER, target=replace(V1, completed_at=T0), executed_at=T0 - 100),
            "WaitingForProbes",
            T0 + 300,
            id="the controller tells of a later end",
        ),
        pytest.param(
            nexts("Validated", memory=replace(AFTER, health=Health("Unknown", T0 - 9)), **PATCHED),
            "WaitingForProbes",
            T0 + 250,
            id="unknown is not green",
        ),
    ],
)
def test_waits(found: Next, reason: str, until: float) -> None:
    assert (found.do, found.reason, found.recheck_at) == (Do.WAIT, reason, until)


def test_without_a_time_of_the_patch_the_wait_begins_now() -> None:
    """Killed between the adopted patch and the note of when it was: rather wait longer than fail at once."""
    assert nexts("Validated", memory=_SLOW, target=V1, executed_at=None).recheck_at == T0 + 600


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_crash_before_the_patch_does_the_same_step_again(step: str) -> None:
    assert nexts(step) == nexts(step)
    assert nexts(step).step == step


def test_a_crash_at_any_point_leads_through_the_five_steps_and_patches_once() -> None:
    """Each answer is carried out, and forgotten or noted; what was patched is never patched again."""
    for crash in STEPS:
        done_: set[str] = set()
        target, patches, crashed, order = seen("v2"), 0, False, []
        for _ in range(12):
            found = nexts("Identified", done=frozenset(done_), target=target, memory=AFTER, executed_at=T0 - 100)
            if found.do is Do.EXECUTE:
                target, patches = V1, patches + 1
            order.append(found.do)
            if found.step == crash and not crashed:
                crashed = True
                continue
            done_.add(found.step)
            if found.do is Do.DOCUMENT:
                break
        assert patches == 1
        assert done_ == set(STEPS)
        assert (Do.ADOPT in order) == (crash == "Executed")


@pytest.mark.parametrize(
    ("goal", "key"),
    [
        pytest.param({"target_key": "v1"}, "v1", id="key"),
        pytest.param({"target_key": "v7"}, None, id="unknown key"),
        pytest.param({"target_key": "", "revision": 9}, "v0", id="revision"),
        pytest.param({"target_key": "", "revision": 8}, None, id="unknown revision"),
        pytest.param({"target_key": "", "version": "0.9"}, "v0", id="version"),
        pytest.param({"target_key": "", "version": "v0.9"}, "v0", id="version with a v"),
        pytest.param({"target_key": "", "version": "1"}, "v1", id="version without its v"),
        pytest.param({"target_key": "", "version": "7"}, None, id="unknown version"),
        pytest.param({"target_key": ""}, "v1", id="the newest"),
    ],
)
def test_find_target(goal: dict[str, Any], key: str | None) -> None:
    found = find_target(rollback(**goal), MEMORY, seen("v2"))
    assert (found.key if found else None) == key


def test_the_newest_good_one_is_not_the_running_one() -> None:
    found = find_target(rollback(target_key=""), MEMORY, seen("v1"))
    assert found is not None
    assert found.key == "v0"


def test_a_rollback_by_hand_applies_whatever_runs() -> None:
    by_hand = {"bad_key": "", "target_key": "", "revision": 9}
    assert nexts("Identified", target=seen("v3"), **by_hand).do is Do.IDENTIFY
    assert nexts("Executed", target=seen("v3"), **by_hand).do is Do.EXECUTE


@pytest.mark.parametrize(
    ("phase", "reason", "upto", "outcome"),
    [
        ("Failed", "Superseded", "Executed", "Superseded"),
        ("Failed", "Superseded", "Validated", "Failed"),
        ("Failed", "ProbesNotGreen", "Validated", "Failed"),
        ("Failed", "ConfigGone", "Prepared", "Failed"),
        ("Succeeded", "Succeeded", "Documented", "Succeeded"),
    ],
)
def test_outcome_of(phase: str, reason: str, upto: str, outcome: str) -> None:
    assert outcome_of(phase, reason, done(upto=upto)) == outcome


def test_superseded_halfway_says_what_was_put_back_already() -> None:
    """Killed, or overtaken, between the ConfigMaps and the template."""
    differ = (("settings", "bad", "good"), ("other", "old", "new"))
    configs = (ConfigSeen("ConfigMap", "other", "theirs"), ConfigSeen("ConfigMap", "settings", "good"))
    found = nexts("Executed", target=seen("v3", configs=configs), config_maps=differ, kept_as="shop-v2")
    assert (found.do, found.reason) == (Do.FAIL, "Superseded")
    assert "ConfigMap settings had been put back already" in found.message
    assert "ControllerRevision shop-v2" in found.message
    untouched = nexts("Executed", target=seen("v3"), config_maps=differ, kept_as="shop-v2")
    assert "put back" not in untouched.message
