"""What every probe shares: the deadline, the stop-watch, and turning whatever goes wrong into an Outcome.

No text of an exception from outside ever reaches an Outcome. Such texts carry URLs with their queries, DSNs and
pieces of what the server sent; each failure has a sentence of our own instead.
"""

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from time import perf_counter
from typing import Any, cast

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


class Phase:
    """What a probe is busy with, as a time-out names it.

    No enum: Python 3.11 calls a function for each look at a member, and a probe goes through most of these.
    """

    LOOKUP = "looking up the name"
    CONNECT = "connecting"
    TLS = "in the TLS handshake"
    LOGIN = "logging in"
    ANSWER = "waiting for the answer"
    BODY = "reading the body"


class Progress:
    """How far one run has come, out of how many seconds. Written by whoever is at work, read when time runs out."""

    __slots__ = ("loop", "phase", "seconds")

    def __init__(self, seconds: float) -> None:
        self.phase = Phase.LOOKUP
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        """Looked up once a run: Python 3.11 asks the kernel for the process's id each time."""

    def timed_out(self) -> Failure:
        """Say what the deadline means in this phase."""
        if self.phase == Phase.LOOKUP:
            # The service was never asked: a silent name server says nothing about it.
            return Failure(ProbeReason.DNS_UNAVAILABLE, "no answer from the name server in time")
        return Failure(ProbeReason.TIMEOUT, f"time ran out while {self.phase}")


class _Deadline:
    """Cancels the running task when its time is up: ``asyncio.timeout`` without the two coroutines that it takes."""

    __slots__ = ("_passed", "_task", "timer")

    def __init__(self, progress: Progress) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task(progress.loop))
        self._passed = False
        self.timer = progress.loop.call_later(progress.seconds, self._pass)

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()

    def ours(self) -> bool:
        """Whether time ran out and nobody else wanted the task cancelled; takes the cancellation back."""
        return self._passed and self._task.uncancel() <= 0


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
        deadline = _Deadline(progress)
        try:
            await self.ask(progress)
        except asyncio.CancelledError:
            if not deadline.ours():
                raise
            return _told(progress.timed_out(), started)
        except Exception as error:  # noqa: BLE001 - one broken probe must not end the loop that runs them all
            return _told(progress.timed_out() if deadline.ours() else as_failure(error), started)
        else:
            deadline.ours()
            return Outcome(ProbeReason.OK, "", perf_counter() - started)
        finally:
            deadline.timer.cancel()

    async def aclose(self) -> None:  # noqa: B027 - most probes keep nothing
        """Let go of kept connections."""


def _told(failure: Failure, started: float) -> Outcome:
    # Apart from the frame that the failure's traceback holds: a cycle would keep its sockets until it is collected.
    return Outcome(failure.reason, failure.detail, perf_counter() - started)


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
