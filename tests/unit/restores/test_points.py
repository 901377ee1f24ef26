"""Which point is chosen, and each sentence against one."""

from typing import Any

import pytest
from tests.unit.restores.api import backup

from lastgood.api.restore import RestoreTo
from lastgood.domain.restores.observed import backups_seen
from lastgood.domain.restores.points import Chosen, NoPoint, choose, short

LATEST: dict[str, Any] = {"latest": True}
DAY = "2026-01-0{}T00:00:00Z"
DUMPS = [
    backup("b1", DAY.format(1)),
    backup("b2", DAY.format(2), where=("primary", "away")),
    backup("b3", DAY.format(3)),
]


def wal(name: str, point: str, **status: Any) -> dict[str, Any]:
    return backup(name, point, method="wal", **status)


WAL = [
    wal("base1", "2026-01-01T01:00:00Z", earliest="2026-01-01T01:00:00Z"),
    wal("inc1", "2026-01-01T02:00:00Z", earliest="2026-01-01T01:00:00Z", base="base1"),
    wal("inc2", "2026-01-01T03:00:00Z", earliest="2026-01-01T01:00:00Z", base="base1"),
    wal("base2", "2026-01-02T01:00:00Z", earliest="2026-01-02T01:00:00Z"),
]


def found(
    to: dict[str, Any], bodies: list[dict[str, Any]], *, method: str = "logical", repository: str = "primary"
) -> Any:
    return choose(
        RestoreTo.model_validate(to), schedule="db", method=method, repository=repository, backups=backups_seen(bodies)
    )


@pytest.mark.parametrize(
    ("to", "bodies", "method", "repository", "name"),
    [
        (LATEST, DUMPS, "logical", "primary", "b3"),
        (LATEST, DUMPS, "logical", "away", "b2"),
        ({"backup": "b1"}, DUMPS, "logical", "primary", "b1"),
        ({"time": "2026-01-02T12:00:00Z"}, DUMPS, "logical", "primary", "b2"),
        ({"time": "2026-01-02T00:00:00Z"}, DUMPS, "logical", "primary", "b2"),
        ({"time": "2027-01-01T00:00:00+02:00"}, DUMPS, "logical", "primary", "b3"),
        (LATEST, [*DUMPS, backup("bad", DAY.format(4), phase="Failed")], "logical", "primary", "b3"),
        (LATEST, [*DUMPS, backup("other", DAY.format(4), schedule="x")], "logical", "primary", "b3"),
        # The newest of wal is whose base is gone: the newest usable one is before it.
        (LATEST, [WAL[0], wal("inc", DAY.format(5), base="gone")], "wal", "primary", "base1"),
        ({"time": "2026-01-01T01:30:00Z"}, WAL, "wal", "primary", "inc1"),
        ({"time": "2026-01-01T03:00:00Z"}, WAL, "wal", "primary", "inc2"),
    ],
)  # fmt: skip
def test_chosen(to: dict[str, Any], bodies: list[Any], method: str, repository: str, name: str) -> None:
    point = found(to, bodies, method=method, repository=repository)
    assert isinstance(point, Chosen), point
    assert point.backup == name


@pytest.mark.parametrize(
    ("to", "bodies", "method", "reason", "says"),
    [
        (LATEST, [], "logical", "NoBackup", 'no Backup of "db" is in repository "primary"'),
        ({"backup": "b9"}, DUMPS, "logical", "BackupNotFound", 'Backup "b9" does not exist in this namespace'),
        ({"backup": "o"}, [backup("o", DAY.format(1), schedule="x")], "logical", "BackupOfAnother", 'is of schedule "x"'),
        ({"backup": "f"}, [backup("f", DAY.format(1), phase="Running")], "logical", "BackupNotUsable", '"f" is Running'),
        ({"backup": "a"}, [backup("a", DAY.format(1), where=("away",))], "logical", "NotInRepository", "it is in away"),
        ({"backup": "inc1"}, WAL[1:], "wal", "ChainBroken", 'it needs Backup "base1", which does not exist'),
        ({"backup": "inc2"}, [WAL[0], {**WAL[1], "status": {**WAL[1]["status"], "copies": []}}, WAL[2]], "wal",
         "ChainBroken", 'it needs Backup "inc1", which is not in repository "primary"'),
        ({"time": "2025-12-31T23:59:59Z"}, DUMPS, "logical", "BeforeOldestPoint", "which is 2026-01-01T00:00:00Z"),
        ({"time": "2026-01-01T00:30:00Z"}, WAL, "wal", "BeforeOldestPoint", "which is 2026-01-01T01:00:00Z"),
        ({"time": "2026-01-03T00:00:00Z"}, WAL, "wal", "AfterNewestPoint", "which is 2026-01-02T01:00:00Z"),
        ({"time": "2026-01-01T12:00:00Z"}, WAL, "wal", "NotCovered", "2026-01-01T03:00:00Z and 2026-01-02T01:00:00Z"),
        ({"time": "yesterday"}, DUMPS, "logical", "BadTime", '"yesterday" is no time'),
    ],
)  # fmt: skip
def test_no_point(to: dict[str, Any], bodies: list[Any], method: str, reason: str, says: str) -> None:
    point = found(to, bodies, method=method)
    assert isinstance(point, NoPoint)
    assert point.reason == reason
    assert says in point.message


def test_a_chain_is_the_base_and_what_lies_between() -> None:
    point = found({"backup": "inc2"}, WAL, method="wal")
    assert point.chain == ("base1", "inc1", "inc2")
    assert point.snapshots == ("primary-base1", "primary-inc1", "primary-inc2")
    assert point.base_snapshots == ("primary-base1",)
    failed = [WAL[0], {**WAL[1], "status": {**WAL[1]["status"], "phase": "Failed"}}, WAL[2]]
    assert found({"backup": "inc2"}, failed, method="wal").chain == ("base1", "inc2"), "the next made up for it"


def test_a_moment_is_kept_to_the_fraction() -> None:
    point = found({"time": "2026-01-01T01:30:00.25Z"}, WAL, method="wal")
    assert point.time == point.point
    assert point.time % 1 == 0.25
    assert short(point.point) == "2026-01-01T01:30:00Z"
