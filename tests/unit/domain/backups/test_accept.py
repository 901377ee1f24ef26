"""Why a schedule is not carried out, or not well: exact reasons and sentences."""

from typing import Any

import pytest
from tests.unit.domain.backups.making import NOW, S3, declared, spec

from lastgood.domain.backups.accept import places_of, rpo_problems, shared_problems, spec_problems
from lastgood.domain.backups.pods import Declared


def test_nothing_is_wrong_with_a_plain_schedule() -> None:
    assert spec_problems(spec()) == []
    assert shared_problems(declared(), []) == []
    assert rpo_problems(declared(), {}, NOW) == []


@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        (
            {"schedule": {"full": "0 25 * * *"}},
            "BadCron",
            'the cron expression "0 25 * * *" of full is not good: bad hour',
        ),
        (
            {"verification": {"restoreTest": {"schedule": "0 5 * * 7"}}},
            "BadCron",
            'the cron expression "0 5 * * 7" of restore-test is not good: Sunday is 0',
        ),
        (
            {"schedule": {"timeZone": "Europe/Bern"}},
            "BadTimeZone",
            '"Europe/Bern" is no time zone that is known: write a name such as "Europe/Berlin" or "Etc/UTC"',
        ),
        (
            {"retention": {"daily": 0}},
            "KeepsNothing",
            "spec.retention keeps nothing: write how many points are kept, such as daily: 14, or within: 720h",
        ),
    ],
)
def test_a_spec_that_makes_no_sense(change: dict[str, Any], reason: str, sentence: str) -> None:
    (problem,) = spec_problems(spec(**change))
    assert (problem.reason, problem.message) == (reason, sentence)


def others(*schedules: Declared) -> list[tuple[str, str, list[tuple[str, ...]]]]:
    return [(s.namespace, s.name, [place for _, place in places_of(s)]) for s in schedules]


def test_two_schedules_on_one_claim_have_folders_of_their_own() -> None:
    assert shared_problems(declared("a"), others(declared("b"))) == []


def test_a_repository_inside_another_is_refused_whichever_is_asked() -> None:
    outer = declared("a", repositories={"primary": {"volume": {"claim": "backups", "path": "x"}}})
    inner = declared("b", repositories={"primary": {"volume": {"claim": "backups", "path": "/x//a/./"}}})
    for one, other in ((outer, inner), (inner, outer)):
        (problem,) = shared_problems(one, others(other))
        assert problem.reason == "RepositoryShared"
        assert problem.message == (
            f"repository primary is also that of BackupSchedule {other.name} in namespace prod: "
            "give one of them another path or prefix"
        )


def test_a_name_that_begins_like_another_is_another_place() -> None:
    one = declared("a", repositories={"primary": {"volume": {"claim": "backups", "path": "x"}}})
    other = declared("ab", repositories={"primary": {"volume": {"claim": "backups", "path": "x"}}})
    assert shared_problems(one, others(other)) == []


def test_a_bucket_is_shared_across_namespaces_only_by_its_prefix() -> None:
    primary = {"primary": {"s3": S3}}
    one, other = declared("a", "x", repositories=primary), declared("a", "y", repositories=primary)
    assert shared_problems(one, others(other)) == []
    same = declared("a", "x", repositories={"primary": {"s3": {**S3, "endpoint": "https://S3.example.com/"}}})
    assert [p.reason for p in shared_problems(one, others(same))] == ["RepositoryShared"]


def test_the_same_claim_in_another_namespace_is_another_claim() -> None:
    assert shared_problems(declared("a", "x"), others(declared("a", "y"))) == []


def test_a_copy_beside_the_original_is_none() -> None:
    primary = {"volume": {"claim": "backups"}}
    schedule = declared(repositories={"primary": primary, "secondary": [{"name": "offsite", **primary}]})
    (problem,) = shared_problems(schedule, [])
    assert problem.message == "the repositories primary and offsite are one place: a copy beside the original is none"


LOGICAL = {"source": {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}}}


@pytest.mark.parametrize(
    ("change", "took", "sentence"),
    [
        # Hourly, and a run takes its time besides: never within an hour.
        (
            {**LOGICAL, "rpo": "1h"},
            {},
            (
                "rpo is 1h, but up to 1h lie between two points even when all goes well, and a run takes its time besides: "
                'let schedule.incremental run more often, or raise rpo, or take method "wal"'
            ),
        ),
        (
            {**LOGICAL, "rpo": "1h"},
            {"full": 600.0, "incremental": 120.0},
            (
                "rpo is 1h, but up to 1h2m lie between two points even when all goes well, the run of 10m included: "
                'let schedule.incremental run more often, or raise rpo, or take method "wal"'
            ),
        ),
        ({**LOGICAL, "rpo": "70m"}, {"full": 600.0, "incremental": 120.0}, ""),
        ({**LOGICAL, "rpo": "1h", "schedule": {"incremental": "*/30 * * * *"}}, {"incremental": 1500.0}, ""),
        ({"rpo": "1h"}, {"full": 600.0, "incremental": 120.0}, ""),
        (
            {"source": {"volume": {"claims": ["v"]}}, "rpo": "12h"},
            {},
            (
                "rpo is 12h, but up to 24h lie between two points even when all goes well, and a run takes its time besides: "
                "let schedule.full run more often, or raise rpo"
            ),
        ),
        ({**LOGICAL, "rpo": "1h", "suspend": True}, {}, ""),
    ],
)
def test_an_rpo_that_cannot_be_met_is_said(change: dict[str, Any], took: dict[str, float], sentence: str) -> None:
    problems = rpo_problems(declared(**change), took, NOW)
    assert [p.message for p in problems] == ([sentence] if sentence else [])
    assert all(p.reason == "RPOUnreachable" for p in problems)
