"""What a Restore does with dumps: in place, or into a fresh database that may take the name afterwards."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lastgood.api.backupjob import RestoreJob
from lastgood.backups.postgres.assertions import broken
from lastgood.backups.postgres.databases import Databases
from lastgood.backups.postgres.loading import dump_of, load, replace
from lastgood.backups.postgres.looking import looking
from lastgood.backups.postgres.points import described, of_backup
from lastgood.backups.postgres.server import Server
from lastgood.backups.postgres.tallying import prepare, tally
from lastgood.backups.postgres.tools import tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot, before_writing
from lastgood.domain.backups.tally import Table, Tally, differences, phrase


@dataclass(frozen=True, slots=True)
class Held:
    """A point of dumps, as its manifest tells it."""

    snapshots: Sequence[Snapshot]
    major: int
    databases: dict[str, Tally]
    sizes: dict[str, int]
    """Bytes of each database's dump."""
    has_globals: bool
    time: str


async def held(repository: Repository, snapshots: Sequence[Snapshot], work: Path) -> Held:
    """Read a point's manifest, and see that each dump that it names is there. Raises JobFailed PointIncomplete."""
    found = await described(repository, snapshots, "manifest", work)
    try:
        databases = {name: Tally.from_json(each) for name, each in found["databases"].items()}
        sizes = {name: int(each["dumpBytes"]) for name, each in found["databases"].items()}
        point = Held(snapshots, int(found["major"]), databases, sizes, bool(found["globals"]), str(found["time"]))
    except (KeyError, TypeError, ValueError):
        message = f"the point's manifest in repository {repository.name} is not as Lastgood writes it"
        raise JobFailed(PgReason.POINT_INCOMPLETE, message) from None
    for database in databases:
        dump_of(snapshots, database, repository.name)
    return point


def chosen(point: Held, wanted: str) -> str:
    """The one database that goes into one place. Raises JobFailed PointIncomplete."""
    if wanted in point.databases:
        return wanted
    if len(point.databases) == 1:
        return next(iter(point.databases))
    message = f"the point holds {', '.join(point.databases)}, and the DSN names {wanted}: name one of them in the DSN"
    raise JobFailed(PgReason.POINT_INCOMPLETE, message)


class LogicalRestore:
    """Restores points of dumps on a server."""

    def __init__(self, server: Server) -> None:
        self._server, self._databases = server, Databases(server)

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that the point's parts are all there."""
        point = await held(repository, await of_backup(repository, restore.backup), work)
        return f"dumps of {', '.join(point.databases)} from {point.time} are in repository {repository.name}"

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """Put the data where it is wanted."""
        with before_writing():
            point = await held(repository, await of_backup(repository, restore.backup), work)
            client = await tools(await self._target_major())
        into = restore.spec.into
        began = time.monotonic()
        if into is not None and into.in_place:
            for database in point.databases:
                dump = dump_of(point.snapshots, database, repository.name)
                await replace(client, repository, dump, self._server.conninfo(database), work)
            took = time.monotonic() - began
            return (
                f"{', '.join(point.databases)}: as of {point.time}, restored in place in {took:.0f} s; "
                "objects that were made later are still there"
            )
        database = chosen(point, self._server.database)
        name = self._fresh_name(restore)
        held_then = point.databases[database]
        reserved = name == restore.database
        await self._databases.fresh(
            name, like=database, encoding=held_then.encoding, uid=restore.uid, reserved=reserved
        )
        dump = dump_of(point.snapshots, database, repository.name)
        session = partial(self._server.session, name, doing=f"counting the rows of {name}")
        to, size = self._server.conninfo(name), point.sizes[database]
        try:
            async with looking(session, held_then) as seen:
                await load(client, repository, dump, to, work, size_bytes=size)
        except BaseException:
            await asyncio.shield(self._databases.discard(name, restore.uid))
            raise
        async with session() as connection:
            told = differences(held_then, await tallied(connection, seen))
        if told:
            message = f"{name} is not as {database} was at {point.time}: {phrase(told)}. {database} is untouched"
            raise JobFailed(PgReason.VALIDATION_FAILED, message)
        await self._databases.complete(name, restore.uid)
        return (
            f"{name} holds {database} as of {point.time}: {len(held_then.tables)} tables, {held_then.rows} rows, "
            f"checksums equal; {time.monotonic() - began:.0f} s"
        )

    async def swap(self, restore: RestoreJob) -> str:
        """Exchange the names."""
        name = self._server.database
        await self._databases.swap(fresh=restore.database, name=name, kept=restore.kept_database)
        return f"{name} is the restored database; what it was before is kept as {restore.kept_database}"

    async def validate(self, restore: RestoreJob) -> str:
        """Run the assertions where the data is now."""
        into = restore.spec.into
        name = self._server.database if into is not None and into.in_place else self._fresh_name(restore)
        if restore.database and not await self._databases.exists(name):
            name = self._server.database  # swapped already
        async with self._server.session(name, doing=f"the assertions on {name}") as connection:
            told = await broken(connection, restore.spec.assertions)
        if told:
            raise JobFailed(PgReason.VALIDATION_FAILED, f"{name}: {phrase(told)}")
        return f"{len(restore.spec.assertions)} assertions hold on {name}"

    @staticmethod
    def _fresh_name(restore: RestoreJob) -> str:
        into = restore.spec.into
        if into is not None and into.new_database is not None:
            return into.new_database.name
        return restore.database

    async def _target_major(self) -> int:
        """Of the server that is restored to: its own programs write nothing that it does not understand."""
        connection = await self._databases.maintenance()
        try:
            query = "SELECT current_setting('server_version_num')::int / 10000"
            row = await (await connection.execute(query)).fetchone()
            return int(row[0])
        finally:
            await connection.close()


async def tallied(connection: Any, known: Mapping[str, Table]) -> Tally:
    """What a database holds; ``known`` are tables that were looked at since they were loaded."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return await tally(connection, await prepare(connection), known)
