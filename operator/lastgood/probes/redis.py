"""A connection to Redis and PING."""

from lastgood.api.probes import RedisProbe as RedisSpec
from lastgood.probes.base import Progress, TimedProbe
from lastgood.probes.rediswire import RedisServer
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.probes.values import Values, secret_text


class RedisProbe(TimedProbe):
    """Connects anew, logs in where the URL says how, and wants PONG."""

    def __init__(
        self, spec: RedisSpec, values: Values, *, timeout: float, resolver: Resolver, contexts: TlsContexts
    ) -> None:
        """Prepare. Raises BadProbe when the address or URL cannot be used."""
        url = secret_text(spec.url, values) if spec.url is not None else None
        self._server = RedisServer(address=spec.address, url=url, resolver=resolver, contexts=contexts)
        super().__init__(timeout=timeout, host=self._server.host)

    async def ask(self, progress: Progress) -> None:
        """Ask and want the one answer."""
        talk = await self._server.connect(progress)
        try:
            await talk.ping()
        finally:
            talk.close()
