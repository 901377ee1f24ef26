"""Dumps on their way back: into a database by pg_restore, and what must be there before."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from lastgood.backups.postgres.errors import translated
from lastgood.backups.postgres.logical import dump_file
from lastgood.backups.postgres.run import environment, heard, retold, run
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot

_MOST_JOBS = 4
_HEAD_BYTES = 16 << 20
"""Of a dump, for its table of contents: about a kilobyte an object. More is taken where that is not enough."""


def dump_of(snapshots: Sequence[Snapshot], database: str, repository: str) -> Snapshot:
    """The dump of one database. Raises JobFailed PointIncomplete."""
    for snapshot in snapshots:
        if snapshot.tags.get("part") == "dump" and snapshot.tags.get("database") == database:
            return snapshot
    message = f"the point has no dump of {database} in repository {repository}: choose another point or repository"
    raise JobFailed(PgReason.POINT_INCOMPLETE, message)


class _Load:
    """One dump into one database."""

    def __init__(self, repository: Repository, snapshot: Snapshot, command: Sequence[str], work: Path) -> None:
        self._repository, self._snapshot, self._command, self._work = repository, snapshot, command, work
        self._doing = f"pg_restore of {snapshot.tags['database']}"
        self._head = work / f"{snapshot.id}.head"

    async def feed(self, *options: str) -> None:
        """Have pg_restore read the dump as the repository gives it.

        Of a dump that breaks off, for whatever reason, pg_restore never sees an end: the repository's reason is told.
        """
        errors = self._work / f"{self._snapshot.id}.errors"
        try:
            file, command = dump_file(self._snapshot.tags["database"]), heard([*self._command, *options], errors)
            await self._repository.read(self._snapshot.id, file, command, environment=environment())
        except JobFailed as failed:
            raise retold(failed, errors, doing=self._doing, otherwise=PgReason.RESTORE_FAILED) from None

    async def tables(self) -> None:
        """Feed all but indexes and the like, and keep the table of contents meanwhile."""
        keeping = asyncio.ensure_future(self._keep(_HEAD_BYTES))
        try:
            await self.feed("--section=pre-data", "--section=data")
            # What is wrong with it alone is tried anew.
            await asyncio.gather(keeping, return_exceptions=True)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def rest(self, jobs: int, *, size_bytes: int) -> None:
        """Make indexes, constraints, triggers: that takes no rows out of the dump, whose size is ``size_bytes``."""
        kept = _HEAD_BYTES
        while not await self._listed():
            await self._keep(kept)
            if kept >= size_bytes:
                break
            kept *= 4
        done = await run([*self._command, "--section=post-data", f"--jobs={jobs}", str(self._head)])
        if done.status != 0:
            raise translated(done.error or done.how, doing=self._doing, otherwise=PgReason.RESTORE_FAILED)

    async def _listed(self) -> bool:
        return self._head.exists() and (await run([self._command[0], "--list", str(self._head)])).status == 0

    async def _keep(self, size_bytes: int) -> None:
        file = dump_file(self._snapshot.tags["database"])
        await self._repository.head(self._snapshot.id, file, self._head, size_bytes=size_bytes)


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
    """Restore a dump of this size into an empty database; scratch needs no room for it. A failure leaves a part."""
    command = [client.path("pg_restore"), f"--dbname={conninfo}", "--exit-on-error", "--no-password", *options]
    one = _Load(repository, snapshot, command, work)
    jobs = min(_MOST_JOBS, os.cpu_count() or 1)
    if jobs == 1:
        await one.feed()
        return
    # pg_restore takes --jobs for a file that it can seek in, not for a stream. Measured on two cores with a local
    # repository, against the dump fetched whole and then restored with --jobs=2: a table of 1 GB 10.3 s instead of 12;
    # four tables with two indexes each 10.7 s instead of 10.5, and 11.4 with all in one stream. The farther away the
    # repository, the worse to fetch first. So rows are streamed; what wants only the table of contents is parallel.
    await one.tables()
    await one.rest(jobs, size_bytes=size_bytes)


async def replace(client: Tools, repository: Repository, snapshot: Snapshot, conninfo: str, work: Path) -> None:
    """Restore a dump over what is there, in one transaction: all of it or nothing, also of a dump that breaks off."""
    # --jobs would be faster, and would leave half a database when it fails; the two exclude each other.
    options = ["--clean", "--if-exists", "--exit-on-error", "--single-transaction", "--no-password"]
    command = [client.path("pg_restore"), f"--dbname={conninfo}", *options]
    await _Load(repository, snapshot, command, work).feed()
