"""A wish to look again is never lost, not even when the loop fires a timer a little early."""

import asyncio

from lastgood.services.workqueue import WorkQueue

KEY = ("ns", "app")


async def test_wish_made_while_its_own_timer_fires_early_is_kept() -> None:
    looks: list[float] = []
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    async def work(key: tuple[str, str]) -> None:
        looks.append(loop.time())
        if len(looks) == 2:
            done.set()
        else:
            queue.add_at(key, 0.05)

    queue = WorkQueue(work)
    queue.add_at(KEY, 3600)
    # As uvloop does: called before its time has come.
    queue._fire(KEY)
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    assert len(looks) == 2


async def test_the_sooner_of_two_wishes_stands() -> None:
    looked = asyncio.Event()

    async def work(_: tuple[str, str]) -> None:
        looked.set()

    queue = WorkQueue(work)
    queue.add_at(KEY, 0.05)
    queue.add_at(KEY, 3600)
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await looked.wait()
    task.cancel()
