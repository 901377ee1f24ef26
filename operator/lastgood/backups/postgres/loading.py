"""Dumps on their way back: into a database by pg_restore, and what must be there before."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lastgood.backups.postgres.errors import translated
from lastgood.backups.postgres.logical import dump_file
from lastgood.backups.postgres.run import environment, heard, retold, run
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot

_MOST_JOBS = 4
_ROOM = 1.05
"""Of a dump's size, that must be free on scratch for it to be restored by several processes."""


def dump_of(snapshots: Sequence[Snapshot], database: str, repository: str) -> Snapshot:
    """The dump of one database. Raises JobFailed PointIncomplete."""
    for snapshot in snapshots:
        if snapshot.tags.get("part") == "dump" and snapshot.tags.get("database") == database:
            return snapshot
    message = f"the point has no dump of {database} in repository {repository}: choose another point or repository"
    raise JobFailed(PgReason.POINT_INCOMPLETE, message)


async def load(
    client: Tools,
    repository: Repository,
    snapshot: Snapshot,
    conninfo: str,
    work: Path,
    *,
    size_bytes: int,
    options: Sequence[str] = (),
) -> None:
    """Restore a dump into an empty database, by several processes where scratch has room for it (``size_bytes``)."""
    database = snapshot.tags["database"]
    command = [client.path("pg_restore"), f"--dbname={conninfo}", "--exit-on-error", "--no-password", *options]
    jobs = min(_MOST_JOBS, os.cpu_count() or 1)
    free = (await asyncio.to_thread(shutil.disk_usage, work)).free
    if jobs == 1 or free < size_bytes * _ROOM:
        await _feed(repository, snapshot, command, work)
        return
    folder = work / f"dump-{snapshot.id[:12]}"
    await repository.fetch(snapshot.id, folder)
    try:
        done = await run([*command, f"--jobs={jobs}", str(folder / dump_file(database))])
        if done.status != 0:
            raise translated(done.error, doing=f"pg_restore of {database}", otherwise=PgReason.RESTORE_FAILED)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def replace(client: Tools, repository: Repository, snapshot: Snapshot, conninfo: str, work: Path) -> None:
    """Restore a dump over what is there, in one transaction: all of it or nothing."""
    # --jobs would be faster, and would leave half a database when it fails; the two exclude each other.
    options = ["--clean", "--if-exists", "--exit-on-error", "--single-transaction", "--no-password"]
    command = [client.path("pg_restore"), f"--dbname={conninfo}", *options]
    await _feed(repository, snapshot, command, work)


async def _feed(repository: Repository, snapshot: Snapshot, command: Sequence[str], work: Path) -> None:
    database = snapshot.tags["database"]
    errors = work / f"{snapshot.id}.errors"
    try:
        await repository.read(snapshot.id, dump_file(database), heard(command, errors), environment=environment())
    except JobFailed as failed:
        doing = f"pg_restore of {database}"
        raise retold(failed, errors, doing=doing, otherwise=PgReason.RESTORE_FAILED) from None
