import json

import pytest

from lastgood.api.backup import Copy, Verified
from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.answers import (
    ROOM,
    complete,
    copy_of,
    fitting,
    proven,
    repository_failed,
    repository_status,
    with_condition,
    with_verified,
)
from lastgood.domain.backups.points import Held
from lastgood.domain.backups.ports import Snapshot

AT = 1795631453.0


def proof(how: str, at: str, *, passed: bool = True, repository: str = "primary") -> Verified:
    return Verified.model_validate({"how": how, "passed": passed, "at": at, "repository": repository, "message": how})


def one(backup: str, at: float) -> Held:
    return Held(backup, at, "", (Snapshot(f"{backup}-1", at),), Snapshot(f"{backup}-r", at))


@pytest.mark.parametrize("size", [0, 1, 5, 50])
def test_a_result_always_fits_and_keeps_what_it_is_about(size: int) -> None:
    result = JobResult(
        ok=False,
        task="full",
        reason="DiskFull",
        message="ü" * 1024,
        backup="b" * 63,
        point="2026-11-25T18:30:53Z",
        removed=[f"orders-{n:060}" for n in range(size * 10)],
        verified=[proof("FullCheck", "2026-11-25T18:30:53Z", repository=f"r{n}") for n in range(size)],
        copies=[
            Copy(repository=f"r{n}", state="Failed", snapshots=["0" * 64] * 8, message="m" * 512) for n in range(size)
        ],
        repositories=[repository_failed(f"r{n}", "Unreachable", "m" * 1024) for n in range(min(size, 5))],
    )
    text = fitting(result)
    assert len(text.encode()) <= ROOM
    back = JobResult.model_validate(json.loads(text))
    assert (back.ok, back.task, back.reason, back.backup, back.point) == (
        *(False, "full", "DiskFull", "b" * 63, "2026-11-25T18:30:53Z"),
    )
    assert back.message
    if size <= 1:
        assert back.message == result.message


def test_a_condition_that_says_the_same_keeps_its_time() -> None:
    first = complete(ok=True, reason="Done", message="", at=AT)
    later = complete(ok=True, reason="Done", message="again", at=AT + 100)
    assert with_condition([first], later)[0].last_transition_time == first.last_transition_time
    failed = complete(ok=False, reason="DiskFull", message="m" * 2000, at=AT + 100)
    (kept,) = with_condition([first], failed)
    assert (kept.status, kept.last_transition_time) == ("False", failed.last_transition_time)
    assert len(kept.message) == 1024
    assert with_condition([first], None) == [first]


def test_the_newest_proof_of_each_kind_and_repository_stays() -> None:
    old = [proof("RestoreTest", "2026-01-01T00:00:00Z"), proof("Structure", "2026-01-02T00:00:00Z")]
    new = proof("RestoreTest", "2026-02-01T00:00:00Z", passed=False)
    found = with_verified(old, [new])
    assert [(v.how, v.passed) for v in found] == [("RestoreTest", False), ("Structure", True)]
    other = proof("RestoreTest", "2026-02-02T00:00:00Z", repository="second")
    assert len(with_verified(found, [other])) == 3
    many = [proof("FullCheck", f"2026-03-{n:02}T00:00:00Z", repository=f"r{n}") for n in range(1, 30)]
    assert len(with_verified(found, many)) == 16


def test_a_failed_proof_is_not_hidden_by_a_later_one_of_another_kind() -> None:
    failed = proof("RestoreTest", "2026-01-01T00:00:00Z", passed=False)
    later = proof("Structure", "2026-02-01T00:00:00Z")
    found = proven([later, failed], AT)
    assert found is not None
    assert (found.status, found.reason) == ("False", "RestoreTest")
    good = proven([later], AT)
    assert good is not None
    assert (good.status, good.reason) == ("True", "Structure")
    assert proven([], AT) is None


def test_states_of_repositories() -> None:
    points = [one("a", AT), one("b", AT + 3600)]
    ready = repository_status("primary", points, size_bytes=7)
    assert (ready.state, ready.points, ready.size_bytes) == ("Ready", 2, 7)
    assert (ready.oldest, ready.recoverable_until) == ("2026-11-25T18:30:53Z", "2026-11-25T19:30:53Z")
    behind = repository_status("second", points[:1], newest=AT + 3600)
    assert (behind.state, behind.recoverable_until) == ("Behind", "2026-11-25T18:30:53Z")
    assert repository_status("second", [], newest=AT).state == "Behind"
    assert repository_status("primary", []).recoverable_until is None


def test_copies() -> None:
    assert copy_of("primary", one("a", AT)).snapshots == ["a-1"]
    present = Copy(repository="second", state="Present", snapshots=["x"])
    assert copy_of("second", None, present).state == "Removed"
    assert copy_of("second", None, Copy(repository="second", state="Failed")).state == "Missing"
    assert copy_of("second", None).state == "Missing"
