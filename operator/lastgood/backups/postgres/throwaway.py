"""A server in the pod that is thrown away: on scratch, on a unix socket that nobody else can reach."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from lastgood.backups.postgres.errors import said, translated
from lastgood.backups.postgres.run import environment, succeed
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_START_SECONDS = 60.0
_STOP_SECONDS = 120.0
_PORT = "5432"
_ANY = "template1"
"""A database that every cluster has; "postgres" may have been dropped."""
_STOPPED = re.compile(r"(FATAL|PANIC|ERROR):  (?!the database system is|terminating|could not open directory)")

_SAFE = {
    # On the command line, where they overrule what postgresql.auto.conf of a restored data directory says.
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "logging_collector": "off",
    "log_destination": "stderr",
    "external_pid_file": "",
    "autovacuum": "off",
    "max_logical_replication_workers": "0",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "64MB",
    "huge_pages": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "",
    "lc_messages": "C",
}
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "4GB"}
"""For data that is thrown away whatever happens."""


class Throwaway:
    """A running server."""

    def __init__(self, sockets: Path, user: str, log: Path) -> None:
        self._sockets, self._user, self._log = sockets, user, log

    def conninfo(self, database: str = _ANY) -> str:
        """For tools and libpq; there is no password."""
        return make_conninfo("", host=str(self._sockets), port=_PORT, user=self._user, dbname=database)

    @asynccontextmanager
    async def session(self, database: str = _ANY, *, doing: str) -> AsyncIterator[Any]:
        """Connect in autocommit; PostgreSQL's errors become JobFailed RestoreFailed or more exact."""
        try:
            async with await psycopg.AsyncConnection.connect(self.conninfo(database), autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            raise translated(str(error), doing=doing, otherwise=PgReason.RESTORE_FAILED) from None

    def said(self) -> str:
        """What stopped it, by its log; the log's end where nothing did."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        # A fatal error is followed by what it leads to.
        return said("\n".join([line for line in lines if _STOPPED.match(line)] or lines))


async def initialise(tools: Tools, data: Path, user: str = "postgres") -> None:
    """Make an empty cluster. Raises JobFailed."""
    command = [tools.path("initdb"), f"--pgdata={data}", f"--username={user}", "--auth=trust", "--no-sync"]
    await succeed([*command, "--locale=C", "--encoding=UTF8"], doing="initdb", otherwise=PgReason.RESTORE_FAILED)


@asynccontextmanager
async def serving(
    tools: Tools,
    data: Path,
    work: Path,
    *,
    user: str = "postgres",
    settings: Mapping[str, str] | None = None,
    throw_away: bool = True,
    deadline: float = _START_SECONDS,
) -> AsyncIterator[Throwaway]:
    """Run a server on a data directory until the block is left, then stop it.

    ``settings``: more of them. ``deadline``: seconds until it must accept connections as a primary; a recovery before
    that may take as long as it goes on. Raises JobFailed with the end of the server's log when it does not start.
    """
    # A socket's path has room for 107 bytes, which a volume's may take up by itself.
    sockets = Path(tempfile.mkdtemp(prefix="lg-"))
    log = work / f"server-{os.urandom(3).hex()}.log"
    hba, idents, config = (work / name for name in ("pg_hba.conf", "pg_ident.conf", "postgresql.conf"))
    for path, text in ((hba, "local all all trust\n"), (idents, ""), (config, "")):
        path.write_text(text)
    wanted = {
        **_SAFE,
        **(_FAST if throw_away else {}),
        "config_file": str(config),
        "hba_file": str(hba),
        "ident_file": str(idents),
        "unix_socket_directories": str(sockets),
        **(settings or {}),
    }
    command = [
        tools.path("postgres"),
        "-D",
        str(data),
        *(item for pair in wanted.items() for item in ("-c", "=".join(pair))),
    ]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=environment()
        )
    server = Throwaway(sockets, user, log)
    try:
        await _ready(server, process, deadline)
        yield server
    finally:
        await asyncio.shield(_stop(process, immediately=throw_away))
        shutil.rmtree(sockets, ignore_errors=True)


async def _ready(server: Throwaway, process: asyncio.subprocess.Process, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    while True:
        if process.returncode is not None:
            raise translated(server.said(), doing="starting a server on it", otherwise=PgReason.RESTORE_FAILED)
        try:
            async with await psycopg.AsyncConnection.connect(server.conninfo(), autocommit=True) as connection:
                row = await (await connection.execute("SELECT pg_is_in_recovery()")).fetchone()
                if row and not row[0]:
                    return
        except psycopg.OperationalError:
            pass
        if loop.time() > until:
            message = f"the server was not ready after {deadline:.0f} s: {server.said()}"
            raise JobFailed(PgReason.RESTORE_FAILED, message)
        await asyncio.sleep(0.1)


async def _stop(process: asyncio.subprocess.Process, *, immediately: bool) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
