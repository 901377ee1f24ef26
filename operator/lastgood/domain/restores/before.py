"""The steps up to the safety backup: nothing that is in use is changed by them."""

from lastgood.api.restore import StepName
from lastgood.domain.restores.checks import Objection, identify
from lastgood.domain.restores.fate import named
from lastgood.domain.restores.gate import conflict, left_half
from lastgood.domain.restores.points import NoPoint
from lastgood.domain.restores.points import named as point_of
from lastgood.domain.restores.state import (
    Case,
    WorkloadSeen,
    all_places,
    app_places,
    job_name,
)
from lastgood.domain.restores.todo import WAIT_SECONDS, Do, Next, at_zero, fail, follow, in_use, passed


def identified(case: Case) -> Next:
    """Choose the point, once nothing stands against it."""
    if case.restore.spec.approval == "Refused":
        return _refuse("Identified")
    found = identify(case)
    if isinstance(found, Objection):
        return fail(case, "Identified", found.reason, found.message)
    return Next(Do.IDENTIFY, "Identified", "Identified", chosen=found)


def _refuse(step: StepName) -> Next:
    return Next(Do.REFUSE, step, "Refused", "a person refused this restore: nothing was changed", phase="Refused")


def verified(case: Case) -> Next:
    """Have a Job see that the point is whole in the repository that was chosen."""
    if case.restore.spec.approval == "Refused":
        return _refuse("Verified")
    job = follow(case, "Verified", "verify", f'verifying Backup "{case.restore.status.backup}"')
    if isinstance(job, Next):
        return job
    return passed("Verified", "verify", job, f'Backup "{case.restore.status.backup}" is whole')


def how_to_approve(name: str) -> str:
    """What a person does about a Restore that waits."""
    approval = '{"spec":{"approval":"Approved"}}'
    return f"waiting for approval: kubectl patch restore {name} --type=merge -p '{approval}' (or \"Refused\")"


def stopped(case: Case) -> Next:
    """Pass the gate, note how things are, and take the applications to 0."""
    restore, world = case.restore, case.world
    if not restore.holds:
        found = _at_the_gate(case)
        if found is not None:
            return found
    missing = [place for place in all_places(restore.spec) if place not in world.workloads]
    if missing:
        return fail(case, "Stopped", "TargetNotFound", f"{named(missing)} does not exist any more")
    # Killed after this is written, nothing was scaled yet; killed before it, nothing was noted, and it is seen anew.
    if not restore.holds:
        seen = tuple(world.workloads[place] for place in all_places(restore.spec))
        # Asked at the gate, where others were read: what is taken over from one that left it at 0 is not whole.
        sound = not left_half(case)[1]
        return Next(Do.REMEMBER, "Stopped", "Remembered", _remembering(seen), workloads=seen, whole=sound)
    down = at_zero(case, "Stopped", app_places(restore.spec))
    if down is not None:
        return down
    if case.mode != "newVolume" and restore.spec.server is None:
        used = in_use(case, "Stopped")
        if used is not None:
            return used
    apps = app_places(restore.spec)
    if not apps:
        return Next(Do.SKIP, "Stopped", "Stopped", "spec.stop names nothing to stop")
    return Next(Do.PASS, "Stopped", "Stopped", f"{named(apps)} stopped, and its pods are gone")


def _remembering(seen: tuple[WorkloadSeen, ...]) -> str:
    if not seen:
        return "nothing to stop"
    told = [
        f"{w.kind.lower()}/{w.name} {_was(w)}" + (f" (scaled by {w.autoscaler})" if w.autoscaler else "") for w in seen
    ]
    return "replicas before: " + ", ".join(told)


def _was(workload: WorkloadSeen) -> int:
    """Replicas to go back to: those of now, or what a Restore before this one has left written there."""
    return workload.was if workload.replicas == 0 and workload.was is not None else workload.replicas


def _at_the_gate(case: Case) -> Next | None:
    """What keeps a Restore from touching anything; None when it may."""
    restore, tied = case.restore, case.world.rollback
    if restore.spec.approval == "Refused":
        return _refuse("Stopped")
    point = point_of(
        restore.status.backup,
        schedule=restore.spec.schedule,
        repository=restore.spec.repository,
        backups=case.backups,
    )
    if isinstance(point, NoPoint):
        return fail(case, "Stopped", "BackupGone", f"while this restore waited: {point.message}")
    if tied is not None and tied.over and not tied.executed:
        text = f"Rollback {tied.name} ended without putting the code back, so the data stays"
        return fail(case, "Stopped", "RollbackEnded", text)
    if not restore.approved:
        return Next(Do.AWAIT_APPROVAL, "Stopped", "AwaitingApproval", how_to_approve(restore.name))
    if tied is not None and not tied.executed and not tied.cleared:
        text = f"Rollback {tied.name} waits for approval"
        return Next(Do.QUEUE, "Stopped", "WaitingForRollback", text, recheck_at=case.now + WAIT_SECONDS)
    other = conflict(case)
    if other:
        return Next(Do.QUEUE, "Stopped", "WaitingForRestore", other, recheck_at=case.now + WAIT_SECONDS)
    against, _ = left_half(case)
    return fail(case, "Stopped", "LeftHalfRestored", against) if against else None


def safety(case: Case) -> Next:
    """Back up what is there, where it is about to be changed."""
    step: StepName = "SafetyBackup"
    restore = case.restore
    if not restore.spec.safety_backup:
        return Next(Do.SKIP, step, step, "spec.safetyBackup is false")
    if case.mode in {"newDatabase", "newVolume"}:
        return Next(Do.SKIP, step, step, "nothing that is there now will be changed")
    again = at_zero(case, step, app_places(restore.spec))
    if again is not None:
        return again
    name = job_name(restore, "safety")
    kept = case.backups.get(name)
    if "safety" not in case.world.jobs and kept is not None and kept.status and kept.status.phase == "Succeeded":
        # The job ended well, and is gone with its pod: what it made is there.
        return Next(Do.PASS, step, step, f'what was there is Backup "{name}"', task="safety")
    job = follow(case, step, "safety", "backing up what is there")
    if isinstance(job, Next):
        return job
    if job.result is not None and not job.result.backup:
        return Next(Do.SKIP, step, step, job.result.message or "nothing is there to back up", task="safety")
    return passed(step, "safety", job, f'what was there is Backup "{name}"')
