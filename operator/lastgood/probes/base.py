"""What every probe shares: the deadline, the stop-watch, and turning whatever goes wrong into an Outcome.

No text of an exception from outside ever reaches an Outcome. Such texts carry URLs with their queries, DSNs and
pieces of what the server sent; each failure has a sentence of our own instead.
"""

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from enum import StrEnum
from time import perf_counter

from lastgood.domain.outcome import Outcome, ProbeReason

_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""System errors that speak of the operator's own limits: out of descriptors, memory or local ports."""

_SHOWN = 80
"""Characters of a spec's text that a detail repeats: it must fit beside others in one condition message."""


class Failure(Exception):
    """A probe's end with a reason and a detail that is safe to show."""

    def __init__(self, reason: ProbeReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Phase(StrEnum):
    """What a probe is busy with, as a time-out names it."""

    LOOKUP = "looking up the name"
    CONNECT = "connecting"
    TLS = "in the TLS handshake"
    LOGIN = "logging in"
    ANSWER = "waiting for the answer"
    BODY = "reading the body"


class Progress:
    """How far one run has come, out of how many seconds. Written by whoever is at work, read when time runs out."""

    __slots__ = ("phase", "seconds")

    def __init__(self, seconds: float) -> None:
        self.phase = Phase.LOOKUP
        self.seconds = seconds

    def timed_out(self) -> Failure:
        """Say what the deadline means in this phase."""
        if self.phase is Phase.LOOKUP:
            # The service was never asked: a silent name server says nothing about it.
            return Failure(ProbeReason.DNS_UNAVAILABLE, "no answer from the name server in time")
        return Failure(ProbeReason.TIMEOUT, f"time ran out while {self.phase}")


class TimedProbe(ABC):
    """A probe that ends within ``timeout`` seconds and never raises besides CancelledError."""

    def __init__(self, *, timeout: float, host: str) -> None:
        self.timeout = timeout
        self.host = host.lower()
        """What a cap per host counts by."""

    @abstractmethod
    async def ask(self, progress: Progress) -> None:
        """Ask once; return when all is well, raise Failure otherwise. Leaves nothing open when cancelled."""

    async def run(self) -> Outcome:
        """Ask once and say how it went."""
        started = perf_counter()
        progress = Progress(self.timeout)
        reason, detail = ProbeReason.OK, ""
        deadline = asyncio.timeout(self.timeout)
        try:
            async with deadline:
                await self.ask(progress)
        except Exception as error:  # noqa: BLE001 - one broken probe must not end the loop that runs them all
            failure = progress.timed_out() if deadline.expired() else as_failure(error)
            reason, detail = failure.reason, failure.detail
        return Outcome(reason, detail, perf_counter() - started)

    async def aclose(self) -> None:  # noqa: B027 - most probes keep nothing
        """Let go of kept connections."""


def as_failure(error: Exception) -> Failure:
    """Name an exception by its type and number, never by its text."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return system_failure(error.errno)
    return Failure(ProbeReason.PROBER_ERROR, type(error).__name__)


def system_failure(number: int) -> Failure:
    """Name a system error by its number."""
    if number in _OURS:
        return Failure(ProbeReason.PROBER_ERROR, f"the operator itself: {os.strerror(number)}")
    if number == errno.ECONNREFUSED:
        return Failure(ProbeReason.CONNECTION_REFUSED, "the port is closed")
    return Failure(ProbeReason.CONNECTION_FAILED, os.strerror(number))


def shown(text: str) -> str:
    """Quote a text of the spec, cut where it is long."""
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…"'


class ServerFull(Failure):
    """The server answered that it has no room for another client."""


class HungUp(Failure):
    """The server ended the connection in place of an answer."""


class NotPermitted(Failure):
    """The server let us in, and may not do for us what was asked."""
