"""Restore tests of dumps: into a server in the pod that is thrown away."""

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from lastgood.api.backup import Verified
from lastgood.api.backupschedule import SqlAssertion
from lastgood.backups.postgres.assertions import broken
from lastgood.backups.postgres.loading import dump_of, load
from lastgood.backups.postgres.logical import GLOBALS
from lastgood.backups.postgres.looking import looking
from lastgood.backups.postgres.points import part, stamp
from lastgood.backups.postgres.restoring import Held, held, tallied
from lastgood.backups.postgres.run import run
from lastgood.backups.postgres.throwaway import Throwaway, initialise, serving
from lastgood.backups.postgres.tools import Tools, tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Point, Repository
from lastgood.domain.backups.tally import differences, phrase

_OWN = "lastgood_drill"
"""The throw-away server's superuser: a name that no dump is likely to make."""
UNTRIED = frozenset(
    {PgReason.DISK_FULL, PgReason.EXTENSION_MISSING, PgReason.VERSION_MISMATCH, "Unreachable", "RepositoryLocked"}
)
"""Reasons that say nothing about the backup itself: a test that ends so has learned nothing."""


def verdict(began: float, repository: Repository, told: Sequence[str], good: str) -> Verified:
    """The result of a test: ``told`` are the things that are wrong, ``good`` what was looked at."""
    return Verified(
        how="RestoreTest",
        passed=not told,
        repository=repository.name,
        at=stamp(time.time()),
        seconds=round(time.monotonic() - began),
        message=(phrase(told) if told else good)[:1000],
    )


async def test_dumps(
    work: Path, repository: Repository, point: Point, database: str, assertions: Sequence[SqlAssertion]
) -> Verified:
    """Restore all dumps of a point, compare rows and checksums, run the assertions on ``database``."""
    began = time.monotonic()
    try:
        found = await held(repository, point.snapshots, work)
        client = await tools(found.major)
        data = work / "data"
        await initialise(client, data, _OWN)
        async with serving(client, data, work, user=_OWN) as server:
            await _roles(client, repository, found, server, work)
            told = []
            for name in found.databases:
                told += await _database(client, repository, found, server, name, work)
            where = database if database in found.databases else next(iter(found.databases))
            async with server.session(where, doing="the assertions") as connection:
                told += await broken(connection, assertions)
    except JobFailed as failed:
        if failed.reason in UNTRIED:
            raise
        return verdict(began, repository, [f"{failed.reason}: {failed.message}"], "")
    tables = sum(len(each.tables) for each in found.databases.values())
    rows = sum(each.rows for each in found.databases.values())
    good = f"{', '.join(found.databases)}: {tables} tables, {rows} rows, checksums equal; "
    good += f"{len(assertions)} assertions hold"
    return verdict(began, repository, told, good)


async def _roles(client: Tools, repository: Repository, point: Held, server: Throwaway, work: Path) -> None:
    """Make the roles that the dumps' owners and grants name."""
    if not point.has_globals:
        return
    folder = work / "globals"
    await repository.fetch(part(point.snapshots, "manifest")[-1].id, folder, include=[GLOBALS])
    # Tablespaces have paths of another machine: those lines fail, and are not wanted here.
    command = [
        client.path("psql"),
        f"--dbname={server.conninfo()}",
        "--no-psqlrc",
        "--quiet",
        f"--file={folder / GLOBALS}",
    ]
    await run(command)


async def _database(
    client: Tools, repository: Repository, point: Held, server: Throwaway, name: str, work: Path
) -> list[str]:
    wanted = point.databases[name]
    async with server.session(doing=f"making {name}") as connection:
        make = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}")
        with contextlib.suppress(psycopg.errors.DuplicateDatabase):  # "postgres" is there from the start
            await connection.execute(make.format(sql.Identifier(name), sql.Literal(wanted.encoding)))
    options = ["--no-tablespaces"] + ([] if point.has_globals else ["--no-owner", "--no-privileges"])
    dump = dump_of(point.snapshots, name, repository.name)
    session = partial(server.session, name, doing=f"counting the rows of {name}")
    to, size = server.conninfo(name), point.sizes[name]
    async with looking(session, wanted) as seen:
        await load(client, repository, dump, to, work, size_bytes=size, options=options)
    async with session() as connection:
        return [f"{name}: {each}" for each in differences(wanted, await tallied(connection, seen))]
