"""One replica acts. The store here is a fake: a Lease in memory, with the API server's rule about versions."""

import asyncio
import contextlib
import copy
import time
from typing import Any

import pytest

from lastgood.domain.clock import from_text
from lastgood.domain.ports import ClusterError, NotLeader
from lastgood.services import leadership as module
from lastgood.services.leadership import LEASE_SECONDS, MARGIN_SECONDS, RENEW_SECONDS, Leadership

pytestmark = pytest.mark.looptime


class FakeStore:
    """A fake of the Lease: in memory, a write with an old version is a conflict, and it may be cut off."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away: set[str] = set()

    def seen_by(self, who: str) -> "FakeView":
        return FakeView(self, who)


class FakeView:
    """The fake Lease as one process reaches it."""

    def __init__(self, store: FakeStore, who: str) -> None:
        self.store, self.who = store, who
        self.hang: asyncio.Event | None = None

    async def _reach(self) -> None:
        if self.hang is not None:
            await self.hang.wait()
        if self.who in self.store.away:
            raise ClusterError(0, "no route")

    async def read(self) -> dict[str, Any] | None:
        await self._reach()
        return copy.deepcopy(self.store.lease)

    async def write(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._reach()
        has = str(self.store.version) if self.store.lease else None
        if lease["metadata"].get("resourceVersion") != has:
            raise ClusterError(409, "conflict")
        self.store.version += 1
        self.store.lease = {**copy.deepcopy(lease), "metadata": {"resourceVersion": str(self.store.version)}}
        return self.store.lease


class Replica:
    """A process that wants to lead, with a diary."""

    def __init__(self, store: FakeStore, name: str) -> None:
        self.name = name
        self.view = store.seen_by(name)
        self.gains: list[tuple[float, float]] = []
        self.losses: list[float] = []
        self.returns: list[float] = []
        self.leadership = Leadership(self.view, name, on_gain=self._gain, on_loss=self._loss, on_return=self._return)
        self.task: asyncio.Task[None] | None = None

    async def _gain(self, unobserved: float) -> None:
        assert self.leads
        self.gains.append((now(), unobserved))

    async def _loss(self) -> None:
        assert not self.leads
        self.losses.append(now())

    async def _return(self) -> None:
        assert self.leads
        self.returns.append(now())

    @property
    def leads(self) -> bool:
        try:
            self.leadership.fence()
        except NotLeader:
            return False
        return True

    def start(self) -> "Replica":
        self.task = asyncio.create_task(self.leadership.run())
        return self

    async def stop(self) -> None:
        """An orderly end: the Lease is given back."""
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def kill(self, store: FakeStore) -> None:
        """An end without a last word."""
        store.away.add(self.name)
        await self.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clocks follow the loop's, which is a virtual one."""

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return 1000 + now()

        @staticmethod
        def time() -> float:
            return 1_800_000_000 + now()

    assert module.time is time
    monkeypatch.setattr(module, "time", Clock)


async def test_the_first_one_leads_at_once_and_the_second_waits() -> None:
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(60)
    assert [r.leads for r in (a, b)] == [True, False]
    assert (a.gains, b.gains, a.losses) == ([(0, 0.0)], [], [])
    await a.stop()
    await b.stop()


async def test_before_it_leads_nothing_may_be_written() -> None:
    with pytest.raises(NotLeader, match="this process does not hold the Lease"):
        Replica(FakeStore(), "a").leadership.fence()


@pytest.mark.parametrize("after", [0.3, 1.0, 2.4, 7.6])
async def test_a_killed_leader_is_followed_within_15_seconds(after: float) -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(after)
    b = Replica(store, "b").start()
    await asyncio.sleep(20)
    killed = now()
    await a.kill(store)
    await asyncio.sleep(30)
    ((gained, unobserved),) = b.gains
    # Not before the Lease could have run out, and then as soon as it is looked at.
    assert LEASE_SECONDS - RENEW_SECONDS <= gained - killed <= 15
    assert unobserved == pytest.approx(gained - killed, abs=RENEW_SECONDS + 0.01)
    await b.stop()


@pytest.mark.parametrize("after", [20.0, 20.7, 21.9])
async def test_a_leader_that_is_cut_off_stops_before_another_begins(after: float) -> None:
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(after)
    store.away.add("a")
    both = []
    for _ in range(600):
        await asyncio.sleep(0.05)
        both.append((a.leads, b.leads))
    assert (True, True) not in both
    assert both[-1] == (False, True)
    silent = sum(1 for leads in both if leads == (False, False)) * 0.05
    assert silent >= MARGIN_SECONDS - 0.1
    assert a.losses == [], "it has not heard of the other one yet"
    store.away.clear()
    await asyncio.sleep(RENEW_SECONDS + 0.1)
    assert (len(a.losses), a.returns, a.leads) == (1, [], False)
    await b.stop()
    await a.stop()


async def test_the_fence_goes_up_by_the_clock_while_a_request_hangs() -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(0.1)
    a.view.hang = asyncio.Event()
    await asyncio.sleep(LEASE_SECONDS - MARGIN_SECONDS - 0.2)
    assert a.leads
    await asyncio.sleep(0.2)
    with pytest.raises(NotLeader):
        a.leadership.fence()
    a.view.hang.set()
    await a.stop()


async def test_a_short_failure_of_the_server_loses_nothing() -> None:
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(10)
    store.away.update({"a", "b"})
    await asyncio.sleep(5)
    store.away.clear()
    await asyncio.sleep(20)
    assert ([r.leads for r in (a, b)], len(a.gains), a.losses) == ([True, False], 1, [])
    await a.stop()
    await b.stop()


async def test_when_only_the_server_was_away_the_leader_goes_on_where_it_is() -> None:
    """It has looked all the time, so there is no gap to be told of."""
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(10)
    store.away.update({"a", "b"})
    await asyncio.sleep(9)
    assert (a.leads, a.losses) == (False, [])
    store.away.clear()
    await asyncio.sleep(RENEW_SECONDS + 0.1)
    assert (a.leads, len(a.gains), len(a.returns), a.losses, b.gains) == (True, 1, 1, [], [])
    await asyncio.sleep(60)
    assert (len(a.returns), b.gains) == (1, [])
    await a.stop()
    await b.stop()


async def test_who_comes_back_after_another_led_begins_anew_and_is_told_of_the_gap() -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(10)
    store.away.add("a")
    b = Replica(store, "b").start()
    await asyncio.sleep(15)
    await b.kill(store)
    killed = now()
    await asyncio.sleep(20)
    store.away.discard("a")
    await asyncio.sleep(LEASE_SECONDS + RENEW_SECONDS + 0.1)
    assert (a.leads, len(a.losses), len(a.gains), a.returns) == (True, 1, 2, [])
    assert a.gains[1][1] == pytest.approx(a.gains[1][0] - killed, abs=RENEW_SECONDS + 0.1)
    await a.stop()


async def test_another_that_led_and_left_while_it_was_cut_off_is_noticed() -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(10)
    store.away.add("a")
    b = Replica(store, "b").start()
    await asyncio.sleep(15)
    await b.stop()
    store.away.clear()
    await asyncio.sleep(RENEW_SECONDS + 0.1)
    assert (a.leads, len(a.losses), len(a.gains), a.returns) == (True, 1, 2, [])
    await a.stop()


async def test_a_gap_is_no_shorter_than_what_was_seen_of_it() -> None:
    """The other machine's clock is an hour ahead: its last renewal seems not to have come yet."""
    store = FakeStore()
    store.version = 1
    spec = {"holderIdentity": "other", "renewTime": "2027-01-15T09:00:00Z"}
    store.lease = {"metadata": {"resourceVersion": "1"}, "spec": spec}
    b = Replica(store, "b").start()
    await asyncio.sleep(LEASE_SECONDS + RENEW_SECONDS)
    ((_, unobserved),) = b.gains
    assert unobserved >= LEASE_SECONDS
    await b.stop()


async def test_an_orderly_end_lets_the_next_one_in_at_its_next_look() -> None:
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(21)
    stopped = now()
    await a.stop()
    assert not a.leads
    await asyncio.sleep(RENEW_SECONDS)
    ((gained, unobserved),) = b.gains
    assert gained - stopped <= RENEW_SECONDS
    assert unobserved == pytest.approx(gained - stopped, abs=0.01)
    await b.stop()


async def test_who_does_not_lead_gives_nothing_back() -> None:
    store = FakeStore()
    a, b = Replica(store, "a").start(), Replica(store, "b").start()
    await asyncio.sleep(10)
    await b.stop()
    assert store.lease is not None
    assert store.lease["spec"]["holderIdentity"] == "a"
    await a.stop()


async def test_of_two_that_want_an_expired_lease_one_gets_it() -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(1)
    b, c = Replica(store, "b").start(), Replica(store, "c").start()
    await asyncio.sleep(10)
    await a.kill(store)
    await asyncio.sleep(30)
    assert sorted([b.leads, c.leads]) == [False, True]
    assert len(b.gains) + len(c.gains) == 1
    await b.stop()
    await c.stop()


async def test_a_clock_that_is_wrong_on_another_machine_takes_nothing_away() -> None:
    """renewTime an hour ago, but moving: who wrote it is alive."""
    store = FakeStore()
    b = Replica(store, "b")
    for beat in range(30):
        store.version += 1
        stamp = f"2027-01-15T06:00:{beat:02}Z"
        store.lease = {
            "metadata": {"resourceVersion": str(store.version)},
            "spec": {"holderIdentity": "other", "renewTime": stamp},
        }
        if beat == 0:
            b.start()
        await asyncio.sleep(2)
    assert b.gains == []
    await asyncio.sleep(15)
    assert len(b.gains) == 1
    await b.stop()


async def test_what_the_lease_says() -> None:
    store = FakeStore()
    a = Replica(store, "a").start()
    await asyncio.sleep(6)
    await a.stop()
    b = Replica(store, "b").start()
    await asyncio.sleep(6)
    assert store.lease is not None
    spec = store.lease["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("b", 10, 2)
    assert from_text(spec["acquireTime"]) == pytest.approx(1_800_000_006, abs=0.01)
    assert from_text(spec["renewTime"]) == pytest.approx(1_800_000_011, abs=0.01)
    await b.stop()
