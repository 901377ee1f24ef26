"""The store of minutes at full size: 10,000 services with 3 indicators each over 30 days.

That is 1.3 billion minutes. A tenth of the series is written for some hours, minute by minute as the operator does; what
is measured of them is carried over to 30 days and to all series on paper.

    python -m tests.bench.history [--series 3000] [--hours 6]
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.driver import Row

from lastgood.domain.history import Minute, Series
from lastgood.history.sqlite import Sqlite

DAYS, ALL = 30, 30_000
_START = 30_000_000


def _minute(series: list[Series], minute: int, chance: random.Random) -> list[Minute]:
    """Errors are rare, requests come and go, latencies are never twice the same."""
    return [
        Minute(
            one,
            _START + minute,
            float(chance.random() < 0.02) * chance.randrange(1, 9),
            float(chance.randrange(500, 700)),
            None if number % 3 else chance.uniform(0.05, 0.4),
        )
        for number, one in enumerate(series)
    ]


async def _measure(count: int, hours: int, path: Path) -> list[tuple[str, str]]:
    chance = random.Random(7)
    series = [Series(f"team-{n // 300}", f"service-{n // 3}", f"objective-{n % 3}") for n in range(count)]
    store = Sqlite(path)
    took, cpu = [], time.process_time()
    for minute in range(hours * 60):
        batch = _minute(series, minute, chance)
        begun = time.perf_counter()
        await store.append(batch)
        took.append(time.perf_counter() - begun)
    cpu = time.process_time() - cpu
    loose = _size(path)
    reads: list[float] = []
    for one in chance.sample(series, 50):
        begun = time.perf_counter()
        rows = await store.read(one, _START, _START + hours * 60)
        reads.append(time.perf_counter() - begun)
        assert len(rows) == hours * 60
    begun = time.perf_counter()
    replayed = 0
    async for hour in store.replay(_START, _START + hours * 60):
        replayed += len(hour)
    replay = time.perf_counter() - begun
    begun = time.perf_counter()
    summed = 0
    # Without the two hours that are not packed: they are as many on the first day as on the last.
    async for sums in store.hourly(0, _START // 60 + hours - 2):
        summed += len(sums)
    hourly = time.perf_counter() - begun
    begun = time.perf_counter()
    await store.prune(_START + 60)
    prune = time.perf_counter() - begun
    await store.aclose()
    import sqlite3

    with sqlite3.connect(path) as db:
        packed, blobs = db.execute("SELECT count(*), sum(length(packed)) FROM hours").fetchone()
        pages = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")) if _has_dbstat(db) else {}
        rows_left = db.execute("SELECT count(*) FROM minutes").fetchone()[0]
    per_packed = ((pages["hours"] + pages["sums"]) if pages else blobs) / packed / 60
    per_loose = pages.get("minutes", loose) / max(1, rows_left)
    total = DAYS * 24 * 60 * ALL
    return [
        ("minutes written", f"{hours * 60 * count:,} ({count:,} series, {hours} h)"),
        ("bytes a minute, packed", f"{per_packed:.1f}"),
        ("bytes a minute, of the last two hours", f"{per_loose:.1f}"),
        ("file with two hours not yet packed", f"{loose / 1e6:.0f} MB"),
        ("one batch of a minute", f"p50 {statistics.median(took) * 1e3:.0f} ms, max {max(took) * 1e3:.0f} ms"),
        ("processor time a batch, the making of the rows with it", f"{cpu / len(took) * 1e3:.0f} ms"),
        ("reading one series", f"p50 {statistics.median(reads) * 1e3:.1f} ms for {hours * 60} minutes"),
        ("replaying all", f"{replay:.1f} s, {replayed / replay / 1e6:.2f} million minutes a second"),
        ("sums of packed hours", f"{hourly:.2f} s, {summed / hourly / 1e6:.2f} million hours a second"),
        ("pruning an hour", f"{prune * 1e3:.0f} ms"),
        (
            f"on paper: {ALL:,} series, {DAYS} days",
            f"{total / 1e9:.2f} billion minutes, {total * per_packed / 1e9:.1f} GB packed, the last two hours with them",
        ),
        (
            "on paper: a batch of all series",
            f"{statistics.median(took) * ALL / count:.2f} s of each minute",
        ),
        (
            f"on paper: a start, with the sums of {DAYS} days",
            f"{total / 60 / (summed / hourly):.0f} s; with every minute {total / (replayed / replay) / 60:.0f} min",
        ),
    ]


def _size(path: Path) -> int:
    return path.stat().st_size


def _has_dbstat(db: object) -> bool:
    return any("DBSTAT" in row[0] for row in db.execute("PRAGMA compile_options"))  # type: ignore[attr-defined]


def run(count: int = 3000, hours: int = 6) -> Iterator[Row]:
    """What was measured, and what follows from it."""
    with tempfile.TemporaryDirectory(prefix="lastgood-history-") as folder:
        for what, figure in asyncio.run(_measure(count, hours, Path(folder) / "h.db")):
            yield Row(what, figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=3000)
    parser.add_argument("--hours", type=int, default=6)
    options = parser.parse_args()
    for what, figure, *_ in run(options.series, options.hours):
        print(f"{what}: {figure}", flush=True)
