"""Where backups are kept: a volume, S3 or sftp, always encrypted."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lastgood.api.backup_rules import (
    ABOVE_RULE,
    ENCRYPTION_RULES,
    ENDPOINT_RULE,
    PRIMARY_RULE,
    RELATIVE_RULE,
    REPOSITORIES_RULES,
    RETENTION_RULE,
    same_key,
)
from lastgood.api.base import MAP_BY_NAME, KeyRef, Label, Model, Name, Port, Rule, cel, duration_field, one_of
from lastgood.api.probes import CertificateSource, Host


class VolumeRepository(Model):
    """A claim in this namespace."""

    claim: Name = Field(description="PersistentVolumeClaim in this namespace.")
    path: Annotated[str, Field(min_length=1, max_length=253), cel(RELATIVE_RULE)] = Field(
        default="lastgood", description="Folder in it, relative to its root; the schedule's name is added."
    )


class S3Repository(Model):
    """A bucket of an S3-compatible server."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            f"!{same_key('self.accessKeyId', 'self.secretAccessKey')}",
            "accessKeyId and secretAccessKey are two things: write two keys of a Secret",
        ),
        Rule(
            "!has(self.ca) || self.endpoint.startsWith('https://')",
            'ca is only looked at for https: write an endpoint that begins with "https://" or leave ca out',
        ),
    )

    endpoint: Annotated[str, Field(min_length=1, max_length=512), cel(ENDPOINT_RULE)] = Field(
        description='Such as "https://s3.eu-central-1.amazonaws.com" or "http://minio:9000".'
    )
    bucket: Annotated[str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$")]
    prefix: Annotated[str, Field(max_length=253), cel(RELATIVE_RULE)] = Field(
        default="", description="Path in the bucket; the namespace's and the schedule's names are added."
    )
    region: Annotated[str, Field(max_length=63)] = ""
    access_key_id: KeyRef = Field(description="Key of a Secret.")
    secret_access_key: KeyRef = Field(description="Key of a Secret.")
    ca: CertificateSource | None = Field(default=None, description="Trust these authorities, not the system's.")


class SftpRepository(Model):
    """A folder on a host that is reached over SSH."""

    host: Host
    port: Port = 22
    user: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    path: Annotated[str, Field(min_length=1, max_length=253), cel(ABOVE_RULE)] = Field(
        description="Folder there; the namespace's and the schedule's names are added."
    )
    private_key: KeyRef = Field(description="Key of a Secret: an SSH private key without a passphrase.")
    known_hosts: KeyRef = Field(description="Key of a Secret: the host's keys, as in a known_hosts file.")


class Repository(Model):
    """One place that holds backups."""

    rules: ClassVar[Sequence[Rule]] = (one_of("volume", "s3", "sftp", what="a repository is in one place"),)

    volume: VolumeRepository | None = None
    s3: S3Repository | None = None
    sftp: SftpRepository | None = None


class SecondaryRepository(Repository):
    """Another place that the backups are copied to."""

    name: Annotated[Label, cel(Rule("self != 'primary'", '"primary" is the first repository: write another name'))] = (
        Field(description="What status and metrics call it.")
    )


class Repositories(Model):
    """Written to the primary, copied to each secondary."""

    rules: ClassVar[Sequence[Rule]] = REPOSITORIES_RULES

    primary: Annotated[Repository, cel(PRIMARY_RULE)] = Field(description="Where backups are written first.")
    secondary: Annotated[list[SecondaryRepository], Field(max_length=4)] = Field(
        default=[],
        json_schema_extra=MAP_BY_NAME,
        description="Each with a state of its own: a dead one neither loses the backup nor hides.",
    )


class Encryption(Model):
    """The key of the repositories. Without it no backup can be read: keep a copy outside the cluster."""

    rules: ClassVar[Sequence[Rule]] = ENCRYPTION_RULES

    secret_key_ref: KeyRef = Field(description="Key of a Secret that holds the repositories' passphrase.")
    create: bool = Field(
        default=False, description="Make the Secret once, with a random passphrase, when it is missing."
    )
    previous: KeyRef | None = Field(
        default=None,
        description="The passphrase before this one: the next run adds the new key, then removes the old (rotation).",
    )


class Retention(Model):
    """Which points are kept; the same in all repositories. The newest usable point is never removed."""

    rules: ClassVar[Sequence[Rule]] = (RETENTION_RULE,)

    last: Annotated[int, Field(ge=0, le=10000)] = 0
    hourly: Annotated[int, Field(ge=0, le=10000)] = 0
    daily: Annotated[int, Field(ge=0, le=10000)] = 0
    weekly: Annotated[int, Field(ge=0, le=10000)] = 0
    monthly: Annotated[int, Field(ge=0, le=10000)] = 0
    within: Annotated[str, duration_field("1h", "87600h")] | None = Field(
        default=None, description='All points younger than this, such as "720h" for 30 days.'
    )


RepositoryState = Literal["Ready", "Behind", "Failed", "Unknown"]
