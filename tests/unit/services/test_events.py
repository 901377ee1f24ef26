"""Events are written in order, behind everybody's back, and one that fails stops none. The cluster here is a fake."""

import asyncio
from typing import Any, cast

from lastgood.domain.ports import Cluster, ClusterError, NotLeader
from lastgood.services import events as module
from lastgood.services.events import Events


class Fake:
    """A fake of the API server's Events: slow, and refusing what it is told to refuse."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refuses: dict[str, Exception] = {}

    async def event(self, regarding: Any, kind: str, reason: str, message: str, at: float) -> None:
        await asyncio.sleep(0)
        if reason in self.refuses:
            raise self.refuses[reason]
        assert (regarding, kind, message) == ({}, "Normal", "m")
        assert at > 0
        self.told.append(reason)


async def settled(events: Events) -> None:
    while events._writing is not None and not events._writing.done():
        await events._writing


async def test_in_order_and_without_waiting() -> None:
    fake = Fake()
    events = Events(cast("Cluster", fake))
    for reason in "abc":
        events.tell({}, "Normal", reason, "m")
    assert fake.told == []
    await settled(events)
    events.tell({}, "Normal", "d", "m")
    await settled(events)
    assert fake.told == list("abcd")


async def test_one_that_is_refused_stops_none() -> None:
    fake = Fake()
    fake.refuses = {"a": ClusterError(500, "no"), "b": NotLeader()}
    events = Events(cast("Cluster", fake))
    for reason in "abc":
        events.tell({}, "Normal", reason, "m")
    await settled(events)
    assert fake.told == ["c"]


async def test_more_than_may_wait_are_lost(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    fake = Fake()
    events = Events(cast("Cluster", fake))
    for reason in "abc":
        events.tell({}, "Normal", reason, "m")
    await settled(events)
    assert fake.told == ["a", "b"]
