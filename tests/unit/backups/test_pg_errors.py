"""What PostgreSQL's tools print, as reasons. The texts are those of PostgreSQL 15 to 18."""

import pytest

from lastgood.backups.postgres.errors import said, translated

AT = 'connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (AT + 'FATAL:  password authentication failed for user "app"', "WrongPassword"),
        (AT + "fe_sendauth: no password supplied", "WrongPassword"),
        (AT + 'FATAL:  role "app" does not exist', "WrongPassword"),
        (AT + 'FATAL:  database "shop" does not exist', "DatabaseMissing"),
        (AT + 'FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.2", user "app", no encryption', "NotAllowed"),
        (AT + "FATAL:  permission denied to start WAL sender\nDETAIL:  Only roles with the REPLICATION attribute may start a WAL sender process.", "NotAllowed"),
        ("pg_dump: error: query failed: ERROR:  permission denied for table orders", "NotAllowed"),
        (AT + "FATAL:  sorry, too many clients already", "ServerFull"),
        (AT + "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "ServerFull"),
        (AT + 'FATAL:  number of requested standby connections exceeds "max_wal_senders" (currently 2)', "ServerFull"),
        (AT + "server does not support SSL, but SSL was required", "TlsFailed"),
        (AT + "SSL error: certificate verify failed", "TlsFailed"),
        (AT + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?", "Unreachable"),
        ('could not translate host name "pg" to address: Name or service not known', "Unreachable"),
        ('pg_basebackup: error: could not write to file "base/5/16384": No space left on device', "DiskFull"),
        ("pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout", "Locked"),
        ("pg_dump: error: aborting because of server version mismatch", "VersionMismatch"),
        ('ERROR:  extension "postgis" is not available', "ExtensionMissing"),
        ("pg_receivewal: error: could not send replication command", "SourceFailed"),
        ("pg_receivewal: error: disconnected", "Unreachable"),
        ('pg_receivewal: error: could not send replication command "START_REPLICATION": ERROR:  requested WAL segment 000000010000000000000004 has already been removed', "SlotLost"),
        ('pg_receivewal: error: could not send replication command "START_REPLICATION": ERROR:  can no longer access replication slot "lastgood"', "SlotLost"),
        ("", "SourceFailed"),
    ],
)  # fmt: skip
def test_a_text_has_a_reason(text: str, reason: str) -> None:
    assert translated(text, doing="it").reason == reason


def test_rows_are_not_quoted() -> None:
    text = 'pg_restore: error: COPY failed for table "a": ERROR:  duplicate key\nDETAIL:  Key (card)=(4111) already exists.\nCONTEXT:  COPY a, line 1: "4111"'
    assert "4111" not in said(text)
    assert "4111" not in translated(text, doing="it").message
    assert "duplicate key" in said(text)
