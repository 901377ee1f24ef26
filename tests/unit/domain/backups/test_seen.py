"""What Jobs, their last words and Backup objects tell."""

from typing import Any

import pytest
from tests.unit.domain.backups.making import NOW, UID

from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.seen import job_of, point_of, result_of
from lastgood.domain.clock import to_text


def job(*conditions: tuple[str, str], **status: Any) -> dict[str, Any]:
    told = [{"type": t, "status": "True", "reason": r, "lastTransitionTime": to_text(NOW + 90)} for t, r in conditions]
    return {
        "metadata": {
            "name": "shop-full-1",
            "creationTimestamp": to_text(NOW),
            "labels": {"lastgood.dev/task": "full", "lastgood.dev/schedule-uid": UID},
        },
        "status": {"startTime": to_text(NOW + 1), "conditions": told, **status},
    }


SAID = JobResult(ok=False, task="full", reason="WrongPassword", message="no", seconds=7).model_dump_json(by_alias=True)


def test_a_job_that_has_not_ended_runs() -> None:
    seen = job_of(job(("SuccessCriteriaMet", "")))
    assert (seen.state, seen.finished, seen.task, seen.created) == ("Running", None, "full", NOW)
    assert job_of({"metadata": job()["metadata"]}).state == "Running"


def test_a_job_that_succeeded_took_what_it_says_or_what_was_seen() -> None:
    body = job(("Complete", ""), completionTime=to_text(NOW + 61))
    assert (job_of(body).state, job_of(body).seconds, job_of(body).finished) == ("Succeeded", 60, NOW + 61)
    said = JobResult(ok=True, task="full", seconds=42).model_dump_json(by_alias=True)
    assert job_of(body, said).seconds == 42


@pytest.mark.parametrize(
    ("reason", "said", "told"),
    [
        ("BackoffLimitExceeded", SAID, ("WrongPassword", "no")),
        (
            "BackoffLimitExceeded",
            None,
            ("JobDied", "its pod ended without a word: see the pod's status and log"),
        ),
        ("BackoffLimitExceeded", "Killed", ("JobDied", "its pod ended without a word: see the pod's status and log")),
        (
            "DeadlineExceeded",
            # Of an earlier try.
            SAID,
            (
                "DeadlineExceeded",
                "it took longer than spec.schedule.deadline, or its pod could not start: see its pod's events",
            ),
        ),
    ],
)
def test_a_job_that_failed_says_why(reason: str, said: str | None, told: tuple[str, str]) -> None:
    seen = job_of(job(("Failed", reason)), said)
    assert (seen.state, seen.reason, seen.message) == ("Failed", *told)


@pytest.mark.parametrize("text", [None, "", "{", '{"ok": 1}', "x" * 4096])
def test_last_words_that_make_no_sense_are_none(text: str | None) -> None:
    assert result_of(text) is None


def body(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "b", "uid": "u", "creationTimestamp": to_text(NOW)},
        "spec": {"schedule": "shop", "type": "Full"},
        **({"status": status} if status else {}),
    }


def test_a_backup_without_a_status_is_pending() -> None:
    found = point_of(body())
    assert (found.phase, found.point, found.ended, found.job) == ("Pending", None, False, "")


def test_a_backup_tells_its_point_copies_and_proofs() -> None:
    found = point_of(
        body(
            phase="Succeeded",
            point=to_text(NOW),
            base="a",
            sizeBytes=5,
            copies=[{"repository": "offsite", "state": "Failed", "reason": "Unreachable", "message": "no answer"}],
            verified=[{"how": "Structure", "passed": True, "at": to_text(NOW + 1)}],
            conditions=[
                {"type": "Complete", "status": "True", "reason": "Succeeded", "lastTransitionTime": to_text(NOW)}
            ],
        )
    )
    assert (found.point, found.base, found.size_bytes, found.why) == (NOW, "a", 5, "Succeeded")
    assert found.copies == {"offsite": ("Failed", "Unreachable", "no answer")}
    assert [(p.how, p.passed, p.repository, p.at) for p in found.proofs] == [("Structure", True, "primary", NOW + 1)]


@pytest.mark.parametrize("spoilt", [{"point": "yesterday"}, {"phase": "Odd"}, {"copies": "none"}])
def test_a_backup_that_makes_no_sense_is_refused(spoilt: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        point_of(body(**spoilt))
