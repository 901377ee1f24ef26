"""What is asked before a Restore begins. The first that objects wins, and nothing was changed yet."""

from collections.abc import Callable
from dataclasses import dataclass

from lastgood.domain.restores.points import Chosen, NoPoint, choose
from lastgood.domain.restores.state import Case, app_places, server_place


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a Restore cannot be."""

    reason: str
    message: str


def _schedule(case: Case) -> Objection | None:
    if case.schedule is None:
        name = case.restore.spec.schedule
        return Objection("ScheduleNotFound", f'BackupSchedule "{name}" does not exist in this namespace')
    known = ["primary", *(r.name for r in case.schedule.spec.repositories.secondary)]
    wanted = case.restore.spec.repository
    if wanted not in known:
        return Objection("RepositoryUnknown", f'"{wanted}" is no repository of the schedule: it has {", ".join(known)}')
    return None


_PLACES = {
    "logical": ("swap", "inPlace", "newDatabase"),
    "wal": ("inPlace", "newVolume"),
    "physical": ("inPlace", "newVolume"),
    "redis": ("inPlace", "newVolume"),
    "volume": ("inPlace", "newVolume"),
    "logs": ("newVolume",),
    "config": ("inPlace", "newVolume"),
}


def _into(case: Case) -> Objection | None:
    method, mode, spec = case.method, case.mode, case.restore.spec
    if mode not in _PLACES[method]:
        text = f"a backup of method {method} cannot be restored into {mode}: write {' or '.join(_PLACES[method])}"
        return Objection("IntoNotPossible", text)
    if mode == "inPlace" and method in {"wal", "physical"} and spec.server is None:
        text = f"method {method} writes the server's own volume: name its StatefulSet and claim in spec.server"
        return Objection("ServerMissing", text + ", or restore into newVolume")
    if mode == "newVolume":
        claim = case.world.claims.get(spec.new_claim)
        # Ours where a process before this one made it and did not live to say so.
        if claim is not None and claim.made_for != case.restore.uid:
            text = f'claim "{spec.new_claim}" exists: name one that does not, it is made and filled'
            return Objection("ClaimExists", text)
    return None


def _targets(case: Case) -> Objection | None:
    for kind, name in app_places(case.restore.spec):
        if (kind, name) not in case.world.workloads:
            return Objection("TargetNotFound", f'{kind} "{name}" of spec.stop does not exist in this namespace')
    for name in case.restore.spec.services:
        if name not in case.world.services:
            return Objection("ServiceNotFound", f'MonitoredService "{name}" does not exist in this namespace')
    return None


def _server(case: Case) -> Objection | None:
    spec, place = case.restore.spec, server_place(case.restore.spec)
    if spec.server is None or place is None:
        return None
    claim = case.world.claims.get(spec.server.claim)
    seen = case.world.workloads.get(place)
    belongs = (seen.belongs if seen else None) or (claim.belongs if claim else None)
    if belongs is not None:
        tool, instead = belongs
        what = f'StatefulSet "{place[1]}"' if seen and seen.belongs else f'claim "{spec.server.claim}"'
        return Objection("ServerManaged", f"{what} belongs to {tool}, which would undo it: {instead}")
    if seen is None:
        return Objection("TargetNotFound", f'StatefulSet "{place[1]}" of spec.server does not exist in this namespace')
    if claim is None:
        return Objection("ClaimNotFound", f'claim "{spec.server.claim}" does not exist in this namespace')
    if spec.server.claim not in seen.claims:
        text = (
            f'claim "{spec.server.claim}" is none of StatefulSet "{place[1]}": it has {", ".join(sorted(seen.claims))}'
        )
        return Objection("ClaimNotOfServer", text)
    if place in app_places(spec):
        return Objection("ServerInStop", f'StatefulSet "{place[1]}" is the server: leave it out of spec.stop')
    was = seen.was if seen.replicas == 0 and seen.was is not None else seen.replicas
    if was > 1:
        text = f'StatefulSet "{place[1]}" has {was} replicas, and one claim is restored: scale it to 1 first'
        return Objection("ServerHasReplicas", text)
    if was == 0:
        text = f'StatefulSet "{place[1]}" has 0 replicas: scale it to 1, so that it is known what to start again'
        return Objection("ServerStopped", text)
    if seen.replicas == 0 and spec.safety_backup:
        text = f'StatefulSet "{place[1]}" is stopped, and only a running server can be backed up'
        return Objection("ServerStopped", f"{text}: start it, or set spec.safetyBackup to false")
    return None


def _rights(case: Case) -> Objection | None:
    """Declared objects are written with rights that somebody gives for it, and with none else."""
    named, writes = case.restore.spec.service_account, case.method == "config" and case.mode == "inPlace"
    if not writes:
        if named is None:
            return None
        text = "only declared objects that go back in place are written with a ServiceAccount's rights"
        return Objection("ServiceAccountNotUsed", f"{text}: leave out spec.serviceAccount")
    if named is None:
        text = (
            "the schedule's own jobs may only read: name in spec.serviceAccount one that may write what is restored. "
            "To make one: kubectl create serviceaccount config-restore, then kubectl create rolebinding config-restore "
            "with --clusterrole of the chart that ends in -config-restore, and --serviceaccount"
        )
        return Objection("ServiceAccountMissing", text)
    if not case.world.account:
        return Objection("ServiceAccountNotFound", f'ServiceAccount "{named}" does not exist in this namespace')
    return None


CHAIN: tuple[Callable[[Case], Objection | None], ...] = (_schedule, _into, _rights, _targets, _server)


def identify(case: Case) -> Chosen | Objection:
    """The point to restore, or what stands against it."""
    for guard in CHAIN:
        objection = guard(case)
        if objection is not None:
            return objection
    spec = case.restore.spec
    found = choose(
        spec.to,
        schedule=spec.schedule,
        method=case.method,
        repository=spec.repository,
        backups=case.backups,
    )
    return Objection(found.reason, found.message) if isinstance(found, NoPoint) else found
