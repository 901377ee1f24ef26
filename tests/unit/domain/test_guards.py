"""Each guard both ways, its exact Reason, and the order of the chain."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.domain.build import T0, around, breaching, failing, good, health_breach, mark, plan, seen

from lastgood.domain import guards
from lastgood.domain.guards import CHAIN, Case, Guard, first_objection
from lastgood.domain.health import Health
from lastgood.domain.model import Current
from lastgood.domain.outcome import Verdict
from lastgood.domain.triggers import Breach, Trigger, TriggerKind

HEALTH = health_breach(plan(), breaching())
"""Stands for the breach of health that a case's own memory tells of."""

CLEAR = Case(plan=plan(), memory=breaching(), seen=seen(), around=around(), now=T0, breach=HEALTH)
"""A breach of v2 that nothing speaks against."""


def faced(case: Case) -> Case:
    """The case with the breach that its memory tells of, unless it names another one."""
    return replace(case, breach=health_breach(case.plan, case.memory)) if case.breach is HEALTH else case


def with_breach(kind: TriggerKind, **changes: object) -> Case:
    """A breach of something else than health, since two minutes and for one."""
    base = Breach(Trigger(kind, "latency", lasting=60), T0 - 120, "it is slow", T0 - 60, objective="latency")
    return replace(CLEAR, breach=replace(base, **changes))


def with_memory(**changes: object) -> Case:
    return replace(CLEAR, memory=breaching(**changes))


def with_plan(**changes: object) -> Case:
    return replace(CLEAR, plan=plan(**changes))


def with_seen(**changes: object) -> Case:
    return replace(CLEAR, seen=seen(**changes))


def with_around(**changes: object) -> Case:
    return replace(CLEAR, around=around(**changes))


OBJECTS: list[tuple[str, Guard, Case, str, str, float | None]] = [
    (
        "policy",
        guards.policy_disabled,
        with_plan(policy="Disabled"),
        "Disabled",
        "rollback is off for this service: set spec.rollback.policy to turn it on",
        None,
    ),
    (
        "no target",
        guards.target_missing,
        replace(CLEAR, seen=None),
        "TargetNotFound",
        'Deployment "backend" does not exist: create it',
        None,
    ),
    (
        "paused",
        guards.target_paused,
        with_seen(paused=True),
        "TargetPaused",
        "the Deployment is paused: kubectl rollout resume deployment/backend",
        None,
    ),
    (
        "no replicas",
        guards.scaled_to_zero,
        with_seen(replicas=0),
        "ScaledToZero",
        "the Deployment asks for no replicas, so no revision is at fault: scale it up",
        None,
    ),
    (
        "empty ledger",
        guards.no_good_revision,
        with_memory(ledger=()),
        "NoGoodRevision",
        (
            "no revision of this service has been seen to be good yet: one must be complete and green for 10m "
            "(spec.stability.soak)"
        ),
        None,
    ),
    (
        "a signal that stands after the way back",
        guards.already_good,
        replace(
            with_breach(TriggerKind.SIGNAL, trigger=Trigger(TriggerKind.SIGNAL, "SecurityIncident")),
            memory=breaching(ledger=(good("v2"), good("v1"))),
        ),
        "AlreadyOnLastGood",
        (
            "the running revision was seen to be good, and SecurityIncident still stands: resolve it once it is dealt "
            "with; to go back further, create a Rollback with to.revision or to.version"
        ),
        None,
    ),
    (
        "on the newest good one",
        guards.already_good,
        with_memory(ledger=(good("v2"), good("v1"))),
        "AlreadyOnLastGood",
        (
            "the running revision was seen to be good, so the cause is not the release: look at dependencies, data "
            "and the platform; to go back all the same, create a Rollback with to.revision or to.version"
        ),
        None,
    ),
    (
        "on an older good one",
        guards.already_good,
        with_memory(ledger=(good("v3"), good("v2"))),
        "AlreadyOnLastGood",
        "the running revision was seen",
        None,
    ),
    (
        "failing before the release",
        guards.breach_older_than_release,
        with_memory(left_good_at=T0 - 299),
        "BreachOlderThanRelease",
        (
            "health was failing since 07:55:00Z, before the release at 07:55:01Z: the cause is older; this lifts once "
            "the service has been healthy"
        ),
        None,
    ),
    (
        "failing before the first release seen",
        guards.breach_older_than_release,
        with_memory(left_good_at=None, current=Current("v2", T0 - 100)),
        "BreachOlderThanRelease",
        "health was failing since",
        None,
    ),
    (
        "own connectivity",
        guards.connectivity_suspect,
        with_around(connectivity="the API server does not answer"),
        "ConnectivitySuspect",
        "Lastgood's own connectivity is in doubt (the API server does not answer): lifts when that works again",
        T0 + 5,
    ),
    (
        "own connectivity a moment ago",
        guards.connectivity_suspect,
        with_around(trouble_at=T0 - 29),
        "ConnectivitySuspect",
        "Lastgood's own connectivity was in doubt until 07:59:31Z: what failed then must fail now, too",
        T0 + 1,
    ),
    (
        "scaled up a moment ago",
        guards.resumed_lately,
        with_memory(resumed_at=T0 - 299),
        "ResumedLately",
        "the Deployment was resumed or scaled up at 07:55:01Z: a rollback is considered at 08:00:01Z",
        T0 + 1,
    ),
    (
        "dependency back a moment ago",
        guards.dependency_unhealthy,
        with_around(healthy_dependencies=(("redis", T0 - 9999), ("postgres", T0 - 299))),
        "DependencyRecovering",
        "depends on postgres, which is healthy since 07:55:01Z only: a rollback is considered at 08:00:01Z",
        T0 + 1,
    ),
    (
        "mass breach",
        guards.mass_breach,
        with_around(mass_breach="7 of 10 services fail"),
        "MassBreach",
        "7 of 10 services fail, which points to one cause outside this service: lifts when fewer fail",
        T0 + 10,
    ),
    (
        "dependency down",
        guards.dependency_unhealthy,
        with_around(failing_dependencies=("postgres", "redis"), unknown_dependencies=("smtp",)),
        "DependencyUnhealthy",
        "depends on postgres, redis, which is failing: lifts when that is healthy",
        None,
    ),
    (
        "dependency unknown",
        guards.dependency_unhealthy,
        with_around(unknown_dependencies=("smtp",)),
        "DependencyUnknown",
        "depends on smtp, whose health is not known: lifts when it is seen to be healthy",
        None,
    ),
    (
        "restored, nothing seen yet",
        guards.too_few_samples,
        with_memory(probes={"http": failing(T0 - 300, run=None)}),
        "TooFewSamples",
        "the latest outcome of the failing probe is no failure: waiting for the next",
        None,
    ),
    (
        "written anew, and never passed",
        guards.probe_unproven,
        with_memory(probes={"http": failing(T0 - 300)._replace(proven=False)}),
        "ProbeUnproven",
        "probe http has not passed once since it was written as it is, so it may be what is wrong",
        None,
    ),
    (
        "a proven one fails, but not for long",
        guards.probe_unproven,
        with_memory(probes={"http": failing(T0 - 10), "new": failing(T0 - 300)._replace(proven=False)}),
        "ProbeUnproven",
        "of the failing probes, those that have passed as they are written fail since 07:59:50Z only: a rollback is",
        T0 + 290,
    ),
    (
        "latest outcome unknown",
        guards.too_few_samples,
        with_memory(probes={"http": failing(T0 - 300, run=Verdict.UNKNOWN)}),
        "TooFewSamples",
        "the latest outcome of the failing probe is no failure",
        None,
    ),
    (
        "latest outcome a pass",
        guards.too_few_samples,
        with_memory(probes={"http": failing(T0 - 300, run=Verdict.PASS)}),
        "TooFewSamples",
        "the latest outcome of the failing probe is no failure",
        None,
    ),
    (
        "GitOps",
        guards.gitops_managed,
        with_seen(gitops="Argo CD"),
        "GitOpsManaged",
        (
            "Argo CD manages this Deployment and would undo a rollback: revert the release in its repository, or set "
            "spec.rollback.gitOps to Override"
        ),
        None,
    ),
    (
        "configuration gone",
        guards.config_gone,
        with_around(missing_configs=("Secret db",)),
        "ConfigGone",
        "the last good revision needs Secret db, which no longer exists: create it again",
        None,
    ),
    (
        "rolled back before",
        guards.quarantined,
        with_memory(marks=(mark(),)),
        "Quarantined",
        (
            "this revision was rolled back before (Rollback rb) and came back: Lastgood does not fight; release "
            "another revision, or create a Rollback by hand"
        ),
        None,
    ),
    (
        "failed before",
        guards.quarantined,
        with_memory(marks=(mark(outcome="Failed"),)),
        "RollbackFailed",
        "Rollback rb from this revision failed: see kubectl describe rollback rb",
        None,
    ),
    (
        "superseded before the patch and back again",
        guards.quarantined,
        with_memory(marks=(mark(outcome="Superseded"),)),
        "Quarantined",
        "this revision was about to be rolled back before (Rollback rb) and came back",
        None,
    ),
    (
        "refused before",
        guards.quarantined,
        with_memory(marks=(mark(outcome="Refused"),)),
        "Refused",
        "a person refused Rollback rb of this revision",
        None,
    ),
    (
        "deleted before",
        guards.quarantined,
        with_memory(marks=(mark(outcome="Deleted"),)),
        "RollbackDeleted",
        (
            "Rollback rb of this revision was deleted before it ended, which is taken for a no: "
            "create one by hand to go back"
        ),
        None,
    ),
    (
        "rehearsed before",
        guards.quarantined,
        replace(with_memory(marks=(mark(outcome="DryRun"),)), plan=plan(policy="DryRun")),
        "DryRun",
        "rehearsed in Rollback rb; set policy to Automatic or Manual to act",
        None,
    ),
    (
        "objective that is breached since before the release",
        guards.breach_older_than_release,
        replace(with_breach(TriggerKind.OBJECTIVE), memory=breaching(left_good_at=T0 - 100)),
        "BreachOlderThanRelease",
        "what is wrong (it is slow) began at 07:58:00Z, before the release at 07:58:20Z: the cause is older; this lifts",
        None,
    ),
    (
        "objective that the latest sample does not confirm",
        guards.too_few_samples,
        with_breach(TriggerKind.OBJECTIVE, confirmed=False),
        "TooFewSamples",
        "the latest sample of objective latency does not say so, or is too old: waiting for the next",
        None,
    ),
    (
        "objective that was never met as it is written",
        guards.objective_unproven,
        with_breach(TriggerKind.OBJECTIVE, proven=False),
        "ObjectiveUnproven",
        "objective latency was breached ever since it was written as it is, so it may be what is wrong",
        None,
    ),
    (
        "signal while the cooldown lasts",
        guards.cooldown,
        replace(
            with_breach(TriggerKind.SIGNAL),
            memory=breaching(marks=(mark(bad_key="v0", at=T0 - 700, ended=T0 - 599),)),
        ),
        "Cooldown",
        "the last rollback ended at 07:50:01Z: lifts at 08:00:01Z",
        T0 + 1,
    ),
    (
        "cooldown",
        guards.cooldown,
        with_memory(marks=(mark(bad_key="v0", at=T0 - 700, ended=T0 - 599),)),
        "Cooldown",
        "the last rollback ended at 07:50:01Z: lifts at 08:00:01Z",
        T0 + 1,
    ),
    (
        "cooldown of the latest of two",
        guards.cooldown,
        with_memory(marks=(mark("a", "v8", ended=T0 - 900), mark("b", "v9", ended=T0 - 10))),
        "Cooldown",
        "the last rollback ended at 07:59:50Z: lifts at 08:09:50Z",
        T0 + 590,
    ),
    (
        "a failed rollback cools down too",
        guards.cooldown,
        with_memory(marks=(mark(bad_key="v0", ended=T0 - 10, outcome="Failed"),)),
        "Cooldown",
        "the last rollback ended",
        T0 + 590,
    ),
    (
        "limit",
        guards.limit_reached,
        with_memory(marks=tuple(mark(f"r{n}", f"b{n}", T0 - 3600 * n) for n in (1, 2, 3))),
        "LimitReached",
        "3 rollbacks in 24h (spec.rollback.limit): lifts at 05:00:00Z",
        T0 - 3 * 3600 + 86400,
    ),
    (
        "more than the limit, after it was lowered",
        guards.limit_reached,
        replace(with_memory(marks=tuple(mark(f"r{n}", f"b{n}", T0 - 3600 * n) for n in (1, 2, 3))), plan=plan(limit=2)),
        "LimitReached",
        "3 rollbacks in 24h (spec.rollback.limit): lifts at 06:00:00Z",
        T0 - 2 * 3600 + 86400,
    ),
    (
        "storm",
        guards.storm,
        with_around(rollbacks_under_way=5, storm_limit=5),
        "StormLimit",
        "5 rollbacks are under way in the cluster, the limit is 5: waits for one to end",
        T0 + 5,
    ),
]

CONTENT: list[tuple[str, Guard, Case]] = [
    ("automatic", guards.policy_disabled, CLEAR),
    ("manual", guards.policy_disabled, with_plan(policy="Manual")),
    ("dry run", guards.policy_disabled, with_plan(policy="DryRun")),
    ("target there", guards.target_missing, CLEAR),
    ("not paused", guards.target_paused, CLEAR),
    ("no target is not paused", guards.target_paused, replace(CLEAR, seen=None)),
    ("one replica", guards.scaled_to_zero, with_seen(replicas=1)),
    ("one good revision", guards.no_good_revision, CLEAR),
    ("another one was good", guards.already_good, CLEAR),
    ("failing from the very release on", guards.breach_older_than_release, with_memory(left_good_at=T0 - 300)),
    (
        "failing after the first release seen",
        guards.breach_older_than_release,
        with_memory(left_good_at=None, current=Current("v2", T0 - 300)),
    ),
    (
        "v2 bad, then v3 bad: the release that counts is v2",
        guards.breach_older_than_release,
        with_memory(left_good_at=T0 - 400, current=Current("v3", T0 - 100)),
    ),
    ("connected", guards.connectivity_suspect, CLEAR),
    ("connected for long enough", guards.connectivity_suspect, with_around(trouble_at=T0 - 30)),
    (
        "connected for as long as the trigger says",
        guards.connectivity_suspect,
        replace(with_around(trouble_at=T0 - 5), plan=plan(failing_for=5)),
    ),
    ("never rested", guards.resumed_lately, CLEAR),
    ("resumed long ago", guards.resumed_lately, with_memory(resumed_at=T0 - 300)),
    ("few fail", guards.mass_breach, CLEAR),
    ("dependencies healthy", guards.dependency_unhealthy, CLEAR),
    (
        "dependencies healthy for long",
        guards.dependency_unhealthy,
        with_around(healthy_dependencies=(("postgres", T0 - 300),)),
    ),
    ("fresh failure", guards.too_few_samples, CLEAR),
    ("it has passed as it is written", guards.probe_unproven, CLEAR),
    (
        "one that is proven fails for as long",
        guards.probe_unproven,
        with_memory(probes={"http": failing(T0 - 300), "new": failing(T0 - 900)._replace(proven=False)}),
    ),
    (
        "a probe that never passed does not keep an objective's breach back",
        guards.probe_unproven,
        replace(
            with_breach(TriggerKind.ERROR_RATE),
            memory=breaching(probes={"http": failing(T0 - 900)._replace(proven=False)}),
        ),
    ),
    ("health has no definition", guards.objective_unproven, CLEAR),
    (
        "objective that broke after the release, though health did before",
        guards.breach_older_than_release,
        replace(with_breach(TriggerKind.OBJECTIVE), memory=breaching(left_good_at=T0 - 200)),
    ),
    (
        "a signal waits for no time after a pause",
        guards.resumed_lately,
        replace(with_breach(TriggerKind.SIGNAL, due_at=T0 - 120), memory=breaching(resumed_at=T0 - 5)),
    ),
    (
        "a signal that is declared to skip it",
        guards.cooldown,
        replace(
            with_breach(
                TriggerKind.SIGNAL, trigger=Trigger(TriggerKind.SIGNAL, "SecurityIncident", skip_cooldown=True)
            ),
            memory=breaching(marks=(mark(bad_key="v0", at=T0 - 700, ended=T0 - 599),)),
        ),
    ),
    ("nobody else manages it", guards.gitops_managed, CLEAR),
    ("override", guards.gitops_managed, replace(with_seen(gitops="Flux"), plan=plan(override_gitops=True))),
    ("configuration there", guards.config_gone, CLEAR),
    ("another revision was rolled back", guards.quarantined, with_memory(marks=(mark(bad_key="v9"),))),
    ("rehearsed, and now Automatic", guards.quarantined, with_memory(marks=(mark(outcome="DryRun"),))),
    (
        "acted before, and now DryRun",
        guards.quarantined,
        replace(with_memory(marks=(mark(),)), plan=plan(policy="DryRun")),
    ),
    ("still under way", guards.quarantined, with_memory(marks=(mark(ended=None, outcome=""),))),
    ("no target to compare", guards.quarantined, replace(with_memory(marks=(mark(),)), seen=None)),
    ("cooldown is just over", guards.cooldown, with_memory(marks=(mark(bad_key="v0", ended=T0 - 600),))),
    ("no rollback yet", guards.cooldown, CLEAR),
    *(
        (f"{outcome} starts no cooldown", guards.cooldown, with_memory(marks=(mark(ended=T0 - 1, outcome=outcome),)))
        for outcome in ("DryRun", "Refused", "Superseded", "Deleted")
    ),
    ("one below the limit", guards.limit_reached, with_memory(marks=(mark("a"), mark("b")))),
    (
        "one of three is out of the window",
        guards.limit_reached,
        with_memory(marks=(mark("a"), mark("b"), mark("c", at=T0 - 86400))),
    ),
    *(
        (
            f"{outcome} does not count for the limit",
            guards.limit_reached,
            with_memory(marks=tuple(mark(f"r{n}", outcome=outcome) for n in range(4))),
        )
        for outcome in ("DryRun", "Refused", "Superseded", "Deleted")
    ),
    ("one below the storm limit", guards.storm, with_around(rollbacks_under_way=4)),
]


@pytest.mark.parametrize(
    ("guard", "case", "reason", "message", "recheck_at"),
    [pytest.param(*rest, id=f"{rest[0].__name__}: {name}") for name, *rest in OBJECTS],
)
def test_objects(guard: Guard, case: Case, reason: str, message: str, recheck_at: float | None) -> None:
    objection = guard(faced(case))
    assert objection is not None
    assert (objection.reason, objection.recheck_at) == (reason, recheck_at)
    assert objection.message.startswith(message)


@pytest.mark.parametrize(
    ("guard", "case"), [pytest.param(guard, case, id=f"{guard.__name__}: {name}") for name, guard, case in CONTENT]
)
def test_does_not_object(guard: Guard, case: Case) -> None:
    assert guard(faced(case)) is None


def test_every_guard_of_the_chain_has_cases_both_ways() -> None:
    assert {guard for _, guard, *_ in OBJECTS} == set(CHAIN)
    assert {guard for _, guard, _ in CONTENT} == set(CHAIN)


def test_nothing_speaks_against_the_clear_case() -> None:
    assert first_objection(faced(CLEAR)) is None


@pytest.mark.parametrize(("guard", "case"), [pytest.param(o[1], o[2], id=o[0]) for o in OBJECTS])
def test_the_chain_asks_it(guard: Guard, case: Case) -> None:
    """Each guard is what keeps this case from a rollback: without it, no other one would object alike."""
    case = faced(case)
    whole, alone = first_objection(case), guard(case)
    assert whole is not None
    assert alone is not None
    assert whole.reason == alone.reason
    without = first_objection(case, tuple(g for g in CHAIN if g is not guard))
    assert without is None or without.reason != alone.reason


def test_the_order_is_from_what_a_person_asked_for_to_what_others_do() -> None:
    assert [guard.__name__ for guard in CHAIN] == [
        "policy_disabled",
        "target_missing",
        "target_paused",
        "scaled_to_zero",
        "no_good_revision",
        "already_good",
        "breach_older_than_release",
        "resumed_lately",
        "connectivity_suspect",
        "mass_breach",
        "dependency_unhealthy",
        "too_few_samples",
        "probe_unproven",
        "objective_unproven",
        "gitops_managed",
        "config_gone",
        "quarantined",
        "cooldown",
        "limit_reached",
        "storm",
    ]


def _everything_wrong() -> list[tuple[str, Callable[[Case], Case]]]:
    """For each Reason, in order, what removes it from a case in which everything is wrong."""
    return [
        ("Disabled", lambda c: replace(c, plan=replace(c.plan, policy="Automatic"))),
        ("TargetPaused", lambda c: replace(c, seen=seen(replicas=0, gitops="Flux"))),
        ("ScaledToZero", lambda c: replace(c, seen=seen(gitops="Flux"))),
        ("NoGoodRevision", lambda c: replace(c, memory=replace(c.memory, ledger=(good("v2"), good("v1"))))),
        ("AlreadyOnLastGood", lambda c: replace(c, memory=replace(c.memory, ledger=(good("v1"),)))),
        ("BreachOlderThanRelease", lambda c: replace(c, memory=replace(c.memory, left_good_at=T0 - 400))),
        ("ResumedLately", lambda c: replace(c, memory=replace(c.memory, resumed_at=None))),
        ("ConnectivitySuspect", lambda c: replace(c, around=replace(c.around, connectivity=""))),
        ("ConnectivitySuspect", lambda c: replace(c, around=replace(c.around, trouble_at=None))),
        ("MassBreach", lambda c: replace(c, around=replace(c.around, mass_breach=""))),
        ("DependencyUnhealthy", lambda c: replace(c, around=replace(c.around, failing_dependencies=()))),
        ("DependencyRecovering", lambda c: replace(c, around=replace(c.around, healthy_dependencies=()))),
        (
            "TooFewSamples",
            lambda c: replace(c, memory=replace(c.memory, probes={"http": failing(T0 - 300)._replace(proven=False)})),
        ),
        ("ProbeUnproven", lambda c: replace(c, memory=replace(c.memory, probes={"http": failing(T0 - 300)}))),
        ("GitOpsManaged", lambda c: replace(c, seen=seen())),
        ("ConfigGone", lambda c: replace(c, around=replace(c.around, missing_configs=()))),
        (
            "Quarantined",
            lambda c: replace(
                c, memory=replace(c.memory, marks=tuple(replace(m, bad_key="x") for m in c.memory.marks))
            ),
        ),
        ("Cooldown", lambda c: replace(c, now=T0 + 3600)),
        ("LimitReached", lambda c: replace(c, plan=replace(c.plan, limit=9))),
        ("StormLimit", lambda c: replace(c, around=around())),
    ]


def test_the_first_reason_is_told_when_everything_is_wrong() -> None:
    case = Case(
        plan=plan(policy="Disabled"),
        memory=breaching(
            ledger=(),
            left_good_at=T0,
            resumed_at=T0 - 10,
            probes={"http": failing(T0 - 300, run=None)},
            health=Health("False", T0 - 300),
            marks=tuple(mark(f"r{n}", at=T0 - 50, ended=T0 - 5) for n in range(3)),
        ),
        seen=seen(paused=True, replicas=0, gitops="Flux"),
        around=around(
            connectivity="x",
            trouble_at=T0 - 1,
            healthy_dependencies=(("b", T0 - 1),),
            mass_breach="x",
            failing_dependencies=("a",),
            missing_configs=("b",),
            rollbacks_under_way=9,
        ),
        now=T0,
        breach=HEALTH,
    )
    for reason, lift in _everything_wrong():
        objection = first_objection(faced(case))
        assert objection is not None
        assert objection.reason == reason
        case = lift(case)
    assert first_objection(faced(case)) is None
