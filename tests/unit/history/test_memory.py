"""Memory: the contract of stores, and its bound."""

from tests.unit.history.rows import START, A, B, everything, keeps, left, rows

from lastgood.history.memory import Memory


async def test_contract() -> None:
    await keeps(Memory())


async def test_the_oldest_go_first_and_are_counted() -> None:
    store = Memory(bound=100)
    for minute in range(150):
        await store.append(rows(A, minute) + rows(B, minute))
        assert store.rows <= 100
    assert store.rows + store.dropped == 300
    assert store.rows >= 90
    for series in (A, B):
        kept = await left(store, series)
        assert kept == list(range(kept[0], 150))


async def test_late_minutes_stand_in_order() -> None:
    store = Memory()
    await store.append(rows(A, 5, 1, 3, 3, 0))
    assert await left(store, A) == [0, 1, 3, 5]
    assert store.rows == 4


async def test_taking_whole_series_and_letting_go_of_them() -> None:
    store = Memory()
    await store.append(rows(A, 1, 2, 3) + rows(B, 1))
    some = store.some(2)
    assert some == rows(A, 1, 2, 3)
    store.forget(some)
    assert (store.rows, store.some(2)) == (1, rows(B, 1))
    store.forget(store.some(9))
    assert store.some(9) == await everything(store, START) == []
