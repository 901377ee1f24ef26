"""Backups by pg_dump: one snapshot a database, and one that ends the point and says what was in it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from lastgood.api.backup import BackupStatus, Copy
from lastgood.backups.postgres.errors import translated
from lastgood.backups.postgres.points import POINT, exact, stamp
from lastgood.backups.postgres.run import environment, heard, retold, run
from lastgood.backups.postgres.server import Server
from lastgood.backups.postgres.tallying import prepare, tally
from lastgood.backups.postgres.tools import Tools, tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot
from lastgood.domain.backups.tally import Tally

GLOBALS = "globals.sql"
_LOCK_WAIT_MS = 900_000
"""A migration may hold a table for a while; a dump does not wait behind it for ever."""


@dataclass(frozen=True, slots=True)
class View:
    """One database as of one moment."""

    database: str
    connection: Any
    snapshot: str
    """Exported, for pg_dump."""
    time: float
    names: list[str]
    """Tables, locked against being dropped."""


class Dumps:
    """Makes points of dumps."""

    def __init__(self, server: Server, databases: list[str], *, with_globals: bool) -> None:
        self._server, self._databases, self._globals = server, databases or [server.database], with_globals

    async def point(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Dump all. What is left of a point that could not be ended is forgotten. Raises JobFailed."""
        facts = await self._server.facts()
        client = await tools(facts.major, newer=True)
        made: list[Snapshot] = []
        try:
            async with self._views() as views:
                tallies = {}
                for view in views:
                    tallies[view.database] = await self._dump(client, view, repository, tags, made, work)
            folder = work / "ending"
            folder.mkdir()
            if self._globals:
                await self._dump_globals(client, folder / GLOBALS)
            time = min(view.time for view in views)
            point = {
                "method": "logical",
                "time": exact(time),
                "major": facts.major,
                "client": client.major,
                "server": facts.version,
                "globals": self._globals,
                "databases": {
                    name: {**found.as_json(), "dumpBytes": snapshot.size_bytes}
                    for (name, found), snapshot in zip(tallies.items(), made, strict=True)
                },
            }
            await asyncio.to_thread((folder / POINT).write_text, json.dumps(point))
            made.append(await repository.store(folder, tags={**tags, "part": "manifest"}))
        except BaseException:
            if made:
                await asyncio.shield(repository.forget([snapshot.id for snapshot in made]))
            raise
        return BackupStatus(
            phase="Succeeded",
            method="logical",
            point=stamp(time),
            server_version=facts.version,
            size_bytes=sum(snapshot.size_bytes for snapshot in made),
            stored_bytes=sum(snapshot.stored_bytes for snapshot in made),
            contents=list(tallies)[:128],
            copies=[
                Copy(repository=repository.name, state="Present", snapshots=[snapshot.id for snapshot in made]),
            ],
        )

    @asynccontextmanager
    async def _views(self) -> AsyncIterator[list[View]]:
        """Open all databases at one moment, as near as can be: what refers across them fits together."""
        views: list[View] = []
        try:
            for database in self._databases:
                connection = await self._server.connect(database)
                try:
                    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    query = "SELECT pg_export_snapshot(), extract(epoch FROM clock_timestamp())::float8"
                    # The clock is read after the snapshot was taken: what was committed by then may be missing. The
                    # transaction's own start lies before it.
                    query = query.replace("clock_timestamp()", "transaction_timestamp()")
                    row = await (await connection.execute(query.encode())).fetchone()
                    assert row  # noqa: S101
                    views.append(View(database, connection, row[0], row[1], await prepare(connection)))
                except psycopg.Error as error:
                    await connection.close()
                    raise translated(str(error), doing=f"reading the tables of {database}") from None
            yield views
        finally:
            for view in views:
                await view.connection.close()

    async def _dump(
        self,
        client: Tools,
        view: View,
        repository: Repository,
        tags: Mapping[str, str],
        made: list[Snapshot],
        work: Path,
    ) -> Tally:
        """Dump one database while its tables are counted in the same snapshot."""
        counting = asyncio.ensure_future(self._tally(view))
        try:
            made.append(await self._store(client, view, repository, tags, work))
            await self._list(client, repository, made[-1], view.database, work)
            return await counting
        finally:
            counting.cancel()
            await asyncio.wait([counting])

    async def _tally(self, view: View) -> Tally:
        try:
            return await tally(view.connection, view.names)
        except psycopg.Error as error:
            raise translated(str(error), doing=f"counting the rows of {view.database}") from None

    async def _store(
        self, client: Tools, view: View, repository: Repository, tags: Mapping[str, str], work: Path
    ) -> Snapshot:
        command = [
            client.path("pg_dump"),
            f"--dbname={self._server.conninfo(view.database)}",
            "--format=custom",
            # Not compressed: one changed row would change all bytes after it, and nothing could be deduplicated. The
            # repository compresses.
            "--compress=0",
            f"--snapshot={view.snapshot}",
            f"--lock-wait-timeout={_LOCK_WAIT_MS}",
            "--no-password",
        ]
        errors = work / f"{dump_file(view.database)}.errors"
        try:
            return await repository.store_output(
                heard(command, errors),
                file=dump_file(view.database),
                tags={**tags, "part": "dump", "database": view.database},
                environment=environment(),
            )
        except JobFailed as failed:
            raise retold(failed, errors, doing=f"pg_dump of {view.database}") from None

    @staticmethod
    async def _list(client: Tools, repository: Repository, snapshot: Snapshot, database: str, work: Path) -> None:
        """Read what was stored back: all of it decrypts, and pg_restore finds its table of contents."""
        listed = work / f"{snapshot.id}.list"
        script = '"$1" --list > "$2" && cat > /dev/null'
        command = ["sh", "-c", script, "sh", client.path("pg_restore"), str(listed)]
        try:
            await repository.read(snapshot.id, dump_file(database), command, environment=environment())
            lines = (await asyncio.to_thread(listed.read_text)).splitlines()
        except (JobFailed, OSError) as failed:
            message = f"the dump of {database} was stored and cannot be listed: {failed}"
            raise JobFailed(PgReason.DUMP_UNREADABLE, message[:600]) from None
        if not any(line.startswith(";     Format: CUSTOM") for line in lines):
            raise JobFailed(PgReason.DUMP_UNREADABLE, f"the dump of {database} was stored and is no archive")

    async def _dump_globals(self, client: Tools, into: Path) -> None:
        """Roles and tablespaces. Passwords are left out: they belong in Secrets, and reading them needs a superuser."""
        command = [
            client.path("pg_dumpall"),
            f"--dbname={self._server.conninfo()}",
            f"--file={into}",
            "--globals-only",
            "--no-role-passwords",
            "--no-password",
        ]
        done = await run(command)
        if done.status != 0:
            raise translated(done.error, doing="pg_dumpall of roles and tablespaces")


def dump_file(database: str) -> str:
    """Name of a database's dump in its snapshot; a database's name may hold what a file's may not."""
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else "_" for sign in database)
    return f"{plain}.dump"
