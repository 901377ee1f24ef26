"""Names to addresses, for all probes at once.

The address that was checked is the address that is connected to: nothing looks a name up a second time, so a name
server that answers differently the second time gains nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from time import monotonic
from typing import Any

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure

Lookup = Callable[..., list[tuple[Any, Any, int, str, tuple[Any, ...]]]]
"""The signature of ``socket.getaddrinfo``."""

_LIFETIME = 15.0
"""Seconds that an answer is used. Python is not told the record's own; a ClusterIP changes far more rarely."""

_REFRESH = 10.0
"""Age in seconds from which an answer that is used is fetched anew behind the probe's back."""

_SLOW = 1.0
"""Seconds after which a look-up counts as slow and its name goes to the slow lane next time."""

_CAPACITY = 20_000
"""Names kept. Twice the probes that one operator is meant for."""

_NOT_FOUND = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})


class _Entry:
    """What is known of one name: its addresses, or why it has none that may be used."""

    __slots__ = ("addresses", "expires", "failure", "stale")

    def __init__(self, found: tuple[str, ...] | Failure, now: float) -> None:
        # As reason and detail: an exception raised by several tasks would carry the frames of them all.
        self.failure = (found.reason, found.detail) if isinstance(found, Failure) else None
        self.addresses = () if isinstance(found, Failure) else found
        self.stale = now + _REFRESH
        self.expires = now + _LIFETIME


class Resolver:
    """Looks names up in threads of its own, keeps the answers for a while, and refuses what the policy denies.

    getaddrinfo cannot be interrupted. One that hangs holds one thread and the probes of that name, and a name
    that was slow before is looked up in a lane with threads of its own: the others never queue behind it.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        lookup: Lookup = socket.getaddrinfo,
        clock: Callable[[], float] = monotonic,
        threads: int = 16,
        slow_threads: int = 4,
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        self._clock = clock
        self._known: dict[str, _Entry] = {}
        self._flights: dict[str, asyncio.Task[_Entry]] = {}
        self._slow: set[str] = set()
        self._lane = ThreadPoolExecutor(threads, "lastgood-dns")
        self._slow_lane = ThreadPoolExecutor(slow_threads, "lastgood-dns-slow")

    def known(self, host: str) -> tuple[str, ...]:
        """Addresses of a host that need no look-up now; none when ``addresses`` has to be asked."""
        entry = self._known.get(host)
        return entry.addresses if entry is not None and entry.stale > self._clock() else ()

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Addresses of a host, in the order in which to try them; at least one.

        Raises Failure: DNS_NOT_FOUND, DNS_UNAVAILABLE, or ADDRESS_DENIED when any one of them is denied.
        """
        entry = self._known.get(host)
        now = self._clock()
        if entry is None or entry.expires <= now:
            entry = self._literal(host) or await self._flight(host)
        elif entry.stale <= now and host not in self._flights:
            self._take_off(host)
        if entry.failure is not None:
            raise Failure(*entry.failure)
        return entry.addresses

    async def aclose(self) -> None:
        """Stop looking names up. Threads that hang in the system's resolver end when it lets them go."""
        for flight in self._flights.values():
            flight.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._flights.values(), return_exceptions=True)
        for lane in (self._lane, self._slow_lane):
            lane.shutdown(wait=False, cancel_futures=True)

    def _literal(self, host: str) -> _Entry | None:
        try:
            ip_address(host.partition("%")[0])
        except ValueError:
            return None
        entry = _Entry(self._checked([host]), self._clock())
        entry.stale = entry.expires = float("inf")
        self._remember(host, entry)
        return entry

    async def _flight(self, host: str) -> _Entry:
        # Shielded: the one that asked first may be cancelled, and the others still wait.
        return await asyncio.shield(self._flights.get(host) or self._take_off(host))

    def _take_off(self, host: str) -> asyncio.Task[_Entry]:
        flight = asyncio.get_running_loop().create_task(self._fetch(host), name="dns")
        self._flights[host] = flight
        flight.add_done_callback(lambda _: self._flights.pop(host, None))
        return flight

    async def _fetch(self, host: str) -> _Entry:
        lane = self._slow_lane if host in self._slow else self._lane
        found, seconds = await asyncio.get_running_loop().run_in_executor(lane, self._blocking, host)
        if seconds < _SLOW:
            self._slow.discard(host)
        elif len(self._slow) < _CAPACITY:
            self._slow.add(host)
        if not isinstance(found, Failure):
            entry = _Entry(self._checked(found), self._clock())
            self._remember(host, entry)
            return entry
        # Not remembered: the next probe asks again, and an answer that is still valid outlives a failed refresh.
        return _Entry(found, self._clock())

    def _blocking(self, host: str) -> tuple[list[str] | Failure, float]:
        """Run in a thread. Seconds are measured here, so that waiting for a free thread does not count."""
        started = monotonic()
        found: list[str] | Failure
        try:
            answers = self._lookup(host, None, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except socket.gaierror as error:
            missing = error.errno in _NOT_FOUND
            found = (
                Failure(ProbeReason.DNS_NOT_FOUND, "the name does not exist")
                if missing
                else Failure(ProbeReason.DNS_UNAVAILABLE, "the name server gave no answer")
            )
        except UnicodeError:
            found = Failure(ProbeReason.DNS_NOT_FOUND, "the host is no name that can exist")
        except OSError:
            found = Failure(ProbeReason.DNS_UNAVAILABLE, "the name could not be looked up")
        return found, monotonic() - started

    def _checked(self, addresses: list[str]) -> tuple[str, ...] | Failure:
        # One denied address denies the name: which one is tried would otherwise be the name server's choice.
        for address in addresses:
            if self._policy.refuses(address):
                detail = f"the host is {_kind(address)}, which probes may not reach"
                return Failure(ProbeReason.ADDRESS_DENIED, detail)
        if not addresses:
            return Failure(ProbeReason.DNS_NOT_FOUND, "the name has no address")
        return tuple(addresses)

    def _remember(self, host: str, entry: _Entry) -> None:
        self._known.pop(host, None)
        while len(self._known) >= _CAPACITY:
            self._known.pop(next(iter(self._known)))
        self._known[host] = entry


def _kind(address: str) -> str:
    """Name the class of an address and no more of it: what a name leads to inside may be nobody's business."""
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "a loopback address"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_unspecified:
        return "the unspecified address"
    return "in a denied network"
