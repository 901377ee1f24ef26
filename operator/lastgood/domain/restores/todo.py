"""What can be done next with a Restore, and the ways of the steps to say so."""

from dataclasses import dataclass
from enum import StrEnum

from lastgood.api.backupjob import Task
from lastgood.api.base import seconds
from lastgood.api.restore import StepName
from lastgood.domain.clock import shown
from lastgood.domain.restores.fate import named, way_back, whole
from lastgood.domain.restores.points import Chosen
from lastgood.domain.restores.state import (
    Case,
    JobSeen,
    Place,
    WorkloadSeen,
    job_name,
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


def fail(case: Case, step: StepName, reason: str, message: str, task: Task | None = None) -> Next:
    """A step has failed: what stands, and the way back."""
    return Next(
        Do.FAIL, step, reason, message, task=task, whole=whole(case, reason), way_back=way_back(case, step, reason)
    )


def refused(case: Case, step: StepName, message: str) -> Next:
    """The API server did not take a Job."""
    return fail(case, step, "JobRefused", message)


def wait(case: Case, step: StepName, reason: str, message: str, task: Task | None = None) -> Next:
    """A step is under way."""
    return Next(Do.WAIT, step, reason, message, recheck_at=case.now + POLL_SECONDS, task=task)


def late(case: Case, step: StepName, allowed: float) -> bool:
    """Whether a step has taken longer than so many seconds."""
    return case.now >= case.restore.running_since(step, case.now) + allowed


def timeout(case: Case) -> float:
    """Longest that a step may take, seconds."""
    return seconds(case.restore.spec.timeout)


def follow(case: Case, step: StepName, task: Task, doing: str) -> Next | JobSeen:
    """Run the step's Job and follow it: what to do next, or the Job once it has ended well.

    The Job is created first and noted after. Killed in between, it is found by its name and adopted.
    """
    job, noted = case.world.jobs.get(task), case.restore.job(step) == job_name(case.restore, task)
    name = job_name(case.restore, task)
    if job is None:
        if noted and task not in _REPEATED:
            return fail(case, step, "JobVanished", f"Job {name} is gone, and did not say how it ended", task)
        if case.schedule is None:
            text = f'BackupSchedule "{case.restore.spec.schedule}" does not exist in this namespace'
            return fail(case, step, "ScheduleNotFound", text)
        return Next(Do.RUN, step, "JobCreated", f"{doing}: Job {name}", task=task)
    result = job.result
    if job.state == "Running":
        if late(case, step, timeout(case) + GRACE_SECONDS):
            text = f"Job {name} has not ended within {shown(timeout(case))}, and nobody ended it"
            return fail(case, step, "JobTimeout", text, task)
        waiting = f", whose pod does not run yet: {job.waiting}" if job.waiting else ""
        return wait(case, step, "JobRunning", f"{doing}: Job {name}{waiting}", task)
    if job.state == "Failed" or (result is not None and not result.ok):
        if result is not None and not result.ok:
            return fail(case, step, result.reason or "JobFailed", result.message or f"Job {name} failed", task)
        return fail(case, step, job.reason or "JobFailed", job.message or f"Job {name} failed", task)
    return job


def passed(step: StepName, task: Task, job: JobSeen, otherwise: str) -> Next:
    """A step's Job has ended well; its own words are told, where it had some."""
    said = job.result.message if job.result is not None else ""
    return Next(Do.PASS, step, step, said or otherwise, task=task)


def at_zero(case: Case, step: StepName, places: tuple[Place, ...]) -> Next | None:
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
    if late(case, step, timeout(case)):
        text = f"{', '.join(pods[:5])} did not end within {shown(timeout(case))}"
        return fail(case, step, "StopTimeout", text)
    return wait(case, step, "StoppingPods", f"waiting for {len(pods)} pods to end: {', '.join(pods[:5])}")


def in_use(case: Case, step: StepName) -> Next | None:
    """Fail where a pod that nobody stopped mounts what is about to be written."""
    spec = case.restore.spec
    for name in written_claims(spec, case.schedule.spec if case.schedule else None):
        claim = case.world.claims.get(name)
        if claim is not None and claim.users:
            text = f'claim "{name}" is mounted by {", ".join(claim.users[:5])}: add their workload to spec.stop'
            return fail(case, step, "ClaimInUse", text)
    return None
