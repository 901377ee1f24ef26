"""What restic prints as JSON, and what it takes as tags."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lastgood.domain.backups.ports import JobFailed, Snapshot
from lastgood.domain.backups.texts import size

_GONE = 2
"""ENOENT."""


def tag_arguments(tags: Mapping[str, str]) -> list[str]:
    """Arguments that give a snapshot these tags. Raises JobFailed for what restic would split or drop."""
    arguments = []
    for key, value in tags.items():
        if "," in key + value or "=" in key or not value.isprintable():
            raise JobFailed("TagUnusable", f"a tag of restic cannot be {key}={value!r}")
        arguments += ["--tag", f"{key}={value}"]
    return arguments


def instant(text: str) -> float:
    """Seconds since the epoch of a time as restic writes it, with up to nine digits after the point."""
    head, point, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    zone = tail[len(digits) :] if point else ""
    return datetime.fromisoformat(head + zone if point else head).timestamp() + (
        float(f"0.{digits}") if digits else 0.0
    )


def as_listed(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as restic lists them that were given so: it takes blanks off their ends."""
    return dict(f"{key}={value}".strip().partition("=")[::2] for key, value in tags.items())


def precise(at: float) -> str:
    """A time as ``--time`` takes it in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def snapshots_of(output: str) -> list[Snapshot]:
    """Snapshots that restic lists, oldest first."""
    found = []
    for each in json.loads(output or "null") or []:
        tags = dict(tag.partition("=")[::2] for tag in each.get("tags") or [])
        found.append(Snapshot(each["id"], instant(each["time"]), tags))
    return sorted(found, key=lambda s: (s.time, s.id))


@dataclass(slots=True)
class Summing:
    """Listens to ``restic backup --json``."""

    progress: Callable[[str], None]
    summary: dict[str, Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """Files that could not be read, besides those that were gone by then."""

    def output(self, line: str) -> None:
        """One line of standard output."""
        match _message(line):
            case {"message_type": "summary", **rest}:
                self.summary = rest
            case {"message_type": "status", "bytes_done": int(done)}:
                self.progress(f"storing, {size(done)}")
            case _:
                pass

    def error(self, line: str) -> None:
        """One line of standard error."""
        match _message(line):
            case {"message_type": "error", "item": str(item), "error": {"Err": code}} if code != _GONE:
                self._unread(item)
            case {"message_type": "error", "item": str(item), "error": dict(error)} if "Err" not in error:
                self._unread(item)
            case _:
                pass

    def _unread(self, item: str) -> None:
        if item not in self.unread:
            self.unread.append(item)


def _message(line: str) -> Mapping[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def having(snapshots: Sequence[Snapshot], tags: Mapping[str, str]) -> list[Snapshot]:
    """Those with all of these tags."""
    return [s for s in snapshots if all(s.tags.get(key) == value for key, value in tags.items())]
