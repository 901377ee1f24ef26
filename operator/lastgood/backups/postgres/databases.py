"""Databases as a whole: made, marked while they are filled, given another's name and settings."""

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg import sql

from lastgood.backups.postgres.errors import translated
from lastgood.backups.postgres.server import Server
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_MAINTENANCE = ("postgres", "template1")
_ATTEMPTS = 20
_PAUSE = 0.25

_LIKE = """
SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, pg_catalog.pg_get_userbyid(datdba), datconnlimit,
       datlocprovider::text, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
FROM pg_catalog.pg_database d WHERE datname = %s
"""
"""The column of the locale has had two names."""
_PROVIDERS = {"i": "icu ICU_LOCALE", "b": "builtin BUILTIN_LOCALE"}
_SETTINGS = """
SELECT pg_catalog.split_part(entry, '=', 1), pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1),
       CASE s.setrole WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole) END
FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
     unnest(s.setconfig) AS entry
WHERE d.datname = %s
"""
_GRANTS = """
SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END, a.is_grantable
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
WHERE d.datname = %s AND a.grantee <> d.datdba
"""


def mark(uid: str, *, complete: bool = False) -> str:
    """The comment on a database that a restore has made: what a crash leaves is known for it."""
    return f"lastgood restore {uid}: {'complete' if complete else 'not complete'}"


class Databases:
    """Databases of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def maintenance(self) -> Any:
        """Connect beside the databases that are worked on. Raises JobFailed."""
        for name in _MAINTENANCE:
            try:
                return await self._server.connect(name)
            except JobFailed as failed:
                if name == _MAINTENANCE[-1] or failed.reason == PgReason.WRONG_PASSWORD:
                    raise
        raise AssertionError

    async def exists(self, name: str) -> bool:
        """Whether there is a database of this name."""
        connection = await self.maintenance()
        try:
            return await _comment(connection, name) is not None
        finally:
            await connection.close()

    async def fresh(self, name: str, *, like: str, encoding: str, uid: str, reserved: bool) -> None:
        """Make an empty database, and remove one that an earlier attempt of this very restore left.

        ``like``: one whose locale and owner it takes; where it is gone, the server's own and ``encoding``.
        ``reserved``: the name was made up for this restore, so that one without a mark is what a crash left, too.
        Raises JobFailed TargetExists when the name is taken by anything else.
        """
        connection = await self.maintenance()
        try:
            there = await _comment(connection, name)
            if there in {mark(uid), mark(uid, complete=True)} or (there == "" and reserved):
                await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            elif there is not None:
                message = f"there is a database {name} already: choose another name, or drop it"
                raise JobFailed(PgReason.TARGET_EXISTS, message)
            row = await (await connection.execute(_LIKE, (like,))).fetchone()
            options = sql.SQL("ENCODING {}").format(sql.Literal(row[0] if row else encoding))
            if row:
                options += sql.SQL(" LC_COLLATE {} LC_CTYPE {} OWNER {}").format(
                    sql.Literal(row[1]), sql.Literal(row[2]), sql.Identifier(row[3])
                )
                if row[5] in _PROVIDERS:
                    provider = sql.SQL(f" LOCALE_PROVIDER {_PROVIDERS[row[5]]} {{}}")
                    options += provider.format(sql.Literal(row[6]))
            make = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ").format(sql.Identifier(name))
            await connection.execute(make + options)
            await _say(connection, name, mark(uid))
        except psycopg.Error as error:
            raise translated(str(error), doing=f"making database {name}", otherwise=PgReason.RESTORE_FAILED) from None
        finally:
            await connection.close()

    async def discard(self, name: str, uid: str) -> None:
        """Drop what this restore has made and not completed. What cannot be dropped stays, and its mark tells."""
        with contextlib.suppress(JobFailed, psycopg.Error):
            connection = await self.maintenance()
            try:
                if await _comment(connection, name) == mark(uid):
                    await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            finally:
                await connection.close()

    async def complete(self, name: str, uid: str) -> None:
        """Say that all is in it."""
        connection = await self.maintenance()
        try:
            await _say(connection, name, mark(uid, complete=True))
        finally:
            await connection.close()

    async def swap(self, *, fresh: str, name: str, kept: str) -> None:
        """Give ``fresh`` the name, and what has it now the name ``kept``: both in one transaction, or neither.

        Done twice it is the same. Raises JobFailed SwapFailed, and what was there stands as it was.
        """
        connection = await self.maintenance()
        try:
            there = {each: await _comment(connection, each) is not None for each in (fresh, name, kept)}
            if there[name] and there[kept] and not there[fresh]:
                return
            if not there[fresh] or there[kept]:
                what = f"{kept} exists already" if there[kept] else f"{fresh} is not there"
                raise JobFailed(PgReason.SWAP_FAILED, f"{name} was left as it is: database {what}")
            if there[name]:
                await _inherit(connection, name, fresh)
            await self._rename(connection, fresh=fresh, name=name if there[name] else "", kept=kept, wanted=name)
        except psycopg.Error as error:
            doing = f"the swap of {name}, which stands as it was,"
            raise translated(str(error), doing=doing, otherwise=PgReason.SWAP_FAILED) from None
        finally:
            await connection.close()

    @staticmethod
    async def _rename(connection: Any, *, fresh: str, name: str, kept: str, wanted: str) -> None:
        old = sql.Identifier(name)
        pairs = [*([(name, kept)] if name else []), (fresh, wanted)]
        if name:
            # Nobody comes back between the end of the sessions and the new name.
            await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(old))
        done = False
        try:
            for attempt in range(_ATTEMPTS):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) "
                    "AND pid <> pg_backend_pid()",
                    ([name, fresh],),
                )
                try:
                    async with connection.transaction():
                        for before, after in pairs:
                            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
                            await connection.execute(rename.format(sql.Identifier(before), sql.Identifier(after)))
                except psycopg.errors.ObjectInUse:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    await asyncio.sleep(_PAUSE)
                else:
                    done = True
                    break
        finally:
            if name:
                there = sql.Identifier(kept if done else name)
                await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(there))


async def _comment(connection: Any, name: str) -> str | None:
    """The comment on a database, empty when it has none; None when there is no such database."""
    query = "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = %s"
    row = await (await connection.execute(query, (name,))).fetchone()
    return None if row is None else str(row[0])


async def _say(connection: Any, name: str, comment: str) -> None:
    await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment)))


async def _inherit(connection: Any, name: str, fresh: str) -> None:
    """Carry over what belongs to the database and not to its contents, which no dump of one database holds."""
    to = sql.Identifier(fresh)
    for setting, value, role in await (await connection.execute(_SETTINGS, (name,))).fetchall():
        where = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), to) if role else None
        where = where or sql.SQL("ALTER DATABASE {}").format(to)
        # A list such as search_path is kept as the server wrote it down.
        text = sql.SQL(value) if setting in {"search_path", "temp_tablespaces"} else sql.Literal(value)
        await connection.execute(sql.SQL("{} SET {} TO {}").format(where, sql.Identifier(setting), text))
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(to))
    grants = await (await connection.execute(_GRANTS, (name,))).fetchall()
    row = await (
        await connection.execute("SELECT datacl IS NULL FROM pg_database WHERE datname = %s", (name,))
    ).fetchone()
    if row[0]:
        grants = [("CONNECT", None, False), ("TEMPORARY", None, False)]
    for privilege, grantee, grantable in grants:
        whom = sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC")
        option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        grant = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), to, whom)
        await connection.execute(grant + option)
    row = await (await connection.execute(_LIKE, (name,))).fetchone()
    await connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(to, sql.Literal(row[4])))
