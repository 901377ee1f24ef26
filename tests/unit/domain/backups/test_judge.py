"""The judgement over a schedule: conditions with their exact reasons and sentences, status, when to look again."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.domain.backups.making import HOUR, NOW, declared, job, point, proof

from lastgood.api.backupjob import JobResult
from lastgood.api.backupschedule import RepositoryStatus
from lastgood.domain.backups.judge import Judgement, Seen, judge, shown_bytes
from lastgood.domain.backups.seen import Point, Points
from lastgood.domain.model import Problem

TWO = {
    "repositories": {
        "primary": {"volume": {"claim": "backups"}},
        "secondary": [{"name": "offsite", "volume": {"claim": "far"}}],
    }
}
OLD = NOW - 30 * 24 * HOUR


def look(*points: Point, before: Any = None, now: float = NOW, **more: Any) -> Judgement:
    schedule = {"rpo": "3h", "rto": "4h", **more.pop("spec", {})}
    seen = Seen(**{"created": OLD, "points": points, **more})
    return judge(declared(**schedule), seen, before or {}, now)


def condition(judged: Judgement, kind: str) -> tuple[str, str, str]:
    (found,) = [c for c in judged.conditions if c.type == kind]
    return found.status, found.reason, found.message


def test_ready_says_the_gravest_first_and_all() -> None:
    assert condition(look(), "Ready") == ("True", "Accepted", "backed up by method wal")
    problems = (Problem("KeyMissing", "no key"), Problem("ClaimMissing", "no claim"))
    assert condition(look(problems=problems), "Ready") == ("False", "KeyMissing", "no key; no claim")
    suspended = look(spec={"suspend": True})
    assert condition(suspended, "Ready")[:2] == ("False", "Suspended")
    assert condition(suspended, "RunsOnTime")[:2] == ("Unknown", "Suspended")
    assert suspended.status["nextRun"] is None


def test_rpo_is_unknown_only_while_no_point_can_be_expected() -> None:
    young = look(created=NOW - HOUR)
    assert condition(young, "RPOMet") == (
        "Unknown",
        "NoPointYet",
        "no point yet; the schedule is younger than its rpo of 3h",
    )
    assert condition(look(), "RPOMet") == (
        "False",
        "NoUsablePoint",
        "the primary repository holds no point that can be used, and rpo is 3h",
    )
    failing = look(created=NOW - HOUR, jobs=(job("full", NOW - 600, "Failed", reason="WrongPassword", message="no"),))
    assert condition(failing, "RPOMet") == (
        "False",
        "NoUsablePoint",
        "the primary repository holds no point that can be used, and rpo is 3h: full: WrongPassword, no",
    )


def test_rpo_goes_by_the_newest_usable_point_of_the_primary() -> None:
    fresh = look(point("a", NOW - 2 * HOUR), point("b", NOW - HOUR))
    assert condition(fresh, "RPOMet") == (
        "True",
        "PointFresh",
        "recoverable up to 2025-11-25 11:00:00Z, within the rpo of 3h",
    )
    old = look(point("a", NOW - 4 * HOUR), point("b", NOW - HOUR, phase="Failed"))
    assert condition(old, "RPOMet") == (
        "False",
        "PointTooOld",
        "recoverable up to 2025-11-25 08:00:00Z only, longer ago than the rpo of 3h",
    )
    only_far = look(
        point("a", NOW - 4 * HOUR, repositories=("primary", "offsite")),
        point("b", NOW - HOUR, repositories=("offsite",)),
        spec=TWO,
    )
    assert condition(only_far, "RPOMet")[1] == "PointTooOld"
    assert only_far.ages == {"primary": NOW - 4 * HOUR, "offsite": NOW - HOUR}


def test_without_rpo_and_rto_nothing_is_said_of_them() -> None:
    judged = judge(declared(), Seen(created=OLD), {}, NOW)
    assert [c.type for c in judged.conditions] == ["Ready", "Verified", "RunsOnTime", "Running"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"phase": "Failed"},
        {"phase": "Running"},
        {"point": None},
        {"copies": {}},
        {"copies": {"primary": ("Missing", "", "")}},
        {"copies": {"primary": ("Removed", "", "")}},
        {"proofs": (proof("Structure", NOW - 60, passed=False),)},
        {"base": "gone"},
        {"base": "bad"},
    ],
)
def test_a_point_that_is_not_whole_is_not_usable(spoilt: dict[str, Any]) -> None:
    bad = point("bad", NOW - 2 * HOUR, phase="Failed")
    assert not Points([bad, point("a", NOW - HOUR, **spoilt)]).usable("primary")


def test_a_proof_that_was_passed_since_counts() -> None:
    proofs = (proof("DataSample", NOW - 600, passed=False), proof("DataSample", NOW - 60))
    assert Points([point("a", NOW - HOUR, proofs=proofs)]).usable("primary")
    elsewhere = (proof("FullCheck", NOW - 60, passed=False, repository="offsite"),)
    assert Points([point("a", NOW - HOUR, proofs=elsewhere)]).usable("primary")


def test_a_chain_is_usable_when_all_of_it_is() -> None:
    base = point("base", NOW - 3 * HOUR)
    chain = [base, point("i1", NOW - 2 * HOUR, base="base"), point("i2", NOW - HOUR, base="i1")]
    assert [p.name for p in Points(chain).usable("primary")] == ["base", "i1", "i2"]
    assert [p.name for p in Points([base, chain[2]]).usable("primary")] == ["base"]
    assert not Points([point("x", NOW, base="y"), point("y", NOW, base="x")]).usable("primary")


def test_rto_is_the_restore_tests_time_scaled_to_todays_size() -> None:
    assert condition(look(), "RTOMet") == (
        "Unknown",
        "NoRestoreTest",
        "no restore test has told yet how long a restore takes",
    )
    tested = point("a", NOW - 48 * HOUR, size_bytes=1000, proofs=(proof("RestoreTest", NOW - HOUR, seconds=3600),))
    grown = look(tested, point("b", NOW - HOUR, size_bytes=5000))
    assert condition(grown, "RTOMet") == (
        "False",
        "RestoreTooSlow",
        "the last restore test, scaled to today's size, takes 18000 s; rto is 4h",
    )
    assert grown.status["restoreSeconds"] == 18000
    shrunk = look(tested, point("b", NOW - HOUR, size_bytes=10))
    assert condition(shrunk, "RTOMet")[1] == "RestoreFastEnough"
    assert shrunk.status["restoreSeconds"] == 3600
    failed = look(
        point("b", NOW - HOUR, proofs=(proof("RestoreTest", NOW - 60, passed=False, message="3 rows short"),))
    )
    assert condition(failed, "RTOMet") == (
        "False",
        "RestoreTestFailed",
        "the restore test of 2025-11-25 11:59:00Z failed: 3 rows short",
    )


def test_nothing_is_verified_before_it_was_restored() -> None:
    structure = point("a", NOW - HOUR, proofs=(proof("Structure", NOW - HOUR), proof("DataSample", NOW - HOUR)))
    assert condition(look(structure), "Verified") == (
        "Unknown",
        "NotRestoredYet",
        "no point was restored yet to see whether it can be",
    )
    restored = point("a", NOW - 5 * HOUR, proofs=(proof("RestoreTest", NOW - 4 * HOUR, seconds=9),))
    judged = look(restored, structure)
    assert condition(judged, "Verified") == (
        "True",
        "Restored",
        "Backup a was restored and looked at 2025-11-25 08:00:00Z",
    )
    assert judged.restored_at == NOW - 4 * HOUR
    sample = point("c", NOW - HOUR, proofs=(proof("DataSample", NOW - 60, passed=False, message="pack 7f is bad"),))
    assert condition(look(restored, sample), "Verified") == (
        "False",
        "VerificationFailed",
        "DataSample of Backup c in primary failed at 2025-11-25 11:59:00Z: pack 7f is bad",
    )


SINCE = dict.fromkeys(("full", "incremental", "data-sample", "restore-test", "full-check", "prune"), OLD)


def logical(**more: Any) -> dict[str, Any]:
    source = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}}
    return {"spec": {"source": source}, "since": {"full": OLD, "incremental": OLD}, **more}


def test_a_run_that_was_due_and_did_not_come_is_missed() -> None:
    # Fulls at 02:00, increments at half past.
    judged = look(point("a", NOW - 34 * HOUR), point("i", NOW - 1800, type="Incremental"), **logical())
    assert condition(judged, "RunsOnTime") == (
        "False",
        "RunMissed",
        (
            "full was due at 2025-11-25 02:00:00Z and did not run: "
            "see the CronJob's events, and whether the controller manager runs"
        ),
    )


@pytest.mark.parametrize(
    "covering",
    [
        {"jobs": (job("full", NOW - 10 * HOUR),)},
        # One that is under way keeps the next from starting.
        {"jobs": (job("full", NOW - 11 * HOUR, "Running"),)},
        # Made up for later.
        {"jobs": (job("full", NOW - 2 * HOUR, "Running"),)},
        # The Job is gone, status remembers.
        {"before": {"runs": [{"name": "full", "lastSuccess": "2025-11-25T02:10:00Z"}]}},
        # Edited since: earlier times are nobody's to keep.
        {"since": {"full": NOW - HOUR, "incremental": NOW - HOUR}},
        # A CronJob that was made just now, or that is not there.
        {"since": {}},
    ],
)
def test_a_run_that_took_place_is_not_missed(covering: dict[str, Any]) -> None:
    increment = point("i", NOW - 1800, type="Incremental")
    judged = look(increment, **{**logical(), **covering})
    assert condition(judged, "RunsOnTime")[0] != "False"


def test_a_run_is_given_some_minutes_to_start() -> None:
    def at(now: float) -> str:
        full = point("f", NOW - 10 * HOUR)
        return condition(look(full, point("i", NOW - 1800, type="Incremental"), now=now, **logical()), "RunsOnTime")[1]

    assert at(NOW + 1800 + 179) == "OnTime"
    assert at(NOW + 1800 + 181) == "RunMissed"


def test_a_run_that_failed_is_told_until_one_succeeds() -> None:
    failed = job("full", NOW - 10 * HOUR, "Failed", reason="DiskFull", message="no room on backups")
    increment = point("i", NOW - 1800, type="Incremental")
    judged = look(increment, jobs=(failed,), **logical())
    assert condition(judged, "RunsOnTime") == ("False", "RunFailed", "full: DiskFull, no room on backups")
    (run,) = [r for r in judged.status["runs"] if r["name"] == "full"]
    assert (run["reason"], run["message"]) == ("DiskFull", "no room on backups")
    again = look(increment, before=judged.status, jobs=(job("full", NOW - HOUR),), **logical())
    assert condition(again, "RunsOnTime") == ("True", "OnTime", "all that was due has run")
    (run,) = [r for r in again.status["runs"] if r["name"] == "full"]
    assert (run["reason"], run["seconds"], "lastFailure" in run) == ("", 60, True)


def test_a_job_that_seems_to_end_before_its_backup_tells_how_long_it_took() -> None:
    written = point("f", NOW - 120, finished=NOW - 59.6)
    before = look(written, **logical()).status
    assert before["runs"][0]["seconds"] == 0
    ended = look(written, before=before, jobs=(job("full", NOW - 120, seconds=42),), **logical()).status["runs"]
    assert (ended[0]["name"], ended[0]["seconds"], ended[0]["lastSuccess"]) == (
        "full",
        42,
        before["runs"][0]["lastSuccess"],
    )
    # One of before says nothing of it.
    older = look(written, before={"runs": ended}, jobs=(job("full", NOW - 4000, seconds=9),), **logical())
    assert older.status["runs"][0]["seconds"] == 42


def test_running_names_what_is_under_way() -> None:
    assert condition(look(), "Running") == ("False", "Idle", "no job is under way")
    judged = look(jobs=(job("full", NOW - 60, "Running", name="shop-full-1"), job("prune", NOW - 600)))
    assert condition(judged, "Running") == ("True", "JobsActive", "full (shop-full-1)")


def test_repositories_have_states_of_their_own() -> None:
    dead = point(
        "b",
        NOW - HOUR,
        copies={"primary": ("Present", "", ""), "offsite": ("Failed", "Unreachable", "no answer from far")},
    )
    judged = look(point("a", NOW - 25 * HOUR, repositories=("primary", "offsite")), dead, spec=TWO)
    primary, offsite = judged.status["repositories"]
    assert (primary["state"], primary["points"], primary["recoverableUntil"]) == (
        "Ready",
        2,
        "2025-11-25T11:00:00.000000Z",
    )
    assert (offsite["state"], offsite["reason"], offsite["message"]) == ("Failed", "Unreachable", "no answer from far")
    assert (offsite["points"], offsite["recoverableUntil"]) == (1, "2025-11-24T11:00:00.000000Z")
    behind = look(point("a", NOW - HOUR), spec=TWO).status["repositories"][1]
    assert (behind["state"], behind["reason"]) == ("Behind", "CopyMissing")
    unknown = look(spec=TWO).status["repositories"][1]
    assert (unknown["state"], unknown["points"]) == ("Unknown", 0)


def test_sizes_are_what_a_job_said_last_and_are_remembered() -> None:
    said = JobResult(
        ok=True, task="full", repositories=[RepositoryStatus(name="primary", state="Ready", size_bytes=5 * 2**30)]
    )
    judged = look(point("a", NOW - HOUR), jobs=(job("full", NOW - HOUR, result=said),))
    assert judged.status["size"] == "5.0 GiB"
    assert look(point("a", NOW - HOUR), before=judged.status).status["size"] == "5.0 GiB"


def test_a_repository_that_a_check_found_bad_is_so_until_the_next_point() -> None:
    said = JobResult(
        ok=False,
        task="full-check",
        repositories=[RepositoryStatus(name="primary", state="Failed", reason="RepositoryDamaged", message="pack 7f")],
    )
    checked = job("full-check", NOW - 600, "Failed", result=said)
    (bad,) = look(point("a", NOW - HOUR), jobs=(checked,)).status["repositories"]
    assert (bad["state"], bad["reason"]) == ("Failed", "RepositoryDamaged")
    (good,) = look(point("a", NOW - HOUR), point("b", NOW - 60), jobs=(checked,)).status["repositories"]
    assert good["state"] == "Ready"


@pytest.mark.parametrize(
    ("size", "shown"), [(0, ""), (512, "512 B"), (1536, "1.5 KiB"), (300 * 2**20, "300 MiB"), (5 * 2**50, "5120 TiB")]
)
def test_sizes_for_a_person(size: int, shown: str) -> None:
    assert shown_bytes(size) == shown


def test_it_is_looked_at_again_when_something_may_flip() -> None:
    # Half past is the next run; three minutes later it would be missed; the rpo ends at 14:00.
    judged = look(point("a", NOW - HOUR), **logical())
    assert judged.recheck_at == NOW + 1801
    suspended = look(point("a", NOW - HOUR), spec={"suspend": True})
    assert suspended.recheck_at == NOW - HOUR + 3 * HOUR + 1


POINTS = st.lists(
    st.builds(
        lambda name, age, phase, state, base, passed: point(
            name,
            NOW - age,
            phase=phase,
            copies={"primary": (state, "", "")},
            base=base,
            proofs=() if passed is None else (proof("RestoreTest", NOW - 1, passed=passed, seconds=5),),
        ),
        st.sampled_from("abcdef"),
        st.integers(0, 10**6),
        st.sampled_from(["Succeeded", "Failed", "Running"]),
        st.sampled_from(["Present", "Missing", "Failed"]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([None, True, False]),
    ),
    max_size=6,
    unique_by=lambda p: p.name,
)


@settings(deadline=None)
@given(POINTS, st.randoms())
def test_the_judgement_does_not_depend_on_the_order_and_is_settled_once_written(
    points: list[Point], random: Any
) -> None:
    first = look(*points)
    random.shuffle(points)
    again = look(*points, before=first.status)
    assert again.conditions == first.conditions
    assert again.status == first.status


@settings(deadline=None)
@given(POINTS)
def test_nothing_is_good_without_a_point_that_can_be_used(points: list[Point]) -> None:
    judged = look(*points)
    usable = Points(points).usable("primary")
    assert (condition(judged, "RPOMet")[0] == "True") == any(p.point and p.point >= NOW - 3 * HOUR for p in usable)
    assert judged.status["points"] == len(usable)
