"""A TCP connection that must be accepted."""

from lastgood.api.probes import TcpProbe as TcpSpec
from lastgood.probes.base import Progress, TimedProbe
from lastgood.probes.dial import Silent, dial, first
from lastgood.probes.resolver import Resolver


class TcpProbe(TimedProbe):
    """Connects and hangs up."""

    def __init__(self, spec: TcpSpec, *, timeout: float, resolver: Resolver) -> None:
        super().__init__(timeout=timeout, host=spec.host)
        self._port = spec.port
        self._resolver = resolver

    async def ask(self, progress: Progress) -> None:
        """Connect to the first address that answers."""
        addresses = await self._resolver.addresses(self.host)
        protocol = await first(addresses, lambda ip: dial(Silent, ip, self._port, progress), progress)
        protocol.transport.close()
