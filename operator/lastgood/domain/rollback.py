"""The five steps of one Rollback, as a pure function from what stands to what comes next."""

from dataclasses import dataclass
from enum import StrEnum

from lastgood.domain.clock import shown
from lastgood.domain.health import green_since
from lastgood.domain.model import Good, Memory, Plan, TargetSeen
from lastgood.domain.restores.part import Part, failure, held_up, points_for, told_at_end, waiting_text, working

STEPS = ("Identified", "Prepared", "Executed", "Validated", "Documented")
FINAL = frozenset({"Succeeded", "Failed", "Refused", "DryRun"})


class Do(StrEnum):
    """What to do next."""

    IDENTIFY = "Identify"
    PREPARE = "Prepare"
    AWAIT_APPROVAL = "AwaitApproval"
    REHEARSE = "Rehearse"
    EXECUTE = "Execute"
    ADOPT = "Adopt"
    """The patch is there already: a process before this one made it and did not live to say so."""
    WAIT = "Wait"
    VALIDATE = "Validate"
    DOCUMENT = "Document"
    FAIL = "Fail"
    REFUSE = "Refuse"
    NOTHING = "Nothing"


@dataclass(frozen=True, slots=True)
class RollbackSeen:
    """A Rollback object as it stands."""

    name: str
    uid: str
    service: str
    phase: str = ""
    done: frozenset[str] = frozenset()
    """Names of steps that are done."""
    revision: int | None = None
    version: str | None = None
    bad_key: str = ""
    target_key: str = ""
    needs_approval: bool = False
    approval: str = ""
    dry_run: bool = False
    executed_at: float | None = None
    from_template_hash: str = ""
    config_maps: tuple[tuple[str, str, str], ...] = ()
    """Name, hash before and hash to put back, of each ConfigMap that differs."""
    kept_as: str = ""
    """ControllerRevision that holds what ran before."""
    data: bool = False
    """Whether the data goes back, too."""
    automatic: bool = False
    """A trigger started it, and not a person."""
    parts: tuple[Part, ...] = ()
    """Its Restores, from Prepared on."""


@dataclass(frozen=True, slots=True)
class Next:
    """The next thing to do with a Rollback, or why it failed."""

    do: Do
    step: str = ""
    reason: str = ""
    message: str = ""
    target: Good | None = None
    recheck_at: float | None = None


def _fail(step: str, reason: str, message: str) -> Next:
    return Next(Do.FAIL, step, reason, message)


def how_to_approve(name: str) -> str:
    """What a person does about a Rollback that waits."""
    approval = '{"spec":{"approval":"Approved"}}'
    return f"waiting for approval: kubectl patch rollback {name} --type=merge -p '{approval}' (or \"Refused\")"


def outcome_of(phase: str, reason: str, done: frozenset[str]) -> str:
    """What a service remembers of an ended Rollback: its phase, or that it never came to the patch."""
    return "Superseded" if reason == "Superseded" and "Executed" not in done else phase


def find_target(rollback: RollbackSeen, memory: Memory, seen: TargetSeen | None) -> Good | None:
    """The good revision that a Rollback asks for."""
    if rollback.target_key:
        return next((g for g in memory.ledger if g.key == rollback.target_key), None)
    if rollback.revision is not None:
        return next((g for g in memory.ledger if g.revision == rollback.revision), None)
    if rollback.version is not None:
        wanted = rollback.version.removeprefix("v")
        return next((g for g in memory.ledger if g.version.removeprefix("v") == wanted), None)
    return next((g for g in memory.ledger if seen is None or g.key != seen.key), None)


def advance(
    *,
    rollback: RollbackSeen,
    plan: Plan | None,
    memory: Memory,
    seen: TargetSeen | None,
    missing: tuple[str, ...],
    now: float,
) -> Next:
    """What to do next. Each answer is safe to carry out twice: the patch is told by its annotation."""
    if rollback.phase in FINAL:
        return Next(Do.NOTHING)
    step = next((s for s in STEPS if s not in rollback.done), "Documented")
    if plan is None:
        return _fail(step, "ServiceNotFound", f'MonitoredService "{rollback.service}" does not exist in this namespace')
    if seen is None:
        return _fail(step, "TargetNotFound", f'Deployment "{plan.target}" does not exist')
    target = find_target(rollback, memory, seen)
    if step in {"Identified", "Prepared"}:
        if rollback.approval == "Refused":
            return Next(Do.REFUSE, step, "Refused", "a person refused this rollback: nothing was changed")
        return _before_patch(rollback, plan, memory, seen, target, missing, step)
    if target is None:
        return _fail(step, "TargetForgotten", "the good revision fell out of the ledger: raise spec.stability.keep")
    if step == "Executed":
        return _execute(rollback, plan, seen, target)
    if step == "Validated":
        return _validate(rollback, plan, memory, seen, target, now)
    lost = failure(rollback.parts)
    if lost:
        text = f"the code was put back to {target.label} and its probes are green; the data was not put back: {lost}"
        return _fail(step, "DataNotRestored", text)
    return Next(Do.DOCUMENT, step, message=told_at_end(rollback.parts), target=target)


def _before_patch(
    rollback: RollbackSeen,
    plan: Plan,
    memory: Memory,
    seen: TargetSeen,
    target: Good | None,
    missing: tuple[str, ...],
    step: str,
) -> Next:
    if target is None:
        known = ", ".join(f"{g.label} (revision {g.revision})" for g in memory.ledger) or "none"
        return _fail(step, "NoSuchGoodRevision", f"no such good revision; known are: {known}")
    if target.key == seen.key:
        return _fail(step, "AlreadyRunning", f"{target.label} is what is running now: nothing to go back to")
    if rollback.bad_key and seen.key != rollback.bad_key:
        return _fail(step, "Superseded", "another revision was released meanwhile: this rollback no longer applies")
    if seen.paused:
        return _fail(step, "TargetPaused", f"the Deployment is paused: kubectl rollout resume deployment/{plan.target}")
    if seen.gitops and not plan.override_gitops:
        text = f"{seen.gitops} manages this Deployment: revert there, or set spec.rollback.gitOps to Override"
        return _fail(step, "GitOpsManaged", text)
    if missing:
        return _fail(step, "ConfigGone", f"{target.label} needs {', '.join(missing)}, which does not exist")
    if rollback.data and not rollback.automatic:
        _, unknown = points_for(plan, target)
        if unknown or not plan.backups:
            what = f"no backup point of {', '.join(unknown)} was noted with {target.label}"
            why = what if plan.backups else "the service lists no backups"
            return _fail(step, "NoDataPoint", f"{why}: roll back the code alone with data: Keep, and restore by hand")
    if step == "Identified":
        return Next(Do.IDENTIFY, step, target=target)
    return Next(Do.PREPARE, step, target=target)


def _execute(rollback: RollbackSeen, plan: Plan, seen: TargetSeen, target: Good) -> Next:
    step = "Executed"
    if seen.rolled_back_by == rollback.uid:
        return Next(Do.ADOPT, step, target=target)
    if rollback.approval == "Refused":
        return Next(Do.REFUSE, step, "Refused", "a person refused this rollback: nothing was changed")
    # ConfigMaps are put back just before the template: killed in between, we find a key that is neither.
    halfway = plan.restore_config_maps and seen.template_hash == rollback.from_template_hash
    if rollback.bad_key and seen.key != rollback.bad_key and not halfway:
        text = "another revision was released before the patch: this rollback no longer applies"
        now = {c.name: c.hash for c in seen.configs}
        restored = [name for name, before, after in rollback.config_maps if before != after == now.get(name)]
        if restored:
            text += (
                f"; ConfigMap {', '.join(restored)} had been put back already: see whether the new revision wants it "
                f"so, its content before is in ControllerRevision {rollback.kept_as}"
            )
        return _fail(step, "Superseded", text)
    if seen.paused:
        return _fail(step, "TargetPaused", f"the Deployment is paused: kubectl rollout resume deployment/{plan.target}")
    if rollback.needs_approval and rollback.approval != "Approved":
        return Next(Do.AWAIT_APPROVAL, step, "AwaitingApproval", how_to_approve(rollback.name), target)
    waits = held_up(rollback.parts, automatic=rollback.automatic)
    if waits and not rollback.dry_run:
        text = f"the code is put back once the workload is stopped by {waiting_text(waits)}"
        if not all(p.approved for p in waits):
            return Next(Do.AWAIT_APPROVAL, step, "AwaitingApproval", text, target)
        return Next(Do.WAIT, step, "WaitingForData", text, target)
    return Next(Do.REHEARSE if rollback.dry_run else Do.EXECUTE, step, target=target)


def _validate(rollback: RollbackSeen, plan: Plan, memory: Memory, seen: TargetSeen, target: Good, now: float) -> Next:
    step = "Validated"
    if seen.template_hash != target.template_hash:
        text = "another release changed the pod template while the rollback was being validated"
        return _fail(step, "Superseded", text)
    restoring = working(rollback.parts)
    if restoring:
        text = f"the code is put back to {target.label}; the data is being restored by {waiting_text(restoring)}"
        return Next(Do.WAIT, step, "RestoringData", text, target)
    if any(not p.whole for p in rollback.parts):
        text = f"the code was put back to {target.label}; the data was not, and the workload stays at 0 replicas: "
        return _fail(step, "DataNotRestored", f"{text}{failure(rollback.parts)}; see status.wayBack there")
    started = rollback.executed_at if rollback.executed_at is not None else now
    # Until its data was there, nothing ran.
    started = max([started, *(p.finished_at for p in rollback.parts if p.finished_at is not None)])
    if memory.complete_since is None or not seen.complete:
        until = started + plan.rollout_timeout
        if now >= until:
            text = f"the rollout of {target.label} was not complete within {shown(plan.rollout_timeout)}"
            return _fail(step, "RolloutTimeout", text)
        return Next(Do.WAIT, step, "RolloutUnderWay", f"waiting for the rollout of {target.label}", target, until)
    # Old pods answer probes until the rollout ends: only passes after it count.
    complete = max(memory.complete_since, started, seen.completed_at or 0.0)
    green = green_since(memory.probes)
    fresh = green is not None and all(p.last_pass >= complete for p in memory.probes.values())
    if memory.health.state == "True" and fresh:
        return Next(Do.VALIDATE, step, target=target)
    until = complete + plan.validation_timeout
    if now >= until:
        text = f"probes were not green within {shown(plan.validation_timeout)} after the rollout of {target.label}"
        return _fail(step, "ProbesNotGreen", text)
    return Next(Do.WAIT, step, "WaitingForProbes", "the rollout is complete; waiting for green probes", target, until)
