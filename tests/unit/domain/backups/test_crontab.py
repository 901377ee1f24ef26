"""Cron expressions: what is refused, what a delay makes of them, and when they are due."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lastgood.domain.backups.crontab import (
    bad_expression,
    bad_zone,
    delay_of,
    every,
    last_before,
    later,
    next_after,
    widest_gap,
)

NOW = 1_764_072_000.0


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("0 2 * * *", ""),
        ("*/15 * * * MON-FRI", ""),
        ("0 0 1,15 JAN *", ""),
        ("60 * * * *", "bad minute"),
        ("0 2 * *", "it has five fields: minute, hour, day of month, month, day of week"),
        ("0 0 2 * * *", "it has five fields: minute, hour, day of month, month, day of week"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 * * 5-7", "Sunday is 0"),
        ("0 0 L * *", 'write numbers, "*", "/", "-", ",", and names of days and months only'),
        ("0 0 * * 1#2", 'write numbers, "*", "/", "-", ",", and names of days and months only'),
        ("0 0 30 2 *", "bad day-of-month"),
    ],
)
def test_what_the_cronjob_controller_would_not_read_the_same_way_is_refused(expression: str, sentence: str) -> None:
    assert bad_expression(expression) == sentence


def test_an_unknown_time_zone_is_refused() -> None:
    assert bad_zone("Europe/Berlin") == bad_zone("Etc/UTC") == ""
    assert bad_zone("Mars/Base").startswith('"Mars/Base" is no time zone')
    assert bad_zone("../../etc/passwd")


@pytest.mark.parametrize(
    ("expression", "minutes", "shifted"),
    [
        ("0 2 * * *", 17, "17 2 * * *"),
        ("50 2 * * *", 17, "7 3 * * *"),
        ("50 23 * * *", 17, "7 0 * * *"),
        ("50 * * * *", 17, "7 * * * *"),
        ("*/15 * * * *", 17, "2,17,32,47 * * * *"),
        ("0 2 * * *", 0, "0 2 * * *"),
        # Past midnight it would be another day of the week: as far as it goes.
        ("50 23 * * 1", 17, "59 23 * * 1"),
        # Some minutes would be in the next hour, others not.
        ("0,50 2 * * *", 17, "9,59 2 * * *"),
        ("* * * * *", 3, "* * * * *"),
    ],
)
def test_a_delay_is_put_into_the_expression(expression: str, minutes: int, shifted: str) -> None:
    assert later(expression, minutes) == shifted


FIELDS = st.tuples(
    st.one_of(st.just("*"), st.integers(0, 59).map(str), st.sampled_from(["*/15", "0,30", "5-10", "*/7"])),
    st.one_of(st.just("*"), st.integers(0, 23).map(str), st.sampled_from(["*/6", "1,13", "22,23"])),
    st.sampled_from(["*", "1", "15", "31"]),
    st.sampled_from(["*", "2", "JAN"]),
    st.sampled_from(["*", "0", "MON-FRI"]),
)


@settings(deadline=None)
@given(FIELDS, st.integers(0, 60))
def test_delayed_times_are_the_same_times_later_by_one_and_the_same_delay(
    fields: tuple[str, str, str, str, str], minutes: int
) -> None:
    expression = " ".join(fields)
    assume(not bad_expression(expression))
    delayed = later(expression, minutes)
    assert bad_expression(delayed) == ""
    first = next_after(expression, "Etc/UTC", NOW - 1)
    assert first is not None
    # Some delay of no more than the asked one takes the one row of times to the other.
    times, shifted = [first], []
    for _ in range(30):
        times.append(next_after(expression, "Etc/UTC", times[-1]) or 0.0)
    at = first - 1
    for _ in range(31):
        at = next_after(delayed, "Etc/UTC", at) or 0.0
        shifted.append(at)
    for delay in range(minutes + 1):
        wanted = {t + delay * 60 for t in times}
        if wanted >= {t for t in shifted if t >= first + delay * 60 and t <= times[-1] + delay * 60}:
            return
    pytest.fail(f"{expression} became {delayed}")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=36), st.integers(0, 3600))
def test_the_delay_of_a_schedule_is_always_the_same_and_within_its_jitter(uid: str, jitter: int) -> None:
    assert delay_of(uid, jitter) == delay_of(uid, jitter)
    assert 0 <= delay_of(uid, jitter) * 60 <= jitter


def test_due_times_are_of_the_time_zone() -> None:
    at = next_after("0 2 * * *", "Europe/Berlin", NOW)
    assert at is not None
    assert dt.datetime.fromtimestamp(at, tz=zoneinfo.ZoneInfo("Europe/Berlin")).hour == 2
    assert dt.datetime.fromtimestamp(at, tz=dt.UTC).hour == 1


@settings(deadline=None)
@given(st.integers(0, 366 * 24 * 60))
def test_last_and_next_enclose_a_time(minutes: int) -> None:
    at = NOW + minutes * 60
    before, after = (
        last_before("30 2,14 * * *", "America/New_York", at),
        next_after("30 2,14 * * *", "America/New_York", at),
    )
    assert before is not None
    assert after is not None
    assert before <= at < after
    assert next_after("30 2,14 * * *", "America/New_York", before) == after


def test_a_time_that_summer_time_leaves_out_is_not_expected() -> None:
    # 2026-03-29, 02:00 to 03:00 does not exist in Berlin, and the CronJob controller starts nothing for it.
    noon = dt.datetime(2026, 3, 29, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).timestamp()
    before = last_before("30 2 * * *", "Europe/Berlin", noon)
    assert before == dt.datetime(2026, 3, 28, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).timestamp()


def test_the_widest_gap_counts_the_run_that_ends_it() -> None:
    assert widest_gap([("0 2 * * *", 0)], "Etc/UTC", NOW) == 86400
    assert widest_gap([("0 2 * * *", 600)], "Etc/UTC", NOW) == 87000
    assert widest_gap([("0 2 * * *", 600), ("30 * * * *", 60)], "Etc/UTC", NOW) == 3660
    # A full that takes longer than until the next increment: that one comes first.
    assert widest_gap([("0 2 * * *", 5400), ("30 * * * *", 0)], "Etc/UTC", NOW) == 3600
    assert widest_gap([("0 8-18 * * *", 0)], "Etc/UTC", NOW) == 14 * 3600


@pytest.mark.parametrize(
    ("minutes", "expression"), [(60, "30 * * * *"), (30, "15,45 * * * *"), (20, "10,30,50 * * * *"), (1, "* * * * *")]
)
def test_increments_are_half_way_between_fulls(minutes: int, expression: str) -> None:
    assert every(minutes, "0 2 * * *") == expression
