"""Method physical: full copies, and increments on the last copy's manifest."""

import asyncio
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from lastgood.api.backup import BackupStatus, Copy
from lastgood.api.base import Condition
from lastgood.backups.postgres.base import DATA, MANIFEST, copied, ready, stored
from lastgood.backups.postgres.points import part, stamp
from lastgood.backups.postgres.recovery import member
from lastgood.backups.postgres.server import Facts, Server
from lastgood.backups.postgres.tools import tools
from lastgood.domain.backups.chain import Member, newest_whole
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository

LEAST = 17
_NO_SUMMARIES = re.compile(
    r"summaries (for|are)|summaries for that timeline|manifest requires WAL|summar.* incomplete", re.IGNORECASE
)
_NEW_FULL = frozenset({PgReason.SUMMARIES_MISSING})


class PhysicalBackups:
    """Full and incremental copies of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Copy all. Raises JobFailed."""
        facts = await ready(self._server, least=LEAST, method="physical")
        return await self._copy(facts, work, repository, {**tags, "type": "Full"}, None)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Copy what has changed since the newest backup whose chain is whole; all, where there is none.

        Raises JobFailed.
        """
        facts = await ready(self._server, least=LEAST, method="physical")
        if facts.settings.get("summarize_wal") != "on":
            message = (
                "increments want summaries of the log: ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf()"
            )
            raise JobFailed(PgReason.SERVER_SETTING, message)
        found = [member(each) for each in part(await repository.snapshots({}), "base")]
        fitting = {each.backup: each for each in found if each.system == facts.system and each.major == facts.major}
        newest = newest_whole(fitting)
        if newest is None:
            return await self.full(work, repository, tags)
        try:
            return await self._copy(facts, work, repository, tags, newest, _full(newest, fitting))
        except JobFailed as failed:
            if failed.reason not in _NEW_FULL:
                raise
            fresh = work / "anew"
            await asyncio.to_thread(fresh.mkdir)
            status = await self.full(fresh, repository, tags)
            message = f"{failed.message}; a full backup was made at once"
            now = stamp(time.time())
            told = Condition(
                type="Contiguous", status="False", reason=failed.reason, message=message, last_transition_time=now
            )
            return status.model_copy(update={"conditions": [told]})

    async def _copy(
        self,
        facts: Facts,
        work: Path,
        repository: Repository,
        tags: Mapping[str, str],
        parent: Member | None,
        full: str = "",
    ) -> BackupStatus:
        client = await tools(facts.major)
        manifest = None
        if parent is not None:
            await repository.fetch(parent.snapshot, work / "parent", include=[MANIFEST])
            manifest = work / "parent" / DATA / MANIFEST
        try:
            base = await copied(self._server, client, work, tags["backup"], incremental=manifest)
        except JobFailed as failed:
            if parent is not None and _NO_SUMMARIES.search(failed.message):
                message = f"no increment on {parent.backup} can be made: {failed.message}"
                raise JobFailed(PgReason.SUMMARIES_MISSING, message) from None
            raise
        snapshot = await stored(
            base, facts, repository, tags, parent=parent.backup if parent else "", full=full or tags["backup"]
        )
        await asyncio.to_thread(shutil.rmtree, base.folder)
        return BackupStatus(
            phase="Succeeded",
            method="physical",
            # What was committed when the copy began is in it; what came while it ran is, too, in part.
            point=stamp(base.began.time),
            base=full,
            lsn=base.end,
            timeline=base.timeline,
            server_version=facts.version,
            size_bytes=base.size_bytes,
            stored_bytes=snapshot.stored_bytes,
            copies=[Copy(repository=repository.name, state="Present", snapshots=[snapshot.id])],
        )


def _full(newest: Member, members: Mapping[str, Member]) -> str:
    """The full backup that a chain begins with."""
    found = newest
    while found.parent:
        found = members[found.parent]
    return found.backup
