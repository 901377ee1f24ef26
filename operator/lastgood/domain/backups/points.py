"""Which points a repository holds, by the tags of its snapshots alone: it can be read without the cluster.

A backup is complete when its record is there: a snapshot of its own, made last, with the Backup's status in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lastgood.domain.backups.ownership import MARKER
from lastgood.domain.backups.ports import JobFailed, Point, Snapshot
from lastgood.domain.backups.texts import moment, stamp

RECORD = "record"
"""Part of the snapshot that says that a backup is complete."""
RECORD_FILE = "backup.json"


def record_tags(tags: Mapping[str, str], *, at: float, base: str) -> dict[str, str]:
    """The tags of a backup's record. ``base`` is the Backup without which it cannot be restored, or empty."""
    return {**tags, "part": RECORD, "point": stamp(at), **({"base": base} if base else {})}


@dataclass(frozen=True, slots=True)
class Held:
    """One complete backup in a repository."""

    backup: str
    at: float
    base: str
    snapshots: tuple[Snapshot, ...]
    """Its data's, oldest first."""
    record: Snapshot

    @property
    def ids(self) -> list[str]:
        """All that is to be copied or removed with it."""
        return [*(s.id for s in self.snapshots), self.record.id]


def held(snapshots: Sequence[Snapshot]) -> list[Held]:
    """All complete backups, by the times that they restore, oldest first."""
    data: dict[str, list[Snapshot]] = {}
    records: dict[str, Snapshot] = {}
    for each in sorted(snapshots, key=lambda s: (s.time, s.id)):
        backup = each.tags.get("backup", "")
        if each.tags.get("part") == RECORD:
            # A record is written once; of two that a copy made, the first is as good.
            records.setdefault(backup, each)
        elif backup:
            data.setdefault(backup, []).append(each)
    found = [
        Held(backup, _at(record), record.tags.get("base", ""), tuple(data.get(backup, ())), record)
        for backup, record in records.items()
        if backup in data
    ]
    return sorted(found, key=lambda h: (h.at, h.record.time, h.backup))


def _at(record: Snapshot) -> float:
    try:
        return moment(record.tags.get("point", ""))
    except ValueError:
        return record.time


def chain(all_held: Sequence[Held], one: Held) -> list[Held] | None:
    """What must be there to restore one, without itself, the base first; None when the base is not there."""
    if not one.base:
        return []
    base = next((h for h in all_held if h.backup == one.base), None)
    if base is None:
        return None
    between = [h for h in all_held if h.base == one.base and (h.at, h.record.time) < (one.at, one.record.time)]
    return [base, *between]


def point(all_held: Sequence[Held], one: Held) -> Point:
    """One backup with all that its restore needs. Raises JobFailed ChainBroken."""
    before = chain(all_held, one)
    if before is None:
        raise JobFailed("ChainBroken", f"backup {one.backup} needs {one.base}, which is not in this repository")
    return Point(one.backup, one.at, one.snapshots, tuple(s for h in before for s in h.snapshots))


def usable(all_held: Sequence[Held]) -> list[Held]:
    """Those whose base is there."""
    return [h for h in all_held if chain(all_held, h) is not None]


def unfinished(snapshots: Sequence[Snapshot], before: float) -> list[str]:
    """Ids of what runs left behind that did not end well, as far as it is older than ``before``."""
    complete = {h.backup for h in held(snapshots)}
    return [
        s.id
        for s in snapshots
        if s.tags.get("part") != MARKER and s.tags.get("backup", "") not in complete and s.time < before and s.tags
    ]
