"""One heap and one loop for all probes.

Due probes are started in ticks: at a few hundred a second most of the cost is waking up, not asking. A due time
is the one before plus the interval, whatever happened in between, so nothing drifts.
"""

import asyncio
import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from lastgood.domain.model import Key
from lastgood.domain.outcome import Outcome, ProbeReason

TICK = 0.05
HOST_CAP = 32
"""Probes in flight to one host; the others wait their turn."""

FIRST_WITHIN = 0.5
"""Seconds over which the first probes of a few services are spread; the second ones over half of their interval."""

STARTS_PER_SECOND = 333
"""First probes are spread at least this thin, so that a restart with 10,000 services is no burst."""


class Runs(Protocol):
    """What is run when it is due: a probe gives an Outcome, a source a Sample."""

    @property
    def host(self) -> str:
        """What the cap per host counts by."""
        ...

    async def run(self) -> Any:
        """Ask once. Never raises besides CancelledError, and ends in time."""
        ...

    async def aclose(self) -> None:
        """Let go of what is kept."""
        ...


def prober_error(error: Exception) -> Outcome:
    """What a fault of ours is told as: it says nothing about the service."""
    return Outcome(ProbeReason.PROBER_ERROR, type(error).__name__)


OnOutcome = Callable[[Key, str, str, Any], None]


@dataclass(slots=True, eq=False)
class Slot:
    """One probe of one service on the heap."""

    key: Key
    name: str
    kind: str
    probe: Runs
    interval: float
    due: float = 0.0
    asked: float = 0.0
    """When the run that is in flight, or waits for its turn, was due."""
    gap: float = 0.0
    """From the due time to the next one, where that is not the interval."""
    gone: bool = False
    in_flight: bool = False
    task: asyncio.Task[None] | None = None


class Fleet:
    """Runs probes when they are due and hands each outcome to ``on_outcome``."""

    def __init__(
        self,
        on_outcome: OnOutcome,
        *,
        on_lag: Callable[[float], None] = lambda _: None,
        on_skip: Callable[[], None] = lambda: None,
        on_fault: Callable[[Exception], Any] = prober_error,
    ) -> None:
        self._on_fault = on_fault
        self._on_outcome, self._on_lag, self._on_skip = on_outcome, on_lag, on_skip
        self._heap: list[tuple[float, int, Slot]] = []
        self._slots: dict[Key, list[Slot]] = {}
        self._count = 0
        self._next_first = 0.0
        self._order = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hosts: dict[str, int] = {}
        self._queues: dict[str, deque[Slot]] = {}

    def __len__(self) -> int:
        return self._count

    def put(self, key: Key, slots: Iterable[Slot]) -> None:
        """Have exactly these probes for a service, from now on; running ones of before are not listened to."""
        self.remove(key)
        fresh = list(slots)
        self._slots[key] = fresh
        self._count += len(fresh)
        now = asyncio.get_running_loop().time()
        for slot in fresh:
            # One after the other at the rate that was asked for; a few at a time are spread by their names.
            self._next_first = max(self._next_first, now) + 1 / STARTS_PER_SECOND
            # No checksum: those of web-1, web-2, web-3 lie close together.
            name = f"{key[0]}/{key[1]}/{slot.name}".encode()
            place = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big") / 2**32
            queue = self._next_first - now
            wait = max(place * FIRST_WITHIN, queue)
            # Who would have to queue for longer than an interval comes somewhere within it, not all at its end.
            slot.due = now + (wait if wait <= slot.interval else place * slot.interval)
            # Else services that were made together would be asked together ever after. Those that had to queue for
            # their first run are apart already, and would be a second crowd.
            slot.gap = slot.interval * (1 - place / 2 * max(0.0, 1 - 8 * queue / slot.interval))
            self._push(slot)

    def remove(self, key: Key) -> None:
        """Stop probing a service."""
        for slot in self._slots.pop(key, ()):
            slot.gone = True
            self._count -= 1
            self._spawn(slot.probe.aclose())

    def poke(self, key: Key) -> None:
        """Probe a service at once, besides its schedule."""
        now = asyncio.get_running_loop().time()
        for slot in self._slots.get(key, ()):
            slot.asked = now
            self._start(slot, now)

    def _push(self, slot: Slot) -> None:
        self._order += 1
        heapq.heappush(self._heap, (slot.due, self._order, slot))
        if self._heap[0][2] is slot:
            self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        loop = asyncio.get_running_loop()
        beat = loop.time()
        try:
            while True:
                now = loop.time()
                # Kept where it came late: else each delay moves all ticks after it, and more probes than due wait.
                beat = beat if now - beat < TICK else now
                while self._heap and self._heap[0][0] <= now:
                    slot = heapq.heappop(self._heap)[2]
                    if slot.gone:
                        continue
                    if slot.in_flight:
                        self._on_skip()
                    else:
                        slot.asked = slot.due
                        self._start(slot, now)
                    slot.due += slot.gap
                    slot.gap = slot.interval
                    if slot.due <= now:
                        # Whole intervals missed (a suspended machine) are left out; the phase stays.
                        slot.due += slot.interval * ((now - slot.due) // slot.interval + 1)
                    self._push(slot)
                self._wake.clear()
                beat += TICK
                if self._heap and self._heap[0][0] <= beat:
                    await asyncio.sleep(beat - loop.time())
                else:
                    try:
                        async with asyncio.timeout(self._heap[0][0] - now if self._heap else None):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                    beat = loop.time()
        finally:
            # Those that end make room for those that wait, which must not start now.
            self._queues.clear()
            running = list(self._tasks)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _start(self, slot: Slot, now: float) -> None:
        if slot.in_flight or slot.gone:
            return
        slot.in_flight = True
        host = slot.probe.host
        busy = self._hosts.get(host, 0)
        if busy >= HOST_CAP:
            self._queues.setdefault(host, deque()).append(slot)
            return
        self._hosts[host] = busy + 1
        # The wait for a place at the host included: it is a delay like any other.
        self._on_lag(now - slot.asked)
        slot.task = task = asyncio.get_running_loop().create_task(self._run(slot))
        self._tasks.add(task)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, slot: Slot) -> None:
        try:
            try:
                outcome = await slot.probe.run()
            except Exception as error:  # noqa: BLE001 - a fault of ours says nothing about the service
                outcome = self._on_fault(error)
            if not slot.gone:
                self._on_outcome(slot.key, slot.name, slot.kind, outcome)
        finally:
            slot.in_flight = False
            # Not by a callback of the task's, which would be one more turn of the loop for each probe.
            if slot.task is not None:
                self._tasks.discard(slot.task)
            host = slot.probe.host
            left = self._hosts.get(host, 1) - 1
            if left:
                self._hosts[host] = left
            else:
                self._hosts.pop(host, None)
            if self._queues:
                self._next_of(host)

    def _next_of(self, host: str) -> None:
        """Start who waits longest for this host; those that were removed meanwhile make room for the next."""
        queue = self._queues.get(host)
        while queue:
            waiting = queue.popleft()
            waiting.in_flight = False
            if not waiting.gone:
                self._start(waiting, asyncio.get_running_loop().time())
                break
        if queue is not None and not queue:
            self._queues.pop(host, None)
