"""Connections, latency and integrity of a PostgreSQL server, or of pgbouncer before one."""

from abc import abstractmethod

from psycopg import pq

from lastgood.api.base import seconds
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.answers import Column, bounds, integrity, pool_connections, server_connections
from lastgood.domain.measure import Gauge, Nothing, Points, Sample, Silence
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import ServerFull
from lastgood.probes.pgwire import PostgresServers, ask, begin, run, show
from lastgood.probes.resolver import Resolver
from lastgood.probes.values import Values, secret_text
from lastgood.sources.asking import AskingSource, Watch

# Without pg_read_all_stats, sessions of other roles have no backend_type: those in a database are taken for clients.
_CONNECTIONS = b"""
SELECT count(*) FILTER (WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0)
FROM pg_catalog.pg_stat_activity
"""


class _Postgres(AskingSource):
    """Connects anew for each sample."""

    def __init__(self, servers: PostgresServers, *, timeout: float, bounds: tuple[float, ...]) -> None:
        self._servers = servers
        self._begin = begin(timeout)
        super().__init__(timeout=timeout, host=servers.host, bounds=bounds)

    async def ask(self, watch: Watch) -> Sample:
        connection = await self._servers.connect(watch)
        try:
            return await self.over(connection, watch)
        finally:
            connection.finish()

    @abstractmethod
    async def over(self, connection: pq.abc.PGconn, watch: Watch) -> Sample:
        """Ask over this connection. Raises Failure."""


class ServerConnections(_Postgres):
    """Clients as a share of the connections that a server has for ordinary roles."""

    async def ask(self, watch: Watch) -> Sample:
        """A server that has no connection left has answered the question."""
        try:
            return await super().ask(watch)
        except ServerFull:
            return Gauge(1.0)

    async def over(self, connection: pq.abc.PGconn, watch: Watch) -> Sample:  # noqa: ARG002 - no latency here
        """Ask for both numbers."""
        rows: list[list[bytes | None]] = []
        await run(connection, self._begin)
        await ask(connection, _CONNECTIONS, row=lambda result: rows.extend(_values(result)))
        used, room = rows[0]
        return server_connections(int(used or 0), int(room or 0))


class PoolConnections(_Postgres):
    """What clients of pgbouncer want as a share of what its pool has, asked of its console."""

    def __init__(self, pool: str, servers: PostgresServers, *, timeout: float, bounds: tuple[float, ...]) -> None:
        self._pool = pool
        super().__init__(servers, timeout=timeout, bounds=bounds)

    async def over(self, connection: pq.abc.PGconn, watch: Watch) -> Sample:  # noqa: ARG002 - no latency here
        """Ask for the sizes, then for what is wanted."""
        databases: list[dict[str, str]] = []
        pools: list[dict[str, str]] = []
        await show(connection, b"SHOW DATABASES", lambda result: databases.extend(_named(result)))
        await show(connection, b"SHOW POOLS", lambda result: pools.extend(_named(result)))
        return pool_connections(self._pool, databases, pools)


class Latency(_Postgres):
    """How long a query takes, without the connection and the login."""

    def __init__(self, query: str, servers: PostgresServers, *, timeout: float, bounds: tuple[float, ...]) -> None:
        self._query = query.encode()
        super().__init__(servers, timeout=timeout, bounds=bounds)

    async def over(self, connection: pq.abc.PGconn, watch: Watch) -> Sample:
        """Time the query, to its last row."""
        await run(connection, self._begin)
        watch.start()
        await ask(connection, self._query)
        return Points((watch.elapsed(),))


class Integrity(_Postgres):
    """Whether a query finds data sound."""

    def __init__(self, query: str, servers: PostgresServers, *, timeout: float, bounds: tuple[float, ...]) -> None:
        self._query = query.encode()
        super().__init__(servers, timeout=timeout, bounds=bounds)

    async def over(self, connection: pq.abc.PGconn, watch: Watch) -> Sample:  # noqa: ARG002 - no latency here
        """Ask, and look at two rows at most: more say no more. An error after them is still an error."""
        rows: list[list[Column]] = []
        answered = False

        def row(result: pq.abc.PGresult) -> None:
            nonlocal answered
            answered = answered or result.status in {pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_OK}
            if len(rows) < 2:
                types = [result.ftype(column) for column in range(result.nfields)]
                rows.extend([Column(*pair) for pair in zip(types, one, strict=True)] for one in _values(result))

        await run(connection, self._begin)
        await ask(connection, self._query, row=row)
        if not answered:
            return Nothing(Silence.NOT_UNDERSTOOD, "the statement is no query: write one that gives rows")
        return integrity(rows)


def prepare_postgres(spec: ServiceLevelObjectiveSpec, values: Values, *, resolver: Resolver) -> AskingSource:
    """A source for an objective with ``source.postgres``. Raises BadProbe when it cannot be sampled at all."""
    asked = spec.source.postgres
    if asked is None:
        msg = "source.postgres is missing"
        raise BadProbe(msg)
    servers = PostgresServers(secret_text(asked.dsn, values), resolver=resolver)
    timeout, compared = seconds(spec.timeout), bounds(spec)
    if asked.latency is not None:
        return Latency(asked.latency.sql, servers, timeout=timeout, bounds=compared)
    if asked.integrity is not None:
        return Integrity(asked.integrity.sql, servers, timeout=timeout, bounds=compared)
    if asked.connections is not None and asked.connections.pool is not None:
        return PoolConnections(asked.connections.pool, servers, timeout=timeout, bounds=compared)
    return ServerConnections(servers, timeout=timeout, bounds=compared)


def _values(result: pq.abc.PGresult) -> list[list[bytes | None]]:
    return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]


def _named(result: pq.abc.PGresult) -> list[dict[str, str]]:
    names = [(result.fname(column) or b"").decode("utf-8", "replace") for column in range(result.nfields)]
    return [
        {name: (value or b"").decode("utf-8", "replace") for name, value in zip(names, row, strict=True)}
        for row in _values(result)
    ]
