"""The replication slot that keeps write-ahead log on the server until it has been received."""

from dataclasses import dataclass
from typing import Any

import psycopg

from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_STATE = """
SELECT active, restart_lsn::text, coalesce(wal_status, ''), slot_type,
       (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
FROM pg_replication_slots WHERE slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """As the server tells it."""

    active: bool
    restart: str
    status: str
    unlimited: bool
    """max_slot_wal_keep_size is -1: a receiver that is down fills the server's disk."""

    @property
    def lost(self) -> bool:
        """Whether log was dropped that had not been received."""
        return self.status == "lost" or not self.restart


async def slot(connection: Any, name: str) -> Slot | None:
    """Look at it; None when there is none. Raises JobFailed when the name is taken by a slot of another kind."""
    row = await (await connection.execute(_STATE, (name,))).fetchone()
    if row is None:
        return None
    if row[3] != "physical":
        raise JobFailed(PgReason.TARGET_EXISTS, f"slot {name} is a logical one, of somebody else: drop or rename it")
    return Slot(row[0], row[1] or "", row[2], row[4] == "-1")


async def reserved(connection: Any, name: str) -> str:
    """Make the slot, anew where it was lost, with log reserved from this moment on; its position.

    pg_receivewal --create-slot reserves nothing until it connects: segments in between would be gone, and a restore
    would end before them without an error.
    """
    there = await slot(connection, name)
    if there is not None:
        if there.active:
            # A lost slot is active only while its receiver has not noticed.
            await connection.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
        await _dropped(connection, name)
    try:
        row = await (
            await connection.execute("SELECT lsn::text FROM pg_create_physical_replication_slot(%s, true)", (name,))
        ).fetchone()
    except psycopg.errors.ConfigurationLimitExceeded:
        message = "all replication slots are in use: raise max_replication_slots on the server"
        raise JobFailed(PgReason.SERVER_FULL, message) from None
    return str(row[0])


async def released(connection: Any, name: str, *, unlimited_only: bool) -> str:
    """Drop the slot, once nobody receives on it; a sentence on what was done.

    ``unlimited_only``: not where max_slot_wal_keep_size limits what it keeps. Raises JobFailed.
    """
    there = await slot(connection, name)
    if there is None:
        return f"there is no slot {name} on the server"
    if unlimited_only and not there.unlimited:
        return f"slot {name} is kept, as max_slot_wal_keep_size limits the log that it holds"
    await _dropped(connection, name)
    return f"slot {name} was dropped"


async def _dropped(connection: Any, name: str) -> None:
    for _ in range(50):
        try:
            await connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
        except psycopg.errors.ObjectInUse:
            await connection.execute("SELECT pg_sleep(0.1)")
        except psycopg.errors.UndefinedObject:  # somebody was faster
            return
        else:
            return
    raise JobFailed(PgReason.SLOT_LOST, f"slot {name} is to be dropped, and a receiver holds it: end what uses it")
