"""A connection to PostgreSQL and one query."""

from lastgood.api.probes import PostgresProbe as PostgresSpec
from lastgood.probes.base import Progress, TimedProbe
from lastgood.probes.pgwire import PostgresServers, ask, begin, run
from lastgood.probes.resolver import Resolver
from lastgood.probes.values import Values, secret_text


class PostgresProbe(TimedProbe):
    """Connects anew, and runs a query in a read-only transaction that is never committed."""

    def __init__(self, spec: PostgresSpec, values: Values, *, timeout: float, resolver: Resolver) -> None:
        """Prepare. Raises BadProbe when the DSN cannot be used."""
        self._servers = PostgresServers(secret_text(spec.dsn, values), resolver=resolver)
        super().__init__(timeout=timeout, host=self._servers.host)
        self._query = spec.query.encode()
        self._begin = begin(timeout)

    async def ask(self, progress: Progress) -> None:
        """Connect to the first server that lets us in, and ask."""
        connection = await self._servers.connect(progress)
        try:
            await run(connection, self._begin)
            await ask(connection, self._query)
        finally:
            connection.finish()
