"""What servers answer."""

from typing import Any

import pytest
from tests.unit.sources.build import spec

from lastgood.domain.answers import (
    Column,
    at_least,
    bounds,
    integrity,
    pool_connections,
    redis_share,
    server_connections,
)
from lastgood.domain.measure import Gauge, Nothing, Points, Silence

BOOL, INT, TEXT = 16, 23, 25


@pytest.mark.parametrize(
    ("rows", "sound"),
    [
        ([], True),
        ([[(BOOL, b"t")]], True),
        ([[(BOOL, b"f")]], False),
        ([[(BOOL, None)]], False),
        ([[(TEXT, b"t")]], False),
        ([[(INT, b"1")]], False),
        ([[(BOOL, b"t"), (BOOL, b"t")]], False),
        ([[(BOOL, b"t")], [(BOOL, b"t")]], False),
        ([[]], False),
    ],
    ids=["no row", "true", "false", "null", "a text", "a number", "two columns", "two rows", "a row of no columns"],
)
def test_integrity(rows: list[list[tuple[int, bytes | None]]], sound: bool) -> None:
    assert integrity([[Column(*pair) for pair in row] for row in rows]) == Gauge(0.0 if sound else 1.0)


@pytest.mark.parametrize(("used", "room", "told"), [(5, 10, 0.5), (0, 10, 0.0), (10, 10, 1.0), (12, 10, 1.2)])
def test_connections_of_a_server(used: int, room: int, told: float) -> None:
    assert server_connections(used, room) == Gauge(told)


def test_a_server_that_reserves_everything() -> None:
    assert server_connections(1, 0) == Nothing(Silence.NO_LIMIT, "all connections are reserved")


def database(name: str = "shop", size: int = 10, most: int = 0) -> dict[str, str]:
    return {"name": name, "pool_size": str(size), "max_connections": str(most)}


def pool(active: int, waiting: int = 0, name: str = "shop") -> dict[str, str]:
    return {"database": name, "sv_active": str(active), "cl_waiting": str(waiting), "sv_idle": "7"}


@pytest.mark.parametrize(
    ("databases", "pools", "told"),
    [
        ([database()], [], 0.0),
        ([database()], [pool(5)], 0.5),
        ([database()], [pool(10, 5)], 1.5),
        ([database()], [pool(2), pool(8)], 0.8),
        ([database(most=10)], [pool(2), pool(8, 2)], 1.2),
        ([database(most=100)], [pool(2), pool(8)], 0.8),
        ([database(size=0, most=10)], [pool(5)], 0.5),
        ([database("other", 1), database()], [pool(1, 9, "other"), pool(5)], 0.5),
    ],
    ids=[
        "nobody",
        "half",
        "some wait",
        "each user has a pool: the worst",
        "all users together",
        "the narrower of both",
        "only the database is limited",
        "another database",
    ],
)
def test_connections_of_a_pool(databases: list[Any], pools: list[Any], told: float) -> None:
    assert pool_connections("shop", databases, pools) == Gauge(told)


def test_pools_that_are_none() -> None:
    assert pool_connections("shop", [], []) == Nothing(Silence.NO_DATA, 'pgbouncer knows no database "shop"')
    unlimited = pool_connections("shop", [database(size=0)], [])
    assert unlimited == Nothing(Silence.NO_LIMIT, "the pool has neither pool_size nor max_db_connections")
    strange = pool_connections("shop", [{"name": "shop"}], [])
    assert isinstance(strange, Nothing)
    assert strange.reason is Silence.NOT_UNDERSTOOD


def test_redis() -> None:
    assert redis_share({"used_memory": "50", "maxmemory": "100"}, "used_memory", "maxmemory") == Gauge(0.5)
    none = redis_share({"used_memory": "50", "maxmemory": "0"}, "used_memory", "maxmemory")
    assert none == Nothing(Silence.NO_LIMIT, "maxmemory is 0: set it, or measure the pods with source.resources")
    for info in ({}, {"used_memory": "x", "maxmemory": "1"}):
        strange = redis_share(info, "used_memory", "maxmemory")
        assert strange == Nothing(Silence.NOT_UNDERSTOOD, "INFO tells no used_memory and maxmemory")


def test_what_was_given_up_took_longer_than_that() -> None:
    slow = spec(
        {"redis": {"address": "r:1", "measure": "latency"}},
        indicator="quantile",
        below="500ms",
        alerts=[{"severity": "warning", "threshold": "2s"}],
    )
    assert bounds(slow) == (0.5, 2.0)
    assert at_least(2.1, bounds(slow)) == Points((2.1,))
    for seconds in (0.1, 1.0, 2.0):
        told = at_least(seconds, bounds(slow))
        assert isinstance(told, Nothing)
        assert told.reason is Silence.TIMEOUT
