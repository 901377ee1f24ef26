"""A connection to PostgreSQL and one query.

Spoken through psycopg's libpq wrapper rather than its AsyncConnection: that one answers a cancellation by waiting up
to ten seconds for the server to cancel too, and keeps rows that nobody wants.
"""

import asyncio
import errno
import os

from psycopg import Error, pq

from lastgood.api.probes import PostgresProbe as PostgresSpec
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Phase, Progress, TimedProbe, system_failure
from lastgood.probes.dial import first
from lastgood.probes.dsn import Dsn, Server
from lastgood.probes.resolver import Resolver
from lastgood.probes.values import Values, secret_text

_ROWS = 1_000
"""Rows after which a query counts as answered. They are dropped as they come."""

_GOOD = frozenset(
    {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK}
)

_PHRASES = (
    # libpq gives no SQLSTATE for a connection that was not made, only a text: the server's, or its own. A server
    # that speaks another language than English ends in the last sentence of _refused.
    ("does not match host name", ProbeReason.TLS_FAILED, "the certificate is for another host"),
    ("certificate has expired", ProbeReason.TLS_FAILED, "the certificate has expired"),
    ("certificate verify failed", ProbeReason.TLS_FAILED, "the certificate is signed by an unknown authority"),
    ("does not support SSL", ProbeReason.TLS_FAILED, "the server does not offer TLS"),
    ("SSL error", ProbeReason.TLS_FAILED, "TLS failed"),
    ("root certificate file", ProbeReason.PROBER_ERROR, "the operator has no certificate authorities to trust"),
    ("authentication failed", ProbeReason.AUTHENTICATION_FAILED, "the login was refused"),
    ("no password supplied", ProbeReason.AUTHENTICATION_FAILED, "the server wants a password, and the DSN has none"),
    ("pg_hba.conf", ProbeReason.AUTHENTICATION_FAILED, "the server lets nobody in from here (pg_hba.conf)"),
    ("not permitted to log in", ProbeReason.AUTHENTICATION_FAILED, "the login was refused"),
    ("permission denied for database", ProbeReason.AUTHENTICATION_FAILED, "the login was refused"),
    ("FATAL:  role ", ProbeReason.AUTHENTICATION_FAILED, "the login was refused"),
    ("FATAL:  database ", ProbeReason.QUERY_FAILED, "the database does not exist (SQLSTATE 3D000)"),
    ("the database system is", ProbeReason.NOT_SERVING, "the server is starting up, recovering or shutting down"),
    ("too many c", ProbeReason.NOT_SERVING, "the server has no connection left"),
    ("remaining connection slots", ProbeReason.NOT_SERVING, "the server has no connection left"),
    ("no more connections allowed", ProbeReason.NOT_SERVING, "pgbouncer lets no more clients in (max_client_conn)"),
    ("no such database", ProbeReason.QUERY_FAILED, "pgbouncer knows no such database"),
    ("FATAL:  not allowed", ProbeReason.AUTHENTICATION_FAILED, "the console lets in admin_users and stats_users only"),
    ("session is", ProbeReason.NOT_SERVING, "the server is not what target_session_attrs asks for"),
    ("hot standby", ProbeReason.NOT_SERVING, "the server is not what target_session_attrs asks for"),
    ("closed the connection unexpectedly", ProbeReason.CONNECTION_FAILED, "the connection was closed during the login"),
    ("received invalid response", ProbeReason.PROTOCOL_ERROR, "the server does not speak PostgreSQL's protocol"),
    ("expected authentication request", ProbeReason.PROTOCOL_ERROR, "the server does not speak PostgreSQL's protocol"),
)

_ERRNOS = tuple(
    (os.strerror(number), number)
    for number in (
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.EMFILE,
        errno.ENFILE,
        errno.EADDRNOTAVAIL,
    )
)


class PostgresProbe(TimedProbe):
    """Connects anew, and runs a query in a read-only transaction that is never committed."""

    def __init__(self, spec: PostgresSpec, values: Values, *, timeout: float, resolver: Resolver) -> None:
        """Prepare. Raises BadProbe when the DSN cannot be used."""
        self._dsn = Dsn(secret_text(spec.dsn, values))
        super().__init__(timeout=timeout, host=self._dsn.servers[0].host)
        self._query = spec.query.encode()
        # The server stops as well: a probe that hung up would otherwise leave its query running.
        milliseconds = max(1, int(timeout * 1000))
        self._begin = b"BEGIN READ ONLY; SET LOCAL statement_timeout = %d" % milliseconds
        self._resolver = resolver

    async def ask(self, progress: Progress) -> None:
        """Connect to the first server that lets us in, and ask."""
        places = await self._places()
        connection = await first(places, lambda place: self._connect(place, progress), progress)
        try:
            progress.phase = Phase.ANSWER
            connection.send_query(self._begin)
            await _results(connection)
            # The extended protocol takes one statement: no COMMIT can be slipped in before another.
            connection.send_query_params(self._query, None)
            connection.set_single_row_mode()
            await _results(connection)
        except Error:
            raise _lost() from None
        finally:
            connection.finish()

    async def _places(self) -> list[tuple[Server, str]]:
        """Pair servers and addresses, in order. Raises Failure when no server has any."""
        places: list[tuple[Server, str]] = []
        unknown: Failure | None = None
        for server in self._dsn.servers:
            try:
                places += [(server, address) for address in await self._resolver.addresses(server.host)]
            except Failure as failure:
                if failure.reason is ProbeReason.ADDRESS_DENIED:
                    raise
                unknown = failure
        if not places and unknown is not None:
            raise unknown
        return places

    async def _connect(self, place: tuple[Server, str], progress: Progress) -> pq.abc.PGconn:
        connection = pq.PGconn.connect_start(self._dsn.conninfo(*place))
        try:
            if await _logged_in(connection, progress):
                connection.nonblocking = 1
                return connection
            failure = _refused(connection.get_error_message())
        except BaseException:
            connection.finish()
            raise
        connection.finish()
        raise failure


async def _logged_in(connection: pq.abc.PGconn, progress: Progress) -> bool:
    """Connect and log in as libpq says; whether that went well."""
    while connection.status != pq.ConnStatus.BAD:
        state = connection.connect_poll()
        if state == pq.PollingStatus.OK:
            return True
        if state == pq.PollingStatus.FAILED:
            break
        if connection.status != pq.ConnStatus.STARTED:
            progress.phase = Phase.LOGIN
        await _ready(connection.socket, write=state == pq.PollingStatus.WRITING)
    return False


async def _results(connection: pq.abc.PGconn) -> None:
    """Read all results of what was sent, and drop their rows. Raises Failure for an error among them."""
    while connection.flush():
        await _ready(connection.socket, write=True)
    rows = 0
    while rows < _ROWS:
        while connection.is_busy():
            await _ready(connection.socket, write=False)
            connection.consume_input()
        result = connection.get_result()
        if result is None:
            return
        if result.status not in _GOOD:
            state = result.error_field(pq.DiagnosticField.SQLSTATE)
            raise _lost() if state is None and connection.status == pq.ConnStatus.BAD else _failed(state)
        rows += result.status == pq.ExecStatus.SINGLE_TUPLE
        result.clear()


async def _ready(fd: int, *, write: bool) -> None:
    """Wait until a socket of libpq's can be read from or written to."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    add(fd, wake)
    try:
        await ready
    finally:
        remove(fd)


def _failed(state: bytes | None) -> Failure:
    """Name what a query ended in, by its SQLSTATE: the message beside it may hold rows."""
    code = state.decode("ascii", "replace") if state else ""
    if code.startswith("28"):
        return Failure(ProbeReason.AUTHENTICATION_FAILED, f"SQLSTATE {code}")
    if code == "57014":
        return Failure(ProbeReason.TIMEOUT, "the server cancelled the query (SQLSTATE 57014)")
    if code.startswith("57P"):
        return Failure(ProbeReason.NOT_SERVING, f"the server is going away (SQLSTATE {code})")
    if code == "25006":
        return Failure(ProbeReason.QUERY_FAILED, "the query writes, and probes are read-only (SQLSTATE 25006)")
    return Failure(ProbeReason.QUERY_FAILED, f"SQLSTATE {code}" if code else "the query returns no rows")


def _lost() -> Failure:
    return Failure(ProbeReason.CONNECTION_FAILED, "the connection was lost while waiting for the answer")


def _refused(message: str) -> Failure:
    """Name why no connection was made. The message itself holds addresses, users and databases."""
    for text, number in _ERRNOS:
        if text in message:
            return system_failure(number)
    for phrase, reason, detail in _PHRASES:
        if phrase in message:
            return Failure(reason, detail)
    return Failure(ProbeReason.CONNECTION_FAILED, "the server refused the connection")
