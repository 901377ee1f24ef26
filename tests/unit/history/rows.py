"""Minutes for tests of stores, and what every store must do."""

from collections.abc import Sequence

from lastgood.domain.history import History, Minute, Series

A, B = Series("shop", "backend", "latency"), Series("shop", "backend", "errors")
START = 30_000_000
"""A full hour."""


def rows(series: Series, *minutes: int, bad: float = 0, total: float = 60, value: float | None = None) -> list[Minute]:
    return [Minute(series, START + minute, bad, total, value) for minute in minutes]


async def everything(store: History, since: int = 0, until: int = START * 2) -> list[Minute]:
    return sorted(
        [row async for hour in store.replay(since, until) for row in hour], key=lambda r: (r.series, r.minute)
    )


async def keeps(store: History) -> None:
    """The contract, on a store that is empty."""
    assert await store.read(A, 0, START * 2) == []
    assert await everything(store) == []
    await store.append([])
    first = rows(A, 0, 1, 59, bad=0.25, value=0.5) + rows(B, 1)
    await store.append(first)
    assert await store.read(A, START, START + 60) == first[:3]
    assert await store.read(B, 0, START * 2) == first[3:]
    assert await store.read(A, START + 1, START + 59) == [first[1]]
    # A retry, and a second word on the same minute.
    await store.append(first)
    await store.append([*rows(A, 1, bad=7, total=70), *rows(A, 1, bad=9, total=90)])
    assert await store.read(A, START + 1, START + 2) == rows(A, 1, bad=9, total=90)
    # Hours later the first ones are packed, if the store packs; one comes late, into an hour that is packed.
    for minute in range(60, 360):
        await store.append(rows(A, minute, total=minute) + rows(B, minute, value=minute))
    await store.append(rows(A, 2, bad=2) + rows(A, 59, bad=59))
    for minute in range(360, 420):
        await store.append(rows(A, minute))
    kept = await store.read(A, START, START + 60)
    assert [(row.minute - START, row.bad) for row in kept] == [(0, 0.25), (1, 9), (2, 2), (59, 59)]
    assert await store.read(B, START + 60, START + 360) == [r for m in range(60, 360) for r in rows(B, m, value=m)]
    assert len(await everything(store)) == 4 + 1 + 300 + 300 + 60
    assert await everything(store, START + 61, START + 62) == sorted(rows(A, 61, total=61) + rows(B, 61, value=61))
    await sums_of(store)
    await pruned(store)


async def sums_of(store: History) -> None:
    """Sums are those of the minutes, of packed hours, loose ones, and of what came late."""
    told = [hour async for hours in store.hourly(0, START) for hour in hours]
    minutes = await everything(store)
    by_hand = {(row.series, row.minute // 60): [0.0, 0.0, 0] for row in minutes}
    for row in minutes:
        by_hand[row.series, row.minute // 60][0] += row.bad
        by_hand[row.series, row.minute // 60][1] += row.total
        by_hand[row.series, row.minute // 60][2] += 1
    assert {(hour.series, hour.hour): [hour.bad, hour.total, hour.minutes] for hour in told} == by_hand
    assert len(told) == len(by_hand)
    assert [hour.hour for hour in told] == sorted(hour.hour for hour in told)
    some = [hour async for hours in store.hourly(START // 60 + 1, START // 60 + 2) for hour in hours]
    assert [(hour.hour - START // 60) for hour in some] == [1, 1]


async def pruned(store: History) -> None:
    await store.prune(START + 119)
    assert await left(store, B) == list(range(60, 360))
    await store.prune(START + 120)
    assert await left(store, B) == list(range(120, 360))
    await store.prune(START * 2)
    assert await everything(store) == []


async def left(store: History, series: Series) -> Sequence[int]:
    return [row.minute - START for row in await store.read(series, 0, START * 2)]
