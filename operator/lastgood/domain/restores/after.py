"""The steps that change data, look at it, and start what was stopped."""

from lastgood.api.restore import StepName
from lastgood.domain.clock import shown
from lastgood.domain.restores.fate import begun, named, to_start, who_must_end
from lastgood.domain.restores.state import (
    Case,
    Place,
    RestoreSeen,
    all_places,
    app_places,
    databases_of,
    server_place,
)
from lastgood.domain.restores.todo import (
    START_SECONDS,
    Do,
    Next,
    at_zero,
    fail,
    follow,
    in_use,
    late,
    passed,
    timeout,
    wait,
)


def restored(case: Case) -> Next:
    """Put the data where it goes; a server of its own is at 0 meanwhile."""
    step: StepName = "Restored"
    restore, tied, world = case.restore, case.world.rollback, case.world
    if not begun(case, step, "restore"):
        if tied is not None and not tied.executed:
            if tied.over:
                text = f"Rollback {tied.name} ended without putting the code back, so the data stays"
                return fail(case, step, "RollbackEnded", text)
            return wait(case, step, "WaitingForRollback", f"waiting for Rollback {tied.name} to put the template back")
        server = server_place(restore.spec)
        if server is not None and server not in world.workloads:
            return fail(case, step, "TargetNotFound", f"{named([server])} does not exist any more")
    # Whoever scaled an application up meanwhile is told by an Event: it would run on half a database.
    again = at_zero(case, step, all_places(restore.spec))
    if again is not None:
        return again
    if not begun(case, step, "restore") and case.mode == "inPlace":
        used = in_use(case, step)
        if used is not None:
            return used
    job = follow(case, step, "restore", f'restoring Backup "{restore.status.backup}"')
    if isinstance(job, Next):
        return job
    return passed(step, "restore", job, f'Backup "{restore.status.backup}" is restored')


def validated(case: Case) -> Next:
    """Look at what was restored; then, for a swap, give it the name."""
    step: StepName = "Validated"
    restore = case.restore
    again = at_zero(case, step, app_places(restore.spec))
    if again is not None:
        return again
    server = server_place(restore.spec)
    if server is not None:
        up = _server_up(case, server)
        if up is not None:
            return up
    # Once the swap is begun, the validation before it was good.
    if not begun(case, step, "swap"):
        job = follow(case, step, "validate", "validating what was restored")
        if isinstance(job, Next):
            return job
        if case.mode != "swap":
            return passed(step, "validate", job, "what was restored is valid")
    swap = follow(case, step, "swap", "giving the restored database its name")
    if isinstance(swap, Next):
        return swap
    kept = databases_of(restore, case.backups)[2]
    return passed(step, "swap", swap, f'what was restored is valid and has the name; the old one is kept as "{kept}"')


def _server_up(case: Case, place: Place) -> Next | None:
    """Start the server itself, to look at what was restored; applications wait."""
    seen = case.world.workloads.get(place)
    if seen is None:
        return fail(case, "Validated", "TargetNotFound", f"{named([place])} does not exist any more")
    if seen.holder == case.restore.holder:
        return Next(Do.START, "Validated", "StartingServer", f"starting the server {named([place])}", workloads=(seen,))
    if seen.ready >= 1:
        return None
    allowed = min(timeout(case), START_SECONDS)
    if late(case, "Validated", allowed):
        text = f"the server {named([place])} was not ready within {shown(allowed)} on what was restored"
        return fail(case, "Validated", "ServerNotReady", text)
    return wait(case, "Validated", "StartingServer", f"waiting for the server {named([place])} to be ready")


def started(case: Case) -> Next:
    """Scale back, and see workloads ready and probes green."""
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
    allowed = min(START_SECONDS, timeout(case))
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
        allowed = max(allowed, min(service.allowed, timeout(case)))
        if service.green_at is None or service.green_at < since:
            waiting.append(f"the probes of {name} are not green")
    if not waiting:
        return Next(Do.PASS, step, step, _running(restore))
    if late(case, step, allowed):
        return fail(case, step, "NotGreen", f"{'; '.join(waiting)} within {shown(allowed)} after the start")
    return wait(case, step, "WaitingForProbes", "; ".join(waiting))


def _running(restore: RestoreSeen) -> str:
    places = [(s.kind, s.name) for s in restore.status.stopped if s.replicas]
    green = f"; probes of {', '.join(restore.spec.services)} green" if restore.spec.services else ""
    return (f"{named(places)} runs again" if places else "nothing was stopped") + green


def _kept_down(case: Case, step: StepName) -> Next | None:
    """Restores of the same Rollback share a workload: it starts once all of its data is whole."""
    working, half = who_must_end(case)
    if working is not None:
        return wait(case, step, "WaitingForRestore", f"Restore {working.name} of the same Rollback is under way")
    if half is not None:
        text = f"Restore {half.name} of the same Rollback left its data half restored: see its status.wayBack"
        return fail(case, step, "OtherRestoreFailed", text)
    return None
