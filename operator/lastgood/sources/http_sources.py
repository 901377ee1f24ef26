"""Makes the sources that speak HTTP, and owns what they share."""

from lastgood.api.base import seconds
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.sources import Source, Target
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.probes.values import Values
from lastgood.sources.endpoint import Endpoints
from lastgood.sources.fetch import Web
from lastgood.sources.http import HttpSource
from lastgood.sources.prometheus import PrometheusSource
from lastgood.sources.scrape import ScrapeSource


class HttpSources:
    """The part of the one SourceFactory that asks over HTTP. Belongs to the event loop that its sources run in.

    The resolver brings the address policy, and is closed by whoever made it; it and the contexts may be the probes'.
    """

    def __init__(self, resolver: Resolver, contexts: TlsContexts) -> None:
        self._web = Web(resolver, contexts)
        self._endpoints = Endpoints(self._web)

    def prepare(self, spec: ServiceLevelObjectiveSpec, values: Values, target: Target) -> Source | None:
        """A source, or None when the objective is not measured over HTTP. Raises BadProbe."""
        source, indicator, web = spec.source, spec.indicator, self._web
        interval, timeout = seconds(spec.interval), seconds(spec.timeout)
        if source.scrape is not None:
            return ScrapeSource(
                source.scrape,
                indicator,
                values,
                target,
                interval=interval,
                timeout=timeout,
                endpoints=self._endpoints,
            )
        if source.prometheus is not None:
            return PrometheusSource(source.prometheus, indicator, values, interval=interval, timeout=timeout, web=web)
        if source.http is not None:
            return HttpSource(source.http, values, timeout=timeout, web=web)
        return None
