"""Which addresses a probe may reach.

A probe runs in the operator's pod with the operator's network position. Whoever may write a MonitoredService
could otherwise read through it what their own pods cannot reach: the node's metadata service, or the
operator's own ports.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_LINK_LOCAL = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"), ip_network("fd00:ec2::254/128"))
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NEVER = tuple(ip_network(n) for n in ("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32"))
_LAST_32_BITS = (ip_network("64:ff9b::/96"), ip_network("::/96"))
"""NAT64, and the old IPv4-compatible form: the IPv4 address stands at the end."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Networks that no probe may reach."""

    denied: tuple[Network, ...] = _LINK_LOCAL + _LOOPBACK + _NEVER

    @classmethod
    def of(cls, deny: Iterable[str] = (), *, allow_loopback: bool = False) -> "AddressPolicy":
        """The policy that always holds, and what the installation denies besides.

        ``allow_loopback`` is for running outside a cluster, where the targets are on the same machine.
        Raises ValueError for a text that is no network.
        """
        own = () if allow_loopback else _LOOPBACK
        return cls(denied=_LINK_LOCAL + own + _NEVER + tuple(ip_network(text, strict=False) for text in deny))

    def refuses(self, address: str) -> bool:
        """Whether this address, in any of the notations that lead to the same host, may not be reached.

        Raises ValueError when ``address`` is no IP address.
        """
        ip: Address = ip_address(address.partition("%")[0])
        if isinstance(ip, IPv6Address):
            # Such an address ends at the IPv4 host inside it; :: and ::1 are themselves.
            at_end = int(ip) > 1 and any(ip in network for network in _LAST_32_BITS)
            embedded = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if at_end else None)
            if embedded is not None and self.refuses(str(embedded)):
                return True
        return any(ip.version == network.version and ip in network for network in self.denied)
