"""Schedules, points and Jobs for tests, as few words as will do."""

from typing import Any

from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.domain.backups.pods import Declared
from lastgood.domain.backups.seen import JobSeen, Point, Proof

NOW = 1_764_072_000.0
"""2025-11-25 12:00:00 UTC, a Tuesday."""
HOUR = 3600.0
UID = "0a1b2c3d-1111-2222-3333-444455556666"

POSTGRES = {"postgres": {"dsn": {"name": "db", "key": "dsn"}}}
S3 = {
    "endpoint": "https://s3.example.com",
    "bucket": "backups",
    "accessKeyId": {"name": "s3", "key": "id"},
    "secretAccessKey": {"name": "s3", "key": "secret"},
}


def spec(**more: Any) -> BackupScheduleSpec:
    base = {
        "source": POSTGRES,
        "repositories": {"primary": {"volume": {"claim": "backups"}}},
        "encryption": {"secretKeyRef": {"name": "backup-key", "key": "passphrase"}},
    }
    return BackupScheduleSpec.model_validate({**base, **more})


def declared(name: str = "shop", namespace: str = "prod", uid: str = UID, **more: Any) -> Declared:
    return Declared(namespace, name, uid, spec(**more))


def point(name: str, at: float, *, repositories: tuple[str, ...] = ("primary",), **more: Any) -> Point:
    base: dict[str, Any] = {
        "uid": f"uid-{name}",
        "schedule": "shop",
        "type": "Full",
        "phase": "Succeeded",
        "made": at,
        "point": at,
        "finished": at + 60,
        "copies": dict.fromkeys(repositories, ("Present", "", "")),
        "size_bytes": 1000,
    }
    return Point(name=name, **{**base, **more})


def proof(how: str, at: float, *, passed: bool = True, **more: Any) -> Proof:
    return Proof(how, passed, more.pop("repository", "primary"), at, **more)


def job(task: str, created: float, state: str = "Succeeded", **more: Any) -> JobSeen:
    finished = None if state == "Running" else created + 60
    base = {"name": f"shop-{task}-{int(created)}", "finished": finished, "seconds": 60 if finished else 0}
    return JobSeen(task=task, created=created, state=state, **{**base, **more})  # type: ignore[arg-type]
