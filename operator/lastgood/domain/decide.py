"""The decision over one service: what to remember, what to say, what to do, when to look again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lastgood.domain import ledger
from lastgood.domain.backups.current import current
from lastgood.domain.clock import at_clock
from lastgood.domain.guards import Case, Objection, breach_older_than_release, first_objection
from lastgood.domain.health import State, failing_now
from lastgood.domain.history import HistoryReason
from lastgood.domain.model import Good, Mark, Memory, Plan, Surroundings, TargetSeen
from lastgood.domain.objective import Standing
from lastgood.domain.rollback import how_to_approve
from lastgood.domain.triggers import Breach, Evidence, TriggerKind, all_due, evaluate, integrity_signals, next_due


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition to show; its transition time is the status writer's business."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RecordGood:
    """Keep the running revision as good. The service layer gathers what the entry holds."""

    key: str


@dataclass(frozen=True, slots=True)
class StartRollback:
    """Create this Rollback, unless it exists."""

    name: str
    bad_key: str
    target: Good
    breach_since: float
    needs_approval: bool
    dry_run: bool
    message: str
    trigger: str = TriggerKind.HEALTH_FAILING
    """Its kind, and of which objective or signal it is."""
    trigger_name: str = ""
    data: bool = False
    """Whether the data goes back, too."""


Action = RecordGood | StartRollback

MARKS = 101
"""How many rollbacks of a service are remembered: one more than the largest limit that can be asked for."""

LOOK_SECONDS = 60.0
"""How often pods are looked at that do not have their revision's configuration."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from what was seen."""

    memory: Memory
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...] = ()
    recheck_at: float | None = None
    breaches: tuple[Breach, ...] = ()


def rollback_name(service: str, bad_key: str, *, dry_run: bool) -> str:
    """The name of the Rollback of one bad revision: the same after a crash, so that a retry adopts it."""
    return f"{service[:200]}-{bad_key[:10]}" + ("-dry" if dry_run else "")


def decide(
    *, service: str, plan: Plan, memory: Memory, seen: TargetSeen | None, around: Surroundings, now: float
) -> Decision:
    """What follows for one service. Deterministic, and nothing more once its actions are observed."""
    memory = ledger.track(memory, seen, now)
    breaches: tuple[Breach, ...] = ()
    if not plan.suspend:
        breaches, runs = evaluate(plan.all_triggers, evidence(memory, around, now), memory.runs, now)
        memory = memory if runs == memory.runs else replace(memory, runs=runs)
    rechecks: list[float] = []
    actions: list[Action] = []
    ready = _ready(plan, seen, around)
    active = next((m for m in memory.marks if m.outcome == ""), None)

    soaking = ledger.candidate(plan, memory, seen, around.rollout, now)
    if soaking is not None and memory.current is not None:
        if soaking.done:
            actions.append(RecordGood(memory.current.key))
        elif soaking.until is not None and soaking.until > now:
            rechecks.append(soaking.until)
        elif soaking.look:
            rechecks.append(now + LOOK_SECONDS)

    calm = "no trigger is breached" if plan.triggers else "health is not False"
    rolling = Condition("RollingBack", "False", "NotNeeded", "suspended" if plan.suspend else calm)
    if active is not None and active.name in around.awaiting_approval:
        rolling = Condition("RollingBack", "False", "AwaitingApproval", how_to_approve(active.name))
    elif active is not None:
        rolling = Condition("RollingBack", "True", "InProgress", f"Rollback {active.name} is under way")
    elif breaches:
        rolling, action, at = _judge_breaches(service, plan, memory, seen, around, breaches, now)
        if action is not None:
            actions.append(action)
        if at is not None:
            rechecks.append(at)

    told = [_objectives(plan, memory)] if plan.objectives else []
    if around.history is not None:
        reason, message = around.history
        told.append(Condition("HistoryKept", "True" if reason == HistoryReason.KEPT else "False", reason, message))
    if plan.backups:
        told.append(Condition("BackupsCurrent", *current(around.schedules)))
    conditions = (ready, _healthy(plan, memory), *told, _stable(plan, memory, seen, around, now), rolling)
    return Decision(memory, conditions, tuple(actions), min(rechecks) if rechecks else None, breaches)


def evidence(memory: Memory, around: Surroundings, now: float) -> Evidence:
    """What triggers look at."""
    standing = tuple(signal for signal in memory.signals if signal.stands(now))
    signals = (*standing, *integrity_signals(around.objectives))
    return Evidence(memory.health, failing_now(memory.probes), around.objectives, signals)


def _judge_breaches(
    service: str,
    plan: Plan,
    memory: Memory,
    seen: TargetSeen | None,
    around: Surroundings,
    breaches: tuple[Breach, ...],
    now: float,
) -> tuple[Condition, StartRollback | None, float | None]:
    due = all_due(breaches, now)
    later = next_due(breaches, now)
    if plan.policy != "Disabled" and not due and later is not None:
        return Condition("RollingBack", "False", "BreachPending", _pending(breaches[0], later)), None, later
    breach, objection = _unopposed(
        Case(plan, memory, seen, around, now, breaches[0]), due or list(breaches[:1]), breaches
    )
    if objection is not None:
        wishes = [at for at in (objection.recheck_at, later) if at is not None]
        condition = Condition("RollingBack", "False", objection.reason, objection.message)
        return condition, None, min(wishes, default=None)
    if seen is None or (target := ledger.newest_other(memory, seen.key)) is None:
        # The guards have asked both already; this is for the type checker and for a chain that was cut short.
        return Condition("RollingBack", "False", "NoGoodRevision", "no good revision is known"), None, None
    dry_run = plan.policy == "DryRun"
    message = f"{breach.message}, {_way(seen, target)}"
    action = StartRollback(
        name=rollback_name(service, seen.key, dry_run=dry_run),
        bad_key=seen.key,
        target=target,
        breach_since=breach.since,
        needs_approval=plan.policy == "Manual",
        dry_run=dry_run,
        message=message,
        trigger=breach.trigger.kind,
        trigger_name=breach.objective or breach.trigger.name,
        data=plan.restore_data,
    )
    return Condition("RollingBack", "True", "Starting", message), action, now + 5


def _unopposed(case: Case, due: list[Breach], breaches: Sequence[Breach]) -> tuple[Breach, Objection | None]:
    """The first breach that nothing speaks against; else the first of all, and what speaks against it.

    A service whose health was failing before the release is not rolled back for what it measures either: that has the
    same cause. A signal has not.
    """
    health = next((b for b in breaches if b.trigger.kind is TriggerKind.HEALTH_FAILING), None)
    older = None if health is None else breach_older_than_release(replace(case, breach=health))
    first: Objection | None = None
    for breach in due:
        objection = first_objection(replace(case, breach=breach))
        if objection is None and older is not None and breach.trigger.kind is not TriggerKind.SIGNAL:
            objection = older
        if objection is None:
            return breach, None
        first = first or objection
    return due[0], first


def _pending(breach: Breach, at: float) -> str:
    if breach.trigger.kind is TriggerKind.HEALTH_FAILING:
        return f"health is False since {at_clock(breach.since)}; a rollback is considered at {at_clock(at)}"
    return f"{breach.message}; a rollback is considered at {at_clock(at)}"


def _way(seen: TargetSeen, target: Good) -> str:
    """From where to where; two revisions may well have the same version."""
    running = seen.label
    if running != target.label:
        return f"from {running} to {target.label}"
    if seen.template_hash == target.template_hash:
        return f"from {running} to the ConfigMaps with which {target.label} was good"
    return f"from {running} (revision {seen.revision}) to {target.label} (revision {target.revision})"


def mark_started(memory: Memory, action: StartRollback, now: float) -> Memory:
    """The memory once the Rollback exists. Old marks go when no window can still want them."""
    if any(mark.name == action.name and mark.bad_key == action.bad_key for mark in memory.marks):
        return memory
    return with_mark(memory, Mark(action.name, action.bad_key, now))


def with_mark(memory: Memory, mark: Mark) -> Memory:
    """The memory with one more rollback, newest first."""
    # A revision that was bad, then good, is bad again under the same name: the older mark gives way.
    others = tuple(other for other in memory.marks if other.name != mark.name)
    kept = others[: MARKS - 1] + tuple(other for other in others[MARKS - 1 :] if not other.outcome)
    return replace(memory, marks=(mark, *kept))


def mark_ended(memory: Memory, name: str, outcome: str, now: float) -> Memory:
    """The memory once a Rollback has ended."""
    return replace(
        memory,
        marks=tuple(
            replace(m, outcome=outcome, ended=now) if m.name == name and not m.outcome else m for m in memory.marks
        ),
    )


def _ready(plan: Plan, seen: TargetSeen | None, around: Surroundings) -> Condition:
    if around.problems:
        first = around.problems[0]
        message = "; ".join(p.message for p in around.problems)
        return Condition("Ready", "False", first.reason, message)
    if plan.suspend:
        return Condition("Ready", "False", "Suspended", "spec.suspend is true: no probe runs and nothing is changed")
    if seen is None:
        message = f'Deployment "{plan.target}" does not exist in this namespace: create it or name another'
        return Condition("Ready", "False", "TargetNotFound", message)
    return Condition("Ready", "True", "Accepted", f'watching Deployment "{plan.target}"')


def _healthy(plan: Plan, memory: Memory) -> Condition:
    if plan.suspend:
        return Condition("Healthy", "Unknown", "Suspended", "probes are suspended")
    if memory.health.state == "True":
        return Condition(
            "Healthy", "True", "ProbesPassing", f"{len(memory.probes)} of {len(memory.probes)} probes pass"
        )
    wanted = State.FAILING if memory.health.state == "False" else State.UNKNOWN
    told = [
        f"probe {name}: {p.reason}" + (f" ({p.detail})" if p.detail else "")
        for name, p in sorted(memory.probes.items())
        if p.state is wanted and p.reason
    ]
    if memory.health.state == "False":
        message = "; ".join(told) or "probes fail"
        return Condition("Healthy", "False", "ProbesFailing", f"{message}, since {at_clock(memory.health.since)}")
    reason = "ProbesUnknown" if told else "WaitingForProbes"
    return Condition("Healthy", "Unknown", reason, "; ".join(told) or "not enough outcomes yet")


def _objectives(plan: Plan, memory: Memory) -> Condition:
    if plan.suspend:
        return Condition("ObjectivesMet", "Unknown", "Suspended", "nothing is measured")
    told: dict[Standing, list[str]] = {}
    for name in plan.objectives:
        state = memory.objectives.get(name)
        if state is None or not state.since:
            told.setdefault(Standing.UNKNOWN, []).append(f"{name}: nothing was measured yet")
        else:
            told.setdefault(state.state, []).append(f"{name}: {state.message or state.reason}")
    for standing, status, reason in (
        (Standing.BREACHED, "False", "ObjectiveBreached"),
        (Standing.UNKNOWN, "Unknown", "ObjectiveUnknown"),
        (Standing.AT_RISK, "False", "TargetMissed"),
    ):
        if standing in told:
            return Condition("ObjectivesMet", status, reason, "; ".join(told[standing]))
    return Condition("ObjectivesMet", "True", "TargetsMet", "; ".join(told.get(Standing.MET, ())))


def _stable(plan: Plan, memory: Memory, seen: TargetSeen | None, around: Surroundings, now: float) -> Condition:
    soak = ledger.soak(plan, memory, seen, around.rollout, now)
    until = f", at {at_clock(soak.until)} at the earliest" if soak.until is not None and soak.until > now + 1 else ""
    waiting = f"waiting for {soak.waiting_for or 'the record to be written'}{until}"
    if not memory.ledger:
        return Condition("StableRevisionKnown", "False", "NoneYet", waiting)
    newest = memory.ledger[0]
    message = f"{newest.label} (revision {newest.revision}) is good since {at_clock(newest.good_since)}"
    if memory.current is not None and all(good.key != memory.current.key for good in memory.ledger):
        message += f"; {memory.current.label} (revision {memory.current.revision}) is not yet: {waiting}"
    return Condition("StableRevisionKnown", "True", "Remembered", message)
