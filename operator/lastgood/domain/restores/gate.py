"""One Restore at a time for what it touches."""

from lastgood.domain.restores.state import Case, Other, all_places, touches


def conflict(case: Case) -> str:
    """Which other Restore must end first, as a sentence; empty when none does.

    Asked with the gate locked, on Restores read anew: of two that come at once, the second sees that the first holds.
    """
    mine = touches(case.restore.spec, case.schedule.spec if case.schedule else None)
    order = (case.restore.created, case.restore.name)
    for other in sorted(case.world.others, key=lambda o: (o.seen.created, o.seen.name)):
        shared = _shared(case, other, mine)
        if not shared or other.seen.final:
            continue
        first = other.seen.reason == "WaitingForRestore" and (other.seen.created, other.seen.name) < order
        if other.seen.holds or first:
            return f"Restore {other.seen.name} {'is' if other.seen.holds else 'waits'} before it: both touch {shared}"
    return ""


def left_half(case: Case) -> tuple[str, bool]:
    """What speaks against taking over workloads that another Restore has left at 0; and whether there are any.

    It left them so since its data was not whole. Only a restore of the same schedule, into use, makes it whole again.
    """
    restore = case.restore
    found = False
    for place in all_places(restore.spec):
        seen = case.world.workloads.get(place)
        if seen is None or seen.replicas or seen.was is None or seen.holder in {"", restore.holder}:
            continue
        found = True
        half = _schedules(case, seen.holder)
        if half != {restore.spec.schedule} or case.mode in {"newDatabase", "newVolume"}:
            whose = " and ".join(sorted(half)) or "unknown"
            text = (
                f"{place[0].lower()}/{place[1]} was left at 0 replicas by {seen.holder}, whose data is half restored "
                f"(schedule {whose}): restore that into use first, or, when you know better, take the annotation "
                "lastgood.dev/stopped-by off"
            )
            return text, True
    return "", found


def _schedules(case: Case, holder: str) -> set[str]:
    kind, _, rest = holder.partition("/")
    if kind == "restore":
        return {rest.partition("/")[2]} - {""}
    return {o.seen.spec.schedule for o in case.world.others if o.seen.spec.rollback == rest and not o.seen.whole}


def _shared(case: Case, other: Other, mine: frozenset[str]) -> str:
    both = mine & other.touches
    if case.restore.spec.rollback and other.seen.spec.rollback == case.restore.spec.rollback:
        # Restores of one Rollback stop the same workload together, and start it together.
        both = frozenset(b for b in both if b.startswith(("BackupSchedule ", "claim ")))
    return min(both, default="")
