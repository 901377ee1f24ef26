"""One heap, one loop: when probes run, and that none of them is in the way of another."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable

import pytest

from lastgood.domain.model import Key
from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.services.fleet import HOST_CAP, STARTS_PER_SECOND, TICK, Fleet, Slot

pytestmark = pytest.mark.looptime

A: Key = ("default", "a")
B: Key = ("default", "b")
OK = Outcome(ProbeReason.OK)


def now() -> float:
    return asyncio.get_running_loop().time()


class Asked:
    """A probe that takes as long as it is told and notes when it began."""

    def __init__(
        self, seconds: Callable[[], float] = lambda: 0.0, host: str = "h", error: Exception | None = None
    ) -> None:
        self.host = host
        self.begun: list[float] = []
        self.closed = 0
        self.running = 0
        self.most = 0
        self._seconds, self._error = seconds, error

    async def run(self) -> Outcome:
        self.begun.append(now())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self._seconds())
        finally:
            self.running -= 1
        if self._error is not None:
            raise self._error
        return OK

    async def aclose(self) -> None:
        self.closed += 1


class Diary:
    """What the fleet tells: outcomes with their time, lags, skipped runs."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[Key, str, Outcome, float]] = []
        self.lags: list[float] = []
        self.skipped = 0

    def outcome(self, key: Key, name: str, kind: str, outcome: Outcome) -> None:
        self.outcomes.append((key, name, outcome, now()))

    def skip(self) -> None:
        self.skipped += 1


@contextlib.asynccontextmanager
async def running(diary: Diary) -> AsyncIterator[Fleet]:
    fleet = Fleet(diary.outcome, on_lag=diary.lags.append, on_skip=diary.skip)
    task = asyncio.create_task(fleet.run())
    await asyncio.sleep(0)
    try:
        yield fleet
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def slot(probe: Asked, key: Key = A, name: str = "p", interval: float = 30) -> Slot:
    return Slot(key=key, name=name, kind="tcp", probe=probe, interval=interval)


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in itertools.pairwise(times)]


async def test_the_phase_is_kept_over_a_thousand_runs() -> None:
    """Others are due a few milliseconds earlier, so that most runs begin a little late: lateness must not add up."""
    probes = [Asked(lambda: 0.7, host=f"h{n}") for n in range(40)]
    async with running(Diary()) as fleet:
        for n, probe in enumerate(probes):
            fleet.put(("default", f"s{n}"), [slot(probe, ("default", f"s{n}"), interval=1)])
        await asyncio.sleep(1001)
    for probe in probes:
        assert len(probe.begun) in {1000, 1001}
        # From the second on: it finds its own place in the interval.
        places = [at - n for n, at in enumerate(probe.begun[1:])]
        assert max(places) - min(places) <= TICK + 0.01


async def test_first_runs_are_spread_no_denser_than_asked() -> None:
    diary, count = Diary(), 3 * STARTS_PER_SECOND
    async with running(diary) as fleet:
        for n in range(count):
            fleet.put(("default", f"s{n}"), [slot(Asked(host=f"h{n}"), ("default", f"s{n}"), interval=60)])
        assert len(fleet) == count
        await asyncio.sleep(10)
    firsts = sorted(at for *_, at in diary.outcomes)
    assert len(firsts) == count
    densest = max(sum(1 for at in firsts if start <= at < start + 0.5) for start in (0, 0.5, 1, 1.5, 2, 2.5))
    assert densest < STARTS_PER_SECOND
    assert firsts[-1] <= 3.1


async def test_a_first_run_is_within_the_interval() -> None:
    probes = [Asked() for _ in range(50)]
    async with running(Diary()) as fleet:
        for n, probe in enumerate(probes):
            fleet.put(("default", f"s{n}"), [slot(probe, ("default", f"s{n}"), interval=1)])
        await asyncio.sleep(1 + 2 * TICK)
    assert all(probe.begun for probe in probes)


async def test_a_run_that_is_not_over_is_not_begun_again_and_the_phase_stays() -> None:
    diary, probe = Diary(), Asked(lambda: 2.5)
    async with running(diary) as fleet:
        fleet.put(A, [slot(probe, interval=1)])
        await asyncio.sleep(20)
    assert probe.most == 1
    assert all(gap == pytest.approx(3, abs=2 * TICK) for gap in gaps(probe.begun)[1:])
    assert diary.skipped == pytest.approx(13, abs=1)


async def test_a_probe_that_hangs_delays_nobody() -> None:
    hanging, other = [Asked(lambda: 1e6, host="dead") for _ in range(200)], Asked(host="alive")
    async with running(Diary()) as fleet:
        for n, probe in enumerate(hanging):
            fleet.put(("default", f"s{n}"), [slot(probe, ("default", f"s{n}"), interval=1)])
        fleet.put(B, [slot(other, B, interval=1)])
        await asyncio.sleep(30)
    assert gaps(other.begun) == pytest.approx([1] * len(gaps(other.begun)), abs=2 * TICK)
    assert len(other.begun) >= 29


async def test_no_more_than_the_cap_ask_one_host_at_once_and_all_have_their_turn() -> None:
    busy, most = 0, 0

    class Counted(Asked):
        async def run(self) -> Outcome:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            try:
                return await super().run()
            finally:
                busy -= 1

    probes = [Counted(lambda: 5) for _ in range(3 * HOST_CAP)]
    async with running(Diary()) as fleet:
        for n, probe in enumerate(probes):
            fleet.put(("default", f"s{n}"), [slot(probe, ("default", f"s{n}"), interval=60)])
        await asyncio.sleep(30)
    assert most == HOST_CAP
    assert [len(p.begun) for p in probes] == [1] * len(probes)


async def test_who_is_removed_while_it_waits_for_a_host_holds_up_nobody() -> None:
    blockers = [Asked(lambda: 10), *(Asked(lambda: 1e6) for _ in range(HOST_CAP - 1))]
    gone, last = Asked(), Asked()
    diary = Diary()
    async with running(diary) as fleet:
        fleet.put(B, [slot(p, B, f"b{n}", 1e9) for n, p in enumerate(blockers)])
        fleet.poke(B)
        fleet.put(("default", "gone"), [slot(gone, ("default", "gone"))])
        fleet.poke(("default", "gone"))
        fleet.put(A, [slot(last)])
        fleet.poke(A)
        fleet.remove(("default", "gone"))
        await asyncio.sleep(10.5)
    assert gone.begun == []
    assert last.begun
    assert last.begun[0] == pytest.approx(10, abs=0.01)


async def test_put_replaces_at_once_and_what_runs_still_is_not_listened_to() -> None:
    diary = Diary()
    old, new = Asked(lambda: 3), Asked()
    async with running(diary) as fleet:
        fleet.put(A, [slot(old, name="old", interval=5)])
        fleet.poke(A)
        await asyncio.sleep(1)
        fleet.put(A, [slot(new, name="new", interval=5)])
        assert len(fleet) == 1
        await asyncio.sleep(30)
    assert len(old.begun) == 1
    assert old.closed == 1
    assert {name for _, name, *_ in diary.outcomes} == {"new"}
    assert len(new.begun) in {6, 7}


async def test_a_removed_service_is_not_asked_again_and_lets_go_of_its_connections() -> None:
    diary, probe, other = Diary(), Asked(), Asked()
    async with running(diary) as fleet:
        fleet.put(A, [slot(probe, interval=1)])
        fleet.put(B, [slot(other, B, interval=1)])
        await asyncio.sleep(5)
        before = len(probe.begun)
        fleet.remove(A)
        fleet.remove(A)
        assert len(fleet) == 1
        await asyncio.sleep(5)
    assert len(probe.begun) == before > 0
    assert probe.closed == 1
    assert len(other.begun) > before


async def test_a_poke_asks_at_once_once_and_leaves_the_schedule_alone() -> None:
    probe = Asked(lambda: 0.5)
    async with running(Diary()) as fleet:
        fleet.put(A, [slot(probe, interval=100)])
        await asyncio.sleep(100)
        first = probe.begun[0]
        await asyncio.sleep(first + 1)
        fleet.poke(A)
        fleet.poke(A)
        fleet.poke(B)
        at = now()
        await asyncio.sleep(100)
    assert probe.begun == [first, pytest.approx(first + 100, abs=TICK), at, pytest.approx(first + 200, abs=TICK)] or (
        probe.begun[2:3] == [at] and len(probe.begun) == 4
    )


async def test_a_fault_in_a_probe_is_unknown_and_not_the_services() -> None:
    diary = Diary()
    async with running(diary) as fleet:
        fleet.put(A, [slot(Asked(error=KeyError("secret")), interval=1)])
        await asyncio.sleep(5)
    assert len(diary.outcomes) >= 4
    assert {outcome for _, _, outcome, _ in diary.outcomes} == {Outcome(ProbeReason.PROBER_ERROR, "KeyError")}


async def test_a_machine_that_slept_leaves_whole_intervals_out_and_keeps_the_phase() -> None:
    """The loop's clock jumps while a probe is due many times over: one run, not a hundred."""
    probe = Asked()
    diary = Diary()
    fleet = Fleet(diary.outcome, on_lag=diary.lags.append)
    fleet.put(A, [slot(probe, interval=1)])
    await asyncio.sleep(100)
    task = asyncio.create_task(fleet.run())
    await asyncio.sleep(5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len(probe.begun) in {5, 6}
    assert gaps(probe.begun)[1:] == pytest.approx([1] * (len(probe.begun) - 2), abs=2 * TICK)
    assert diary.lags[0] > 98


async def test_the_lag_is_told_and_small() -> None:
    diary = Diary()
    async with running(diary) as fleet:
        fleet.put(A, [slot(Asked(), interval=1)])
        await asyncio.sleep(50)
    assert len(diary.lags) in {50, 51}
    assert max(diary.lags) <= TICK + 0.001


async def test_a_fleet_that_was_empty_wakes_up_for_its_first_probe() -> None:
    probe = Asked()
    async with running(Diary()) as fleet:
        await asyncio.sleep(1000)
        fleet.put(A, [slot(probe, interval=1)])
        await asyncio.sleep(1.1)
    assert probe.begun


async def test_services_that_were_made_together_are_not_asked_together_ever_after() -> None:
    """Sixty begin within half a second, for a quick first answer; what comes after is spread over half the interval."""
    probes = [Asked() for _ in range(60)]
    async with running(Diary()) as fleet:
        for n, probe in enumerate(probes):
            fleet.put(("default", f"s{n}"), [slot(probe, ("default", f"s{n}"), interval=10)])
        await asyncio.sleep(60)
    assert max(probe.begun[0] for probe in probes) <= 0.5 + TICK
    firsts = [gaps(probe.begun)[0] for probe in probes]
    assert min(firsts) >= 5 - 2 * TICK
    assert max(firsts) <= 10 + 2 * TICK, "never later than an interval"
    for probe in probes:
        assert all(gap == pytest.approx(10, abs=2 * TICK) for gap in gaps(probe.begun)[1:])
    second = sorted(probe.begun[1] for probe in probes)
    densest = max(sum(1 for at in second if start <= at < start + 0.5) for start in second)
    assert densest <= 60 / 5 * 0.5 * 3
    assert second[-1] - second[0] > 4


async def test_quick_probes_behind_many_slow_ones_do_not_all_begin_at_once() -> None:
    probes = [Asked(host=f"q{n}") for n in range(40)]
    async with running(Diary()) as fleet:
        for n in range(3 * STARTS_PER_SECOND):
            fleet.put(("default", f"s{n}"), [slot(Asked(host=f"h{n}"), ("default", f"s{n}"), interval=60)])
        for n, probe in enumerate(probes):
            fleet.put(("default", f"q{n}"), [slot(probe, ("default", f"q{n}"), interval=2)])
        await asyncio.sleep(3)
    firsts = sorted(probe.begun[0] for probe in probes)
    assert firsts[-1] <= 2 + TICK
    assert max(sum(1 for at in firsts if start <= at < start + 0.2) for start in firsts) <= 12


async def test_a_queue_for_the_first_run_is_no_crowd_at_the_second() -> None:
    """A restart with many services: who waited for the first run is apart already, and comes no sooner again."""
    diary, count = Diary(), 30 * STARTS_PER_SECOND
    async with running(diary) as fleet:
        for n in range(count):
            fleet.put(("default", f"s{n}"), [slot(Asked(host=f"h{n}"), ("default", f"s{n}"), interval=30)])
        await asyncio.sleep(60)
    per_second = [0] * 61
    for *_, at in diary.outcomes:
        per_second[int(at)] += 1
    assert max(per_second) < STARTS_PER_SECOND * 1.5
