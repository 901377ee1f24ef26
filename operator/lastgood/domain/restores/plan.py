"""What a Restore would do, in words: one sentence for its status, a page for a person who asks before it begins."""

from lastgood.domain.clock import shown
from lastgood.domain.restores.checks import Objection, identify
from lastgood.domain.restores.fate import named
from lastgood.domain.restores.gate import conflict
from lastgood.domain.restores.points import Chosen, short
from lastgood.domain.restores.state import Case, all_places, app_places, databases_of, server_place

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes for a person: "412.0 MiB"."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def age(seconds: float) -> str:
    """How long ago, in the two largest units that say something."""
    minutes = max(0, int(seconds)) // 60
    days, hours = minutes // 1440, minutes % 1440 // 60
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    return shown(minutes * 60) if minutes else shown(seconds)


def sentence(case: Case, chosen: Chosen) -> str:
    """What was identified."""
    told = f'Backup "{chosen.backup}" as of {short(chosen.point)}, {age(case.now - chosen.point)} ago'
    told += f", {size(chosen.size_bytes)} from repository {case.restore.spec.repository}"
    if len(chosen.chain) > 1:
        told += f", {len(chosen.chain)} backups in its chain"
    return f"{told}; {where(case)}"


def where(case: Case) -> str:
    """Where the data goes."""
    spec, into = case.restore.spec, case.restore.spec.into
    match case.mode:
        case "swap":
            return "into a fresh database that takes the name once it is valid"
        case "newDatabase":
            name = into.new_database.name if into is not None and into.new_database is not None else ""
            return f'into the new database "{name}"'
        case "newVolume":
            return f'into the new claim "{spec.new_claim}"'
        case _:
            server = server_place(spec)
            account = f", as ServiceAccount {spec.service_account}" if spec.service_account else ""
            return f"over the volume of {named([server])}" if server else f"over what is there{account}"


def _loss(case: Case, chosen: Chosen) -> str:
    if case.mode in {"newDatabase", "newVolume"}:
        return "nothing: what is in use stays as it is"
    return f"what was written in the last {age(case.now - chosen.point)}, since {short(chosen.point)}"


def _workloads(case: Case) -> list[str]:
    found = []
    for place in all_places(case.restore.spec):
        seen = case.world.workloads.get(place)
        if seen is None:
            continue
        replicas = seen.was if seen.replicas == 0 and seen.was is not None else seen.replicas
        more = f", scaled by {seen.autoscaler}" if seen.autoscaler else ""
        what = " (the server, after the safety backup)" if place == server_place(case.restore.spec) else ""
        found.append(f"{named([place])}: {replicas} replicas{more}{what}")
    return found


def _safety(case: Case) -> str:
    if not case.restore.spec.safety_backup:
        return "none: spec.safetyBackup is false"
    if case.mode in {"newDatabase", "newVolume"}:
        return "none needed: nothing that is there now will be changed"
    return "a full backup of what is there, before anything is changed"


def _way_back(case: Case, chosen: Chosen) -> str:
    if case.mode == "swap":
        status = case.restore.status.model_copy(update={"backup": chosen.backup})
        seen = type(case.restore)(
            case.restore.namespace, case.restore.name, case.restore.uid, case.restore.spec, status
        )
        kept = databases_of(seen, case.backups)[2]
        # A Restore that is not created yet has no UID, and its name is a part of it.
        return "the old database is kept beside the new one" + (f' as "{kept}"' if case.restore.uid else "")
    if case.mode in {"newDatabase", "newVolume"}:
        return "drop what was made"
    if case.restore.spec.safety_backup:
        return "restore the safety backup; status.wayBack has the command"
    return "restore another point: there is no safety backup"


def plan(case: Case) -> str:
    """What would happen, a line each; what stands against it, where something does. Ends with a line break."""
    restore, spec = case.restore, case.restore.spec
    head = f"Restore {restore.namespace}/{restore.name} of BackupSchedule {spec.schedule}"
    found = identify(case)
    if isinstance(found, Objection):
        return f"{head}\n  cannot be: {found.reason}: {found.message}\n"
    rows = [
        ("point", f"{short(found.point)}, {age(case.now - found.point)} ago"),
        ("backup", f"{found.backup}" + (f" after {', '.join(found.chain[:-1])}" if len(found.chain) > 1 else "")),
        ("verified", _verified(case, found)),
        ("size", f"{size(found.size_bytes)}" + (f": {', '.join(found.contents[:8])}" if found.contents else "")),
        ("repository", spec.repository),
        ("goes", where(case)),
        ("lost", _loss(case, found)),
        *(("stops", line) for line in _workloads(case) or ["nothing: spec.stop is empty"]),
        ("safety backup", _safety(case)),
        ("takes", _takes(case)),
        ("then green", ", ".join(spec.services) or "nothing is asked: spec.services is empty"),
        ("way back", _way_back(case, found)),
    ]
    if not app_places(spec) and case.mode in {"swap", "inPlace"}:
        rows.append(("note", "whatever uses the data goes on while it is changed: name it in spec.stop"))
    first = conflict(case)
    if first:
        rows.append(("waits", first))
    rows.append(("approval", "needed before anything is stopped" if not restore.approved else "not needed any more"))
    return f"{head}\n" + "".join(f"  {name:<14}{text}\n" for name, text in rows)


def _verified(case: Case, chosen: Chosen) -> str:
    backup = case.backups.get(chosen.backup)
    proofs = backup.status.verified if backup is not None and backup.status is not None else []
    for proof in proofs:
        if proof.repository == case.restore.spec.repository:
            return f"{proof.how} {'passed' if proof.passed else 'FAILED'} at {proof.at[:19]}Z"
    return "not yet in this repository; the restore verifies it before anything is stopped"


def _takes(case: Case) -> str:
    measured = case.schedule.restore_seconds if case.schedule is not None else 0
    if not measured:
        return "not known: no restore test has passed yet"
    return f"about {shown(measured)}, as the last restore test did, and the safety backup before it"
