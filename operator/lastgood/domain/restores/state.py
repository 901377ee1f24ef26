"""A Restore and its surroundings as they stand: what the steps are decided from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lastgood.api.backup import Backup
from lastgood.api.backupjob import JobResult, Task
from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.api.restore import RestoreSpec, RestoreStatus, StepName, Stopped
from lastgood.domain.backups.names import JOB_NAME, fitting, method_of
from lastgood.domain.clock import from_text

STEPS: tuple[StepName, ...] = (
    "Identified",
    "Verified",
    "Stopped",
    "SafetyBackup",
    "Restored",
    "Validated",
    "Started",
)
FINAL = frozenset({"Succeeded", "Failed", "Refused"})
Mode = Literal["swap", "inPlace", "newDatabase", "newVolume"]
Place = tuple[str, str]
"""Kind and name of a workload."""


@dataclass(frozen=True, slots=True)
class RestoreSeen:
    """A Restore object as it stands."""

    namespace: str
    name: str
    uid: str
    spec: RestoreSpec
    status: RestoreStatus = field(default_factory=RestoreStatus)
    created: str = ""
    deleting: bool = False
    held: bool = False
    """Whether our finalizer is on it."""

    def state(self, step: StepName) -> str:
        """Of a step: Pending, Running, Done, Failed or Skipped."""
        return next((s.state for s in self.status.steps if s.name == step), "Pending")

    def job(self, step: StepName) -> str:
        """The Job that is noted with a step."""
        return next((s.job for s in self.status.steps if s.name == step), "")

    def running_since(self, step: StepName, now: float) -> float:
        """When a step began; ``now`` for one that has not."""
        found = next((s for s in self.status.steps if s.name == step), None)
        return from_text(found.at) if found is not None and found.state == "Running" and found.at else now

    @property
    def done(self) -> frozenset[StepName]:
        """Steps that are behind it."""
        return frozenset(s.name for s in self.status.steps if s.state in {"Done", "Skipped"})

    @property
    def failed(self) -> StepName | None:
        """The step that failed, if one did."""
        return next((s.name for s in self.status.steps if s.state == "Failed"), None)

    @property
    def reason(self) -> str:
        """What its condition Complete says."""
        return next((c.reason for c in self.status.conditions if c.type == "Complete"), "")

    @property
    def whole(self) -> bool:
        """Whether the data was whole when a step failed, or when it took over what another had left."""
        return all(c.status != "False" for c in self.status.conditions if c.type == "DataWhole")

    @property
    def inherited(self) -> bool:
        """Whether it took over a workload that a Restore before it had left at 0 on half its data."""
        return self.failed is None and not self.whole

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status.phase in FINAL

    @property
    def holds(self) -> bool:
        """Whether it has passed the gate and has its target for itself."""
        return not self.final and self.state("Stopped") != "Pending"

    @property
    def approved(self) -> bool:
        """Whether nobody needs to be asked any more."""
        return not self.spec.needs_approval or self.spec.approval == "Approved"

    @property
    def holder(self) -> str:
        """What is written on a workload that it stopped: for whose data. Restores of one Rollback share theirs."""
        return f"rollback/{self.spec.rollback}" if self.spec.rollback else f"restore/{self.name}/{self.spec.schedule}"

    def remembered(self, place: Place) -> Stopped | None:
        """A workload as it was."""
        return next((s for s in self.status.stopped if (s.kind, s.name) == place), None)


@dataclass(frozen=True, slots=True)
class ScheduleSeen:
    """The BackupSchedule whose backups are restored."""

    name: str
    uid: str
    spec: BackupScheduleSpec
    restore_seconds: int = 0

    @property
    def method(self) -> str:
        """How its source is backed up."""
        return method_of(self.spec)


@dataclass(frozen=True, slots=True)
class WorkloadSeen:
    """A Deployment or StatefulSet."""

    kind: str
    name: str
    replicas: int
    ready: int = 0
    pods: tuple[str, ...] = ()
    """Of its pods, those that have not ended."""
    autoscaler: str = ""
    holder: str = ""
    """Who stopped it, from our annotation."""
    was: int | None = None
    """Replicas before that."""
    belongs: tuple[str, str] | None = None
    """Whose it is when it is an operator's own (see ``foreign``)."""
    claims: frozenset[str] = frozenset()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class ClaimSeen:
    """A PersistentVolumeClaim."""

    users: tuple[str, ...] = ()
    """Pods that mount it and have not ended, jobs of ours excepted."""
    belongs: tuple[str, str] | None = None
    made_for: str = ""
    """UID of the Restore that made it."""


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A Job of this Restore."""

    state: Literal["Running", "Succeeded", "Failed"]
    result: JobResult | None = None
    reason: str = ""
    """Of a failure without a result: what Kubernetes says."""
    message: str = ""
    waiting: str = ""
    """Why its pod does not run yet."""


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """A MonitoredService whose probes must be green after the start."""

    suspended: bool = False
    green_at: float | None = None
    """The oldest of its probes' latest passes; None unless all pass."""
    allowed: float = 900.0
    """How long its rollout and its probes may take, seconds."""


@dataclass(frozen=True, slots=True)
class Tied:
    """The Rollback that a Restore is a part of."""

    name: str
    cleared: bool = False
    """It needs no approval, or has it."""
    executed: bool = False
    """The pod template has been put back."""
    over: bool = False
    """It has ended, or does not exist."""


@dataclass(frozen=True, slots=True)
class Other:
    """Another Restore of the namespace, and what it touches."""

    seen: RestoreSeen
    touches: frozenset[str]


@dataclass(frozen=True, slots=True)
class World:
    """What else matters."""

    workloads: Mapping[Place, WorkloadSeen] = field(default_factory=dict)
    """Of those named in the spec, the ones that exist."""
    claims: Mapping[str, ClaimSeen] = field(default_factory=dict)
    """Of those that the restore would write, the ones that exist."""
    jobs: Mapping[Task, JobSeen] = field(default_factory=dict)
    others: Sequence[Other] = ()
    services: Mapping[str, ServiceSeen] = field(default_factory=dict)
    rollback: Tied | None = None
    account: bool = True
    """Whether the ServiceAccount that the spec names exists."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision is made from."""

    restore: RestoreSeen
    schedule: ScheduleSeen | None
    backups: Mapping[str, Backup]
    world: World
    now: float

    @property
    def mode(self) -> Mode:
        """Where the data goes."""
        return mode_of(self.restore.spec, self.method)

    @property
    def method(self) -> str:
        """How the source is backed up; empty when nothing says so any more."""
        if self.schedule is not None:
            return self.schedule.method
        backup = self.backups.get(self.restore.status.backup)
        return backup.status.method if backup is not None and backup.status is not None else ""


def mode_of(spec: RestoreSpec, method: str) -> Mode:
    """Where the data goes. Left out: a dump goes into a fresh database, all else into place."""
    into = spec.into
    if into is not None and into.new_database is not None:
        return "newDatabase"
    if spec.new_claim:
        return "newVolume"
    if into is not None and into.in_place:
        return "inPlace"
    return "swap" if method == "logical" or (into is not None and into.swap) else "inPlace"


def server_place(spec: RestoreSpec) -> Place | None:
    """The server that is stopped while its own volume is written."""
    return ("StatefulSet", spec.server.stateful_set) if spec.server is not None else None


def app_places(spec: RestoreSpec) -> tuple[Place, ...]:
    """The applications that are stopped."""
    return tuple((s.kind, s.name) for s in spec.stop)


def all_places(spec: RestoreSpec) -> tuple[Place, ...]:
    """All workloads that are stopped."""
    server = server_place(spec)
    return (*app_places(spec), *((server,) if server else ()))


def written_claims(spec: RestoreSpec, schedule: BackupScheduleSpec | None) -> tuple[str, ...]:
    """Claims that a restore writes."""
    if spec.new_claim:
        return (spec.new_claim,)
    if spec.server is not None:
        return (spec.server.claim,)
    if schedule is not None and schedule.source.volume is not None:
        return tuple(schedule.source.volume.claims)
    return ()


def touches(spec: RestoreSpec, schedule: BackupScheduleSpec | None) -> frozenset[str]:
    """What two Restores must not touch at once."""
    return frozenset(
        {
            f"BackupSchedule {spec.schedule}",
            *(f"claim {name}" for name in written_claims(spec, schedule)),
            *(f"{kind} {name}" for kind, name in all_places(spec)),
        }
    )


def job_name(restore: RestoreSeen, task: Task) -> str:
    """The same after a crash, so that a retry adopts it; another one for a later Restore of the same name."""
    suffix = f"-{task}-{restore.uid.replace('-', '')[:8]}"
    return fitting(restore.name.replace(".", "-"), JOB_NAME - len(suffix)) + suffix


def databases_of(restore: RestoreSeen, backups: Mapping[str, Backup]) -> tuple[str, str, str]:
    """Names of the database in use (empty when not known), of the fresh one, and of the old one after a swap."""
    into = restore.spec.into
    mark = restore.uid.replace("-", "")[:8]
    backup = backups.get(restore.status.backup)
    contents = backup.status.contents if backup is not None and backup.status is not None else []
    name = contents[0] if len(contents) == 1 else ""
    stem = (name or "lastgood")[:40]
    fresh = into.new_database.name if into is not None and into.new_database is not None else f"{stem}_restored_{mark}"
    return name, fresh, f"{stem}_before_{mark}"
