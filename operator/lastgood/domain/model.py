"""What decisions are made from: the plan, what was seen, what is remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastgood.domain.arrival import Rollout
from lastgood.domain.budget import BudgetTold
from lastgood.domain.health import Health, ProbeState
from lastgood.domain.objective import ObjectiveState
from lastgood.domain.revision import ConfigSeen
from lastgood.domain.steady import Run
from lastgood.domain.triggers import Looked, Signal, Trigger, TriggerKind

Key = tuple[str, str]
"""Namespace and name."""


def label(version: str, revision: int) -> str:
    """How a person calls a revision: by its version, else by its number."""
    return version or f"revision {revision}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a MonitoredService asks for, in seconds and plain values."""

    target: str
    suspend: bool
    soak: float
    keep: int
    depends_on: tuple[str, ...]
    policy: str
    failing_for: float
    cooldown: float
    limit: int
    limit_window: float
    restore_config_maps: bool
    copy_secrets: bool
    override_gitops: bool
    rollout_timeout: float
    validation_timeout: float
    objectives: tuple[str, ...] = ()
    """Names of the ServiceLevelObjectives that it is judged by."""
    restore_data: bool = False
    """Whether automatic rollbacks put the data back, too."""
    data_needs_approval: bool = True
    servers: tuple[tuple[str, str, str, str], ...] = ()
    """By schedule, where a restore writes a server's own volume: its StatefulSet, claim and folder in it."""
    backups: tuple[str, ...] = ()
    """Names of the BackupSchedules of its data."""
    triggers: tuple[Trigger, ...] = ()
    """Besides health, which is a trigger of every service."""

    @property
    def all_triggers(self) -> tuple[Trigger, ...]:
        """Health's, and the others."""
        return (Trigger(TriggerKind.HEALTH_FAILING, lasting=self.failing_for), *self.triggers)


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """The target as the API server last told it."""

    uid: str
    generation: int
    template_hash: str
    key: str
    revision: int = 0
    version: str = ""
    replicas: int = 1
    paused: bool = False
    complete: bool = False
    """Observed, and updated = available = desired, and no old replica left."""
    completed_at: float | None = None
    """When the controller says that the rollout completed; None when it does not say."""
    gitops: str = ""
    rolled_back_by: str = ""
    """UID in the rollback annotation."""
    configs: tuple[ConfigSeen, ...] = ()
    changed_at: float | None = None
    """No earlier than the release of this revision, as the API server noted it; None when it did not."""

    @property
    def label(self) -> str:
        """How a person calls it."""
        return label(self.version, self.revision)


@dataclass(frozen=True, slots=True)
class DataPoint:
    """A backup point."""

    schedule: str
    backup: str
    at: float
    """The time whose state it restores."""


@dataclass(frozen=True, slots=True)
class ScheduleStands:
    """How one BackupSchedule of a service's data stands, as its own status says."""

    name: str
    known: bool = True
    conditions: Sequence[Mapping[str, Any]] = ()
    newest: DataPoint | None = None
    """Its newest point that can be used."""


@dataclass(frozen=True, slots=True)
class Good:
    """An entry of the ledger."""

    key: str
    template_hash: str
    revision: int
    good_since: float
    snapshot: str
    version: str = ""
    replica_set_uid: str = ""
    pod_template_hash: str = ""
    images: tuple[str, ...] = ()
    configs: tuple[ConfigSeen, ...] = ()
    points: tuple[DataPoint, ...] = ()
    """What data belongs to it: the newest point of each schedule that was made while it was good."""

    @property
    def label(self) -> str:
        """How a person calls it."""
        return label(self.version, self.revision)


@dataclass(frozen=True, slots=True)
class Current:
    """The revision that the target asks for, and since when it does."""

    key: str
    since: float
    revision: int = 0
    version: str = ""

    @property
    def label(self) -> str:
        """How a person calls it."""
        return label(self.version, self.revision)


@dataclass(frozen=True, slots=True)
class Mark:
    """A rollback that was started."""

    name: str
    bad_key: str
    """Key of the revision that it went away from; empty once that one was seen to be good after all."""
    at: float
    ended: float | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one service. All but the probes' runs survives a restart, in status."""

    probes: Mapping[str, ProbeState] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
    current: Current | None = None
    complete_since: float | None = None
    watched: bool = False
    """Whether this process has followed the target since; if so, its own eyes count, not the controller's word."""
    left_good_at: float | None = None
    resting: bool = False
    """Whether the target was paused or asked for no replicas when it was last seen."""
    resumed_at: float | None = None
    """When it ceased to be so."""
    ledger: tuple[Good, ...] = ()
    marks: tuple[Mark, ...] = ()
    objectives: Mapping[str, ObjectiveState] = field(default_factory=dict)
    proofs: Mapping[str, str] = field(default_factory=dict)
    """By objective: its definition, as a hash, with which it was last seen not to be breached."""
    budgets: Mapping[str, BudgetTold] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    """Since when each trigger's condition holds: see ``triggers.Runs``."""
    fine: Mapping[str, float] = field(default_factory=dict)
    """By objective: since when this process has seen it met or at risk without a break, with the running revision."""
    signals: tuple[Signal, ...] = ()
    """Those that were raised; others write them into status."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a spec that was accepted cannot be carried out now."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else matters to a decision over one service."""

    problems: tuple[Problem, ...] = ()
    failing_dependencies: tuple[str, ...] = ()
    unknown_dependencies: tuple[str, ...] = ()
    healthy_dependencies: tuple[tuple[str, float], ...] = ()
    """Names, and since when each is healthy."""
    connectivity: str = ""
    """What is wrong with the operator's own connectivity; empty when nothing is."""
    trouble_at: float | None = None
    """When something was last wrong with it."""
    mass_breach: str = ""
    """Says how many services fail at once when that looks like one cause; else empty."""
    rollbacks_under_way: int = 0
    storm_limit: int = 5
    awaiting_approval: tuple[str, ...] = ()
    """Names of Rollbacks of this service that wait for a person."""
    missing_configs: tuple[str, ...] = ()
    """What the revision to go back to names and what is neither there nor kept."""
    objectives: Mapping[str, Looked] = field(default_factory=dict)
    """What was measured last, by objective."""
    history: tuple[str, str] | None = None
    """Reason and message of how minutes are kept; None for a service without a budget."""
    schedules: tuple[ScheduleStands, ...] = ()
    """Of its data, as ``Plan.backups`` lists them."""
    rollout: Rollout | None = None
    """Read when nothing else keeps the running revision from being good."""
