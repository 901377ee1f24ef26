"""BackupSchedule: what is backed up, when, to where, and how it is proven."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.backup_rules import CRON_RULES, SCHEDULE_RULES, ZONE_RULE, each_once
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
    percent_field,
)
from lastgood.api.probes import CertificateSource
from lastgood.api.repositories import Encryption, Repositories, RepositoryState, Retention

Cron = Annotated[str, Field(min_length=1, max_length=100), cel(*CRON_RULES)]
"""Five fields: minute, hour, day of month, month, day of week."""

Sql = Annotated[str, Field(min_length=1, max_length=4096)]


class SqlAssertion(Model):
    """A query whose first row and column must be as written; left out, it must be true, or give no rows."""

    name: Label
    sql: Sql = Field(description="Run read-only on what was restored.")
    equals: Annotated[str, Field(max_length=256)] | None = None


class PostgresSource(Model):
    """A PostgreSQL server, or some of its databases."""

    dsn: KeyRef = Field(description="Key of a Secret: a libpq connection string or URI.")
    ca: CertificateSource | None = Field(default=None, description="Trust these authorities for sslmode=verify-full.")
    method: Literal["logical", "wal", "physical"] | None = Field(
        default=None,
        description=(
            "logical: pg_dump, any version. wal: base backup and the write-ahead log as it is written, PostgreSQL 15 "
            "or newer, point in time. physical: base backup and hourly increments, PostgreSQL 17 or newer. "
            "Left out: wal where rpo is declared, else logical."
        ),
    )
    databases: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=63)]], Field(max_length=64), cel(each_once("database"))
    ] = Field(default=[], description="logical only: these; left out, the one that the DSN names.")
    globals: bool = Field(default=True, description="logical only: roles and tablespaces too, without passwords.")
    spool: Name | None = Field(
        default=None,
        description="wal only: a PersistentVolumeClaim for segments on their way. Left out, one is made (spoolSize).",
    )
    spool_size: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(Mi|Gi|Ti)$")] = "5Gi"


class RedisSource(Model):
    """A Redis server: a snapshot in RDB form, as a replica gets it."""

    url: KeyRef = Field(description='Key of a Secret: "redis://[user:password@]host:port" or "rediss://…".')
    ca: CertificateSource | None = None


class VolumeSource(Model):
    """Files on claims: vector stores, rules, test suites, uploads. They are mounted read-only."""

    claims: Annotated[list[Name], Field(min_length=1, max_length=16), cel(each_once("claim"))]
    exclude: Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=64)] = Field(
        default=[], description='Patterns as restic takes them, such as "*.tmp".'
    )
    mounted_by: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default={},
        description="Labels of the pods that hold the claims: jobs prefer their node. ReadWriteOnce needs it.",
    )


class Workload(Model):
    """A workload whose pods' logs are kept."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    name: Name


class LogsSource(Model):
    """Logs of pods, whole containers since the run before."""

    workloads: Annotated[list[Workload], Field(min_length=1, max_length=64), cel(each_once("workload"))]


class ConfigSource(Model):
    """Declared objects of this namespace, as YAML."""

    resources: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-z0-9]+([.][a-z0-9.-]+)?$")]],
        Field(min_length=1, max_length=64),
        cel(
            each_once("resource"),
            Rule("!('secrets' in self)", "Secrets are asked for by name: write secrets: true in place of the resource"),
        ),
    ] = Field(
        default=["configmaps", "deployments.apps", "statefulsets.apps", "services"],
        description='Plural names with their group, such as "configmaps" or "monitoredservices.lastgood.dev".',
    )
    secrets: bool = Field(default=False, description="Secrets too; they are encrypted like all else.")


class Source(Model):
    """What is backed up."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("postgres", "redis", "volume", "logs", "config", what="a schedule backs up one source"),
    )

    postgres: PostgresSource | None = None
    redis: RedisSource | None = None
    volume: VolumeSource | None = None
    logs: LogsSource | None = None
    config: ConfigSource | None = None


class Schedule(Model):
    """When backups run."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "!has(self.incremental) || self.incremental != self.full",
            "full and incremental would start together each time: write other times for one of them",
        ),
    )

    full: Cron = Field(default="0 2 * * *", description="Daily, as the default.")
    incremental: Cron | None = Field(
        default=None,
        description=(
            "Between the fulls. postgres: left out, hourly; for wal and physical at least twice within an rpo. wal: "
            "seals, checks and ships what was received; physical: an increment; logical, redis and files: another "
            "full that costs what has changed (deduplicated)."
        ),
    )
    time_zone: Annotated[str, Field(min_length=1, max_length=64), cel(ZONE_RULE)] = "Etc/UTC"
    jitter: Annotated[str, duration_field("0s", "1h")] = Field(
        default="0s", description="Start up to this much later, always by the same amount for one schedule."
    )
    deadline: Annotated[str, duration_field("10s", "168h")] = Field(
        default="2h", description="Longest that a run may take."
    )
    starting_deadline: Annotated[str, duration_field("10s", "168h")] = Field(
        default="24h", description="A run missed while the cluster was down is made up for once, within this."
    )


class DataSample(Model):
    """Reads a share of the stored data and checks it."""

    schedule: Cron = "30 4 * * *"
    share: Annotated[
        str,
        percent_field(
            Rule(
                "!self.matches('^0+([.]0*)?%$')",
                'a sample of nothing proves nothing: write a share above 0%, such as "5%"',
            )
        ),
    ] = "5%"


class RestoreTest(Model):
    """Restores the newest point into a throw-away server or volume, and looks at what came out."""

    schedule: Cron = "0 5 * * 0"
    assertions: Annotated[list[SqlAssertion], Field(max_length=32)] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    scratch_size: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(Mi|Gi|Ti)$")] = Field(
        default="10Gi", description="Room that the restored data may take on the node."
    )


class FullCheck(Model):
    """Reads all stored data, in every repository, and restores the newest point of each."""

    schedule: Cron = "0 6 1 * *"


class Verification(Model):
    """How backups are proven. The repository's structure is checked after each run in any case."""

    data_sample: DataSample = Field(default=DataSample())
    restore_test: RestoreTest = Field(default=RestoreTest())
    full_check: FullCheck = Field(default=FullCheck())


class JobTemplate(Model):
    """How the jobs run."""

    service_account: Name | None = Field(
        default=None, description="Left out, one is made with the rights that the jobs need and no other."
    )
    cpu: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+m?$")] = "100m"
    memory: Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(Mi|Gi)$")] = Field(
        default="512Mi", description="Limit."
    )
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        default=65532, description="Volumes are read as this user; root is refused."
    )
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default={}, description="Labels of the nodes that jobs may run on."
    )


class BackupScheduleSpec(Model):
    """What is declared."""

    rules: ClassVar[Sequence[Rule]] = SCHEDULE_RULES

    source: Source = Field(description="What is backed up.")
    schedule: Schedule = Field(default=Schedule(), description="When backups run.")
    suspend: bool = Field(default=False, description="Run nothing; what is kept stays.")
    repositories: Repositories = Field(description="Where backups are kept.")
    encryption: Encryption = Field(description="The key of the repositories.")
    retention: Retention = Field(
        default=Retention(hourly=48, daily=14, weekly=8, monthly=12), description="Which points are kept."
    )
    verification: Verification = Field(default=Verification(), description="How backups are proven.")
    rpo: Annotated[str, duration_field("1m", "8760h")] | None = Field(
        default=None, description="Most data that may be lost, as time: 1h in the procedures."
    )
    rto: Annotated[str, duration_field("1m", "8760h")] | None = Field(
        default=None, description="Longest that a restore may take: 4h in the procedures."
    )
    job: JobTemplate = Field(default=JobTemplate(), description="How the jobs run.")


class RepositoryStatus(Model):
    """One repository."""

    name: str = Field(description='"primary", or the name of a secondary.')
    state: RepositoryState = "Unknown"
    reason: str = ""
    message: str = ""
    recoverable_until: str | None = Field(
        default=None,
        description="The last time that can be recovered from here.",
        json_schema_extra={"format": "date-time"},
    )
    oldest: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    points: int = 0
    size_bytes: int = 0


class RunStatus(Model):
    """The newest run of one task."""

    name: Literal["full", "incremental", "data-sample", "restore-test", "full-check", "prune"]
    last_success: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    last_failure: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    reason: str = ""
    message: str = ""
    seconds: int = Field(default=0, description="How long the newest that succeeded took.")


class BackupScheduleStatus(Model):
    """Observed state; written only when something flips or a run has ended."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
    method: str = Field(
        default="", description="The method in use: logical, wal, physical, redis, volume, logs, config."
    )
    last_success: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    next_run: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    last_verified: str | None = Field(
        default=None, description="When a restore test last passed.", json_schema_extra={"format": "date-time"}
    )
    points: int = 0
    size: str = Field(default="", description="Of the primary repository, rounded.")
    repositories: list[RepositoryStatus] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    runs: list[RunStatus] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    restore_seconds: int = Field(default=0, description="What the last restore test took, scaled to today's size.")


class BackupSchedule(Model):
    """What is backed up, when, to where, and how that is proven."""

    spec: BackupScheduleSpec
    status: BackupScheduleStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "backupschedules",
    "singular": "backupschedule",
    "kind": "BackupSchedule",
    "shortNames": ["bs"],
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Method", "type": "string", "jsonPath": ".status.method"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Last success", "type": "date", "jsonPath": ".status.lastSuccess"},
    {"name": "Next run", "type": "string", "jsonPath": ".status.nextRun"},
    {"name": "Points", "type": "integer", "jsonPath": ".status.points"},
    {"name": "Size", "type": "string", "jsonPath": ".status.size"},
    {"name": "RPO", "type": "string", "jsonPath": '.status.conditions[?(@.type=="RPOMet")].status'},
    {"name": "Verified", "type": "date", "jsonPath": ".status.lastVerified"},
    {"name": "RTO", "type": "string", "jsonPath": '.status.conditions[?(@.type=="RTOMet")].status', "priority": 1},
    {"name": "Why", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].message', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
