"""One worker at a time looks at a key, what fails is looked at again, and nothing ends the queue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lastgood.domain.model import Key
from lastgood.domain.ports import ClusterError, NotLeader
from lastgood.services.workqueue import WorkQueue

A: Key = ("default", "a")
B: Key = ("default", "b")

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def running(work: Callable[[Key], Awaitable[None]]) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(work)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Looks:
    """Takes a second for each look and notes when it began; ``fails`` is raised as many times as it holds."""

    def __init__(self, *fails: Exception, seconds: float = 1.0) -> None:
        self.begun: list[tuple[Key, float]] = []
        self.fails = list(fails)
        self.seconds = seconds
        self.at_once: dict[Key, int] = {}
        self.most = 0

    async def __call__(self, key: Key) -> None:
        self.begun.append((key, round(now(), 3)))
        self.at_once[key] = self.at_once.get(key, 0) + 1
        self.most = max(self.most, self.at_once[key])
        await asyncio.sleep(self.seconds)
        self.at_once[key] -= 1
        if self.fails:
            raise self.fails.pop(0)

    def times(self, key: Key) -> list[float]:
        return [at for k, at in self.begun if k == key]


async def test_what_is_added_twice_before_a_look_is_looked_at_once() -> None:
    looks = Looks()
    async with running(looks) as queue:
        queue.add(A)
        queue.add(A)
        await asyncio.sleep(5)
    assert looks.times(A) == [0]


async def test_never_two_at_once_for_one_key_and_a_wish_meanwhile_is_not_lost() -> None:
    looks = Looks()
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(0.5)
        for _ in range(5):
            queue.add(A)
        await asyncio.sleep(5)
    assert looks.times(A) == [0, 1]
    assert looks.most == 1


async def test_other_keys_do_not_wait() -> None:
    looks = Looks(seconds=60)
    async with running(looks) as queue:
        queue.add(A)
        queue.add(B)
        await asyncio.sleep(1)
    assert (looks.times(A), looks.times(B)) == ([0], [0])


@pytest.mark.parametrize("error", [ClusterError(503, "busy"), RuntimeError("a fault")], ids=["cluster", "fault"])
async def test_a_failure_is_looked_at_again_ever_later(error: Exception) -> None:
    looks = Looks(*[error] * 4, seconds=0)
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(60)
    assert looks.times(A) == pytest.approx([0, 0.5, 1.5, 3.5, 7.5], abs=0.01)


async def test_the_wait_does_not_grow_without_end() -> None:
    looks = Looks(*[ClusterError(0, "away")] * 10, seconds=0)
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(300)
    gaps = [b - a for a, b in zip(looks.times(A), looks.times(A)[1:], strict=False)]
    assert max(gaps) == pytest.approx(30, abs=0.01)
    assert len(looks.begun) == 11


async def test_a_success_makes_the_next_wait_short_again() -> None:
    error = ClusterError(503, "busy")
    looks = Looks(error, error, seconds=0)
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(10)
        looks.fails.append(error)
        queue.add(A)
        await asyncio.sleep(10)
    assert looks.times(A) == pytest.approx([0, 0.5, 1.5, 10, 10.5], abs=0.01)


async def test_a_process_that_does_not_lead_leaves_it() -> None:
    looks = Looks(NotLeader("no"), seconds=0)
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(60)
        assert looks.times(A) == [0]
        queue.add(A)
        await asyncio.sleep(1)
    assert looks.times(A) == [0, 60]


async def test_one_failing_key_leaves_the_others_alone() -> None:
    async def work(key: Key) -> None:
        if key == A:
            raise RuntimeError
        done.append(key)

    done: list[Key] = []
    async with running(work) as queue:
        for _ in range(20):
            queue.add(A)
            queue.add(B)
            await asyncio.sleep(1)
    assert len(done) == 20


async def test_more_keys_than_workers_all_have_their_turn() -> None:
    looks = Looks()
    async with running(looks) as queue:
        for n in range(40):
            queue.add(("default", f"s{n}"))
        await asyncio.sleep(8)
    assert len({key for key, _ in looks.begun}) == 40


@pytest.mark.parametrize(
    ("delays", "looked"),
    [
        pytest.param((5, 2), [2], id="the sooner wish replaces the later"),
        pytest.param((2, 5), [2], id="the later one does not replace the sooner"),
        pytest.param((0,), [0], id="at once"),
        pytest.param((-3,), [0], id="in the past is at once"),
    ],
)
async def test_later(delays: tuple[float, ...], looked: list[float]) -> None:
    looks = Looks(seconds=0)
    async with running(looks) as queue:
        for delay in delays:
            queue.add_at(A, delay)
        await asyncio.sleep(20)
    assert looks.times(A) == pytest.approx(looked, abs=0.01)


async def test_a_wish_after_one_that_came_true_holds() -> None:
    looks = Looks(seconds=0)
    async with running(looks) as queue:
        queue.add_at(A, 1)
        await asyncio.sleep(2)
        queue.add_at(A, 3)
        await asyncio.sleep(10)
    assert looks.times(A) == pytest.approx([1, 5], abs=0.01)


async def test_what_is_forgotten_or_cleared_is_not_looked_at() -> None:
    looks = Looks(seconds=0)
    async with running(looks) as queue:
        queue.add_at(A, 1)
        queue.add_at(B, 1)
        queue.forget(A)
        await asyncio.sleep(2)
        queue.add_at(A, 1)
        queue.clear()
        await asyncio.sleep(5)
    assert looks.begun == [(B, 1)]


async def test_what_is_urgent_waits_behind_no_others_and_is_looked_at_once() -> None:
    """A thousand services fail at once and each has a status to be written: the one that is rolled back comes first."""
    looks = Looks()
    others = [("default", f"s{n}") for n in range(100)]
    async with running(looks) as queue:
        for key in (*others, A):
            queue.add(key)
        await asyncio.sleep(1.5)
        queue.add(A, urgent=True)
        queue.add(A, urgent=True)
        await asyncio.sleep(200)
    assert looks.times(A) == [1.5]
    assert {key for key, _ in looks.begun} == {A, *others}
    assert len(looks.begun) == 101


async def test_others_give_way_to_what_is_urgent_but_not_for_ever() -> None:
    looks = Looks()
    async with running(looks) as queue:
        for _ in range(5):
            queue.add(A, urgent=True)
            await asyncio.sleep(0.05)
            queue.add(B)
            await asyncio.sleep(3.95)
            assert not queue._dirty
    assert looks.times(A) == [0, 4, 8, 12, 16]
    assert looks.times(B) == [1, 5, 9, 13, 17]
    hanging = Looks(seconds=60)
    async with running(hanging) as queue:
        began = now()
        queue.add(A, urgent=True)
        await asyncio.sleep(0.05)
        queue.add(B)
        await asyncio.sleep(5)
    assert hanging.times(B) == [pytest.approx(began + 1.05, abs=0.01)]


async def test_one_that_becomes_urgent_while_it_is_looked_at_is_next_and_never_two_at_once() -> None:
    looks = Looks()
    others = [("default", f"s{n}") for n in range(100)]
    async with running(looks) as queue:
        queue.add(A)
        await asyncio.sleep(0.5)
        for key in others:
            queue.add(key)
        queue.add(A)
        queue.add(A, urgent=True)
        await asyncio.sleep(200)
    assert looks.times(A) == [0, 1]
    assert looks.most == 1
    assert len(looks.begun) == 102


async def test_an_urgent_look_later() -> None:
    looks = Looks()
    async with running(looks) as queue:
        queue.add_at(A, 2, urgent=True)
        await asyncio.sleep(1.9)
        for n in range(100):
            queue.add(("default", f"s{n}"))
        await asyncio.sleep(0.5)
    assert looks.times(A) == [2]
