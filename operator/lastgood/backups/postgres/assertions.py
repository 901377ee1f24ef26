"""The user's own assertions, run read-only on what was restored."""

from collections.abc import Sequence
from typing import Any

import psycopg

from lastgood.api.backupschedule import SqlAssertion
from lastgood.backups.postgres.errors import said

_SECONDS = 300
_SHOWN = 60
_BOOLEANS = {"true": "t", "false": "f"}
_BOOLEAN_OID = 16


async def broken(connection: Any, assertions: Sequence[SqlAssertion]) -> list[str]:
    """Run each in a read-only transaction of its own; one phrase for each that does not hold."""
    told = []
    for assertion in assertions:
        phrase = await _broken(connection, assertion)
        if phrase:
            told.append(f"{assertion.name}: {phrase}")
    return told


async def _broken(connection: Any, assertion: SqlAssertion) -> str:
    try:
        await connection.execute("BEGIN READ ONLY")
        await connection.execute(f"SET LOCAL statement_timeout = '{_SECONDS}s'".encode())
        # Prepared, which takes one statement: none may end the transaction and begin one that writes.
        cursor = await connection.execute(assertion.sql.encode(), prepare=True)
        result = cursor.pgresult
        return _verdict(assertion, result)
    except psycopg.Error as error:
        return f"fails ({said(str(error))})"
    finally:
        await connection.execute("ROLLBACK")


def _verdict(assertion: SqlAssertion, result: Any) -> str:
    """Judge by PostgreSQL's own text of the first value, whatever its type."""
    rows, columns = result.ntuples, result.nfields
    value = result.get_value(0, 0) if rows and columns else None
    text = "no rows" if not rows else "null" if value is None else value.decode(errors="replace")
    if assertion.equals is not None:
        boolean = bool(columns) and result.ftype(0) == _BOOLEAN_OID
        wanted = _BOOLEANS.get(assertion.equals, assertion.equals) if boolean else assertion.equals
        return "" if rows and text == wanted else f"gives {text[:_SHOWN]}, not {assertion.equals}"
    if not rows or (text == "t" and result.ftype(0) == _BOOLEAN_OID):
        return ""
    return f"gives {text[:_SHOWN]}, neither true nor no rows"
