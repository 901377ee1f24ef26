"""Rollback: one return to a good revision, started by Lastgood or asked for by a person."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, MAP_BY_TYPE, Condition, Model, Name, Rule, one_of
from lastgood.api.servicestatus import ConfigRef


class RollbackTo(Model):
    """Which remembered revision to go back to."""

    rules: ClassVar[Sequence[Rule]] = (one_of("lastGood", "revision", "version", what="a rollback has one goal"),)

    last_good: (
        Annotated[
            bool,
            Field(
                json_schema_extra={
                    "x-kubernetes-validations": [
                        Rule("self", "write lastGood: true, or name a revision or a version instead").as_schema()
                    ]
                }
            ),
        ]
        | None
    ) = Field(default=None, description="The newest good revision that is not running now.")
    revision: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The good revision with this Deployment revision number."
    )
    version: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description='The newest good revision of this version, such as "v1.2.3".'
    )


class Trigger(Model):
    """What started an automatic rollback."""

    type: Literal["HealthFailing", "ErrorRate", "Degradation", "Objective", "BurnRate", "Signal"]
    name: str = Field(default="", description="Of the objective, or the type of the signal.")
    since: str = Field(description="When the breach began.", json_schema_extra={"format": "date-time"})
    bad_key: str = Field(description="Key of the revision that was running.")
    target_key: str = Field(description="Key of the good revision to go back to.")
    message: str = ""


class RollbackSpec(Model):
    """What is asked for. Only the approval can be added later."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "self.service == oldSelf.service && self.to == oldSelf.to && has(self.trigger) == has(oldSelf.trigger) "
            "&& (!has(self.trigger) || self.trigger == oldSelf.trigger) && self.dryRun == oldSelf.dryRun "
            "&& self.needsApproval == oldSelf.needsApproval && self.data == oldSelf.data",
            "a Rollback cannot be changed once it exists: only spec.approval may be set; create another Rollback",
        ),
        Rule(
            "!has(oldSelf.approval) || (has(self.approval) && self.approval == oldSelf.approval)",
            "the approval was given and stays as it is: create another Rollback",
        ),
    )

    service: Name = Field(description="Name of the MonitoredService in this namespace.")
    to: RollbackTo = Field(default=RollbackTo(last_good=True))
    reason: Annotated[str, Field(max_length=1024)] = Field(default="", description="Why, for the record.")
    needs_approval: bool = Field(default=False, description="Wait until spec.approval is set.")
    approval: Literal["Approved", "Refused"] | None = Field(
        default=None,
        description="Set by a person with the right to patch Rollbacks, when the policy is Manual.",
    )
    dry_run: bool = Field(default=False, description="Go as far as the server's dry run, and change nothing.")
    data: Literal["Keep", "Restore"] = Field(
        default="Keep",
        description=(
            "Restore puts the data back too, to the points noted with the good revision: a Restore for each of the "
            "service's backups, which waits for approval by itself."
        ),
    )
    trigger: Trigger | None = Field(default=None, description="Filled in by Lastgood; absent when a person asked.")


class Step(Model):
    """One of the five steps."""

    name: Literal["Identified", "Prepared", "Executed", "Validated", "Documented"]
    state: Literal["Pending", "Running", "Done", "Failed", "Skipped"]
    message: str = ""
    at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})


class RevisionRef(Model):
    """One side of a rollback."""

    key: str = ""
    revision: int = 0
    version: str = ""
    template_hash: str = ""
    replicas: int = 0
    configs: list[ConfigRef] = []
    snapshot: str = Field(default="", description="ControllerRevision that holds the whole template.")


class RollbackStatus(Model):
    """What was done."""

    observed_generation: int | None = None
    phase: Literal["Pending", "AwaitingApproval", "Running", "Succeeded", "Failed", "Refused", "DryRun"] = "Pending"
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
    steps: list[Step] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    from_: RevisionRef | None = Field(default=None, alias="from")
    to: RevisionRef | None = None
    diff: str = Field(default="", max_length=16384, description="What the rollback changes in the pod template.")
    started_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    finished_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    restores: list[str] = Field(default=[], description="Restores of the data that are part of it.")
    patched_generation: int | None = Field(default=None, description="The Deployment's generation after the patch.")


class Rollback(Model):
    """One return to a good revision, in five steps."""

    spec: RollbackSpec
    status: RollbackStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "rollbacks",
    "singular": "rollback",
    "kind": "Rollback",
    "shortNames": ["rb"],
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Service", "type": "string", "jsonPath": ".spec.service"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "From", "type": "string", "jsonPath": ".status.from.version"},
    {"name": "To", "type": "string", "jsonPath": ".status.to.version"},
    {"name": "Trigger", "type": "string", "jsonPath": ".spec.trigger.type"},
    {"name": "Why", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Complete")].message', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
