"""The volume on which write-ahead log arrives, shared by the receiver and the jobs that ship it.

``current`` names the folder that is received into: another one for each slot, since a log that is received anew does
not go on where the old one ended.
"""

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from lastgood.domain.backups.wal import PARTIAL, Branch, Segment, ancestry, history_timeline, segment

_CURRENT = "current"
HEALTH = "health.json"


class Spool:
    """Folders of segments."""

    def __init__(self, root: Path, segment_bytes: int = 0) -> None:
        self.root, self._bytes = root, segment_bytes

    def current(self) -> Path | None:
        """The folder that is received into; None before the first base."""
        try:
            name = (self.root / _CURRENT).read_text().strip()
        except FileNotFoundError:
            return None
        return self.root / name

    def begin(self, restart: str) -> Path:
        """Receive into another folder from now on. ``restart``: the new slot's position."""
        folder = self.root / f"wal-{restart.replace('/', '-')}-{os.urandom(2).hex()}"
        folder.mkdir()
        replace(self.root / _CURRENT, folder.name)
        return folder

    def others(self) -> Sequence[Path]:
        """Folders of slots before this one."""
        now = self.current()
        return [path for path in sorted(self.root.glob("wal-*")) if path.is_dir() and path != now]

    def segments(self, folder: Path) -> dict[Segment, Path]:
        """Whole segments in a folder."""
        found = {}
        for path in folder.iterdir():
            each = segment(path.name, self._bytes)
            if each is not None and path.stat().st_size == self._bytes:
                found[each] = path
        return found

    @staticmethod
    def histories(folder: Path) -> dict[int, Path]:
        """Files that tell from where timelines branched off."""
        found = {history_timeline(path.name): path for path in folder.iterdir()}
        return {timeline: path for timeline, path in found.items() if timeline is not None}

    def branches(self, folder: Path, timeline: int) -> Sequence[Branch]:
        """The ancestry of a timeline, as far as its history has arrived."""
        path = self.histories(folder).get(timeline)
        return ancestry(path.read_text()) if path else ()

    def unfinished(self, folder: Path) -> dict[Segment, Path]:
        """The segment that is just being received; it is as long as a whole one, with zeros at its end."""
        found = {}
        for path in folder.glob(f"*{PARTIAL}"):
            each = segment(path.name.removesuffix(PARTIAL), self._bytes)
            if each is not None and path.stat().st_size == self._bytes:
                found[each] = path
        return found

    def behind(self, folder: Path, position: int) -> bool:
        """Whether log is missing between the newest that is here and this position, from which the server has it."""
        whole, part = self.segments(folder), self.unfinished(folder)
        newest = max([*(each.number + 1 for each in whole), *(each.number for each in part)], default=None)
        return newest is not None and newest < position // self._bytes

    def shipped(self, folder: Path, shipped: frozenset[Segment]) -> None:
        """Remove what the repository has, but for the last whole one: there pg_receivewal sees where to go on."""
        there = self.segments(folder)
        for each in sorted(there)[:-1]:
            if each in shipped:
                there[each].unlink(missing_ok=True)

    def drop(self, folder: Path) -> None:
        """Remove a folder of a slot that is no more."""
        shutil.rmtree(folder, ignore_errors=True)

    async def tell(self, state: str, reason: str = "", message: str = "") -> None:
        """Say how the receiver is; the file's age says that it lives."""
        found = {"state": state, "reason": reason, "message": message, "at": round(time.time())}
        with contextlib.suppress(OSError):  # a full volume is told by the receiver itself
            await asyncio.to_thread(replace, self.root / HEALTH, json.dumps(found))


def replace(path: Path, text: str) -> None:
    """Write a small file so that nobody sees half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def linked(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the volume has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
