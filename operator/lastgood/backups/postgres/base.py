"""Base backups: copied by pg_basebackup, compared with their SHA-256 manifest, stored, and laid out again."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastgood.backups.postgres.points import POINT, exact
from lastgood.backups.postgres.run import succeed
from lastgood.backups.postgres.server import Facts, Server
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot

DATA = "data"
MANIFEST = "backup_manifest"
_TABLESPACES = "SELECT spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') LIMIT 1"
_SENTINEL = """
SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'lastgood', %s)::text,
       extract(epoch FROM clock_timestamp())::float8
"""
_SUPERUSER = "SELECT rolname FROM pg_roles WHERE oid = 10"


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A transaction of ours: what was restored up to it knows it as committed."""

    xid: str
    lsn: str
    """A position after its commit."""
    time: float
    """The server's clock while it ran, seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base backup on scratch."""

    folder: Path
    timeline: int
    start: str
    end: str
    size_bytes: int
    began: Sentinel
    ended: float
    """The server's clock after it: from then on any moment can be recovered."""
    superuser: str


async def ready(server: Server, *, least: int, method: str) -> Facts:
    """See that a server can be copied. Raises JobFailed with what stands in the way."""
    facts = await server.facts()
    if facts.major < least:
        message = f"the server is PostgreSQL {facts.major}; method {method} wants {least} or newer: use method logical"
        raise JobFailed(PgReason.VERSION_MISMATCH, message)
    if facts.in_recovery:
        message = "the DSN leads to a standby: name the primary, or add target_session_attrs=read-write"
        raise JobFailed(PgReason.NOT_PRIMARY, message)
    if not (facts.replication or facts.superuser):
        message = f"method {method} copies the whole server: ALTER ROLE {facts.user} REPLICATION"
        raise JobFailed(PgReason.NOT_ALLOWED, message)
    if facts.settings.get("wal_level") == "minimal":
        raise JobFailed(PgReason.SERVER_SETTING, "the server has wal_level = minimal: set replica, and restart it")
    async with server.session() as connection:
        tablespace = await (await connection.execute(_TABLESPACES)).fetchone()
    if tablespace:
        message = f"the server has a tablespace ({tablespace[0]}), which lies outside its volume: use method logical"
        raise JobFailed(PgReason.TABLESPACES_UNSUPPORTED, message)
    return facts


async def leave_sentinel(connection: Any, backup: str) -> Sentinel:
    """Commit a transaction that needs no table, and say where it is in the log."""
    async with connection.transaction():
        row = await (await connection.execute(_SENTINEL, (backup,))).fetchone()
    after = await (await connection.execute("SELECT pg_current_wal_insert_lsn()::text")).fetchone()
    return Sentinel(row[0], after[0], row[2])


async def copied(server: Server, client: Tools, work: Path, backup: str, *, incremental: Path | None = None) -> Base:
    """Copy a server, or what has changed since another copy's manifest. Raises JobFailed."""
    folder = work / "base"
    await asyncio.to_thread(folder.mkdir)
    data = folder / DATA
    async with server.session(doing="leaving a sentinel") as connection:
        began = await leave_sentinel(connection, backup)
        superuser = (await (await connection.execute(_SUPERUSER)).fetchone())[0]
    command = [
        client.path("pg_basebackup"),
        f"--dbname={server.conninfo()}",
        f"--pgdata={data}",
        "--format=plain",
        "--wal-method=stream",  # so that it can be started without any archive
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--no-password",
        "--no-sync",  # scratch: the repository is what must last
        "--label=lastgood",
        *([f"--incremental={incremental}"] if incremental else []),
    ]
    await succeed(command, doing="pg_basebackup")
    async with server.session() as connection:
        row = await (await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")).fetchone()
    await verified(client, data)
    manifest = await asyncio.to_thread(_manifest, data)
    span = manifest["WAL-Ranges"][-1]
    size = sum(file["Size"] for file in manifest["Files"])
    return Base(
        folder,
        span["Timeline"],
        manifest["WAL-Ranges"][0]["Start-LSN"],
        span["End-LSN"],
        size,
        began,
        row[0],
        superuser,
    )


def _manifest(data: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((data / MANIFEST).read_text())
    return found


async def verified(client: Tools, data: Path) -> None:
    """Compare all files with the manifest, and read the log that belongs to them. Raises JobFailed BaseDamaged."""
    command = [client.path("pg_verifybackup"), "--quiet", "--exit-on-error", str(data)]
    await succeed(command, doing="pg_verifybackup", otherwise=PgReason.BASE_DAMAGED)


async def stored(
    base: Base, facts: Facts, repository: Repository, tags: Mapping[str, str], *, parent: str = "", full: str = ""
) -> Snapshot:
    """Store it with all that its restore needs to know. ``full``: the backup that the chain begins with."""
    about = {
        "part": "base",
        "base": full or tags["backup"],
        "parent": parent,
        "major": str(facts.major),
        "system": facts.system,
        "timeline": str(base.timeline),
        "start": base.start,
        "end": base.end,
        "ended": exact(base.ended),
        "xid": base.began.xid,
        "superuser": base.superuser,
        "segment": str(facts.segment_bytes),
        "size": str(base.size_bytes),
    }
    await asyncio.to_thread((base.folder / POINT).write_text, json.dumps(about))
    # A role's name may hold what a tag may not; the file has it.
    plain = {key: value for key, value in about.items() if key != "superuser" and value}
    return await repository.store(base.folder, tags={**tags, **plain})
