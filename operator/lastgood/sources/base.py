"""What every source shares: the deadline, and turning whatever goes wrong into Nothing with a sentence of our own.

As with probes, no text of an exception from outside, and nothing of an answer, ever reaches a sample.
"""

import asyncio
from abc import ABC, abstractmethod

from lastgood.domain.measure import Nothing, Sample, Silence
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Progress, as_failure

_REASONS = {
    ProbeReason.TIMEOUT: Silence.TIMEOUT,
    ProbeReason.ADDRESS_DENIED: Silence.DENIED,
    ProbeReason.PROTOCOL_ERROR: Silence.NOT_UNDERSTOOD,
}


class Quiet(Exception):
    """A look that told nothing, with a detail that is safe to show."""

    def __init__(self, reason: Silence, detail: str) -> None:
        super().__init__(detail)
        self.nothing = Nothing(reason, detail)


class TimedSource(ABC):
    """A source that ends within ``timeout`` seconds and never raises besides CancelledError."""

    def __init__(self, *, timeout: float, host: str) -> None:
        self.timeout = timeout
        self.host = host.lower()
        """What a cap per host counts by."""

    @abstractmethod
    async def look(self, progress: Progress) -> Sample:
        """Look once; raise Failure or Quiet when there is nothing. Leaves nothing open when cancelled."""

    async def sample(self) -> Sample:
        """Look once and say what there is."""
        progress = Progress(self.timeout)
        deadline = asyncio.timeout(self.timeout)
        try:
            async with deadline:
                return await self.look(progress)
        except Exception as error:  # noqa: BLE001 - one broken source must not end the loop that samples them all
            if deadline.expired():
                return nothing_of(progress.timed_out())
            return nothing_of(error)

    async def aclose(self) -> None:  # noqa: B027 - most sources keep nothing
        """Let go of what is kept."""


def nothing_of(error: Exception) -> Nothing:
    """Why there is no observation."""
    if isinstance(error, Quiet):
        return error.nothing
    failure: Failure = as_failure(error)
    return Nothing(_REASONS.get(failure.reason, Silence.SOURCE_DOWN), failure.detail)
