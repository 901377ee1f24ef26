"""MonitoredService: a workload, how its health is seen, and what is done when it breaks."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, Model, Name, Rule, duration_field
from lastgood.api.probes import Dependency, Probe
from lastgood.api.restore import ServerRef
from lastgood.api.servicestatus import MonitoredServiceStatus
from lastgood.api.triggers import Triggers


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
        description="All of them must pass.", json_schema_extra=MAP_BY_NAME
    )
    depends_on: Annotated[list[Dependency], Field(max_length=16)] = Field(
        default=[],
        description="While one of these is failing, this service is not rolled back: the cause is elsewhere.",
        json_schema_extra=MAP_BY_NAME,
    )
    objectives: Annotated[list[ObjectiveRef], Field(max_length=16)] = Field(
        default=[],
        description="A revision is good only while all of these are met or at risk.",
        json_schema_extra=MAP_BY_NAME,
    )
    backups: Annotated[list[BackupRef], Field(max_length=8)] = Field(
        default=[],
        description="Schedules that back up its data: shown with it, and noted with each good revision.",
        json_schema_extra=MAP_BY_NAME,
    )
    stability: Stability = Field(default=Stability())
    rollback: RollbackPolicy = Field(
        default=RollbackPolicy(policy="Disabled"),
        description="Left out, the service is watched and its good revisions are remembered, but nothing is changed.",
    )


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
