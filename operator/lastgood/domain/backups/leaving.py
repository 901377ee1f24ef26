"""What becomes of a receiver's replication slot when the receiver is told to end.

A slot that nobody reads keeps log until the server's disk is full. One that is dropped while it is still wanted costs
a new base. So it goes only when it is known that nobody will read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from pydantic import ValidationError

from lastgood.api.backupjob import JobSpec
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.domain.backups.names import method_of


class Fate(Enum):
    """Of the slot."""

    KEEP = auto()
    DROP = auto()
    DROP_UNLIMITED = auto()
    """Dropped where the server sets no limit to what it keeps; where it does, the log may go on where it ended."""
    UNKNOWN = auto()
    """Kept, too; somebody who looks again may know more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the API server says of a schedule."""

    known: bool = False
    schedule: Mapping[str, Any] | None = None
    """The object that has the name; None when there is none. Means nothing unless ``known``."""
    ending: bool | None = None
    """Whether the namespace is being deleted; None when that is not known."""


@dataclass(frozen=True, slots=True)
class Leave:
    """What to do with the slot, and why."""

    fate: Fate
    why: str


def leave(spec: JobSpec, standing: Standing) -> Leave:
    """Decide by what is known at the receiver's end."""
    if standing.ending:
        return Leave(Fate.DROP, "the namespace is being deleted")
    if not standing.known:
        return Leave(Fate.UNKNOWN, "the API server does not say whether the schedule is still there")
    found = standing.schedule
    metadata: Mapping[str, Any] = found["metadata"] if found is not None else {}
    if found is None or metadata.get("uid") != spec.schedule_uid:
        return Leave(Fate.DROP, "the schedule was deleted")
    if metadata.get("deletionTimestamp"):
        return Leave(Fate.DROP, "the schedule is being deleted")
    try:
        declared = BackupScheduleSpec.model_validate(found.get("spec"))
    except ValidationError:
        return Leave(Fate.UNKNOWN, "the schedule is of another version than this receiver")
    postgres, before = declared.source.postgres, spec.spec.source.postgres
    if postgres is None or before is None or method_of(declared) != "wal":
        return Leave(Fate.DROP, "the schedule's method is not wal any more")
    if postgres.dsn != before.dsn:
        return Leave(Fate.DROP_UNLIMITED, "the schedule names another DSN")
    if declared.suspend:
        return Leave(Fate.DROP_UNLIMITED, "the schedule is suspended")
    if standing.ending is None:
        return Leave(Fate.UNKNOWN, "the API server does not say whether the namespace is being deleted")
    return Leave(Fate.KEEP, "the schedule goes on")
