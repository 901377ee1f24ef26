"""Data directories made of bases, increments and log, and brought to a moment by a server of their own."""

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastgood.backups.postgres.base import DATA, verified
from lastgood.backups.postgres.points import POINT, of_backup, part, seconds
from lastgood.backups.postgres.run import succeed
from lastgood.backups.postgres.spool import Spool, linked
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.chain import Broken, Member, chain
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot
from lastgood.domain.backups.wal import PARTIAL, ancestry, from_tag, history_timeline, holding, lsn, reach, segment

_MOST_PREPARED = "200"
"""Two-phase transactions that the log may hold open; a server with room for fewer refuses it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore is made of."""

    chain: Sequence[Snapshot]
    """The full base and the increments on it."""
    wal: Sequence[Snapshot] = ()
    """The log after it, up to the tick."""
    goal: Mapping[str, str] = field(default_factory=dict)
    """The tick's tags: the position to reach, the transaction to find. Those of the base for a point without log."""

    @property
    def base(self) -> Snapshot:
        """The newest member of the chain: that which is started."""
        return self.chain[-1]

    @property
    def major(self) -> int:
        """The only major version that reads these files."""
        return int(self.base.tags["major"])


@dataclass(frozen=True, slots=True)
class Laid:
    """A data directory that is ready to be started, and the log that it is to be led through."""

    data: Path
    wal: Path
    superuser: str


async def planned(repository: Repository, backup: str) -> Plan:
    """Find all that a backup needs. Raises JobFailed PointIncomplete, ChainBroken or WalGap."""
    own = await of_backup(repository, backup)
    everything = list(await repository.snapshots({}))
    bases = {each.tags["backup"]: each for each in part(everything, "base")}
    ticks = [each for each in part(own, "wal") if "lsn" in each.tags]
    if not ticks:
        if backup not in bases:
            message = f"backup {backup} has neither base nor sealed log in repository {repository.name}"
            raise JobFailed(PgReason.POINT_INCOMPLETE, message)
        return Plan(_chain(backup, bases), goal=bases[backup].tags)
    tick = ticks[-1]
    log = [
        each
        for each in part(everything, "wal")
        if each.tags.get("base") == tick.tags["base"] and each.time <= tick.time
    ]
    if tick.tags["base"] not in bases:
        message = f"base {tick.tags['base']} of backup {backup} is not in repository {repository.name}"
        raise JobFailed(PgReason.POINT_INCOMPLETE, message)
    return Plan(_chain(tick.tags["base"], bases), log, tick.tags)


def _chain(backup: str, bases: Mapping[str, Snapshot]) -> list[Snapshot]:
    try:
        return [bases[each.backup] for each in chain(backup, {name: member(each) for name, each in bases.items()})]
    except Broken as broken:
        raise JobFailed(PgReason.CHAIN_BROKEN, f"{broken}: choose a point before it, or another repository") from None


def member(snapshot: Snapshot) -> Member:
    """A base as a member of a chain."""
    tags = snapshot.tags
    parent, major = tags.get("parent", ""), int(tags["major"])
    return Member(tags["backup"], parent, snapshot.id, snapshot.time, major, tags["system"])


async def whole(plan: Plan, repository: Repository, work: Path) -> str:
    """See by the tags that the log has no gap; a sentence on what there is. Raises JobFailed WalGap."""
    if not plan.wal:
        return f"{len(plan.chain)} backups of the chain are in repository {repository.name}"
    histories = work / "histories"
    await repository.fetch(plan.wal[-1].id, histories, include=["*.history"])
    size = int(plan.base.tags["segment"])
    names = [each.name(size) for snapshot in plan.wal for each in from_tag(snapshot.tags.get("segments", ""), size)]
    await asyncio.to_thread(histories.mkdir, exist_ok=True)
    _unbroken(plan, names, histories)
    return f"the base and {len(names)} segments up to {plan.goal['point']} are in repository {repository.name}"


def _unbroken(plan: Plan, names: Sequence[str], histories: Path) -> None:
    size = int(plan.base.tags["segment"])
    have = {found for name in names if (found := segment(name, size))}
    timeline = int(plan.goal["timeline"])
    goal = holding(timeline, lsn(plan.goal["lsn"]) - 1, size)
    start = holding(int(plan.base.tags["timeline"]), lsn(plan.base.tags["start"]), size)
    history = next((path for path in histories.glob("*.history") if history_timeline(path.name) == timeline), None)
    branches = ancestry(history.read_text()) if history else ()
    reached = reach(have, start=start, goal=goal, branches=branches, segment_bytes=size)
    if reached.missing is not None:
        message = f"segment {reached.missing.name(size)} is missing between the base and the point"
        raise JobFailed(PgReason.WAL_GAP, f"{message}: choose a point before it, or another repository")


async def laid(
    plan: Plan,
    repository: Repository,
    client: Tools,
    work: Path,
    *,
    into: Path | None = None,
    spool: Spool | None = None,
) -> Laid:
    """Fetch, combine and compare with the manifest. ``into``: where the data directory is to be, on its volume.

    ``spool``: log that has been received since the tick, too. Raises JobFailed.
    """
    folders = []
    for number, snapshot in enumerate(plan.chain):
        folder = work / f"member-{number}"
        await repository.fetch(snapshot.id, folder)
        folders.append(folder)
    about: dict[str, Any] = json.loads(await asyncio.to_thread((folders[-1] / POINT).read_text))
    data = folders[-1] / DATA
    if len(folders) > 1:
        data = into or work / "combined"
        command = [client.path("pg_combinebackup"), *(str(folder / DATA) for folder in folders), f"--output={data}"]
        await succeed(command, doing="pg_combinebackup", otherwise=PgReason.CHAIN_BROKEN)
    elif into is not None:
        await succeed(["cp", "-a", str(data), str(into)], doing="copying the base", otherwise=PgReason.DISK_FULL)
        data = into
    await verified(client, data)
    wal = work / "log"
    await asyncio.to_thread(wal.mkdir)
    for snapshot in plan.wal:
        await repository.fetch(snapshot.id, wal)
    if spool is not None:
        await asyncio.to_thread(_added, spool, wal)
    if plan.wal:
        await asyncio.to_thread(_unbroken, plan, [path.name for path in wal.iterdir()], wal)
    return Laid(data, wal, str(about["superuser"]))


def _added(spool: Spool, wal: Path) -> None:
    """Take what has arrived since the tick, the unfinished segment under the name that it will have."""
    folder = spool.current()
    if folder is None or not folder.is_dir():
        return
    found = [*spool.unfinished(folder).values(), *spool.segments(folder).values(), *spool.histories(folder).values()]
    for path in found:
        target = wal / path.name.removesuffix(PARTIAL)
        if not target.exists():
            linked(path, target)


def leading(plan: Plan, found: Laid, *, time: str | None = None, to_end: bool = False) -> dict[str, str]:
    """Settings that lead a server through the log and end its recovery. Raises JobFailed TimeUnreachable.

    ``time``: that moment; ``to_end``: all that there is; else the tick's position.
    """
    if not plan.wal:
        return {}
    if time is not None and seconds(time) < seconds(plan.base.tags["ended"]):
        message = f"{time} is before the base {plan.base.tags['backup']} was complete ({plan.base.tags['ended']})"
        raise JobFailed(PgReason.TIME_UNREACHABLE, f"{message}: choose an older base's point")
    (found.data / "recovery.signal").touch()
    folder = shlex.quote(str(found.wal)).replace("%", "%%")
    # A standby server would want as much room for connections as the primary had; nobody asks this one before its end.
    settings = {
        "restore_command": f"test -f {folder}/%f && cp {folder}/%f %p",
        "hot_standby": "off",
        "recovery_target_timeline": plan.goal["timeline"] if not to_end else "latest",
        "recovery_target_action": "promote",
        "max_prepared_transactions": _MOST_PREPARED,
    }
    if time is not None:
        # "Z" is an abbreviation to PostgreSQL, and it knows none yet when it reads this.
        moment = datetime.fromisoformat(time).astimezone(UTC)
        settings["recovery_target_time"] = moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    elif not to_end:
        settings["recovery_target_lsn"] = plan.goal["lsn"]
    return settings


async def sentinel(connection: Any, plan: Plan) -> str:
    """Look for the transaction that the backup left; what is wrong, or nothing.

    A server that starts cleanly proves nothing: where log is missing it ends before, without an error.
    """
    xid = plan.goal["xid"]
    query = "SELECT %s::xid8 < pg_snapshot_xmax(pg_current_snapshot()), pg_xact_status(%s::xid8)"
    newest = await (await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")).fetchone()
    if int(newest[0]) <= int(xid):
        return f"transaction {xid}, which the backup left, is not there: log is missing before it"
    row = await (await connection.execute(query, (xid, xid))).fetchone()
    return "" if row[1] == "committed" else f"transaction {xid}, which the backup left, is {row[1]}"
