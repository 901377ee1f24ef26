"""What sources share that ask a server: the deadline, and turning whatever goes wrong into Nothing.

As with probes, no text of an exception from outside reaches a sample.
"""

import asyncio
from abc import ABC, abstractmethod
from time import perf_counter

from lastgood.domain.answers import at_least
from lastgood.domain.measure import Nothing, Sample, Silence
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, HungUp, NotPermitted, Progress, as_failure

_SILENCES = {
    ProbeReason.TIMEOUT: Silence.TIMEOUT,
    ProbeReason.AUTHENTICATION_FAILED: Silence.DENIED,
    ProbeReason.ADDRESS_DENIED: Silence.DENIED,
    ProbeReason.PROTOCOL_ERROR: Silence.NOT_UNDERSTOOD,
}
"""All other reasons mean that the server is down, or that nobody knows."""


class Watch(Progress):
    """How far one sample has come, and when the clock was started that a latency is read from."""

    __slots__ = ("began",)

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.began: float | None = None

    def start(self) -> None:
        """Start the clock."""
        self.began = perf_counter()

    def elapsed(self) -> float:
        """Seconds since the clock was started."""
        return perf_counter() - (self.began or 0.0)


class AskingSource(ABC):
    """A source that ends within ``timeout`` seconds and never raises besides CancelledError."""

    def __init__(self, *, timeout: float, host: str, bounds: tuple[float, ...]) -> None:
        self._timeout = timeout
        self._bounds = bounds
        self.host = host.lower()
        """What a cap per host counts by."""

    @abstractmethod
    async def ask(self, watch: Watch) -> Sample:
        """Ask once. Raises Failure. Leaves nothing open when cancelled."""

    async def sample(self) -> Sample:
        """See the port."""
        watch = Watch(self._timeout)
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                return await self.ask(watch)
        except Exception as error:  # noqa: BLE001 - one broken source must not end the loop that samples them all
            failure = watch.timed_out() if deadline.expired() else as_failure(error)
        if failure.reason is ProbeReason.TIMEOUT and watch.began is not None:
            return at_least(watch.elapsed(), self._bounds)
        return silence(failure)

    async def aclose(self) -> None:  # noqa: B027 - the port's, and nothing to do
        """See the port. Every sample has a connection of its own."""


def silence(failure: Failure) -> Nothing:
    """What a failure means for an observation."""
    if isinstance(failure, NotPermitted):
        return Nothing(Silence.DENIED, f"the login may not do this ({failure.detail})")
    if isinstance(failure, HungUp):
        return Nothing(Silence.SOURCE_DOWN, failure.detail)
    return Nothing(_SILENCES.get(failure.reason, Silence.SOURCE_DOWN), failure.detail)
