"""A Rollback that puts the data back too: what code and data wait for of each other."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0, good, green, passing, plan, seen
from tests.unit.domain.test_rollback import done

from lastgood.domain.model import DataPoint
from lastgood.domain.restores.part import Part, part_of, points_for, restore_name
from lastgood.domain.rollback import Do, Next, RollbackSeen, advance

POINT = DataPoint("db", "db-1", T0 - 500)
GOOD = replace(good("v1"), points=(POINT,))
PLAN = plan(backups=("db",), restore_data=True)
STOPPED = seen("v2", replicas=0, complete=False)
ASKED = Part("rb-db", phase="AwaitingApproval")
COMING = Part("rb-db", phase="Running", approved=True)
AT_ZERO = replace(COMING, stopped=True)
OVER = replace(AT_ZERO, phase="Succeeded", finished_at=T0 - 10)
FAILED = replace(AT_ZERO, phase="Failed", message="at verify: WrongKey")
HALF = replace(FAILED, whole=False)
REFUSED = Part("rb-db", phase="Refused")
DELETED = part_of("rb-db", None)


def next_of(step: str, *parts: Part, target: Any = STOPPED, memory: Any = None, **changes: Any) -> Next:
    base = RollbackSeen(
        name="rb", uid="rb-uid", service="shop", done=done(upto=step), bad_key="v2", target_key="v1",
        from_template_hash="t-v2", data=True, parts=parts,
    )  # fmt: skip
    memory = memory or green(T0 - 50, key="v2", ledger=(GOOD,))
    return advance(rollback=replace(base, **changes), plan=PLAN, memory=memory, seen=target, missing=(), now=T0)


@pytest.mark.parametrize(
    ("part", "automatic", "do", "reason"),
    [
        (ASKED, False, Do.AWAIT_APPROVAL, "AwaitingApproval"),
        (ASKED, True, Do.EXECUTE, ""),
        (COMING, False, Do.WAIT, "WaitingForData"),
        (COMING, True, Do.WAIT, "WaitingForData"),
        (AT_ZERO, False, Do.EXECUTE, ""),
        (FAILED, False, Do.EXECUTE, ""),
        (REFUSED, False, Do.EXECUTE, ""),
        (DELETED, False, Do.EXECUTE, ""),
    ],
)
def test_the_patch_waits_for_data_that_comes_and_for_no_other(
    part: Part, do: Do, reason: str, *, automatic: bool
) -> None:
    todo = next_of("Executed", part, automatic=automatic)
    assert (todo.do, todo.reason) == (do, reason)


def test_a_patch_that_is_there_is_adopted_whatever_the_data_does() -> None:
    assert next_of("Executed", COMING, target=seen("v1", rolled_back_by="rb-uid")).do is Do.ADOPT


V1 = seen("v1", rolled_back_by="rb-uid")
AFTER = green(T0 - 50, probes={"http": passing(T0 - 50, last=T0 - 1)}, ledger=(GOOD,))


@pytest.mark.parametrize(
    ("parts", "do", "reason", "says"),
    [
        ((AT_ZERO,), Do.WAIT, "RestoringData", "the data is being restored by Restore rb-db"),
        ((COMING,), Do.WAIT, "RestoringData", "rb-db"),
        ((ASKED,), Do.VALIDATE, "", ""),
        ((OVER,), Do.VALIDATE, "", ""),
        ((FAILED,), Do.VALIDATE, "", ""),
        ((HALF,), Do.FAIL, "DataNotRestored", "the workload stays at 0 replicas: Restore rb-db: at verify: WrongKey"),
        ((HALF, replace(AT_ZERO, name="rb-other")), Do.WAIT, "RestoringData", "rb-other"),
    ],
)
def test_validation_waits_for_data(parts: tuple[Part, ...], do: Do, reason: str, says: str) -> None:
    todo = next_of("Validated", *parts, target=V1, memory=AFTER, executed_at=T0 - 100)
    assert (todo.do, todo.reason) == (do, reason)
    assert says in todo.message


def test_the_time_for_the_rollout_begins_when_the_data_is_there() -> None:
    memory = replace(AFTER, complete_since=None)
    hours_ago = {"executed_at": T0 - 7200.0, "target": replace(V1, complete=False), "memory": memory}
    assert next_of("Validated", OVER, **hours_ago).reason == "RolloutUnderWay"
    assert next_of("Validated", **hours_ago).reason == "RolloutTimeout"


@pytest.mark.parametrize(
    ("part", "do", "says"),
    [
        (OVER, Do.DOCUMENT, "data: Restore rb-db has succeeded"),
        (REFUSED, Do.DOCUMENT, "the data stays: Restore rb-db was refused"),
        (ASKED, Do.DOCUMENT, "Restore rb-db waits for approval"),
        (FAILED, Do.FAIL, "the code was put back to v1 and its probes are green; the data was not put back"),
        (DELETED, Do.FAIL, "Restore rb-db: it was deleted"),
    ],
)
def test_the_end_says_what_became_of_the_data(part: Part, do: Do, says: str) -> None:
    todo = next_of("Documented", part, target=V1, memory=AFTER)
    assert todo.do is do
    assert says in todo.message


def test_without_a_noted_point_a_person_is_told_and_a_trigger_goes_on_with_the_code() -> None:
    bare = green(T0 - 50, key="v2", ledger=(good("v1"),))
    asked = next_of("Identified", memory=bare, target=seen("v2"))
    assert (asked.do, asked.reason) == (Do.FAIL, "NoDataPoint")
    assert "db" in asked.message
    assert next_of("Identified", memory=bare, target=seen("v2"), automatic=True).do is Do.IDENTIFY


def test_points_and_names() -> None:
    assert points_for(PLAN, GOOD) == ((POINT,), ())
    assert points_for(plan(backups=("db", "files")), GOOD) == ((POINT,), ("files",))
    assert points_for(plan(backups=()), GOOD) == ((), ()), "what is no longer the service's is not put back"
    assert restore_name("rb", "db") == "rb-db"
    assert len(restore_name("r" * 253, "db")) == 253
