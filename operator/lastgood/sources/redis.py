"""Memory, clients and latency of a Redis server."""

from typing import Literal

from lastgood.api.base import seconds
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.answers import bounds, redis_share
from lastgood.domain.measure import Gauge, Points, Sample
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import ServerFull
from lastgood.probes.rediswire import RedisServer, Reply, Talk
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.probes.values import Values, secret_text
from lastgood.sources.asking import AskingSource, Watch


class RedisMeasure(AskingSource):
    """Connects anew for each sample."""

    def __init__(
        self,
        measure: Literal["memory", "clients", "latency"],
        server: RedisServer,
        *,
        timeout: float,
        bounds: tuple[float, ...],
    ) -> None:
        self._measure, self._server = measure, server
        super().__init__(timeout=timeout, host=server.host, bounds=bounds)

    async def ask(self, watch: Watch) -> Sample:
        """Connect, and ask for the one thing."""
        talk = await self._server.connect(watch)
        try:
            match self._measure:
                case "memory":
                    return redis_share(_fields((await talk.ask(("INFO", "memory")))[0]), "used_memory", "maxmemory")
                case "clients":
                    return await _clients(talk)
                case "latency":
                    return await _latency(talk, watch)
        finally:
            talk.close()


async def _clients(talk: Talk) -> Sample:
    """A server that has no room left has answered the question."""
    try:
        info = _fields((await talk.ask(("INFO", "clients")))[0])
        if "maxclients" not in info:
            # Redis before 7.
            found = (await talk.ask(("CONFIG", "GET", "maxclients")))[0]
            if isinstance(found, list) and len(found) == 2:
                info["maxclients"] = found[1].decode("ascii", "replace")
    except ServerFull:
        return Gauge(1.0)
    return redis_share(info, "connected_clients", "maxclients")


async def _latency(talk: Talk, watch: Watch) -> Sample:
    """One round trip; a login goes in the same piece and costs the server microseconds."""
    watch.start()
    await talk.ping()
    return Points((watch.elapsed(),))


def prepare_redis(
    spec: ServiceLevelObjectiveSpec, values: Values, *, resolver: Resolver, contexts: TlsContexts
) -> RedisMeasure:
    """A source for an objective with ``source.redis``. Raises BadProbe when it cannot be sampled at all."""
    asked = spec.source.redis
    if asked is None:
        msg = "source.redis is missing"
        raise BadProbe(msg)
    url = secret_text(asked.url, values) if asked.url is not None else None
    server = RedisServer(address=asked.address, url=url, resolver=resolver, contexts=contexts)
    return RedisMeasure(asked.measure, server, timeout=seconds(spec.timeout), bounds=bounds(spec))


def _fields(reply: Reply) -> dict[str, str]:
    """The fields of one section of INFO."""
    lines = reply.decode("utf-8", "replace").splitlines() if isinstance(reply, bytes) else []
    return dict(line.split(":", 1) for line in lines if ":" in line)
