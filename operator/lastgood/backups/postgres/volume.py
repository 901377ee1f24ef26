"""Restores of whole servers: onto the stopped server's own volume, what was there kept beside it."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Any

from lastgood.api.backupjob import RestoreJob
from lastgood.backups.postgres.assertions import broken
from lastgood.backups.postgres.recovery import Plan, laid, leading, planned, sentinel, whole
from lastgood.backups.postgres.rehearsal import unreachable
from lastgood.backups.postgres.server import Server
from lastgood.backups.postgres.spool import Spool
from lastgood.backups.postgres.throwaway import serving
from lastgood.backups.postgres.tools import tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Places, Repository, before_writing
from lastgood.domain.backups.tally import phrase

_ROOM = 1.1
_UNTIL_THE_END = float("inf")
"""A recovery takes as long as there is log; the job has a deadline."""


class VolumeRestore:
    """Puts a base, its increments and its log onto a server's volume."""

    def __init__(self, server: Server, places: Places) -> None:
        self._server, self._places = server, places

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that chain and log are whole in this repository. Raises JobFailed."""
        return await whole(await planned(repository, restore.backup), repository, work)

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """Restore beside the server's data, and only when it has come up there exchange the two. Raises JobFailed."""
        began = time.monotonic()
        with before_writing():
            target = self._target(restore)
        fresh, kept = _beside(target, restore, "restored"), _beside(target, restore, "before")
        was_kept, was_made = await asyncio.to_thread(lambda: (kept.exists(), fresh.exists()))
        if was_kept and not was_made:
            return f"{target} is restored already; what was there before is in {kept.name}"
        if not was_kept:
            # The exchange is the first that anybody does to it, and begins with the other name.
            with before_writing():
                plan = await planned(repository, restore.backup)
                await self._fits(target, plan)
                await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
                until = await self._filled(plan, repository, restore, fresh, work)
        else:
            until = "the point"  # a crash between the two moves: the restored one had come up already
        await asyncio.to_thread(exchange, target, fresh, kept)
        return (
            f"the volume holds the server as of {until}; what was there before is kept in {kept.name}: remove it when "
            f"it is no longer wanted; {time.monotonic() - began:.0f} s"
        )

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """Run the assertions: on the server where it runs again, else on it started in this pod, read-only.

        Raises JobFailed.
        """
        if restore.spec.server is not None and not self._places.server(restore.spec.server.claim).exists():
            # The volume is the server's own by now, and not this pod's.
            return await self._ask(restore, self._server, "the restored server runs")
        target = self._target(restore)
        major = int((target / "PG_VERSION").read_text())
        client = await tools(major)
        superuser = (await asyncio.to_thread((_marks(target, restore)).read_text)).strip()
        async with serving(
            client, target, work, user=superuser, throw_away=False, settings={"default_transaction_read_only": "on"}
        ) as server:
            return await self._ask(restore, server, "the restored server starts")

    async def _ask(self, restore: RestoreJob, server: Any, stands: str) -> str:
        name = self._server.database
        async with server.session(name, doing=f"the assertions on {name}") as connection:
            told = await broken(connection, restore.spec.assertions)
        if told:
            raise JobFailed(PgReason.VALIDATION_FAILED, f"{name}: {phrase(told)}")
        return f"{stands}, and {len(restore.spec.assertions)} assertions hold on {name}"

    def _target(self, restore: RestoreJob) -> Path:
        server = restore.spec.server
        if server is None:
            message = "this backup is of a whole server and goes onto its volume: name it in spec.server"
            raise JobFailed(PgReason.RESTORE_FAILED, message)
        root = self._places.server(server.claim)
        target = (root / server.sub_path).resolve()
        if not target.is_relative_to(root.resolve()):
            message = f"spec.server.subPath {server.sub_path} leads out of the volume"
            raise JobFailed(PgReason.RESTORE_FAILED, message)
        if target == root.resolve():
            # Two folders can be exchanged at once; the volume's own root cannot.
            message = "the data directory must be a folder in the volume: name it in spec.server.subPath"
            raise JobFailed(PgReason.RESTORE_FAILED, message)
        return target

    async def _fits(self, target: Path, plan: Plan) -> None:
        """See that the volume is this server's, stopped, and writable for us. Raises JobFailed."""
        version = target / "PG_VERSION"
        if not version.exists():
            message = f"{target.name} in the volume is no data directory: correct spec.server.subPath"
            raise JobFailed(PgReason.RESTORE_FAILED, message)
        if (major := int(version.read_text())) != plan.major:
            message = f"the volume is of PostgreSQL {major}, the backup of {plan.major}: its files mean nothing to it"
            raise JobFailed(PgReason.VERSION_MISMATCH, message)
        if (owner := target.stat().st_uid) != os.geteuid():
            message = f"the data directory belongs to user {owner}, and this job is {os.geteuid()}"
            raise JobFailed(PgReason.WRONG_USER, f"{message}: set spec.job.runAsUser of the schedule to {owner}")
        try:
            facts = await self._server.facts()
        except JobFailed:
            pass  # that is what a stopped server answers
        else:
            if facts.system == plan.base.tags["system"]:
                message = "the server still answers at the DSN: stop it (spec.stop), or its data would be torn apart"
                raise JobFailed(PgReason.SERVER_RUNNING, message)
        free = shutil.disk_usage(target).free
        if free < (needed := int(sum(int(each.tags["size"]) for each in plan.chain) * _ROOM)):
            message = (
                f"the volume has {free >> 20} MiB free, and the restored data beside the old takes {needed >> 20} MiB"
            )
            raise JobFailed(PgReason.DISK_FULL, f"{message}: make it larger")

    async def _filled(self, plan: Plan, repository: Repository, restore: RestoreJob, fresh: Path, work: Path) -> str:
        """Make the data directory, and lead it to the moment; when it was."""
        client = await tools(plan.major)
        spool = self._spool(plan, repository)
        found = await laid(plan, repository, client, work, into=fresh, spool=spool)
        to_end = restore.time is None and restore.spec.to.latest is True and spool is not None
        settings = leading(plan, found, time=restore.time, to_end=to_end)
        try:
            async with (
                serving(
                    client,
                    fresh,
                    work,
                    user=found.superuser,
                    settings=settings,
                    throw_away=False,
                    deadline=_UNTIL_THE_END,
                ) as server,
                server.session(doing="looking at what was restored") as connection,
            ):
                missing = "" if restore.time else await sentinel(connection, plan)
        except JobFailed as failed:
            raise unreachable(failed) from None
        if missing:
            raise JobFailed(PgReason.WAL_GAP, f"{missing}. The server's data is untouched")
        (fresh / "backup_manifest").unlink(missing_ok=True)  # it describes the base, which this is no longer
        marks = _marks(fresh, restore)
        await asyncio.to_thread(marks.write_text, found.superuser)
        return restore.time or (
            "all that was received" if to_end else plan.goal.get("point", plan.goal.get("ended", ""))
        )

    def _spool(self, plan: Plan, repository: Repository) -> Spool | None:
        """The spool, where it is mounted and the log in it goes on from this repository's."""
        root = self._places.spool
        if repository.name != "primary" or not plan.wal or not root.is_dir():
            return None
        spool = Spool(root, int(plan.base.tags["segment"]))
        return spool if spool.current() is not None else None


def _beside(target: Path, restore: RestoreJob, what: str) -> Path:
    return target.with_name(f"{target.name}-{what}-{restore.uid}")


def _marks(data: Path, restore: RestoreJob) -> Path:
    """A file in a restored data directory, which PostgreSQL leaves alone: who may look at it."""
    return data / f".lastgood-{restore.uid}"


def exchange(target: Path, fresh: Path, kept: Path) -> None:
    """Put ``fresh`` where ``target`` is, and keep that; begun and not ended, it is ended by being done again."""
    if not kept.exists():
        target.rename(kept)
    if fresh.exists():
        fresh.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
