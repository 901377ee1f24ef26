"""Where a repository is, in restic's terms: address, options, credentials; from the kind's fields and mounted files."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lastgood.api.repositories import Repository as Declared
from lastgood.api.repositories import S3Repository, SftpRepository, VolumeRepository
from lastgood.domain.backups.ports import JobFailed, Places

_CONNECT_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Location:
    """One repository's place. Two that are equal are one."""

    name: str
    url: str
    shown: str
    """For people: its name and where it is, without credentials."""
    options: tuple[str, ...] = ()
    """Arguments of every restic that uses it; no secret in them."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Credentials, for the environment of restic alone."""
    server: tuple[str, int] | None = None
    """What must answer before restic is asked to: it tries for 15 minutes by itself."""
    folder: Path | None = None
    """Of a volume repository."""
    ssh: tuple[str, ...] = ()
    """What restic speaks sftp through."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no text may hold."""
        return tuple(value for key, value in self.environment.items() if key == "AWS_SECRET_ACCESS_KEY")

    @property
    def kind(self) -> str:
        """The backend: "s3", "sftp", or "" for a folder."""
        return "" if self.folder is not None else self.url.partition(":")[0]

    def goes_with(self, other: "Location") -> bool:
        """Whether one restic can use both: it has one set of credentials and options for all buckets, or hosts."""
        if self.kind != other.kind or self.folder is not None:
            return True
        return dict(self.environment) == dict(other.environment) and self.options == other.options


def locate(name: str, declared: Declared, places: Places, namespace: str, schedule: str) -> Location:
    """The place of one repository. Raises JobFailed when a credential or the volume is missing."""
    if declared.volume is not None:
        return _volume(name, declared.volume, places, schedule)
    if declared.s3 is not None:
        return _s3(name, declared.s3, places, f"{namespace}/{schedule}")
    if declared.sftp is not None:
        return _sftp(name, declared.sftp, places, f"{namespace}/{schedule}")
    raise JobFailed("RepositoryUnknown", f"repository {name} names neither volume nor s3 nor sftp")


def credential(places: Places, name: str) -> str:
    """A credential's text. Raises JobFailed CredentialMissing."""
    try:
        text = places.credential(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise JobFailed("CredentialMissing", f"credential {name} cannot be read: is its Secret there?") from error
    if not text:
        raise JobFailed("CredentialMissing", f"credential {name} is empty: write it into its Secret")
    return text


def _parts(path: str) -> str:
    """A path below another, whatever was written."""
    return "/".join(part for part in path.split("/") if part not in {"", ".", ".."})


def _volume(name: str, declared: VolumeRepository, places: Places, schedule: str) -> Location:
    root = places.repository(name)
    if not root.is_dir():
        raise JobFailed("VolumeMissing", f"repository {name}: claim {declared.claim} is not mounted in the job's pod")
    folder = root / _parts(declared.path) / schedule
    return Location(name, str(folder), f"{name} (claim {declared.claim})", folder=folder)


def _s3(name: str, declared: S3Repository, places: Places, under: str) -> Location:
    address = urlsplit(declared.endpoint if "://" in declared.endpoint else f"https://{declared.endpoint}")
    if address.hostname is None or address.scheme not in {"http", "https"}:
        raise JobFailed(
            "RepositoryUnknown", f"repository {name}: write its endpoint as https://host or http://host:port"
        )
    path = "/".join(part for part in (declared.bucket, _parts(declared.prefix), under) if part)
    folder = f"repositories/{name}"
    environment = {
        "AWS_ACCESS_KEY_ID": credential(places, f"{folder}/access-key-id"),
        "AWS_SECRET_ACCESS_KEY": credential(places, f"{folder}/secret-access-key"),
    }
    options: tuple[str, ...] = ()
    if declared.region:
        environment["AWS_DEFAULT_REGION"] = declared.region
        options += ("-o", f"s3.region={declared.region}")
    if declared.ca is not None:
        authorities = places.credential(f"{folder}/ca.crt")
        if not authorities.is_file():
            raise JobFailed("CredentialMissing", f"repository {name}: its ca cannot be read: is the object there?")
        options += ("--cacert", str(authorities))
    port = address.port or (443 if address.scheme == "https" else 80)
    shown = f"{name} (bucket {declared.bucket} at {address.hostname})"
    url = f"s3:{address.scheme}://{address.netloc}/{path}"
    return Location(name, url, shown, options, environment, (address.hostname, port))


def _sftp(name: str, declared: SftpRepository, places: Places, under: str) -> Location:
    key = places.credential(f"repositories/{name}/private-key")
    known = places.credential(f"repositories/{name}/known-hosts")
    for file, what in ((key, "private key"), (known, "known hosts")):
        if not file.is_file():
            raise JobFailed("CredentialMissing", f"repository {name}: its {what} cannot be read: is the Secret there?")
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(_CONNECT_SECONDS),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
    }
    command = ["ssh", "-F", "none", "-i", str(key), "-p", str(declared.port)]
    for option, value in settings.items():
        command += ["-o", f"{option}={value}"]
    command += ["-l", declared.user, declared.host, "-s", "sftp"]
    root = "/" if declared.path.startswith("/") else ""
    host = f"[{declared.host}]" if ":" in declared.host else declared.host
    path = "/".join(part for part in (_parts(declared.path), under) if part)
    return Location(
        name,
        f"sftp://{declared.user}@{host}:{declared.port}/{root}{path}",
        f"{name} ({declared.user} at {declared.host})",
        ("-o", f"sftp.command={shlex.join(command)}"),
        {},
        (declared.host, declared.port),
        ssh=tuple(command),
    )
