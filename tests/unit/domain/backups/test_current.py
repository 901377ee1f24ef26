"""What schedules mean for the service whose data they back up."""

from dataclasses import replace
from typing import Any

from tests.unit.domain.build import T0, good

from lastgood.domain.backups.current import current, with_points
from lastgood.domain.health import Health
from lastgood.domain.model import Current, DataPoint, Memory, ScheduleStands
from lastgood.domain.status import good_from_status, good_to_status


def stands(name: str, newest: DataPoint | None = None, **conditions: tuple[str, str]) -> ScheduleStands:
    told = [{"type": t, "status": s, "reason": "R", "message": m} for t, (s, m) in conditions.items()]
    return ScheduleStands(name, conditions=told, newest=newest)


def test_by_the_rpo_of_each_and_by_its_runs_where_none_is_declared() -> None:
    fine = stands("shop", RPOMet=("True", "within"), RunsOnTime=("False", "late"))
    files = stands("files", RunsOnTime=("True", "all has run"))
    assert current([fine, files]) == ("True", "BackupsFresh", "shop: within; files: all has run")
    old = stands("files", RunsOnTime=("False", "full was due"))
    assert current([fine, old]) == ("False", "BackupsBehind", "files: full was due")
    unknown = stands("new", RPOMet=("Unknown", "no point yet"))
    assert current([fine, unknown]) == ("Unknown", "BackupsUnknown", "new: no point yet")
    # What is known to be bad is told before what is not known.
    assert current([unknown, old])[:2] == ("False", "BackupsBehind")


def test_unknown_is_never_good() -> None:
    assert current([ScheduleStands("gone", known=False)]) == (
        "Unknown",
        "BackupsUnknown",
        "gone: no such BackupSchedule",
    )
    assert current([stands("new")]) == ("Unknown", "BackupsUnknown", "new: it was not judged yet")
    refused = stands("bad", Ready=("False", "the key is missing"))
    assert current([refused]) == ("Unknown", "BackupsUnknown", "bad: the key is missing")


def running_good(**more: Any) -> Memory:
    ledger = (good("v2"), good("v1"))
    base = Memory(ledger=ledger, current=Current("v2", T0), health=Health("True", T0))
    return replace(base, **more)


def points(memory: Memory) -> list[tuple[str, str]]:
    return [(p.schedule, p.backup) for p in memory.ledger[0].points]


def test_the_newest_point_is_noted_with_the_revision_that_runs() -> None:
    first = DataPoint("shop", "one", T0)
    noted = with_points(running_good(), [stands("shop", first), stands("files")])
    assert points(noted) == [("shop", "one")]
    assert noted.ledger[1].points == ()
    assert with_points(noted, [stands("shop", first), stands("files")]) is noted
    newer = with_points(noted, [stands("shop", DataPoint("shop", "two", T0 + 1)), stands("files")])
    assert points(newer) == [("shop", "two")]
    # Gone, or an older one that is the newest left: what was noted stays.
    assert with_points(newer, [stands("shop"), stands("files")]) is newer
    assert with_points(newer, [stands("shop", first), stands("files")]) is newer
    assert points(with_points(newer, [])) == []


def test_nothing_is_noted_while_the_service_is_not_well_or_another_revision_runs() -> None:
    newest = [stands("shop", DataPoint("shop", "one", T0))]
    for state in ("False", "Unknown"):
        ill = running_good(health=Health(state, T0))
        assert with_points(ill, newest) is ill
    another = running_good(current=Current("v3", T0))
    assert with_points(another, newest) is another
    older = running_good(current=Current("v1", T0))
    assert with_points(older, newest) is older


def test_points_survive_a_restart() -> None:
    kept = replace(good("v2"), points=(DataPoint("shop", "one", T0),))
    assert good_from_status(good_to_status(kept)) == kept
    assert "points" not in good_to_status(good("v2"))
