"""The seven steps of one Restore, as a pure function from what stands to what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lastgood.api.backup import Backup
from lastgood.api.backupjob import Task
from lastgood.api.base import seconds
from lastgood.api.restore import StepName
from lastgood.domain.clock import shown
from lastgood.domain.restores.checks import Objection, identify
from lastgood.domain.restores.fate import begun, named, to_start, way_back, who_must_end, whole
from lastgood.domain.restores.gate import conflict, left_half
from lastgood.domain.restores.points import Chosen, NoPoint
from lastgood.domain.restores.points import named as point_of
from lastgood.domain.restores.state import (
    STEPS,
    Case,
    JobSeen,
    Place,
    RestoreSeen,
    ScheduleSeen,
    WorkloadSeen,
    World,
    all_places,
    app_places,
    databases_of,
    job_name,
    server_place,
    written_claims,
)

POLL_SECONDS = 2.0
"""How often pods, jobs and probes are looked at while a Restore is under way."""
WAIT_SECONDS = 10.0
"""How often a Restore looks that waits for another."""
GRACE_SECONDS = 120.0
"""So much later than its deadline a Job is given up that nobody ends."""
START_SECONDS = 900.0
"""How long workloads without a MonitoredService may take to be ready again."""
_REPEATED: frozenset[Task] = frozenset({"verify", "validate"})
"""Jobs that only read: one that has vanished is run again."""


class Do(StrEnum):
    """What to do next."""

    IDENTIFY = "Identify"
    AWAIT_APPROVAL = "AwaitApproval"
    QUEUE = "Queue"
    """Wait for others, holding nothing."""
    REMEMBER = "Remember"
    """Note replicas and autoscalers, and put the finalizer on. Nothing is scaled before this is written."""
    STOP = "Stop"
    RUN = "Run"
    """Create a Job, or adopt it."""
    WAIT = "Wait"
    PASS = "Pass"  # noqa: S105 - no password
    """The step is done."""
    SKIP = "Skip"
    START = "Start"
    LET_GO = "LetGo"
    """Take the finalizer off: nothing is stopped by us any more, or nothing can be done about it."""
    FAIL = "Fail"
    END = "End"
    REFUSE = "Refuse"
    NOTHING = "Nothing"


@dataclass(frozen=True, slots=True)
class Next:
    """The next thing to do with a Restore."""

    do: Do
    step: StepName = "Identified"
    reason: str = ""
    message: str = ""
    recheck_at: float | None = None
    task: Task | None = None
    """The Job that it is about."""
    workloads: tuple[WorkloadSeen, ...] = ()
    """To stop, to start, or to note."""
    chosen: Chosen | None = None
    whole: bool = True
    """With FAIL and REMEMBER: whether the applications' data is."""
    way_back: str = ""
    phase: str = ""
    """With END."""


def advance(
    *,
    restore: RestoreSeen,
    schedule: ScheduleSeen | None,
    backups: Mapping[str, Backup],
    world: World,
    now: float,
) -> Next:
    """What to do next. Each answer is safe to carry out twice, and once it is observed another follows."""
    case = Case(restore, schedule, backups, world, now)
    if restore.deleting:
        return _deleted(case)
    if restore.final:
        # Killed between the last status and the finalizer.
        return Next(Do.LET_GO) if restore.held else Next(Do.NOTHING)
    if restore.failed is not None:
        return _after_failure(case, restore.failed)
    step = next((s for s in STEPS if s not in restore.done), None)
    if step is None:
        return Next(Do.END, "Started", "Succeeded", phase="Succeeded")
    return {
        "Identified": _identified,
        "Verified": _verified,
        "Stopped": _stopped,
        "SafetyBackup": _safety,
        "Restored": _restored,
        "Validated": _validated,
        "Started": _started,
    }[step](case)


def _fail(case: Case, step: StepName, reason: str, message: str, task: Task | None = None) -> Next:
    return Next(
        Do.FAIL, step, reason, message, task=task, whole=whole(case, reason), way_back=way_back(case, step, reason)
    )


def refused(case: Case, step: StepName, message: str) -> Next:
    """The API server did not take a Job."""
    return _fail(case, step, "JobRefused", message)


def _wait(case: Case, step: StepName, reason: str, message: str, task: Task | None = None) -> Next:
    return Next(Do.WAIT, step, reason, message, recheck_at=case.now + POLL_SECONDS, task=task)


def _late(case: Case, step: StepName, allowed: float) -> bool:
    return case.now >= case.restore.running_since(step, case.now) + allowed


def _timeout(case: Case) -> float:
    return seconds(case.restore.spec.timeout)


# -- jobs ---------------------------------------------------------------------------------------------------------


def _job(case: Case, step: StepName, task: Task, doing: str) -> Next | JobSeen:
    """Run the step's Job and follow it: what to do next, or the Job once it has ended well.

    The Job is created first and noted after. Killed in between, it is found by its name and adopted.
    """
    job, noted = case.world.jobs.get(task), case.restore.job(step) == job_name(case.restore, task)
    name = job_name(case.restore, task)
    if job is None:
        if noted and task not in _REPEATED:
            return _fail(case, step, "JobVanished", f"Job {name} is gone, and did not say how it ended", task)
        if case.schedule is None:
            text = f'BackupSchedule "{case.restore.spec.schedule}" does not exist in this namespace'
            return _fail(case, step, "ScheduleNotFound", text)
        return Next(Do.RUN, step, "JobCreated", f"{doing}: Job {name}", task=task)
    result = job.result
    if job.state == "Running":
        if _late(case, step, _timeout(case) + GRACE_SECONDS):
            text = f"Job {name} has not ended within {shown(_timeout(case))}, and nobody ended it"
            return _fail(case, step, "JobTimeout", text, task)
        waiting = f", whose pod does not run yet: {job.waiting}" if job.waiting else ""
        return _wait(case, step, "JobRunning", f"{doing}: Job {name}{waiting}", task)
    if job.state == "Failed" or (result is not None and not result.ok):
        if result is not None and not result.ok:
            return _fail(case, step, result.reason or "JobFailed", result.message or f"Job {name} failed", task)
        return _fail(case, step, job.reason or "JobFailed", job.message or f"Job {name} failed", task)
    return job


def _pass(step: StepName, task: Task, job: JobSeen, otherwise: str) -> Next:
    said = job.result.message if job.result is not None else ""
    return Next(Do.PASS, step, step, said or otherwise, task=task)


# -- the steps ----------------------------------------------------------------------------------------------------


def _identified(case: Case) -> Next:
    if case.restore.spec.approval == "Refused":
        return _refuse("Identified")
    found = identify(case)
    if isinstance(found, Objection):
        return _fail(case, "Identified", found.reason, found.message)
    return Next(Do.IDENTIFY, "Identified", "Identified", chosen=found)


def _refuse(step: StepName) -> Next:
    return Next(Do.REFUSE, step, "Refused", "a person refused this restore: nothing was changed", phase="Refused")


def _verified(case: Case) -> Next:
    if case.restore.spec.approval == "Refused":
        return _refuse("Verified")
    job = _job(case, "Verified", "verify", f'verifying Backup "{case.restore.status.backup}"')
    if isinstance(job, Next):
        return job
    return _pass("Verified", "verify", job, f'Backup "{case.restore.status.backup}" is whole')


def how_to_approve(name: str) -> str:
    """What a person does about a Restore that waits."""
    approval = '{"spec":{"approval":"Approved"}}'
    return f"waiting for approval: kubectl patch restore {name} --type=merge -p '{approval}' (or \"Refused\")"


def _stopped(case: Case) -> Next:
    restore, world = case.restore, case.world
    if not restore.holds:
        found = _at_the_gate(case)
        if found is not None:
            return found
    missing = [place for place in all_places(restore.spec) if place not in world.workloads]
    if missing:
        return _fail(case, "Stopped", "TargetNotFound", f"{named(missing)} does not exist any more")
    # Killed after this is written, nothing was scaled yet; killed before it, nothing was noted, and it is seen anew.
    if not restore.holds:
        seen = tuple(world.workloads[place] for place in all_places(restore.spec))
        # Asked at the gate, where others were read: what is taken over from one that left it at 0 is not whole.
        sound = not left_half(case)[1]
        return Next(Do.REMEMBER, "Stopped", "Remembered", _remembering(seen), workloads=seen, whole=sound)
    stop = _stop(case, "Stopped", app_places(restore.spec))
    if stop is not None:
        return stop
    if case.mode != "newVolume" and restore.spec.server is None:
        used = _in_use(case, "Stopped")
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
        return _fail(case, "Stopped", "BackupGone", f"while this restore waited: {point.message}")
    if tied is not None and tied.over and not tied.executed:
        text = f"Rollback {tied.name} ended without putting the code back, so the data stays"
        return _fail(case, "Stopped", "RollbackEnded", text)
    if not restore.approved:
        return Next(Do.AWAIT_APPROVAL, "Stopped", "AwaitingApproval", how_to_approve(restore.name))
    if tied is not None and not tied.executed and not tied.cleared:
        text = f"Rollback {tied.name} waits for approval"
        return Next(Do.QUEUE, "Stopped", "WaitingForRollback", text, recheck_at=case.now + WAIT_SECONDS)
    other = conflict(case)
    if other:
        return Next(Do.QUEUE, "Stopped", "WaitingForRestore", other, recheck_at=case.now + WAIT_SECONDS)
    against, _ = left_half(case)
    return _fail(case, "Stopped", "LeftHalfRestored", against) if against else None


def _stop(case: Case, step: StepName, places: tuple[Place, ...]) -> Next | None:
    """Scale to 0 and see the pods gone; None when they are. Asked before each step that counts on it.

    A workload at 0 that bears the mark of a Restore which has ended is taken over: who starts it must be clear.
    """
    restore, world = case.restore, case.world
    seen = [world.workloads[place] for place in places if place in world.workloads]
    running = tuple(w for w in seen if w.replicas > 0 or (w.was is not None and w.holder != restore.holder))
    if running:
        names = named((w.kind, w.name) for w in running)
        return Next(Do.STOP, step, "Stopping", f"scaling {names} to 0", workloads=running)
    pods = [pod for w in seen for pod in w.pods]
    if not pods:
        return None
    if _late(case, step, _timeout(case)):
        text = f"{', '.join(pods[:5])} did not end within {shown(_timeout(case))}"
        return _fail(case, step, "StopTimeout", text)
    return _wait(case, step, "StoppingPods", f"waiting for {len(pods)} pods to end: {', '.join(pods[:5])}")


def _in_use(case: Case, step: StepName) -> Next | None:
    spec = case.restore.spec
    for name in written_claims(spec, case.schedule.spec if case.schedule else None):
        claim = case.world.claims.get(name)
        if claim is not None and claim.users:
            text = f'claim "{name}" is mounted by {", ".join(claim.users[:5])}: add their workload to spec.stop'
            return _fail(case, step, "ClaimInUse", text)
    return None


def _safety(case: Case) -> Next:
    step: StepName = "SafetyBackup"
    restore = case.restore
    if not restore.spec.safety_backup:
        return Next(Do.SKIP, step, step, "spec.safetyBackup is false")
    if case.mode in {"newDatabase", "newVolume"}:
        return Next(Do.SKIP, step, step, "nothing that is there now will be changed")
    again = _stop(case, step, app_places(restore.spec))
    if again is not None:
        return again
    name = job_name(restore, "safety")
    kept = case.backups.get(name)
    if "safety" not in case.world.jobs and kept is not None and kept.status and kept.status.phase == "Succeeded":
        # The job ended well, and is gone with its pod: what it made is there.
        return Next(Do.PASS, step, step, f'what was there is Backup "{name}"', task="safety")
    job = _job(case, step, "safety", "backing up what is there")
    if isinstance(job, Next):
        return job
    if job.result is not None and not job.result.backup:
        return Next(Do.SKIP, step, step, job.result.message or "nothing is there to back up", task="safety")
    return _pass(step, "safety", job, f'what was there is Backup "{name}"')


def _restored(case: Case) -> Next:
    step: StepName = "Restored"
    restore, tied, world = case.restore, case.world.rollback, case.world
    if not begun(case, step, "restore"):
        if tied is not None and not tied.executed:
            if tied.over:
                text = f"Rollback {tied.name} ended without putting the code back, so the data stays"
                return _fail(case, step, "RollbackEnded", text)
            return _wait(case, step, "WaitingForRollback", f"waiting for Rollback {tied.name} to put the template back")
        server = server_place(restore.spec)
        if server is not None and server not in world.workloads:
            return _fail(case, step, "TargetNotFound", f"{named([server])} does not exist any more")
    # Whoever scaled an application up meanwhile is told by an Event: it would run on half a database.
    again = _stop(case, step, all_places(restore.spec))
    if again is not None:
        return again
    if not begun(case, step, "restore") and case.mode == "inPlace":
        used = _in_use(case, step)
        if used is not None:
            return used
    job = _job(case, step, "restore", f'restoring Backup "{restore.status.backup}"')
    if isinstance(job, Next):
        return job
    return _pass(step, "restore", job, f'Backup "{restore.status.backup}" is restored')


def _validated(case: Case) -> Next:
    step: StepName = "Validated"
    restore = case.restore
    again = _stop(case, step, app_places(restore.spec))
    if again is not None:
        return again
    server = server_place(restore.spec)
    if server is not None:
        up = _server_up(case, server)
        if up is not None:
            return up
    # Once the swap is begun, the validation before it was good.
    if not begun(case, step, "swap"):
        job = _job(case, step, "validate", "validating what was restored")
        if isinstance(job, Next):
            return job
        if case.mode != "swap":
            return _pass(step, "validate", job, "what was restored is valid")
    swap = _job(case, step, "swap", "giving the restored database its name")
    if isinstance(swap, Next):
        return swap
    kept = databases_of(restore, case.backups)[2]
    return _pass(step, "swap", swap, f'what was restored is valid and has the name; the old one is kept as "{kept}"')


def _server_up(case: Case, place: Place) -> Next | None:
    """Start the server itself, to look at what was restored; applications wait."""
    seen = case.world.workloads.get(place)
    if seen is None:
        return _fail(case, "Validated", "TargetNotFound", f"{named([place])} does not exist any more")
    if seen.holder == case.restore.holder:
        return Next(Do.START, "Validated", "StartingServer", f"starting the server {named([place])}", workloads=(seen,))
    if seen.ready >= 1:
        return None
    allowed = min(_timeout(case), START_SECONDS)
    if _late(case, "Validated", allowed):
        text = f"the server {named([place])} was not ready within {shown(allowed)} on what was restored"
        return _fail(case, "Validated", "ServerNotReady", text)
    return _wait(case, "Validated", "StartingServer", f"waiting for the server {named([place])} to be ready")


def _started(case: Case) -> Next:
    step: StepName = "Started"
    restore, world = case.restore, case.world
    blocked = _kept_down(case, step)
    if blocked is not None:
        return blocked
    stopped = to_start(case)
    if stopped:
        names = named((w.kind, w.name) for w in stopped)
        return Next(Do.START, step, "Starting", f"starting {names}", workloads=stopped)
    if restore.held:
        return Next(Do.LET_GO, step)
    waiting: list[str] = []
    allowed = min(START_SECONDS, _timeout(case))
    for s in restore.status.stopped:
        seen = world.workloads.get((s.kind, s.name))
        # What somebody scales elsewhere meanwhile is theirs: ready is as many as are wanted now.
        if s.replicas and seen is not None and seen.ready < max(1, min(seen.replicas, s.replicas)):
            waiting.append(f"{s.kind.lower()}/{s.name} is not ready")
    since = restore.running_since(step, case.now)
    for name in restore.spec.services:
        service = world.services.get(name)
        if service is None or service.suspended:
            continue
        allowed = max(allowed, min(service.allowed, _timeout(case)))
        if service.green_at is None or service.green_at < since:
            waiting.append(f"the probes of {name} are not green")
    if not waiting:
        return Next(Do.PASS, step, step, _running(restore))
    if _late(case, step, allowed):
        return _fail(case, step, "NotGreen", f"{'; '.join(waiting)} within {shown(allowed)} after the start")
    return _wait(case, step, "WaitingForProbes", "; ".join(waiting))


def _running(restore: RestoreSeen) -> str:
    places = [(s.kind, s.name) for s in restore.status.stopped if s.replicas]
    green = f"; probes of {', '.join(restore.spec.services)} green" if restore.spec.services else ""
    return (f"{named(places)} runs again" if places else "nothing was stopped") + green


def _kept_down(case: Case, step: StepName) -> Next | None:
    """Restores of the same Rollback share a workload: it starts once all of its data is whole."""
    working, half = who_must_end(case)
    if working is not None:
        return _wait(case, step, "WaitingForRestore", f"Restore {working.name} of the same Rollback is under way")
    if half is not None:
        text = f"Restore {half.name} of the same Rollback left its data half restored: see its status.wayBack"
        return _fail(case, step, "OtherRestoreFailed", text)
    return None


# -- after a failure, and after a deletion -------------------------------------------------------------------------


def _after_failure(case: Case, step: StepName) -> Next:
    """Start again what was stopped where the data is whole, then end.

    The failure is in status before anything is started: killed in between, this is where the next process goes on.
    """
    restore = case.restore
    working, half = who_must_end(case)
    if restore.whole and half is None:
        stopped = to_start(case)
        if stopped and working is not None:
            return Next(Do.WAIT, step, restore.reason, recheck_at=case.now + POLL_SECONDS)
        if stopped:
            return Next(Do.START, step, restore.reason, workloads=stopped)
    if restore.held:
        return Next(Do.LET_GO, step)
    return Next(Do.END, step, restore.reason, phase="Failed", whole=restore.whole)


def _deleted(case: Case) -> Next:
    """Deleted while its workloads are stopped: start them where the data is whole, and let go in any case."""
    if not case.restore.held:
        return Next(Do.NOTHING)
    stopped = to_start(case)
    working, half = who_must_end(case)
    # A Restore of the same Rollback that is under way has noted the replicas, too, and starts it.
    if stopped and working is None and half is None and whole(case):
        return Next(Do.START, "Started", workloads=stopped)
    left = () if working is not None else stopped
    return Next(Do.LET_GO, "Started", workloads=left, whole=not left)
