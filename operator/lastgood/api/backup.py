"""Backup: one point, as its job recorded it; created by hand it runs one at once."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_TYPE, Condition, Model, Name, Rule


class BackupSpec(Model):
    """What is asked for."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule("self == oldSelf", "a Backup cannot be changed once it exists: create another Backup"),
    )

    schedule: Name = Field(description="BackupSchedule in this namespace whose source and repositories are used.")
    type: Literal["Full", "Incremental"] = Field(
        default="Full", description="Incremental: what the schedule's method does between fulls."
    )
    reason: Annotated[str, Field(max_length=1024)] = Field(default="", description="Why, for the record.")


class Copy(Model):
    """The point in one repository."""

    repository: str = Field(description='"primary", or the name of a secondary.')
    state: Literal["Present", "Missing", "Failed", "Removed"]
    snapshots: list[str] = Field(default=[], description="Ids of the restic snapshots that make up the point.")
    reason: str = ""
    message: str = ""


class Verified(Model):
    """One proof, or its failure."""

    how: Literal["Structure", "DataSample", "RestoreTest", "FullCheck"]
    passed: bool
    repository: str = "primary"
    at: str = Field(json_schema_extra={"format": "date-time"})
    seconds: int = 0
    message: str = Field(default="", description="Rows, checksums and assertions that were looked at; or what failed.")


class BackupStatus(Model):
    """What was done."""

    observed_generation: int | None = None
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Pending"
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
    method: str = ""
    job: str = Field(default="", description="Job that made it.")
    started_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    progress: str = Field(default="", description='What it is at, such as "dumping shop, 412 MB".')
    point: str | None = Field(
        default=None,
        description="The time whose state this restores: the start of a dump's snapshot, the end of received WAL.",
        json_schema_extra={"format": "date-time"},
    )
    earliest: str | None = Field(
        default=None,
        description="wal: the earliest time that can be recovered.",
        json_schema_extra={"format": "date-time"},
    )
    base: str = Field(default="", description="The full Backup that an incremental needs.")
    lsn: str = Field(default="", description="wal and physical: log position up to which it restores.")
    timeline: int = 0
    server_version: str = ""
    size_bytes: int = Field(default=0, description="Of the data as restored.")
    stored_bytes: int = Field(default=0, description="That were added to the primary repository.")
    contents: list[str] = Field(
        default=[], max_length=128, description="Databases, claims, workloads or resources in it."
    )
    copies: list[Copy] = Field(
        default=[], json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["repository"]}
    )
    verified: list[Verified] = Field(
        default=[], max_length=16, description="Newest first, one for each how and repository."
    )


class Backup(Model):
    """One backup point."""

    spec: BackupSpec
    status: BackupStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "backups",
    "singular": "backup",
    "kind": "Backup",
    "shortNames": ["bk"],
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
    {"name": "Type", "type": "string", "jsonPath": ".spec.type"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Point", "type": "string", "jsonPath": ".status.point"},
    {"name": "Bytes", "type": "integer", "jsonPath": ".status.sizeBytes"},
    {"name": "Stored", "type": "integer", "jsonPath": ".status.storedBytes"},
    {"name": "Verified", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Verified")].reason'},
    {"name": "Why", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Complete")].message', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
