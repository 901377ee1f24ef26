"""Level-based work: a key is either dirty or not, one worker at a time looks at it, a failure looks again later."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from lastgood.domain.model import Key
from lastgood.domain.ports import ClusterError, NotLeader

_log = structlog.get_logger(__name__)
_WORKERS, _URGENT_WORKERS = 6, 4
"""More at once do not get more done: the API server's answers come later instead, the urgent ones' too."""
_GIVES_WAY = 1.0
"""How long what is not urgent waits for what is, seconds: each request of its own is one before the others'."""
_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0


class WorkQueue:
    """Calls ``work`` for dirty keys; never two at once for one key. Urgent ones wait behind no others."""

    def __init__(self, work: Callable[[Key], Awaitable[None]]) -> None:
        self._work = work
        self._usual: asyncio.Queue[Key] = asyncio.Queue()
        self._first: asyncio.Queue[Key] = asyncio.Queue()
        self._dirty: set[Key] = set()
        self._urgent: set[Key] = set()
        """Those of the dirty ones that are."""
        self._hurrying = 0
        self._calm = asyncio.Event()
        self._busy: set[Key] = set()
        # Due time and handle: uvloop gives a plain Handle, which knows no time, for what is due at once.
        self._timers: dict[Key, tuple[float, asyncio.Handle]] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Have a look at this key soon, or ``urgent``: before all others."""
        if key in self._dirty and (key in self._urgent or not urgent):
            return
        self._dirty.add(key)
        if urgent:
            self._urgent.add(key)
        if key not in self._busy:
            self._put(key)

    def _put(self, key: Key) -> None:
        # One that became urgent is in both: whoever comes second finds it clean.
        (self._first if key in self._urgent else self._usual).put_nowait(key)

    def add_at(self, key: Key, delay: float, *, urgent: bool = False) -> None:
        """Have a look after ``delay`` seconds; the sooner of two such wishes stands."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, delay)
        due, timer = self._timers.get(key, (0.0, None))
        if timer is not None:
            if due <= when:
                return
            timer.cancel()
        self._timers[key] = (when, loop.call_at(when, self._fire, key, urgent))

    def _fire(self, key: Key, urgent: bool = False) -> None:
        # Forgotten first: a loop may fire a little early, and a timer that has fired must not pass for a pending one.
        self._timers.pop(key, None)
        self.add(key, urgent=urgent)

    def forget(self, key: Key) -> None:
        """Drop timers of a key that is gone."""
        _, timer = self._timers.pop(key, (0.0, None))
        if timer is not None:
            timer.cancel()
        self._failures.pop(key, None)

    def clear(self) -> None:
        """Drop all timers."""
        for key in list(self._timers):
            self.forget(key)

    async def idle(self) -> None:
        """Wait until nothing is dirty."""
        while self._dirty or self._busy:  # noqa: ASYNC110 - asked for once in a process' life, by nobody in a hurry
            await asyncio.sleep(0.05)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._worker())
            for _ in range(_URGENT_WORKERS):
                group.create_task(self._urgent_worker())

    async def _worker(self) -> None:
        while True:
            key = await self._usual.get()
            if self._hurrying:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GIVES_WAY):
                        await self._calm.wait()
            await self._look(key)

    async def _urgent_worker(self) -> None:
        while True:
            key = await self._first.get()
            self._hurrying += 1
            self._calm.clear()
            try:
                await self._look(key)
            finally:
                self._hurrying -= 1
                if not self._hurrying:
                    self._calm.set()

    async def _look(self, key: Key) -> None:
        if key not in self._dirty or key in self._busy:
            return
        self._dirty.discard(key)
        self._urgent.discard(key)
        self._busy.add(key)
        try:
            await self._work(key)
            self._failures.pop(key, None)
        except NotLeader:
            pass
        except ClusterError as error:
            self._retry(key, str(error))
        except Exception:  # noqa: BLE001 - one service's account must never end the operator
            _log.exception("reconcile failed", namespace=key[0], service=key[1])
            self._retry(key, "unexpected error")
        finally:
            self._busy.discard(key)
            if key in self._dirty:
                self._put(key)

    def _retry(self, key: Key, why: str) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** (failures - 1))
        _log.warning("will retry", namespace=key[0], service=key[1], error=why, seconds=delay)
        self.add_at(key, delay)
