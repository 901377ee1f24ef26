"""One Restore at a time for what it touches."""

from lastgood.domain.restores.state import Case, Other, touches


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


def _shared(case: Case, other: Other, mine: frozenset[str]) -> str:
    both = mine & other.touches
    if case.restore.spec.rollback and other.seen.spec.rollback == case.restore.spec.rollback:
        # Restores of one Rollback stop the same workload together, and start it together.
        both = frozenset(b for b in both if b.startswith(("BackupSchedule ", "claim ")))
    return min(both, default="")
