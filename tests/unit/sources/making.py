"""Objectives, targets and sources as tests want them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.probes.servers import LOOPBACK, Values

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Sample
from lastgood.domain.ports import ClusterError
from lastgood.domain.sources import PodSeen, Source, Target
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.sources.http_sources import HttpSources


class Pods:
    """The pods of a target; a test changes them at will. Loopback has a whole network of addresses to be pods."""

    def __init__(self, *pods: PodSeen) -> None:
        self.now: Sequence[PodSeen] = pods
        self.broken = False
        self.target = Target("shop", "backend", "backend", self._list)

    async def _list(self) -> Sequence[PodSeen]:
        if self.broken:
            raise ClusterError(500, "c4n4ry")
        return self.now


def pod(number: int = 1, *, ready: bool = True, uid: str = "") -> PodSeen:
    return PodSeen(name=f"backend-{number}", uid=uid or f"uid-{number}", ip=f"127.0.0.{number}", ready=ready)


def objective(
    *, interval: str = "10s", timeout: str = "5s", indicator: dict[str, Any] | None = None, **source: Any
) -> ServiceLevelObjectiveSpec:
    return ServiceLevelObjectiveSpec.model_validate(
        {
            "source": source,
            "indicator": indicator or {"value": {}},
            "interval": interval,
            "timeout": timeout,
            "target": {"below": "1"},
        }
    )


@asynccontextmanager
async def factory(policy: AddressPolicy = LOOPBACK) -> AsyncIterator[HttpSources]:
    resolver = Resolver(policy)
    yield HttpSources(resolver, TlsContexts())
    await resolver.aclose()


def prepared(
    sources: HttpSources, spec: ServiceLevelObjectiveSpec, values: Values | None = None, pods: Pods | None = None
) -> Source:
    source = sources.prepare(spec, values or {}, (pods or Pods(pod())).target)
    assert source is not None
    return source


async def sample(
    spec: ServiceLevelObjectiveSpec,
    values: Values | None = None,
    *,
    pods: Pods | None = None,
    policy: AddressPolicy = LOOPBACK,
) -> Sample:
    """Make a source, sample it once, and let go of it."""
    async with factory(policy) as sources:
        source = prepared(sources, spec, values, pods)
        try:
            return await source.sample()
        finally:
            await source.aclose()
