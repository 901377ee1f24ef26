"""Method wal: base backups, and the log between them, sealed, checked for gaps and shipped by each tick."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastgood.api.backup import BackupStatus, Copy
from lastgood.api.base import Condition
from lastgood.backups.postgres.base import copied, ready, stored
from lastgood.backups.postgres.points import exact, part, seconds, stamp
from lastgood.backups.postgres.server import Facts, Server
from lastgood.backups.postgres.slot import Slot, reserved, slot
from lastgood.backups.postgres.spool import Spool
from lastgood.backups.postgres.tick import Goal, Tick, shipped
from lastgood.backups.postgres.tools import tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot
from lastgood.domain.backups.wal import holding, lsn, reach

LEAST = 15
_NEW_BASE = frozenset({PgReason.SLOT_LOST, PgReason.WAL_GAP})


class WalBackups:
    """Bases and ticks of one schedule."""

    def __init__(self, server: Server, slot_name: str, spool_root: Path) -> None:
        self._server, self._slot, self._root = server, slot_name, spool_root

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """A new base, and the log up to its end. Raises JobFailed."""
        facts = await ready(self._server, least=LEAST, method="wal")
        made: list[Snapshot] = []
        try:
            return await self._base(facts, work, repository, {**tags, "type": "Full"}, made)
        except BaseException:
            await _forgotten(repository, made)
            raise

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Seal and ship the log; where it is broken, make a new base at once and say why. Raises JobFailed."""
        facts = await ready(self._server, least=LEAST, method="wal")
        bases = await self._bases(facts, repository)
        if not bases:
            return await self.full(work, repository, tags)
        made: list[Snapshot] = []
        try:
            return await self._tick(facts, work, repository, tags, bases[-1], made)
        except JobFailed as failed:
            await _forgotten(repository, made)
            if failed.reason not in _NEW_BASE:
                raise
            return await self._anew(failed, work, repository, tags)

    async def _anew(
        self, failed: JobFailed, work: Path, repository: Repository, tags: Mapping[str, str]
    ) -> BackupStatus:
        try:
            status = await self.full(work, repository, tags)
        except JobFailed as again:
            message = f"{failed.message}; the new base that this needs failed: {again.reason}: {again.message}"
            raise JobFailed(failed.reason, message) from None
        told = _condition("Contiguous", failed.reason, f"{failed.message}; a new base was made at once")
        return status.model_copy(update={"conditions": [told, *status.conditions]})

    async def _bases(self, facts: Facts, repository: Repository) -> list[Snapshot]:
        """Bases of this cluster, oldest first: one of the server's that was here before leads nowhere."""
        found = part(await repository.snapshots({}), "base")
        return [each for each in found if each.tags.get("system") == facts.system]

    async def _base(
        self, facts: Facts, work: Path, repository: Repository, tags: Mapping[str, str], made: list[Snapshot]
    ) -> BackupStatus:
        client = await tools(facts.major)
        await self._keeping(facts, repository, tags, work)
        base = await copied(self._server, client, work, tags["backup"])
        snapshot = await stored(base, facts, repository, tags)
        made.append(snapshot)
        await asyncio.to_thread(shutil.rmtree, base.folder)
        status = await self._tick(facts, work, repository, tags, snapshot, made)
        return status.model_copy(update={"base": "", "size_bytes": base.size_bytes + status.size_bytes})

    async def _keeping(self, facts: Facts, repository: Repository, tags: Mapping[str, str], work: Path) -> None:
        """See that the server keeps its log for us from now on, before anything is copied."""
        spool = Spool(self._root, facts.segment_bytes)
        async with self._server.session(doing="making the slot") as connection:
            there = await slot(connection, self._slot)
            if not _why_lost(there, self._slot, spool):
                return
            await asyncio.to_thread(spool.begin, await reserved(connection, self._slot))
        # What the old slot had delivered still leads the old base on, up to where it ends.
        bases = await self._bases(facts, repository)
        tick = Tick(self._server, self._slot, spool, facts)
        for folder in spool.others():
            if bases:
                about = {"base": bases[-1].tags["base"]}
                have = shipped(await repository.snapshots({}), bases[-1], facts)
                await tick.ship(folder, repository, {**tags, **about}, have, work, about)
            await asyncio.to_thread(spool.drop, folder)

    async def _tick(
        self,
        facts: Facts,
        work: Path,
        repository: Repository,
        tags: Mapping[str, str],
        base: Snapshot,
        made: list[Snapshot],
    ) -> BackupStatus:
        spool = Spool(self._root, facts.segment_bytes)
        tick = Tick(self._server, self._slot, spool, facts)
        async with self._server.session(doing="the tick") as connection:
            there = await slot(connection, self._slot)
            folder = spool.current()
            if (why := _why_lost(there, self._slot, spool)) or there is None or folder is None:
                raise JobFailed(PgReason.SLOT_LOST, why)
            goal = await tick.seal(connection, tags["backup"])
            await tick.arrived(connection, folder, goal)
        found = await repository.snapshots({})
        there_already = shipped(found, base, facts)
        have = {*there_already, *spool.segments(folder)}
        start = holding(int(base.tags["timeline"]), lsn(base.tags["start"]), facts.segment_bytes)
        branches = spool.branches(folder, goal.last.timeline)
        reached = reach(have, start=start, goal=goal.last, branches=branches, segment_bytes=facts.segment_bytes)
        if reached.missing is not None:
            name, since = reached.missing.name(facts.segment_bytes), base.tags["base"]
            message = f"segment {name} is missing between base {since} and now: what is after it cannot be reached"
            raise JobFailed(PgReason.WAL_GAP, message)
        about = _about(base, goal)
        snapshot = await tick.ship(folder, repository, {**tags, **about}, there_already, work, about)
        made += [snapshot] if snapshot else []
        await asyncio.to_thread(spool.shipped, folder, shipped([*found, *made], base, facts))
        return BackupStatus(
            phase="Succeeded",
            method="wal",
            point=stamp(goal.sentinel.time),
            earliest=stamp(seconds(base.tags["ended"]) + 1),
            base=base.tags["base"],
            lsn=goal.sentinel.lsn,
            timeline=goal.last.timeline,
            server_version=facts.version,
            size_bytes=snapshot.size_bytes if snapshot else 0,
            stored_bytes=sum(each.stored_bytes for each in made),
            copies=[Copy(repository=repository.name, state="Present", snapshots=[each.id for each in made])],
            conditions=_warnings(there, self._slot),
        )


def _about(base: Snapshot, goal: Goal) -> dict[str, str]:
    return {
        "base": base.tags["base"],
        "xid": goal.sentinel.xid,
        "lsn": goal.sentinel.lsn,
        "point": exact(goal.sentinel.time),
        "timeline": str(goal.last.timeline),
    }


def _why_lost(there: Slot | None, name: str, spool: Spool) -> str:
    """Why the log does not go on where it ended; empty when it does."""
    if there is None:
        return f"slot {name} is not on the server: it was dropped, or the server is a copy that does not have it"
    if there.lost:
        return f"the server has dropped log that slot {name} had not delivered (max_slot_wal_keep_size)"
    folder = spool.current()
    if folder is None or not folder.is_dir():
        return "the spool names no folder to receive into: it was emptied, or is another volume than before"
    if spool.behind(folder, lsn(there.restart)):
        return f"slot {name} is ahead of what was received: it was made anew, or another receiver uses it"
    return ""


async def _forgotten(repository: Repository, made: list[Snapshot]) -> None:
    """Leave nothing of a point that could not be ended."""
    if made:
        await asyncio.shield(repository.forget([each.id for each in made]))


def _warnings(there: Slot, name: str) -> list[Any]:
    if not there.unlimited:
        return []
    message = (
        f"max_slot_wal_keep_size is unlimited: while nothing receives, slot {name} keeps log until the server's disk "
        "is full; set it to what the disk can spare"
    )
    return [_condition("SlotLimited", PgReason.KEEPS_UNLIMITED, message)]


def _condition(type_: str, reason: str, message: str) -> Condition:
    now = stamp(time.time())
    return Condition(type=type_, status="False", reason=reason, message=message, last_transition_time=now)
