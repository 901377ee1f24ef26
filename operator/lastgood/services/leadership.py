"""One replica acts: a Lease of our own, with a deadline that the process checks before every write."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from lastgood.domain.clock import from_text, to_text
from lastgood.domain.ports import ClusterError, LeaseStore, NotLeader

LEASE_SECONDS = 10
"""How long a Lease holds without renewal: a killed leader's successor acts at most this plus RETRY later."""

RENEW_SECONDS = 2.5
"""How often the leader renews and the others look."""

MARGIN_SECONDS = 2.0
"""A leader stops writing this long before its Lease could be taken over: clocks and requests need time."""

_log = structlog.get_logger(__name__)


class Leadership:
    """Holds, or waits for, the Lease.

    ``on_gain`` is called with how many seconds nobody was acting; ``on_loss`` after the fence went up. When only the
    API server is away nobody else can act either: then the fence goes up alone, and ``on_return`` is called when the
    Lease is ours again and nobody had it in between.
    """

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        *,
        on_gain: Callable[[float], Awaitable[None]],
        on_loss: Callable[[], Awaitable[None]],
        on_return: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._identity = identity
        self._on_gain, self._on_loss, self._on_return = on_gain, on_loss, on_return
        self._deadline = 0.0
        self._leading = False
        self._cut_off = False
        """Whether this process led when it last reached the API server, and has not heard of another leader."""
        self._term = -1
        """What the Lease's count of transitions was when this process took it."""
        # Whose renewal was seen last, and when by our own monotonic clock: other machines' clocks are not trusted.
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether writes are allowed right now."""
        return self._leading and time.monotonic() < self._deadline

    def fence(self) -> None:
        """Raise NotLeader unless writes are allowed right now."""
        if not self.leading:
            msg = "this process does not hold the Lease"
            raise NotLeader(msg)

    async def run(self) -> None:
        """Hold or wait until cancelled; gives the Lease back at the end."""
        try:
            while True:
                await self._round()
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            if self._leading:
                self._leading = False
                await self._release()

    async def _round(self) -> None:
        started = time.monotonic()
        try:
            lease = await self._store.read()
            spec = (lease or {}).get("spec") or {}
            holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
            if (holder, renewed) != self._seen:
                self._seen, self._seen_at = (holder, renewed), started
            expired = started - self._seen_at >= LEASE_SECONDS
            if holder in {"", self._identity} or expired:
                gap = self._gap(holder, renewed, started - self._seen_at)
                transitions = int(spec.get("leaseTransitions") or 0) + (holder != self._identity)
                same_term = transitions == self._term
                written = await self._store.write(
                    {
                        "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]} if lease else {},
                        "spec": {
                            "holderIdentity": self._identity,
                            "leaseDurationSeconds": LEASE_SECONDS,
                            "acquireTime": to_text(time.time())
                            if holder != self._identity
                            else spec.get("acquireTime") or to_text(time.time()),
                            "renewTime": to_text(time.time()),
                            "leaseTransitions": transitions,
                        },
                    }
                )
                # Ours is what was seen last, even when the very next look finds no API server.
                self._seen, self._seen_at = (self._identity, written["spec"]["renewTime"]), started
                # Counted from before the request: the others may have seen the renewal at once.
                self._deadline = started + LEASE_SECONDS - MARGIN_SECONDS
                self._term = transitions
                await self._begin(gap, same_term=same_term)
                return
        except ClusterError as error:
            _log.warning("lease not renewed", error=str(error))
        if (self._leading or self._cut_off) and self._seen[0] != self._identity:
            self._leading = self._cut_off = False
            _log.warning("leadership lost", holder=self._seen[0])
            await self._on_loss()
        elif self._leading and time.monotonic() >= self._deadline:
            self._leading, self._cut_off = False, True
            _log.warning("cut off from the API server: probing goes on, nothing is written")

    async def _begin(self, gap: float, *, same_term: bool) -> None:
        if self._leading:
            return
        was_cut_off, self._cut_off = self._cut_off, False
        if was_cut_off and same_term:
            self._leading = True
            _log.info("leading again", identity=self._identity)
            await self._on_return()
            return
        if was_cut_off:
            # Somebody else led in between: what is remembered here is not what was decided last.
            await self._on_loss()
        self._leading = True
        _log.info("leading", identity=self._identity, unobserved_seconds=round(gap, 1))
        await self._on_gain(gap)

    @staticmethod
    def _gap(holder: str, renewed: str, unrenewed: float) -> float:
        """For how long nobody acted; no less than what we saw of it, since the other's clock may be wrong."""
        if not holder and not renewed:
            return 0.0
        seen = unrenewed if holder else 0.0
        try:
            return max(seen, time.time() - from_text(renewed))
        except ValueError:
            return seen

    async def _release(self) -> None:
        """Let the next one start at once; its clock reads how long nobody was looking from renewTime."""
        try:
            lease = await self._store.read()
            if lease and (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                await self._store.write(
                    {**lease, "spec": {**lease["spec"], "holderIdentity": "", "renewTime": to_text(time.time())}}
                )
        except ClusterError as error:
            _log.info("lease not released", error=str(error))
