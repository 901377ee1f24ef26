"""The source server: how it is reached, and what can be told about it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lastgood.backups.postgres.errors import translated
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

Connection = psycopg.AsyncConnection[Any]
_FILES = ("passfile", "service", "servicefile", "sslkey", "sslcert", "sslpassword")
"""Parameters that would read files of the pod's own, or hold another secret."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says about itself."""

    major: int
    version: str
    database: str
    user: str
    system: str
    """System identifier: two servers with one are copies of one cluster."""
    in_recovery: bool
    superuser: bool
    replication: bool
    segment_bytes: int
    settings: dict[str, str]


_FACTS = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), current_database(),
       current_user, (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(),
       rolsuper, rolreplication,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN
        ('wal_level', 'max_wal_senders', 'max_replication_slots', 'summarize_wal', 'max_slot_wal_keep_size',
         'data_checksums'))
FROM pg_roles WHERE rolname = current_user
"""


class Server:
    """A server by its connection string. No secret is in what its methods return."""

    def __init__(self, dsn: str, *, scratch: Path, ca: Path | None = None) -> None:
        """``scratch``: where the password is kept for libpq, readable to this user only. Raises JobFailed BadDsn."""
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(dsn.strip()).items() if value is not None}
        except (psycopg.ProgrammingError, UnicodeError):
            raise JobFailed(
                PgReason.BAD_DSN,
                'the Secret holds no DSN: write one such as "postgresql://user:password@postgres:5432/database"',
            ) from None
        if refused := sorted(set(given) & set(_FILES)):
            raise JobFailed(PgReason.BAD_DSN, f"the DSN sets {', '.join(refused)}: leave that out")
        if not given.get("user"):
            raise JobFailed(PgReason.BAD_DSN, "the DSN names no user: write one")
        if not given.get("host") and not given.get("hostaddr"):
            raise JobFailed(PgReason.BAD_DSN, "the DSN names no host: write one")
        password = given.pop("password", "")
        if "\n" in password:
            raise JobFailed(PgReason.BAD_DSN, "the DSN's password has a line break in it: choose another")
        given.setdefault("dbname", given["user"])
        given.setdefault("connect_timeout", "10")
        if ca is not None:
            given["sslrootcert"] = str(ca)
        given["passfile"] = str(_passfile(scratch, password))
        self._given = given

    @property
    def database(self) -> str:
        """The one that the DSN names."""
        return self._given["dbname"]

    def conninfo(self, database: str | None = None) -> str:
        """A connection string for tools and libpq: the password is in a file that it names."""
        return make_conninfo("", **{**self._given, **({"dbname": database} if database else {})})

    async def connect(self, database: str | None = None) -> Connection:
        """Open a connection in autocommit. Raises JobFailed."""
        try:
            return await psycopg.AsyncConnection.connect(self.conninfo(database), autocommit=True)
        except psycopg.Error as error:
            raise translated(str(error), doing=f"connecting to {database or self.database}") from None

    @asynccontextmanager
    async def session(self, database: str | None = None, *, doing: str = "asking the server") -> AsyncIterator[Any]:
        """Connect, and turn what PostgreSQL answers within into JobFailed."""
        connection = await self.connect(database)
        try:
            yield connection
        except psycopg.Error as error:
            raise translated(str(error), doing=doing) from None
        finally:
            await connection.close()

    async def facts(self) -> Facts:
        """Ask the server about itself."""
        async with self.session() as connection:
            row = await (await connection.execute(_FACTS)).fetchone()
            return Facts(*row)


def _passfile(scratch: Path, password: str) -> Path:
    """Write the password for libpq where no argument and no environment shows it."""
    path = scratch / f".pgpass-{os.getpid()}-{os.urandom(4).hex()}"
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"*:*:*:*:{escaped}\n" if password else "")
    except OSError as error:
        raise JobFailed(PgReason.DISK_FULL, f"scratch cannot be written: {error.strerror}") from None
    return path
