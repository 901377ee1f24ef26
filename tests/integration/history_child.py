"""Writers for test_history, each a process of its own: one to be killed, one on a disk of its own that fills up."""

import asyncio
import sys
from pathlib import Path

from tests.unit.history.rows import START, everything, left, rows

from lastgood.domain.history import HistoryReason, HistoryState, Minute, Series
from lastgood.history.fallback import Fallback
from lastgood.history.sqlite import Sqlite

MANY = [Series("n", str(n), "o") for n in range(500)]


def batch(minute: int) -> list[Minute]:
    return [row for series in MANY for row in rows(series, minute, bad=1)]


async def write(path: Path) -> None:
    """Write for ever; say which minutes were acknowledged."""
    store = Sqlite(path)
    minute = 0
    while True:
        await store.append(batch(minute))
        print(minute, flush=True)
        minute += 1


async def fill(disk: Path) -> None:
    """Fill a small disk, go on, make room, and look whether anything is missing."""
    said: list[HistoryState] = []
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * 3_000_000)
    store = Sqlite(disk / "h.db")
    history = Fallback(store, said=said.append)
    minute = 0
    while not said and minute < 2000:
        await history.append(batch(minute))
        minute += 1
    assert [state.reason for state in said] == [HistoryReason.FULL], said
    full_at = minute
    for _ in range(10):
        await history.append(batch(minute))
        minute += 1
    assert history.waiting > 0
    assert await left(history, MANY[0]) == list(range(minute))
    ballast.unlink()
    await history.append(batch(minute))
    assert history.waiting == history.dropped == 0, history.state
    assert [state.reason for state in said] == [HistoryReason.FULL, HistoryReason.KEPT], said
    for series in (MANY[0], MANY[-1]):
        assert await left(store, series) == list(range(minute + 1))
    assert len(await everything(store, START)) == (minute + 1) * len(MANY)
    await history.aclose()
    print(f"full after {full_at} minutes")


if __name__ == "__main__":
    asyncio.run({"write": write, "fill": fill}[sys.argv[1]](Path(sys.argv[2])))
