"""What a job's exit status says to Kubernetes."""

import re
from pathlib import Path

import pytest
from tests.unit.domain.backups.making import declared
from tests.unit.domain.backups.test_manifests import OPTIONS, OWNER

from lastgood.domain.backups.manifests import job_for
from lastgood.domain.backups.trying import _STAYING, BACKOFF_LIMIT, FAILED, STAYS, exit_status, failure_policy

REASONS = set(re.findall(r"`([A-Z]\w+)`", Path("docs/reasons.md").read_text()))


def test_every_failure_that_stays_is_a_documented_one() -> None:
    assert _STAYING <= REASONS


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("WrongKey", STAYS),
        ("WrongPassword", STAYS),
        ("RestoreTestFailed", STAYS),
        ("Unreachable", FAILED),
        ("RepositoryLocked", FAILED),
        ("DiskFull", FAILED),
        ("Interrupted", FAILED),
        ("NotPrimary", FAILED),
        ("AWordOfTomorrow", FAILED),
    ],
)
def test_only_what_a_person_must_mend_ends_the_job(reason: str, status: int) -> None:
    assert exit_status(ok=False, reason=reason) == status
    assert exit_status(ok=True, reason=reason) == 0


def test_a_job_is_tried_anew_but_not_after_what_stays_nor_one_that_may_run_once() -> None:
    spec = job_for("full", declared(), OPTIONS, name="j", owner=OWNER).job["spec"]
    assert (spec["backoffLimit"], spec["podFailurePolicy"]) == (BACKOFF_LIMIT, failure_policy())
    ends, ignored = failure_policy()["rules"]
    assert (ends["action"], ends["onExitCodes"]["values"]) == ("FailJob", [STAYS])
    assert ends["onExitCodes"]["containerName"] in {c["name"] for c in spec["template"]["spec"]["containers"]}
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")

    # A pod that was taken away half-way through a write is not begun again behind anybody's back.
    spec = job_for("full", declared(), OPTIONS, name="j", owner=OWNER, once=True).job["spec"]
    assert spec["backoffLimit"] == 0
    assert "podFailurePolicy" not in spec
