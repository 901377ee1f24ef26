"""Counts and checksums of a database's tables, taken in one session so that they belong to one snapshot."""

from collections.abc import Mapping
from typing import Any

from lastgood.domain.backups.tally import Table, Tally

SETTINGS = """
SELECT set_config(name, value, false) FROM (VALUES
  ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('bytea_output', 'hex'),
  ('extra_float_digits', '3'), ('lc_monetary', 'C'), ('search_path', ''), ('row_security', 'off'),
  ('statement_timeout', '0'),
  ('idle_in_transaction_session_timeout', '0'), ('lock_timeout', '900000'), ('synchronize_seqscans', 'off'),
  ('quote_all_identifiers', 'off'), ('xmloption', 'content')
) AS wanted(name, value)
"""
"""A row's text must be the same there and here, whatever the roles and databases set."""

_TABLES = """
SELECT format('%%I.%%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = ANY(%s)
  AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
_OTHER = """
SELECT (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata),
       (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database WHERE datname = current_database())
"""


async def prepare(connection: Any, *, unlogged: bool = True) -> list[str]:
    """Set the session up and name the tables, locked against being dropped; within a transaction.

    ``unlogged``: with tables that a dump holds, and a physical copy empties.
    """
    await connection.execute(SETTINGS)
    kinds = ["p", "u"] if unlogged else ["p"]
    names = [row[0] for row in await (await connection.execute(_TABLES, (kinds,))).fetchall()]
    if names:
        await connection.execute(f"LOCK TABLE ONLY {', ONLY '.join(names)} IN ACCESS SHARE MODE".encode())
    return names


async def look(connection: Any, name: str) -> Table:
    """Count and sum up one table (quoted name) in a session with these settings."""
    # As text, since every type has one; hashed by bytes, so that no collation has a say.
    query = (
        'SELECT count(*), coalesce(sum(hashtextextended((t.*)::text COLLATE "C", 0)), 0)::text '  # noqa: S608
        f"FROM ONLY {name} AS t"
    )
    row = await (await connection.execute(query.encode())).fetchone()
    return Table(row[0], row[1])


async def tally(connection: Any, names: list[str], known: Mapping[str, Table] | None = None) -> Tally:
    """Count and sum up these tables (quoted names), but for those that are known."""
    tables = {}
    for name in names:
        there = (known or {}).get(name)
        tables[name] = there if there is not None else await look(connection, name)
    other = await (await connection.execute(_OTHER)).fetchone()
    return Tally(tables, other[0], other[1])
