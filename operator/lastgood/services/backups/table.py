"""What is known of backups: schedules, and the points that there are."""

from dataclasses import dataclass, field
from typing import Any

from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.domain.backups.accept import Place
from lastgood.domain.backups.pods import Declared
from lastgood.domain.backups.seen import Point, Points
from lastgood.domain.model import DataPoint, Key, ScheduleStands
from lastgood.domain.ports import Object


@dataclass(slots=True)
class ScheduleKnown:
    """One BackupSchedule."""

    key: Key
    uid: str
    generation: int
    created: float
    spec: BackupScheduleSpec | None
    """None when it was not understood."""
    status: dict[str, Any]
    places: tuple[Place, ...] = ()
    """Where its repositories are."""
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Condition type to (status, reason) that Events have told."""
    loaded: bool = False
    """Whether ``said`` was taken from status by this process as leader."""
    versions: dict[tuple[str, str], str] = field(default_factory=dict)
    """By kind and name of its objects: as they were when they were last looked at."""
    since: dict[str, float] = field(default_factory=dict)
    """By task: since when its CronJob starts Jobs at these times."""
    made_for: int = -1
    """Generation that its objects were last made for."""
    looked_at: float = 0.0
    """When its objects were last looked at, by the monotonic clock."""
    needs_at: float = 0.0
    """When all that it refers to was last seen to be there, by the monotonic clock."""
    told: dict[str, str] = field(default_factory=dict)
    """By Job that has ended: what its last pod said."""
    recorded: set[str] = field(default_factory=set)
    """Jobs whose Backup was seen or written: one that is deleted later is not written anew."""

    @property
    def declared(self) -> Declared | None:
        """What it asks for, if that is understood."""
        if self.spec is None:
            return None
        return Declared(self.key[0], self.key[1], self.uid, self.spec)

    def reference(self) -> Object:
        """What an Event or owner reference needs."""
        return {
            "kind": "BackupSchedule",
            "metadata": {"namespace": self.key[0], "name": self.key[1], "uid": self.uid},
        }

    def condition(self, kind: str) -> dict[str, Any] | None:
        """One of its conditions, as last written."""
        return next((c for c in self.status.get("conditions") or () if c["type"] == kind), None)


_OFF = {
    "type": "RPOMet",
    "status": "Unknown",
    "reason": "BackupsDisabled",
    "message": "this installation makes no backups: turn backups.enabled on in the chart",
}


@dataclass(slots=True)
class BackupTable:
    """All that is known of backups."""

    enabled: bool = False
    """Whether this installation makes backups at all."""
    complete: bool = False
    """Whether all Backups were read once."""
    schedules: dict[Key, ScheduleKnown] = field(default_factory=dict)
    by_uid: dict[str, Key] = field(default_factory=dict)
    points: dict[Key, Point] = field(default_factory=dict)
    """By namespace and name of the Backup."""
    points_of: dict[Key, set[Key]] = field(default_factory=dict)
    """Schedule to its Backups."""
    protects: dict[Key, set[Key]] = field(default_factory=dict)
    """Schedule to the MonitoredServices that list it."""

    def put_schedule(self, schedule: ScheduleKnown) -> None:
        """Add or replace."""
        self.drop_schedule(schedule.key)
        self.schedules[schedule.key] = schedule
        self.by_uid[schedule.uid] = schedule.key

    def drop_schedule(self, key: Key) -> ScheduleKnown | None:
        """Remove."""
        old = self.schedules.pop(key, None)
        if old is not None:
            self.by_uid.pop(old.uid, None)
        return old

    def put_point(self, key: Key, point: Point) -> None:
        """Add or replace."""
        self.drop_point(key)
        self.points[key] = point
        self.points_of.setdefault((key[0], point.schedule), set()).add(key)

    def drop_point(self, key: Key) -> Point | None:
        """Remove."""
        old = self.points.pop(key, None)
        if old is not None:
            schedule = (key[0], old.schedule)
            self.points_of.get(schedule, set()).discard(key)
            if not self.points_of.get(schedule):
                self.points_of.pop(schedule, None)
        return old

    def stands(self, key: Key) -> ScheduleStands:
        """How a schedule stands, as its status and its Backups say."""
        if not self.enabled:
            return ScheduleStands(key[1], conditions=(_OFF,))
        known = self.schedules.get(key)
        if known is None:
            return ScheduleStands(key[1], known=False)
        usable = Points(self.points_of_schedule(key)).usable("primary")
        point = usable[-1] if usable else None
        newest = None if point is None or point.point is None else DataPoint(key[1], point.name, point.point)
        return ScheduleStands(key[1], conditions=known.status.get("conditions") or (), newest=newest)

    def points_of_schedule(self, schedule: Key) -> list[Point]:
        """Its points, in no order."""
        return [self.points[key] for key in self.points_of.get(schedule, ())]
