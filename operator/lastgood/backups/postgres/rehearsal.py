"""Restore tests of bases, increments and log: on a server in the pod that is thrown away."""

import time
from collections.abc import Sequence
from pathlib import Path

from lastgood.api.backup import Verified
from lastgood.api.backupschedule import SqlAssertion
from lastgood.backups.postgres.assertions import broken
from lastgood.backups.postgres.drill import UNTRIED, verdict
from lastgood.backups.postgres.pages import checked
from lastgood.backups.postgres.recovery import Plan, laid, leading, planned, sentinel
from lastgood.backups.postgres.tallying import prepare, tally
from lastgood.backups.postgres.throwaway import Throwaway, serving
from lastgood.backups.postgres.tools import Tools, tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Point, Repository

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"


async def test_base(
    work: Path, repository: Repository, point: Point, database: str, assertions: Sequence[SqlAssertion]
) -> Verified:
    """Start what was stored, led through its log to the sentinel; read all, run the assertions, check the pages."""
    began = time.monotonic()
    try:
        plan = await planned(repository, point.backup)
        client = await tools(plan.major)
        found = await laid(plan, repository, client, work)
        settings = leading(plan, found)
        async with serving(client, found.data, work, user=found.superuser, settings=settings) as server:
            told, read = await _looked(server, client, plan, database, assertions)
    except JobFailed as failed:
        if failed.reason in UNTRIED:
            raise
        return verdict(began, repository, [f"{failed.reason}: {failed.message}"], "")
    return verdict(began, repository, told, read)


async def _looked(
    server: Throwaway, client: Tools, plan: Plan, database: str, assertions: Sequence[SqlAssertion]
) -> tuple[list[str], str]:
    async with server.session(doing="looking for the sentinel") as connection:
        missing = await sentinel(connection, plan)
        if missing:
            return [missing], ""
        names = [row[0] for row in await (await connection.execute(_DATABASES)).fetchall()]
    tables = rows = 0
    for name in names:
        async with server.session(name, doing=f"reading {name}") as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = await tally(connection, await prepare(connection, unlogged=False))
            tables, rows = tables + len(found.tables), rows + found.rows
    if database not in names:
        return [f"database {database} is not there"], ""
    async with server.session(database, doing="the assertions") as connection:
        told = await broken(connection, assertions)
    pages = await checked(server, client, names)
    good = f"the transaction left by the backup is there; {tables} tables, {rows} rows read; "
    return [*told, *pages.faults], good + f"{len(assertions)} assertions hold; {pages.told()}"


def unreachable(failed: JobFailed) -> JobFailed:
    """Tell apart a moment that the log does not reach."""
    if "before configured recovery target was reached" in failed.message:
        return JobFailed(PgReason.TIME_UNREACHABLE, f"the log ends before the moment asked for ({failed.message})")
    return failed
