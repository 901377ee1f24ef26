"""Points as a repository holds them: which snapshots, by their tags."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot

POINT = "point.json"
"""The file that ends a point: what it consists of, and what it held."""


def stamp(seconds: float) -> str:
    """As the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact(seconds: float) -> str:
    """With microseconds, as recovery targets need them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(text: str) -> float:
    """Of a time as the API writes it."""
    return datetime.fromisoformat(text).timestamp()


def part(snapshots: Sequence[Snapshot], name: str) -> list[Snapshot]:
    """Those that are this part of their point."""
    return [snapshot for snapshot in snapshots if snapshot.tags.get("part") == name]


async def of_backup(repository: Repository, backup: str) -> list[Snapshot]:
    """All snapshots of one Backup. Raises JobFailed PointIncomplete when there are none."""
    found = list(await repository.snapshots({"backup": backup}))
    if not found:
        raise JobFailed(
            PgReason.POINT_INCOMPLETE,
            f"repository {repository.name} has no snapshot of backup {backup}: choose another",
        )
    return found


async def described(repository: Repository, snapshots: Sequence[Snapshot], name: str, work: Path) -> dict[str, Any]:
    """What point.json in this part says. Raises JobFailed PointIncomplete."""
    parts = part(snapshots, name)
    if not parts:
        raise JobFailed(PgReason.POINT_INCOMPLETE, f"the point has no {name} in repository {repository.name}")
    folder = work / "point"
    await repository.fetch(parts[-1].id, folder, include=[POINT])
    try:
        found: dict[str, Any] = json.loads((folder / POINT).read_text())
    except (OSError, ValueError):
        message = f"{POINT} of the point cannot be read in repository {repository.name}"
        raise JobFailed(PgReason.POINT_INCOMPLETE, message) from None
    return found
