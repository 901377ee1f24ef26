"""Fallback: nothing is raised, nothing is lost up to the bound, each flip is said once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.history.rows import START, A, B, everything, keeps, left, rows

from lastgood.domain.history import HistoryLost, HistoryReason, HistoryState, Minute, Series
from lastgood.history.fallback import Fallback
from lastgood.history.memory import Memory
from lastgood.history.sqlite import Sqlite


class Flaky(Memory):
    """A store that is away while ``away`` says why."""

    away: HistoryReason | None = None

    def _check(self) -> None:
        if self.away:
            raise HistoryLost(self.away, "away")

    async def append(self, rows: Sequence[Minute]) -> None:
        self._check()
        await super().append(rows)

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        self._check()
        return await super().read(series, since, until)

    async def prune(self, before: int) -> None:
        self._check()
        await super().prune(before)


async def test_contract() -> None:
    await keeps(Fallback(Memory(), said=pytest.fail))


async def test_what_the_store_does_not_take_waits_and_is_handed_over() -> None:
    store, said = Flaky(), list[HistoryState]()
    history = Fallback(store, said=said.append)
    await history.append(rows(A, 1))
    store.away = HistoryReason.UNREACHABLE
    for minute in (2, 3):
        await history.append(rows(A, minute) + rows(B, minute))
    assert history.waiting == 4
    assert await left(history, A) == [2, 3]
    store.away = None
    assert await left(history, A) == [1, 2, 3]
    await history.append(rows(A, 4))
    assert history.waiting == 0
    assert await left(store, A) == [1, 2, 3, 4]
    assert await left(store, B) == [2, 3]
    assert [(state.reason, state.waiting) for state in said] == [
        (HistoryReason.UNREACHABLE, 2),
        (HistoryReason.KEPT, 0),
    ]


async def test_the_bound_gives_up_the_oldest_and_says_so() -> None:
    store, said = Flaky(), list[HistoryState]()
    store.away = HistoryReason.FULL
    history = Fallback(store, said=said.append, bound=10)
    for minute in range(15):
        await history.append(rows(A, minute))
    assert await left(history, A) == list(range(5, 15))
    assert history.dropped == 5
    assert [bool(state.dropped) for state in said] == [False, True]
    store.away = None
    await history.append(())
    assert await left(store, A) == list(range(5, 15))


async def test_a_batch_that_was_cancelled_is_sent_again() -> None:
    class Slow(Memory):
        slow = True

        async def append(self, rows: Sequence[Minute]) -> None:
            await super().append(rows)
            if self.slow:
                await asyncio.sleep(3600)

    store = Slow()
    history = Fallback(store, said=pytest.fail)
    task = asyncio.create_task(history.append(rows(A, 1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.slow = False
    await history.append(rows(A, 2))
    assert (await left(store, A), history.waiting) == ([1, 2], 0)


async def test_pruning_while_the_store_is_away_raises_nothing() -> None:
    store, said = Flaky(), list[HistoryState]()
    history = Fallback(store, said=said.append)
    store.away = HistoryReason.UNREACHABLE
    await history.append(rows(A, 1, 61))
    await history.prune(START + 60)
    assert await left(history, A) == [61]
    assert len(said) == 1


async def test_a_file_that_is_full_catches_up_when_there_is_room(tmp_path: Path) -> None:
    said: list[HistoryState] = []
    store = Sqlite(tmp_path / "h.db", max_bytes=96 * 1024)
    history = Fallback(store, said=said.append)
    many = [Series("n", str(n), "o") for n in range(50)]
    for minute in range(100):
        await history.append([row for series in many for row in rows(series, minute)])
    assert [state.reason for state in said] == [HistoryReason.FULL]
    assert 0 < history.waiting < 5000
    assert len(await everything(history)) >= 5000
    for series in many:
        assert await left(history, series) == list(range(100))
    await history.aclose()
    # Somebody made room.
    store = Sqlite(tmp_path / "h.db")
    history._store = store
    await history.append(())
    assert said[-1].reason is HistoryReason.KEPT
    assert len(await everything(store)) == 5000
    await store.aclose()


async def test_what_is_no_number_holds_nothing_up(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "h.db")
    history = Fallback(store, said=pytest.fail)
    nan = float("nan")
    await history.append([*rows(A, 1, bad=nan), *rows(A, 2, total=float("inf")), *rows(A, 3, value=nan), *rows(A, 4)])
    assert await store.read(A, 0, START * 2) == rows(A, 3, 4)
    await history.aclose()
