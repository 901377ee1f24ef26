"""Which backup point a Restore goes to, and whether all that it needs is there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lastgood.api.backup import Backup, Copy
from lastgood.api.restore import RestoreTo
from lastgood.domain.clock import from_text, to_text

CHAINED = frozenset({"wal", "physical"})
"""Methods whose incrementals need their base and what lies between."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A point that can be restored."""

    backup: str
    point: float
    """The time whose state comes back; seconds since the epoch."""
    time: float | None = None
    """wal: recover up to here; None for the end of what the Backup holds."""
    chain: tuple[str, ...] = ()
    """Backups that are needed, the base first, this one last."""
    base_snapshots: tuple[str, ...] = ()
    snapshots: tuple[str, ...] = ()
    """In the chosen repository, in the order of the chain."""
    size_bytes: int = 0
    stored_bytes: int = 0
    contents: tuple[str, ...] = ()
    server_version: str = ""


@dataclass(frozen=True, slots=True)
class NoPoint:
    """Why there is none."""

    reason: str
    message: str


def short(at: float) -> str:
    """A point for a person: RFC 3339, to the second."""
    return to_text(at)[:19] + "Z"


def _copy(backup: Backup, repository: str) -> Copy | None:
    return next((c for c in (backup.status.copies if backup.status else ()) if c.repository == repository), None)


def _present(backup: Backup, repository: str) -> bool:
    found = _copy(backup, repository)
    return found is not None and found.state == "Present"


def _point(backup: Backup) -> float:
    return from_text(backup.status.point) if backup.status and backup.status.point else 0.0


def _earliest(backup: Backup) -> float:
    return from_text(backup.status.earliest) if backup.status and backup.status.earliest else _point(backup)


def _succeeded(backup: Backup) -> bool:
    return backup.status is not None and backup.status.phase == "Succeeded" and backup.status.point is not None


def chain_of(name: str, backups: Mapping[str, Backup]) -> tuple[str, ...]:
    """Backups that this one needs, the base first, itself last.

    Failed ones are in no chain: the next one made up for them.
    """
    backup = backups[name]
    status = backup.status
    if status is None or not status.base or status.base == name or status.method not in CHAINED:
        return (name,)
    until = _point(backup)
    between = [
        (_point(other), key)
        for key, other in backups.items()
        if key not in {name, status.base}
        and other.status is not None
        and other.spec.schedule == backup.spec.schedule
        and other.status.base == status.base
        and _succeeded(other)
        and _point(other) < until
    ]
    return (status.base, *(key for _, key in sorted(between)), name)


def _whole(name: str, repository: str, backups: Mapping[str, Backup]) -> str:
    """What is missing of a point's chain in a repository; empty when nothing is."""
    for member in chain_of(name, backups):
        if member not in backups:
            return f'it needs Backup "{member}", which does not exist'
        if not _succeeded(backups[member]):
            return f'it needs Backup "{member}", which did not succeed'
        if not _present(backups[member], repository):
            return f'it needs Backup "{member}", which is not in repository "{repository}"'
    return ""


def _chosen(name: str, repository: str, backups: Mapping[str, Backup], time: float | None = None) -> Chosen:
    chain = chain_of(name, backups)
    copies = [_copy(backups[member], repository) for member in chain]
    # A copy may name what it shares with the ones before it: each snapshot once, in order.
    found = dict.fromkeys(s for copy in copies if copy is not None for s in copy.snapshots)
    status = backups[name].status
    assert status is not None  # noqa: S101 - only those that succeeded come here
    base = copies[0] if len(chain) > 1 else None
    return Chosen(
        backup=name,
        point=time if time is not None else _point(backups[name]),
        time=time,
        chain=chain,
        base_snapshots=tuple(base.snapshots) if base is not None else (),
        snapshots=tuple(found),
        size_bytes=status.size_bytes,
        stored_bytes=status.stored_bytes,
        contents=tuple(status.contents),
        server_version=status.server_version,
    )


def choose(
    to: RestoreTo, *, schedule: str, method: str, repository: str, backups: Mapping[str, Backup]
) -> Chosen | NoPoint:
    """The point that is asked for. ``backups`` are all of the namespace, by name."""
    if to.backup is not None:
        return named(to.backup, schedule=schedule, repository=repository, backups=backups)
    mine = [n for n, b in backups.items() if b.spec.schedule == schedule and _succeeded(b) and _present(b, repository)]
    if not mine:
        return NoPoint("NoBackup", f'no Backup of "{schedule}" is in repository "{repository}"')
    usable = [n for n in mine if not _whole(n, repository, backups)]
    if not usable:
        newest = max(mine, key=lambda n: (_point(backups[n]), n))
        return NoPoint("ChainBroken", f'Backup "{newest}" cannot be restored: {_whole(newest, repository, backups)}')
    if to.time is None:
        return _chosen(max(usable, key=lambda n: (_point(backups[n]), n)), repository, backups)
    try:
        wanted = from_text(to.time)
    except ValueError:
        return NoPoint("BadTime", f'"{to.time}" is no time: write one such as "2027-01-15T08:00:00Z"')
    oldest = min(_earliest(backups[n]) if method == "wal" else _point(backups[n]) for n in usable)
    if wanted < oldest:
        text = f'{short(wanted)} is before the oldest point in repository "{repository}", which is {short(oldest)}'
        return NoPoint("BeforeOldestPoint", f"{text}: ask for that or a later one")
    if method == "wal":
        return _moment(wanted, usable, repository, backups)
    before = [n for n in usable if _point(backups[n]) <= wanted]
    return _chosen(max(before, key=lambda n: (_point(backups[n]), n)), repository, backups)


def _moment(wanted: float, usable: Iterable[str], repository: str, backups: Mapping[str, Backup]) -> Chosen | NoPoint:
    """Any moment between what a base can be recovered from and up to."""
    names = list(usable)
    covering = [n for n in names if _earliest(backups[n]) <= wanted <= _point(backups[n])]
    if covering:
        # The youngest base has the least to replay; of its chain, no more than is needed.
        best = max(covering, key=lambda n: (_earliest(backups[n]), -_point(backups[n]), n))
        return _chosen(best, repository, backups, wanted)
    last = max(_point(backups[n]) for n in names)
    if wanted > last:
        text = (
            f'{short(wanted)} is after the last recoverable time in repository "{repository}", which is {short(last)}'
        )
        return NoPoint("AfterNewestPoint", f"{text}: ask for that, or back up first")
    before = max(_point(backups[n]) for n in names if _point(backups[n]) < wanted)
    after = min(_earliest(backups[n]) for n in names if _earliest(backups[n]) > wanted)
    return NoPoint(
        "NotCovered", f"nothing was kept of {short(wanted)}: what is nearest is {short(before)} and {short(after)}"
    )


def named(name: str, *, schedule: str, repository: str, backups: Mapping[str, Backup]) -> Chosen | NoPoint:
    """The point of one Backup."""
    backup = backups.get(name)
    if backup is None:
        return NoPoint("BackupNotFound", f'Backup "{name}" does not exist in this namespace')
    if backup.spec.schedule != schedule:
        return NoPoint(
            "BackupOfAnother", f'Backup "{name}" is of schedule "{backup.spec.schedule}", not of "{schedule}"'
        )
    if not _succeeded(backup):
        phase = backup.status.phase if backup.status else "Pending"
        return NoPoint("BackupNotUsable", f'Backup "{name}" is {phase}: only one that has Succeeded can be restored')
    if not _present(backup, repository):
        others = [c.repository for c in (backup.status.copies if backup.status else ()) if c.state == "Present"]
        text = f'Backup "{name}" is not in repository "{repository}"'
        return NoPoint("NotInRepository", text + (f": it is in {', '.join(others)}" if others else ""))
    problem = _whole(name, repository, backups)
    if problem:
        return NoPoint("ChainBroken", f'Backup "{name}" cannot be restored: {problem}')
    return _chosen(name, repository, backups)
