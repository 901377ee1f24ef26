"""Observed state of a MonitoredService."""

from typing import Annotated, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, MAP_BY_TYPE, Condition, Model

SIGNALS = 16
"""Signals that may stand of one service at a time."""


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
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
    health: HealthStatus | None = None
    probes: list[ProbeStatus] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    objectives: list[ObjectiveStatus] = Field(default=[], json_schema_extra=MAP_BY_NAME)
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
