"""Restore: data put back to a backup point, in seven steps."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.backup_rules import RELATIVE_RULE, each_once, unchanged
from lastgood.api.backupschedule import SqlAssertion
from lastgood.api.base import (
    MAP_BY_NAME,
    MAP_BY_TYPE,
    Condition,
    KeyRef,
    Label,
    Model,
    Name,
    Rule,
    cel,
    duration_field,
    one_of,
)

# With "format: date-time" the server would take times without a zone, and give rules no text.
_TIME = Rule(
    "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    "([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && !self.matches('-(02-3[01]|(04|06|09|11)-31)T')",
    'write a time with its zone as in RFC 3339, such as "2027-01-15T08:00:00Z" or "2027-01-15T09:00:00+01:00"',
)


class RestoreTo(Model):
    """Which state to go back to."""

    rules: ClassVar[Sequence[Rule]] = (one_of("latest", "backup", "time", what="a restore has one goal"),)

    latest: (
        Annotated[
            bool,
            Field(
                json_schema_extra={
                    "x-kubernetes-validations": [
                        Rule("self", "write latest: true, or name a backup or a time instead").as_schema()
                    ]
                }
            ),
        ]
        | None
    ) = Field(default=None, description="The newest usable point.")
    backup: Name | None = Field(default=None, description="A Backup in this namespace.")
    time: Annotated[str, Field(max_length=40), cel(_TIME)] | None = Field(
        default=None, description="wal: this very moment. All others: the newest point that is not after it."
    )


class NewDatabase(Model):
    """Beside the one that is used."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z_][a-z0-9_]*$")] = Field(
        description="Database to make; refused when it exists."
    )


class NewVolume(Model):
    """A claim that is made and filled."""

    claim: Name = Field(description="PersistentVolumeClaim to make; refused when it exists.")
    size: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(Mi|Gi|Ti)$")]
    storage_class: Name | None = None


class Into(Model):
    """Where the data goes. Left out, into place, and what is there now is kept beside it as the mode says."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("swap", "inPlace", "newDatabase", "newVolume", what="data goes to one place"),
    )

    swap: Annotated[bool, cel(Rule("self", "write swap: true, or another place instead"))] | None = Field(
        default=None,
        description="postgres logical: into a fresh database that takes the name once valid; the old one is renamed.",
    )
    in_place: Annotated[bool, cel(Rule("self", "write inPlace: true, or another place instead"))] | None = Field(
        default=None, description="Over what is there: pg_restore --clean --if-exists; files; the server's own volume."
    )
    new_database: NewDatabase | None = None
    new_volume: NewVolume | None = None


class StopTarget(Model):
    """A workload that is scaled to 0 while the data is put back, and to what it was after."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    name: Name


class ServerRef(Model):
    """Physical and wal restores write the server's own volume: the StatefulSet that has it, stopped for it."""

    stateful_set: Name
    claim: Name = Field(description="Claim that holds the data directory.")
    sub_path: Annotated[str, Field(max_length=253), cel(RELATIVE_RULE)] = Field(
        default="", description="Of the data directory in the volume."
    )


class RestoreSpec(Model):
    """What is asked for. Only the approval can be added later."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            unchanged(
                "schedule",
                "to",
                "repository",
                "safetyBackup",
                "timeout",
                "needsApproval",
                optional=("into", "stop", "server", "services", "assertions", "rollback", "dsn", "serviceAccount"),
            ),
            "a Restore cannot be changed once it exists: only spec.approval may be set; create another Restore",
        ),
        Rule(
            "!has(oldSelf.approval) || (has(self.approval) && self.approval == oldSelf.approval)",
            "the approval was given and stays as it is: create another Restore",
        ),
        Rule(
            "!has(self.server) || !has(self.into) || has(self.into.inPlace)",
            "server is stopped only where its own volume is written: write into.inPlace: true, or leave server out",
        ),
        Rule(
            "!has(self.server) || !has(self.stop) || "
            "!self.stop.exists(s, s.kind == 'StatefulSet' && s.name == self.server.statefulSet)",
            "server is stopped at its own time, after the safety backup: leave it out of stop",
        ),
    )

    schedule: Name = Field(description="BackupSchedule in this namespace whose backups are restored.")
    to: RestoreTo = Field(default=RestoreTo(latest=True), description="Which state to go back to.")
    into: Into | None = Field(default=None, description="Where the data goes. Left out, into place.")
    repository: Label = Field(default="primary", description='"primary", or the name of a secondary.')
    stop: Annotated[list[StopTarget], Field(max_length=16), cel(each_once("workload"))] = Field(
        default=[], description="Applications that use the data. They are not started again on half a database."
    )
    server: ServerRef | None = Field(
        default=None, description="wal and physical: the server whose volume is written, stopped for it."
    )
    services: Annotated[list[Name], Field(max_length=16), cel(each_once("service"))] = Field(
        default=[], description="MonitoredServices whose probes must be green after the start."
    )
    safety_backup: bool = Field(default=True, description="Back up what is there now, before anything is changed.")
    assertions: Annotated[list[SqlAssertion], Field(max_length=32)] = Field(
        default=[], json_schema_extra=MAP_BY_NAME, description="What must hold of the restored data, as SQL."
    )
    timeout: Annotated[str, duration_field("1m", "168h")] = Field(
        default="4h", description="Longest that one step may take."
    )
    reason: Annotated[str, Field(max_length=1024)] = Field(default="", description="Why, for the record.")
    needs_approval: bool = Field(default=True, description="Wait until spec.approval is set.")
    approval: Literal["Approved", "Refused"] | None = Field(
        default=None, description="Set by a person with the right to patch Restores."
    )
    rollback: Name | None = Field(default=None, description="Rollback that this is a part of; filled in by Lastgood.")
    dsn: KeyRef | None = Field(
        default=None, description="Key of a Secret with the rights to restore, where the schedule's own are read-only."
    )
    service_account: Name | None = Field(
        default=None,
        description=(
            "config only: ServiceAccount of this namespace whose rights put the objects back. The schedule's own only "
            "reads. Where the chart guards it, whoever creates the Restore must be allowed to impersonate it."
        ),
    )

    @property
    def new_claim(self) -> str:
        """Claim that is made for what is restored; empty where it goes anywhere else."""
        return self.into.new_volume.claim if self.into is not None and self.into.new_volume is not None else ""


StepName = Literal["Identified", "Verified", "Stopped", "SafetyBackup", "Restored", "Validated", "Started"]


class RestoreStep(Model):
    """One of the seven steps."""

    name: StepName
    state: Literal["Pending", "Running", "Done", "Failed", "Skipped"]
    message: str = ""
    job: str = ""
    at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})


class Stopped(Model):
    """A workload as it was before."""

    kind: str
    name: str
    replicas: int
    autoscaler: str = Field(default="", description="HorizontalPodAutoscaler that scales it.")


class RestoreStatus(Model):
    """What was done."""

    observed_generation: int | None = None
    phase: Literal["Pending", "AwaitingApproval", "Waiting", "Running", "Succeeded", "Failed", "Refused"] = "Pending"
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
    steps: list[RestoreStep] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    backup: str = Field(default="", description="Backup that is restored.")
    point: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    safety_backup: str = Field(default="", description="Backup of what was there before.")
    kept_database: str = Field(default="", description="Name under which the old database still exists.")
    stopped: list[Stopped] = Field(
        default=[],
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
    )
    way_back: str = Field(default="", description="What stands now, and how to go back, when a step has failed.")
    started_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})


class Restore(Model):
    """Data put back to a backup point."""

    spec: RestoreSpec
    status: RestoreStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "restores",
    "singular": "restore",
    "kind": "Restore",
    "shortNames": ["rst"],  # rs is the ReplicaSet's
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Backup", "type": "string", "jsonPath": ".status.backup"},
    {"name": "Point", "type": "string", "jsonPath": ".status.point"},
    {"name": "Why", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Complete")].message', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
