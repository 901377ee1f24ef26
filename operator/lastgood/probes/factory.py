"""Makes probes, and owns what they share."""

import os

from lastgood.api.base import seconds
from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.ports import BadProbe, Probe
from lastgood.probes.http import HttpProbe
from lastgood.probes.resolver import Resolver
from lastgood.probes.tcp import TcpProbe
from lastgood.probes.tls import TlsContexts
from lastgood.probes.values import Values


class Probes:
    """The one ProbeFactory: a resolver, the TLS contexts and an address policy for all probes.

    Belongs to the event loop that its probes run in. Clients of gRPC, PostgreSQL and Redis are imported with the first
    probe that needs them: together they are 40 MB and half a second.
    """

    def __init__(self, policy: AddressPolicy, *, resolver: Resolver | None = None) -> None:
        # The one thing that libpq takes from the environment whatever a connection string says (see dsn.py).
        os.environ.pop("PGSERVICE", None)
        self._resolver = resolver or Resolver(policy)
        self._contexts = TlsContexts()

    def prepare(self, spec: ProbeSpec, values: Values) -> Probe:
        """Make a probe, ready to run many times. Raises BadProbe."""
        timeout = seconds(spec.timeout)
        resolver, contexts = self._resolver, self._contexts
        if spec.http is not None:
            keep = spec.connection == "Keep"
            return HttpProbe(spec.http, values, timeout=timeout, keep=keep, resolver=resolver, contexts=contexts)
        if spec.tcp is not None:
            return TcpProbe(spec.tcp, timeout=timeout, resolver=resolver)
        if spec.grpc is not None:
            from lastgood.probes.grpc import GrpcProbe  # noqa: PLC0415

            return GrpcProbe(spec.grpc, values, timeout=timeout, resolver=resolver, contexts=contexts)
        if spec.postgres is not None:
            from lastgood.probes.postgres import PostgresProbe  # noqa: PLC0415

            return PostgresProbe(spec.postgres, values, timeout=timeout, resolver=resolver)
        if spec.redis is not None:
            from lastgood.probes.redis import RedisProbe  # noqa: PLC0415

            return RedisProbe(spec.redis, values, timeout=timeout, resolver=resolver, contexts=contexts)
        msg = f"probe {spec.name} asks nothing: write exactly one of http, tcp, grpc, postgres or redis"
        raise BadProbe(msg)

    async def aclose(self) -> None:
        """Let go of what is shared. Kept connections are each probe's own: close the probes first."""
        await self._resolver.aclose()
