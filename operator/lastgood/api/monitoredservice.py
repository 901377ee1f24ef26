"""MonitoredService: a workload, how its health is seen, and what is done when it breaks."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import Condition, Model, Name, Rule, duration_field, percent_field
from lastgood.api.probes import Dependency, Probe
from lastgood.api.restore import ServerRef

_MAP_BY_TYPE: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
SIGNALS = 16
"""Signals that may stand of one service at a time."""

_MAP_BY_NAME: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class TargetRef(Model):
    """The workload in the same namespace."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = Field(
        default="Deployment", description="Deployment; StatefulSet and DaemonSet are planned."
    )
    name: Name


class Stability(Model):
    """When a revision counts as seen to be good."""

    soak: Annotated[str, duration_field("1s", "168h")] = Field(
        default="10m", description="How long the rollout must be complete and every probe green without a break."
    )
    keep: Annotated[int, Field(ge=1, le=10)] = Field(default=5, description="How many good revisions are remembered.")
    secrets: Literal["Note", "Copy"] = Field(
        default="Note",
        description=(
            "Note remembers which Secrets the pod template names. Copy keeps their content too, in a Secret, and a "
            "rollback makes those anew that no longer exist; it never changes one that does."
        ),
    )


class HealthFailing(Model):
    """Health is False without a break for this long."""

    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="5m", alias="for")


class ErrorRate(Model):
    """The share of bad events is above this without a break for this long."""

    above: Annotated[str, percent_field()] = Field(default="10%", description="Share of bad events.")
    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="10m", alias="for")
    objective: Name | None = Field(
        default=None, description="One of spec.objectives with a ratio; left out, any of those."
    )


class Degradation(Model):
    """An indicator is worse than with the last good revision by more than this, without a break for this long."""

    above: Annotated[str, percent_field(part=False)] = Field(default="50%", description="50% is half as much again.")
    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="5m", alias="for")
    objective: Name | None = Field(
        default=None, description="One of spec.objectives with a quantile or an average; left out, any of those."
    )
    min_samples: Annotated[int, Field(ge=1, le=1000000)] = Field(
        default=30, description="Fewer observations than this on either side say nothing."
    )
    least_change: Annotated[str, percent_field()] = Field(
        default="5%",
        description="A change of no more than this share of the objective's target is none, whatever it is in percent: "
        "two milliseconds more are no harm to a service that may take 200.",
    )


class ObjectiveTrigger(Model):
    """An objective is breached at this severity or a higher one for this long."""

    name: Name = Field(description="One of spec.objectives.")
    severity: Literal["info", "warning", "critical", "emergency"] = "critical"
    for_: Annotated[str, duration_field("0s", "24h")] = Field(
        default="0s", alias="for", description="Counted from the alert on, which has a time of its own."
    )


class BurnRateTrigger(Model):
    """An error budget burns at a rate that alerts."""

    name: Name = Field(description="One of spec.objectives, with a budget.")
    above: Literal["14.4", "6", "3", "1"] = Field(
        default="14.4", description="Burn rate of both the long and the short window."
    )


class SignalTrigger(Model):
    """Somebody raised a signal, or an integrity query found a violation."""

    type: Literal["SecurityIncident", "DataIntegrity"]
    skip_cooldown: bool = Field(default=False, description="Do not wait for the cooldown; every other guard holds.")


class Triggers(Model):
    """What starts a rollback."""

    health_failing: HealthFailing = Field(default=HealthFailing())
    error_rate: ErrorRate | None = None
    degradation: Degradation | None = None
    objectives: Annotated[list[ObjectiveTrigger], Field(max_length=16)] = Field(
        default=[], json_schema_extra=_MAP_BY_NAME
    )
    burn_rates: Annotated[list[BurnRateTrigger], Field(max_length=16)] = Field(
        default=[], json_schema_extra=_MAP_BY_NAME
    )
    signals: Annotated[list[SignalTrigger], Field(max_length=2)] = Field(default=[], json_schema_extra=_MAP_BY_TYPE)


class RollbackLimit(Model):
    """How many rollbacks of one service are allowed in a window."""

    count: Annotated[int, Field(ge=1, le=100)] = 3
    window: Annotated[str, duration_field("1m", "168h")] = "24h"


class RollbackPolicy(Model):
    """Whether, when and how this service is rolled back."""

    policy: Literal["Automatic", "Manual", "DryRun", "Disabled"] = Field(
        default="Automatic",
        description=(
            "Automatic acts; Manual prepares a Rollback that waits for approval; DryRun writes what it would have "
            "done; Disabled does nothing."
        ),
    )
    triggers: Triggers = Field(default=Triggers())
    cooldown: Annotated[str, duration_field("0s", "168h")] = Field(
        default="10m", description="No automatic rollback starts this long after the last one ended."
    )
    limit: RollbackLimit = Field(default=RollbackLimit())
    config_maps: Literal["Restore", "Ignore"] = Field(
        default="Restore", description="Whether the ConfigMaps that the pod template names are put back too."
    )
    git_ops: Literal["AlertOnly", "Override"] = Field(
        default="AlertOnly",
        description="For a target managed by Argo CD, Flux or their like, which undo a rollback: only say so, or act.",
    )
    data: Literal["Keep", "Restore"] = Field(
        default="Keep",
        description=(
            "Restore puts the data back too, to the points noted with the good revision: a Restore for each of "
            "spec.backups."
        ),
    )
    data_needs_approval: bool = Field(
        default=True,
        description=(
            "Each of these Restores waits for a person. An automatic rollback does not: the code goes back at once, "
            "and the data when it is approved."
        ),
    )
    rollout_timeout: Annotated[str, duration_field("10s", "24h")] = Field(
        default="10m", description="How long the rollout of the restored revision may take."
    )
    validation_timeout: Annotated[str, duration_field("5s", "24h")] = Field(
        default="5m", description="How long the probes may take to be green after that rollout."
    )


class ObjectiveRef(Model):
    """A ServiceLevelObjective that this service is judged by."""

    name: Name = Field(description="Name of a ServiceLevelObjective in this namespace.")


_TRIGGERS = "self.rollback.triggers"


def _listed(name: str) -> str:
    return f"(has(self.objectives) && self.objectives.exists(o, o.name == {name}))"


class BackupRef(Model):
    """One BackupSchedule of the service's data."""

    name: Name = Field(description="Name of a BackupSchedule in this namespace.")
    server: ServerRef | None = Field(
        default=None,
        description="wal and physical: the server whose volume is written when a rollback puts the data back.",
    )


class MonitoredServiceSpec(Model):
    """Desired state."""

    rules: ClassVar[Sequence[Rule]] = (
        *(
            Rule(
                f"!has({_TRIGGERS}.{trigger}) || (has({_TRIGGERS}.{trigger}.objective) ? "
                f"{_listed(f'{_TRIGGERS}.{trigger}.objective')} : has(self.objectives) && size(self.objectives) > 0)",
                f"{trigger} looks at an objective of spec.objectives: list it there",
            )
            for trigger in ("errorRate", "degradation")
        ),
        *(
            Rule(
                f"!has({_TRIGGERS}.{trigger}) || {_TRIGGERS}.{trigger}.all(t, {_listed('t.name')})",
                f"{trigger} names objectives of spec.objectives: list them there",
            )
            for trigger in ("objectives", "burnRates")
        ),
    )

    target_ref: TargetRef = Field(
        description="The workload that is watched and rolled back.",
        json_schema_extra={
            "x-kubernetes-validations": [
                Rule(
                    "self == oldSelf",
                    "targetRef cannot be changed, since the remembered revisions belong to it: "
                    "delete this MonitoredService and create one for the other workload",
                ).as_schema()
            ]
        },
    )
    suspend: bool = Field(default=False, description="Stop probing and acting; what is remembered stays.")
    probes: Annotated[list[Probe], Field(min_length=1, max_length=16)] = Field(
        description="All of them must pass.", json_schema_extra=_MAP_BY_NAME
    )
    depends_on: Annotated[list[Dependency], Field(max_length=16)] = Field(
        default=[],
        description="While one of these is failing, this service is not rolled back: the cause is elsewhere.",
        json_schema_extra=_MAP_BY_NAME,
    )
    objectives: Annotated[list[ObjectiveRef], Field(max_length=16)] = Field(
        default=[],
        description="A revision is good only while all of these are met or at risk.",
        json_schema_extra=_MAP_BY_NAME,
    )
    backups: Annotated[list[BackupRef], Field(max_length=8)] = Field(
        default=[],
        description="Schedules that back up its data: shown with it, and noted with each good revision.",
        json_schema_extra=_MAP_BY_NAME,
    )
    stability: Stability = Field(default=Stability())
    rollback: RollbackPolicy = Field(
        default=RollbackPolicy(policy="Disabled"),
        description="Left out, the service is watched and its good revisions are remembered, but nothing is changed.",
    )


class ConfigRef(Model):
    """A ConfigMap or Secret that a pod template names, and what it held."""

    kind: Literal["ConfigMap", "Secret"]
    name: str
    hash: str = Field(default="", description="Hash of a ConfigMap's data; for a Secret, of its UID and version only.")


class DataPoint(Model):
    """The newest backup point made while a revision was good."""

    schedule: str
    backup: str = Field(description="Name of the Backup.")
    at: str = Field(description="The time whose state it restores.", json_schema_extra={"format": "date-time"})


class GoodRevision(Model):
    """A revision that was seen to be good."""

    key: str = Field(description="Hash of pod template and ConfigMaps: what makes a revision the same one.")
    template_hash: str
    revision: int = Field(description="The Deployment's revision number when it was last seen.")
    replica_set_uid: str = Field(default="", alias="replicaSetUID")
    pod_template_hash: str = ""
    version: str = Field(default="", description="app.kubernetes.io/version, or the image's tag.")
    images: list[str] = Field(default=[], description="Images with the digests that ran, container by container.")
    configs: list[ConfigRef] = []
    good_since: str = Field(json_schema_extra={"format": "date-time"})
    snapshot: str = Field(description="Name of the ControllerRevision that holds template and ConfigMaps.")
    points: list[DataPoint] = Field(default=[], description="What data belongs to it, one for each of spec.backups.")


class CurrentRevision(Model):
    """The revision that the target asks for now."""

    key: str
    revision: int = 0
    version: str = ""
    since: str = Field(json_schema_extra={"format": "date-time"})


class ProbeStatus(Model):
    """One probe, written when its state flips."""

    name: str
    state: Literal["Passing", "Failing", "Unknown"]
    since: str = Field(json_schema_extra={"format": "date-time"})
    reason: str = ""
    proven: bool = Field(default=False, description="Whether it has passed since it was written as it is.")
    definition: str = Field(default="", description="Hash of what it asks and expects.")


class HealthStatus(Model):
    """The verdict over all probes."""

    state: Literal["True", "False", "Unknown"]
    since: str = Field(description="First observation of the unbroken run.", json_schema_extra={"format": "date-time"})


class BudgetStatus(Model):
    """An error budget, written when it crosses a step; the metrics have it to the last event."""

    left: str = Field(description='At least this much of it, in steps of 10%: "70%".')
    burning: Literal["", "warning", "critical"] = Field(
        default="", description="Severity of the burn-rate alert that fires."
    )


class ObjectiveStatus(Model):
    """How the service stands with one objective, written when that flips."""

    name: str
    state: Literal["Met", "AtRisk", "Breached", "Unknown"]
    severity: Literal["", "info", "warning", "critical", "emergency"] = ""
    since: str = Field(json_schema_extra={"format": "date-time"})
    reason: str = ""
    message: str = Field(default="", description="What was measured when it flipped.")
    failing_since: list[str] = Field(
        default=[],
        description='For each alert, "severity=time" since when its threshold is exceeded without a break.',
    )
    proven: str | None = Field(
        default=None, description="Hash of the definition with which it was last seen not to be breached."
    )
    budget: BudgetStatus | None = None


class SignalStatus(Model):
    """A signal that was raised and stands."""

    type: Literal["SecurityIncident", "DataIntegrity"]
    id: str = Field(description="Which one of its type: the fingerprint of an alert, or a name.")
    at: str = Field(json_schema_extra={"format": "date-time"}, description="When what it tells of began.")
    by: str = Field(description="Who raised it: a user of the cluster, or an objective.")
    reason: str = ""
    until: str | None = Field(
        default=None,
        json_schema_extra={"format": "date-time"},
        description="When it ceases to stand by itself.",
    )


class RollbackMark(Model):
    """One rollback that was started for this service."""

    name: str
    bad_key: str
    at: str = Field(json_schema_extra={"format": "date-time"})
    ended: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    outcome: str = Field(default="", description="Phase in which the Rollback ended; empty while it is under way.")


class MonitoredServiceStatus(Model):
    """Observed state; written only when something flips."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default=[], json_schema_extra=_MAP_BY_TYPE)
    health: HealthStatus | None = None
    probes: list[ProbeStatus] = Field(default=[], json_schema_extra=_MAP_BY_NAME)
    objectives: list[ObjectiveStatus] = Field(default=[], json_schema_extra=_MAP_BY_NAME)
    trigger_runs: list[str] = Field(
        default=[], description='"kind/objective/threshold=time" since when a trigger\'s condition holds.'
    )
    signals: Annotated[list[SignalStatus], Field(max_length=SIGNALS)] = Field(
        default=[],
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type", "id"]},
    )
    current: CurrentRevision | None = None
    left_good_at: str | None = Field(
        default=None,
        description="When the target left the last good revision.",
        json_schema_extra={"format": "date-time"},
    )
    resumed_at: str | None = Field(
        default=None,
        description="When the target was last resumed, or scaled up from nothing.",
        json_schema_extra={"format": "date-time"},
    )
    good_revisions: list[GoodRevision] = Field(default=[], description="Newest first.")
    last_good: str = Field(default="", description="Version (or revision) that a rollback would go to.")
    rollbacks: list[RollbackMark] = Field(default=[], description="Newest first.")


class MonitoredService(Model):
    """A service: where it runs, how its health is seen, and what is done when a release breaks it."""

    spec: MonitoredServiceSpec
    status: MonitoredServiceStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "monitoredservices",
    "singular": "monitoredservice",
    "kind": "MonitoredService",
    "shortNames": ["ms"],
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Target", "type": "string", "jsonPath": ".spec.targetRef.name"},
    {"name": "Healthy", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Healthy")].status'},
    {"name": "Current", "type": "string", "jsonPath": ".status.current.version"},
    {"name": "Last good", "type": "string", "jsonPath": ".status.lastGood"},
    {"name": "Policy", "type": "string", "jsonPath": ".spec.rollback.policy"},
    {"name": "Rolling back", "type": "string", "jsonPath": '.status.conditions[?(@.type=="RollingBack")].reason'},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status', "priority": 1},
    {"name": "Why", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Healthy")].message', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
