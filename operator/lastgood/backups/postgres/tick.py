"""One tick: close the log's segment, wait until it has arrived, and ship what is not in the repository yet."""

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from lastgood.backups.postgres.base import Sentinel, leave_sentinel
from lastgood.backups.postgres.points import POINT, part
from lastgood.backups.postgres.receiver import receiving
from lastgood.backups.postgres.run import run
from lastgood.backups.postgres.server import Facts, Server
from lastgood.backups.postgres.slot import slot
from lastgood.backups.postgres.spool import Spool, linked
from lastgood.backups.postgres.tools import tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot
from lastgood.domain.backups.wal import Segment, as_tag, from_tag, segment, written

_STILL_SECONDS = 60.0
"""Without a byte arriving for so long, a tick gives up."""
_ABSENT_SECONDS = 10.0
"""Without a receiver on the slot for so long, a tick receives by itself."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Up to where a tick ships."""

    sentinel: Sentinel
    last: Segment
    """The segment that holds a commit after the sentinel's."""


class Tick:
    """The parts of a tick, for one server and one spool."""

    def __init__(self, server: Server, slot_name: str, spool: Spool, facts: Facts) -> None:
        self._server, self._slot, self._spool, self._facts = server, slot_name, spool, facts

    async def seal(self, connection: Any, backup: str) -> Goal:
        """Write a sentinel, close its segment, and write once more, so that an idle server sends the closed one."""
        sentinel = await leave_sentinel(connection, backup)
        # A commit after the sentinel's: a recovery to its time ends only when it sees a later one.
        await connection.execute("SELECT pg_logical_emit_message(true, 'lastgood', 'seal')")
        query = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
        row = await (await connection.execute(query)).fetchone()
        try:
            await connection.execute("SELECT pg_switch_wal()")
        except psycopg.errors.InsufficientPrivilege:
            message = (
                f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {self._facts.user} in database {self._facts.database}"
            )
            raise JobFailed(PgReason.NOT_ALLOWED, f"the DSN's user may not close a segment: {message}") from None
        await connection.execute("SELECT pg_logical_emit_message(true, 'lastgood', 'push')")
        last = segment(str(row[0]), self._facts.segment_bytes)
        assert last  # noqa: S101
        return Goal(sentinel, last)

    async def arrived(self, connection: Any, folder: Path, goal: Goal) -> None:
        """Wait until the goal's segment is in the spool, and receive it here when nobody else does."""
        clock = asyncio.get_running_loop().time
        moved, seen, before = clock(), clock(), ""
        while goal.last not in await asyncio.to_thread(self._spool.segments, folder):
            there = await slot(connection, self._slot)
            if there is None or there.lost:
                message = f"slot {self._slot} was lost while log was on its way"
                raise JobFailed(PgReason.SLOT_LOST, message)
            if there.active:
                seen = clock()
            elif clock() - seen > _ABSENT_SECONDS:
                await self._receive(folder, goal)
                seen = clock()
            if there.restart != before:
                before, moved = there.restart, clock()
            if clock() - moved > _STILL_SECONDS:
                name = goal.last.name(self._facts.segment_bytes)
                message = (
                    f"segment {name} did not arrive, and nothing else did for {_STILL_SECONDS:.0f} s: see the receiver"
                )
                raise JobFailed(PgReason.RECEIVER_BEHIND, message)
            await asyncio.sleep(0.1)

    async def _receive(self, folder: Path, goal: Goal) -> None:
        """Do the receiver's work up to the goal. A receiver that comes meanwhile is refused by the slot, and waits."""
        client = await tools(self._facts.major)
        # Into the next segment, where the push is: then this one is whole.
        beyond = written((goal.last.number + 1) * self._facts.segment_bytes + 1)
        await run(receiving(client, self._server, self._slot, folder, f"--endpos={beyond}"))

    async def ship(
        self,
        folder: Path,
        repository: Repository,
        tags: Mapping[str, str],
        have: frozenset[Segment],
        work: Path,
        about: Mapping[str, str],
    ) -> Snapshot | None:
        """Store what has arrived and is not there yet (``have``); None when that is nothing."""
        there = await asyncio.to_thread(self._spool.segments, folder)
        fresh = {each: path for each, path in there.items() if each not in have}
        if not fresh:
            return None
        shipping = work / "wal"
        await asyncio.to_thread(_gathered, shipping, [*fresh.values(), *self._spool.histories(folder).values()])
        await asyncio.to_thread((shipping / POINT).write_text, json.dumps(dict(about)))
        segments = as_tag(fresh, self._facts.segment_bytes)
        system = {
            "part": "wal",
            "segments": segments,
            "segment": str(self._facts.segment_bytes),
            "system": self._facts.system,
        }
        try:
            return await repository.store(shipping, tags={**tags, **system})
        finally:
            await asyncio.to_thread(shutil.rmtree, shipping)


def _gathered(folder: Path, files: Sequence[Path]) -> None:
    folder.mkdir()
    for path in files:
        linked(path, folder / path.name)


def shipped(snapshots: Sequence[Snapshot], base: Snapshot, facts: Facts) -> frozenset[Segment]:
    """The segments that the repository has for this base."""
    found: set[Segment] = set()
    for each in part(snapshots, "wal"):
        if each.tags.get("base") == base.tags["base"] and each.tags.get("system") == facts.system:
            found |= from_tag(each.tags.get("segments", ""), facts.segment_bytes)
    return frozenset(found)
