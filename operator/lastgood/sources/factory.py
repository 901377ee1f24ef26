"""Makes sources, whichever kind an objective names. Those that come from the service's own probes are none of these."""

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.ports import BadProbe
from lastgood.domain.sources import KubeStats, Source, Target
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.probes.values import Values
from lastgood.sources.http_sources import HttpSources
from lastgood.sources.postgres import prepare_postgres
from lastgood.sources.redis import prepare_redis
from lastgood.sources.resources import prepare_resources


class Sources:
    """The one SourceFactory. Resolver and contexts are the probes', and closed with them."""

    def __init__(self, *, resolver: Resolver, contexts: TlsContexts, stats: KubeStats) -> None:
        self._resolver, self._contexts, self._stats = resolver, contexts, stats
        self._http = HttpSources(resolver, contexts)

    def prepare(self, spec: ServiceLevelObjectiveSpec, values: Values, target: Target) -> Source:
        """See the port. Raises BadProbe."""
        source = spec.source
        if source.resources is not None:
            return prepare_resources(spec, target, stats=self._stats)
        if source.postgres is not None:
            return prepare_postgres(spec, values, resolver=self._resolver)
        if source.redis is not None:
            return prepare_redis(spec, values, resolver=self._resolver, contexts=self._contexts)
        over_http = self._http.prepare(spec, values, target)
        if over_http is None:
            msg = "the objective has no source that can be asked: write one"
            raise BadProbe(msg)
        return over_http
