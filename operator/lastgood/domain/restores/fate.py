"""What stands after a failure: whether the data is whole, whether applications may run on it, and the way back."""

import json
from typing import Any

from lastgood.api.restore import StepName
from lastgood.domain.restores.state import (
    Case,
    Place,
    RestoreSeen,
    WorkloadSeen,
    all_places,
    databases_of,
    job_name,
    server_place,
)

UNSURE = frozenset(
    {"JobVanished", "PodEvicted", "OutOfMemory", "JobTimeout", "PodLost", "JobFailed", "Interrupted", "InternalError"}
)
"""How a job ended that did not live to say what it had done, or did not know."""
CHANGED_NOTHING: frozenset[StepName] = frozenset({"Identified", "Verified", "Stopped", "SafetyBackup"})


def begun(case: Case, step: StepName, task: Any) -> bool:
    """Whether a job was started. One that is there and not noted is of a process that died in between."""
    return task in case.world.jobs or case.restore.job(step) == job_name(case.restore, task)


def whole(case: Case, reason: str = "") -> bool:
    """Whether the data that the applications use is whole: all old, or all new and valid.

    ``reason`` is why a step is about to fail. What was found then is kept in a condition, and stands. What another
    Restore has left half is whole again once this one's data is valid, and not before.
    """
    restore = case.restore
    if restore.failed is not None:
        return restore.whole
    return own_whole(case, reason) and not (restore.inherited and "Validated" not in restore.done)


def own_whole(case: Case, reason: str) -> bool:
    """Whether this Restore has left the data as whole as it was."""
    restore = case.restore
    if case.mode in {"newDatabase", "newVolume"} or "Validated" in restore.done:
        return True
    if case.mode == "inPlace":
        return not begun(case, "Restored", "restore") or untouched(case)
    # Both names are given in one transaction: a job that says that it failed has given neither.
    job = case.world.jobs.get("swap")
    told = job is not None and job.result is not None and not job.result.ok
    return not begun(case, "Validated", "swap") or (told and reason not in UNSURE)


def untouched(case: Case) -> bool:
    """Whether the job that was to write over what is there says that it failed before it wrote anything."""
    job = case.world.jobs.get("restore")
    return job is not None and job.result is not None and not job.result.ok and job.result.untouched


def who_must_end(case: Case) -> tuple[RestoreSeen | None, RestoreSeen | None]:
    """Restores of the same Rollback that keep the workload stopped: one that works, one that left half data."""
    if not case.restore.spec.rollback:
        return None, None
    working = half = None
    for other in case.world.others:
        seen = other.seen
        if seen.spec.rollback != case.restore.spec.rollback or not set(all_places(seen.spec)) & set(
            all_places(case.restore.spec)
        ):
            continue
        if not seen.whole and (seen.failed is not None or seen.final):
            half = half or seen
        # One that only has to start, or has failed and may, waits for nobody either.
        elif seen.holds and "Validated" not in seen.done and seen.failed is None:
            working = working or seen
    return working, half


def to_start(case: Case) -> tuple[WorkloadSeen, ...]:
    """Workloads that bear our mark, as they are now."""
    found = (case.world.workloads.get(place) for place in all_places(case.restore.spec))
    return tuple(w for w in found if w is not None and w.holder == case.restore.holder)


def named(places: Any) -> str:
    """Workloads as kubectl names them."""
    return ", ".join(f"{kind.lower()}/{name}" for kind, name in places)


def _scale(restore: RestoreSeen) -> str:
    commands = [
        f"kubectl scale -n {restore.namespace} {s.kind.lower()}/{s.name} --replicas={s.replicas}"
        for s in restore.status.stopped
        if s.replicas
    ]
    return " && ".join(commands)


def _restore_command(case: Case, backup: str) -> str:
    """What puts a Backup back over what is there; it starts what this one stopped."""
    spec = case.restore.spec
    body: dict[str, Any] = {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Restore",
        "metadata": {"generateName": "back-", "namespace": case.restore.namespace},
        "spec": {
            "schedule": spec.schedule,
            "to": {"backup": backup},
            "safetyBackup": False,
            "needsApproval": False,
            **({"into": {"inPlace": True}} if case.mode == "inPlace" else {}),
            **({"server": spec.server.model_dump(by_alias=True)} if spec.server is not None else {}),
            **({"stop": [s.model_dump(by_alias=True) for s in spec.stop]} if spec.stop else {}),
            **({"services": spec.services} if spec.services else {}),
            **({"dsn": spec.dsn.model_dump(by_alias=True)} if spec.dsn is not None else {}),
            **({"serviceAccount": spec.service_account} if spec.service_account is not None else {}),
        },
    }
    return f"echo '{json.dumps(body, separators=(',', ':'))}' | kubectl create -f -"


def _to_go_back(case: Case) -> str:
    safety = case.restore.status.safety_backup
    if safety:
        return f"to go back to what was there before: {_restore_command(case, safety)}"
    return "no safety backup was made: create another Restore to an earlier point"


def way_back(case: Case, step: StepName, reason: str) -> str:
    """What stands after this step has failed, and how to go back. ``case`` is as it was when it failed."""
    restore, mode = case.restore, case.mode
    stopped = tuple((s.kind, s.name) for s in restore.status.stopped if s.replicas)
    again = f"; {named(stopped)} is started again" if stopped else ""
    if restore.inherited and stopped and "Validated" not in restore.done:
        again = f"; {named(stopped)} stays at 0 replicas, as a Restore before this one left it"
    half = who_must_end(case)[1]
    if half is not None and stopped:
        again = f"; {named(stopped)} stays at 0 replicas, since Restore {half.name} left its data half restored"
        if step == "Started":
            return f"this data is restored and whole{again}: see that Restore's status.wayBack"
    name, fresh, kept = databases_of(restore, case.backups)
    used = f'database "{name}"' if name else "the database in use"
    if step == "Started":
        return _after_start(case, used, kept)
    if step in CHANGED_NOTHING or not begun(case, "Restored", "restore") or untouched(case):
        return f"nothing was changed{again}"
    # A job that fails drops what it has made itself; one that is killed cannot, and what differs stays to be looked at.
    left = ", if it is there" if step == "Restored" else ""
    if mode == "newDatabase":
        return f'nothing in use was changed{again}; drop database "{fresh}" before another try{left}'
    if mode == "newVolume":
        return f'nothing in use was changed{again}; delete claim "{restore.spec.new_claim}" before another try'
    if mode == "swap" and own_whole(case, reason):
        holds = "" if left else "holds what was restored, and "
        return f'{used} was not touched{again}; database "{fresh}" {holds}can be dropped{left}'
    apart = f"{named(stopped)} stays at 0 replicas" if stopped else "whatever uses the data should stay at 0"
    start = f"; then start it: {_scale(restore)}" if stopped else ""
    if mode == "swap":
        return (
            f'it is not known whether the names were given: {used} is the old one if "{fresh}" exists, and the '
            f'restored one if "{kept}" does; either is whole. {apart}{start}'
        )
    what = "the data may be half restored" if step == "Restored" else "the data was restored and is not valid"
    server = server_place(restore.spec)
    if server is not None and step == "Restored":
        what += f", and the server {named([server])} stays stopped"
    force = f"; to start on it all the same: {_scale(restore)}" if stopped else ""
    return f"{what}; {apart}. {_to_go_back(case)}{force}"


def _after_start(case: Case, used: str, kept: str) -> str:
    restore = case.restore
    places: list[Place] = [(s.kind, s.name) for s in restore.status.stopped if s.replicas]
    runs = f"; {named(places)} is started" if places else ""
    if case.mode == "swap":
        name = databases_of(restore, case.backups)[0] or "<name>"
        sql = (
            f'ALTER DATABASE "{name}" RENAME TO "{name[:40]}_rejected"; '
            f'ALTER DATABASE "{restore.status.kept_database}" RENAME TO "{name}";'
        )
        return f'the data is restored and whole{runs}; {used} of before is kept as "{kept}". To go back: {sql}'
    if case.mode in {"newDatabase", "newVolume"}:
        return f"the data is restored and whole, beside what is in use{runs}"
    return f"the data is restored and whole{runs}. {_to_go_back(case)}"
