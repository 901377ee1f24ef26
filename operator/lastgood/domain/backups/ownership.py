"""Whose a repository is: one schedule's alone, or the retention of one would remove the points of another."""

from collections.abc import Sequence
from dataclasses import dataclass

from lastgood.domain.backups.ports import JobFailed, Snapshot

MARKER = "owner"
"""Part of the snapshot that says whose a repository is."""
LEFT_SECONDS = 86400.0
"""A schedule of the same name in another cluster that has written nothing for so long has left it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A schedule, and the cluster that it is in."""

    namespace: str
    schedule: str
    uid: str
    cluster: str = ""
    """Something that differs between clusters; empty when it is not known."""

    def tags(self) -> dict[str, str]:
        """The tags of its marker."""
        return {
            "schedule": self.schedule,
            "namespace": self.namespace,
            "uid": self.uid,
            "cluster": self.cluster or "unknown",
            "part": MARKER,
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """What there is to do about a marker."""

    write: bool
    """Write ours."""
    remove: tuple[str, ...] = ()
    """Then remove these snapshots: markers of those that have left, or that came second."""


def claim(me: Owner, snapshots: Sequence[Snapshot], now: float) -> Claim:
    """Whether this schedule may use a repository with these snapshots. Raises JobFailed RepositoryShared.

    A namespace's object has its name alone in its cluster: another UID of the same name there is one that was deleted
    and made anew. From another cluster the same name may be the schedule's own past, or its twin that lives on.
    """
    markers = sorted((s for s in snapshots if s.tags.get("part") == MARKER), key=lambda s: (s.time, s.id))
    ours = [s for s in markers if s.tags.get("uid") == me.uid]
    others = [s for s in markers if s.tags.get("uid") != me.uid]
    if not markers:
        strange = [s for s in snapshots if s.tags.get("schedule") != me.schedule]
        if strange:
            raise JobFailed("RepositoryShared", "it holds snapshots that are no schedule's: give this one another path")
        return Claim(write=True)
    first = markers[0]
    if first in ours:
        return Claim(write=False, remove=tuple(s.id for s in ours[1:]))
    living = [s for s in others if not _left(me, s, snapshots, now)]
    if living:
        theirs = living[0].tags
        whose = f"{theirs.get('namespace')}/{theirs.get('schedule')}"
        raise JobFailed(
            "RepositoryShared",
            f"it is the repository of another BackupSchedule, {whose} (UID {theirs.get('uid')}): "
            "give this one another path or prefix; of the same name, it is taken over when unused for 24 hours",
        )
    return Claim(write=not ours, remove=tuple(s.id for s in others))


def _left(me: Owner, marker: Snapshot, snapshots: Sequence[Snapshot], now: float) -> bool:
    """Whether the owner of a marker is gone for good."""
    theirs = marker.tags
    if (theirs.get("namespace"), theirs.get("schedule")) != (me.namespace, me.schedule):
        return False
    if me.cluster and theirs.get("cluster") == me.cluster:
        return True
    newest = max(s.time for s in snapshots if s.tags.get("uid") == theirs.get("uid"))
    return now - newest >= LEFT_SECONDS
