"""What speaks against an automatic rollback: a chain of small functions, the first that objects wins."""

from collections.abc import Callable
from dataclasses import dataclass

from lastgood.domain.clock import at_clock, shown
from lastgood.domain.health import failing_now, proven_failing_since
from lastgood.domain.model import Memory, Plan, Surroundings, TargetSeen
from lastgood.domain.triggers import Breach, TriggerKind


@dataclass(frozen=True, slots=True)
class Case:
    """All that a guard may look at."""

    plan: Plan
    memory: Memory
    seen: TargetSeen | None
    around: Surroundings
    now: float
    breach: Breach
    """What a rollback would answer."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why not, and what would lift it. ``recheck_at`` when time alone may."""

    reason: str
    message: str
    recheck_at: float | None = None


Guard = Callable[[Case], Objection | None]

AFTER_TROUBLE_SECONDS = 30.0
"""So long after our own connectivity was in doubt a failure must still stand."""

_NOT_COUNTED = frozenset({"DryRun", "Refused", "Superseded", "Deleted"})
"""Outcomes that changed nothing in the cluster, and so start no cooldown."""


def policy_disabled(case: Case) -> Objection | None:
    """The user wants to be told, not helped."""
    if case.plan.policy == "Disabled":
        return Objection("Disabled", "rollback is off for this service: set spec.rollback.policy to turn it on")
    return None


def target_missing(case: Case) -> Objection | None:
    """Nothing to act on."""
    if case.seen is None:
        return Objection("TargetNotFound", f'Deployment "{case.plan.target}" does not exist: create it')
    return None


def target_paused(case: Case) -> Objection | None:
    """A paused Deployment would take the patch and roll nothing out: somebody is at work on it."""
    if case.seen is not None and case.seen.paused:
        return Objection(
            "TargetPaused", f"the Deployment is paused: kubectl rollout resume deployment/{case.plan.target}"
        )
    return None


def scaled_to_zero(case: Case) -> Objection | None:
    """Nothing runs, so nothing can be at fault."""
    if case.seen is not None and case.seen.replicas == 0:
        return Objection("ScaledToZero", "the Deployment asks for no replicas, so no revision is at fault: scale it up")
    return None


def resumed_lately(case: Case) -> Objection | None:
    """What failed while nothing ran, or while somebody was at work on it, says nothing about what runs now."""
    resumed = case.memory.resumed_at
    if resumed is not None and case.now < resumed + case.breach.patience:
        until = resumed + case.breach.patience
        return Objection(
            "ResumedLately",
            f"the Deployment was resumed or scaled up at {at_clock(resumed)}: a rollback is considered at "
            f"{at_clock(until)}",
            until,
        )
    return None


def no_good_revision(case: Case) -> Objection | None:
    """Never to a revision that was not seen to be good."""
    if not case.memory.ledger:
        return Objection(
            "NoGoodRevision",
            "no revision of this service has been seen to be good yet: one must be complete and green for "
            f"{shown(case.plan.soak)} (spec.stability.soak)",
        )
    return None


def already_good(case: Case) -> Objection | None:
    """Never further back unasked: a good revision that breaks was broken by something else."""
    if case.seen is not None and any(good.key == case.seen.key for good in case.memory.ledger):
        if case.breach.trigger.kind is TriggerKind.SIGNAL:
            return Objection(
                "AlreadyOnLastGood",
                f"the running revision was seen to be good, and {case.breach.trigger.name} still stands: resolve it "
                "once it is dealt with; to go back further, create a Rollback with to.revision or to.version",
            )
        return Objection(
            "AlreadyOnLastGood",
            "the running revision was seen to be good, so the cause is not the release: look at dependencies, data "
            "and the platform; to go back all the same, create a Rollback with to.revision or to.version",
        )
    return None


def breach_older_than_release(case: Case) -> Objection | None:
    """What broke before the release was not broken by it."""
    left = case.memory.left_good_at
    if left is None and case.memory.current is not None:
        left = case.memory.current.since
    if left is not None and case.breach.since < left:
        health = case.breach.trigger.kind is TriggerKind.HEALTH_FAILING
        began = "health was failing" if health else f"what is wrong ({case.breach.message}) began"
        lifts = "the service has been healthy" if health else "that has ended"
        since = f"{'since' if health else 'at'} {at_clock(case.breach.since)}"
        return Objection(
            "BreachOlderThanRelease",
            f"{began} {since}, before the release at {at_clock(left)}: the cause is older; this lifts once {lifts}",
        )
    return None


def connectivity_suspect(case: Case) -> Objection | None:
    """When we cannot reach anything, nothing is known about anyone."""
    if case.around.connectivity:
        return Objection(
            "ConnectivitySuspect",
            f"Lastgood's own connectivity is in doubt ({case.around.connectivity}): lifts when that works again",
            case.now + 5,
        )
    if case.around.trouble_at is not None:
        until = case.around.trouble_at + min(AFTER_TROUBLE_SECONDS, case.breach.patience)
        if case.now < until:
            return Objection(
                "ConnectivitySuspect",
                f"Lastgood's own connectivity was in doubt until {at_clock(case.around.trouble_at)}: what failed then "
                f"must fail now, too; lifts at {at_clock(until)}",
                until,
            )
    return None


def mass_breach(case: Case) -> Objection | None:
    """Many services at once are one cause, and no release of any of them."""
    if case.around.mass_breach:
        return Objection(
            "MassBreach",
            f"{case.around.mass_breach}, which points to one cause outside this service: lifts when fewer fail",
            case.now + 10,
        )
    return None


def dependency_unhealthy(case: Case) -> Objection | None:
    """The root cause is elsewhere."""
    if case.around.failing_dependencies:
        names = ", ".join(case.around.failing_dependencies)
        return Objection("DependencyUnhealthy", f"depends on {names}, which is failing: lifts when that is healthy")
    if case.around.unknown_dependencies:
        names = ", ".join(case.around.unknown_dependencies)
        return Objection(
            "DependencyUnknown", f"depends on {names}, whose health is not known: lifts when it is seen to be healthy"
        )
    name, since = max(case.around.healthy_dependencies, key=lambda d: d[1], default=("", 0.0))
    if name and case.now < since + case.breach.patience:
        # It takes its time to come back after what it depends on; what failed before is not its fault.
        until = since + case.breach.patience
        return Objection(
            "DependencyRecovering",
            f"depends on {name}, which is healthy since {at_clock(since)} only: a rollback is considered at "
            f"{at_clock(until)}",
            until,
        )
    return None


def too_few_samples(case: Case) -> Objection | None:
    """A restored verdict needs at least one look by this process, and Unknown is never a breach."""
    if not case.breach.confirmed:
        latest = "the latest outcome of the failing probe is no failure"
        if case.breach.objective:
            latest = f"the latest sample of objective {case.breach.objective} does not say so, or is too old"
        return Objection("TooFewSamples", f"{latest}: waiting for the next")
    return None


def probe_unproven(case: Case) -> Objection | None:
    """A probe that was written anew and never passed since may itself be what is wrong, not the release."""
    if case.breach.trigger.kind is not TriggerKind.HEALTH_FAILING:
        return None
    since = proven_failing_since(case.memory.probes)
    if since is None:
        names = ", ".join(failing_now(case.memory.probes))
        return Objection(
            "ProbeUnproven",
            f"probe {names} has not passed once since it was written as it is, so it may be what is wrong: lifts when "
            "it has; to go back all the same, create a Rollback",
        )
    if case.now < since + case.plan.failing_for:
        until = since + case.plan.failing_for
        return Objection(
            "ProbeUnproven",
            f"of the failing probes, those that have passed as they are written fail since {at_clock(since)} only: a "
            f"rollback is considered at {at_clock(until)}",
            until,
        )
    return None


def objective_unproven(case: Case) -> Objection | None:
    """The same of an objective: written anew, it may ask what no revision gives."""
    if not case.breach.proven:
        return Objection(
            "ObjectiveUnproven",
            f"objective {case.breach.objective} was breached ever since it was written as it is, so it may be what is "
            "wrong: lifts when it has been met once; to go back all the same, create a Rollback",
        )
    return None


def gitops_managed(case: Case) -> Objection | None:
    """A GitOps tool would put the bad release back, and both would fight."""
    if case.seen is not None and case.seen.gitops and not case.plan.override_gitops:
        return Objection(
            "GitOpsManaged",
            f"{case.seen.gitops} manages this Deployment and would undo a rollback: revert the release in its "
            "repository, or set spec.rollback.gitOps to Override",
        )
    return None


def config_gone(case: Case) -> Objection | None:
    """A revision whose configuration is lost would not start."""
    if case.around.missing_configs:
        names = ", ".join(case.around.missing_configs)
        return Objection("ConfigGone", f"the last good revision needs {names}, which no longer exists: create it again")
    return None


def quarantined(case: Case) -> Objection | None:
    """The same bad revision came back after it was rolled back: somebody insists, so a person must decide."""
    for mark in case.memory.marks:
        if (
            case.seen is None
            or mark.bad_key != case.seen.key
            or (mark.outcome == "DryRun") != (case.plan.policy == "DryRun")
        ):
            continue
        if mark.outcome == "DryRun":
            return Objection("DryRun", f"rehearsed in Rollback {mark.name}; set policy to Automatic or Manual to act")
        if mark.outcome == "Refused":
            return Objection("Refused", f"a person refused Rollback {mark.name} of this revision")
        if mark.outcome == "Deleted":
            return Objection(
                "RollbackDeleted",
                f"Rollback {mark.name} of this revision was deleted before it ended, which is taken for a no: "
                "create one by hand to go back",
            )
        if mark.outcome == "Failed":
            return Objection(
                "RollbackFailed",
                f"Rollback {mark.name} from this revision failed: see kubectl describe rollback {mark.name}",
            )
        if mark.outcome:
            was = "was about to be" if mark.outcome == "Superseded" else "was"
            return Objection(
                "Quarantined",
                f"this revision {was} rolled back before (Rollback {mark.name}) and came back: Lastgood does not "
                "fight; release another revision, or create a Rollback by hand",
            )
    return None


def cooldown(case: Case) -> Objection | None:
    """Time for the last rollback to show what it did. A signal may have been declared not to wait."""
    if case.breach.trigger.skip_cooldown:
        return None
    ended = [m.ended for m in case.memory.marks if m.ended is not None and m.outcome not in _NOT_COUNTED]
    if ended and case.now < max(ended) + case.plan.cooldown:
        until = max(ended) + case.plan.cooldown
        return Objection(
            "Cooldown", f"the last rollback ended at {at_clock(max(ended))}: lifts at {at_clock(until)}", until
        )
    return None


def limit_reached(case: Case) -> Objection | None:
    """Many rollbacks in a day are no remedy."""
    start = case.now - case.plan.limit_window
    recent = sorted(m.at for m in case.memory.marks if m.at > start and m.outcome not in _NOT_COUNTED)
    if len(recent) >= case.plan.limit:
        until = recent[-case.plan.limit] + case.plan.limit_window
        return Objection(
            "LimitReached",
            f"{len(recent)} rollbacks in {shown(case.plan.limit_window)} (spec.rollback.limit): "
            f"lifts at {at_clock(until)}",
            until,
        )
    return None


def storm(case: Case) -> Objection | None:
    """A limit over the whole cluster."""
    if case.around.rollbacks_under_way >= case.around.storm_limit:
        return Objection(
            "StormLimit",
            f"{case.around.rollbacks_under_way} rollbacks are under way in the cluster, the limit is "
            f"{case.around.storm_limit}: waits for one to end",
            case.now + 5,
        )
    return None


CHAIN: tuple[Guard, ...] = (
    policy_disabled,
    target_missing,
    target_paused,
    scaled_to_zero,
    no_good_revision,
    already_good,
    breach_older_than_release,
    resumed_lately,
    connectivity_suspect,
    mass_breach,
    dependency_unhealthy,
    too_few_samples,
    probe_unproven,
    objective_unproven,
    gitops_managed,
    config_gone,
    quarantined,
    cooldown,
    limit_reached,
    storm,
)


def first_objection(case: Case, chain: tuple[Guard, ...] = CHAIN) -> Objection | None:
    """The first guard's objection, or None when nothing speaks against it."""
    for guard in chain:
        if objection := guard(case):
            return objection
    return None
