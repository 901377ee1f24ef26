"""What libpq and PostgreSQL's tools print, as reasons."""

import re
from collections.abc import Sequence

from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_LONGEST = 500

_KNOWN: Sequence[tuple[str, PgReason, str]] = [
    # The first that fits wins: narrow ones before wide ones.
    (
        r"No space left on device|could not extend file|Disk quota exceeded|disk full",
        PgReason.DISK_FULL,
        "a volume is full: give it more room",
    ),
    (
        r"password authentication failed|no password supplied|empty password|SCRAM authentication|provided password",
        PgReason.WRONG_PASSWORD,
        "the server refuses user or password of the DSN: correct the Secret",
    ),
    (
        r'role "[^"]*" does not exist',
        PgReason.WRONG_PASSWORD,
        "a role is missing on the server: correct the DSN's user",
    ),
    (r'database "[^"]*" does not exist', PgReason.DATABASE_MISSING, "the database is missing: correct its name"),
    (r"no pg_hba\.conf entry", PgReason.NOT_ALLOWED, "pg_hba.conf lets this user not in from here: add a line for it"),
    (
        (
            r"must be superuser|must have (the )?REPLICATION|must be replication role|replication attribute|"
            r"permission denied|must be owner|[Oo]nly roles with"
        ),
        PgReason.NOT_ALLOWED,
        "the DSN's user lacks a right",
    ),
    (
        r"has already been removed|can no longer (be|get|access)|was invalidated|has been invalidated",
        PgReason.SLOT_LOST,
        "the server has dropped log that had not been received",
    ),
    (
        (
            r"too many (clients|connections)|remaining connection slots|number of requested standby connections|"
            r"all replication slots are in use|max_wal_senders"
        ),
        PgReason.SERVER_FULL,
        "the server has no connection or slot to spare: raise max_connections, max_wal_senders and the like",
    ),
    (
        r"(SSL|TLS|certificate|tlsv1)",
        PgReason.TLS_FAILED,
        "TLS with the server failed: check sslmode and spec.source.postgres.ca",
    ),
    (r"lock timeout|could not obtain lock", PgReason.LOCKED, "another session has held a table's lock for too long"),
    (
        (
            r"server version mismatch|unsupported version|incompatible server version|different (major )?version|"
            r"initialized by PostgreSQL version"
        ),
        PgReason.VERSION_MISMATCH,
        "server and tools do not fit",
    ),
    (
        r"extension \"[^\"]*\" is not available|could not open extension control file",
        PgReason.EXTENSION_MISSING,
        "an extension is not installed where the data goes",
    ),
    (
        (
            r"Connection refused|could not translate host name|timeout expired|No route to host|Network is unreachable|"
            r"could not connect|connection to server|server closed the connection|terminating connection|"
            r"Name or service|: disconnected|unexpected termination of replication stream|"
            r"no connection to the server|the database system is (starting up|shutting down|in recovery)"
        ),
        PgReason.UNREACHABLE,
        "the server cannot be reached, or ended the connection",
    ),
]
_KNOWN_PATTERNS = [(re.compile(pattern), reason, hint) for pattern, reason, hint in _KNOWN]
_DATA = re.compile(r"^\S*\s*(DETAIL|CONTEXT|Command was|STATEMENT)\s*:", re.IGNORECASE)
"""Lines that may hold rows of a table."""


def said(text: str) -> str:
    """The lines that say what was wrong, without those that may quote data."""
    lines = []
    for line in text.replace("\r", "\n").splitlines():
        if _DATA.match(line) or not line.strip() or line.startswith(("\t", " ")):
            continue
        lines.append(line.strip())
    return " / ".join(lines[-4:])[-_LONGEST:]


def reason_of(text: str) -> tuple[PgReason, str] | None:
    """The reason that a tool's text stands for, and what to do; None for a text without a word of its own."""
    for pattern, reason, hint in _KNOWN_PATTERNS:
        if pattern.search(text):
            return reason, hint
    return None


def translated(text: str, *, doing: str, otherwise: PgReason = PgReason.SOURCE_FAILED) -> JobFailed:
    """Make a JobFailed of what a tool printed while ``doing`` ("pg_dump of shop")."""
    found = reason_of(text)
    if found is None:
        return JobFailed(otherwise, f"{doing} failed: {said(text) or 'it said nothing'}")
    reason, hint = found
    return JobFailed(reason, f"{doing}: {hint} ({said(text)})")
