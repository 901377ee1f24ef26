"""The seven steps of one Restore, as a pure function from what stands to what comes next."""

from collections.abc import Mapping

from lastgood.api.backup import Backup
from lastgood.api.restore import StepName
from lastgood.domain.restores.after import restored, started, validated
from lastgood.domain.restores.before import identified, safety, stopped, verified
from lastgood.domain.restores.fate import to_start, who_must_end, whole
from lastgood.domain.restores.state import (
    STEPS,
    Case,
    RestoreSeen,
    ScheduleSeen,
    World,
)
from lastgood.domain.restores.todo import POLL_SECONDS, Do, Next, refused

__all__ = ["Do", "Next", "advance", "refused"]


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
        "Identified": identified,
        "Verified": verified,
        "Stopped": stopped,
        "SafetyBackup": safety,
        "Restored": restored,
        "Validated": validated,
        "Started": started,
    }[step](case)


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
