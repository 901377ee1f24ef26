"""Cron expressions: whether they are good, when they come due, and the same ones a little later. Pure.

Read by cronsim; what the CronJob controller reads differently is refused, or left out of what is expected.
"""

import datetime as dt
import hashlib
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

from cronsim import CronSim, CronSimError

_FIELD = re.compile(r"[0-9A-Za-z*/,-]+")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LOOKED_AHEAD = 200
"""How many times in a row are looked at for the widest gap between them."""
_HOUR, _DAY = 60, 24


def bad_expression(expression: str) -> str:
    """What is wrong with an expression; empty when nothing is."""
    fields = expression.split()
    if len(fields) != 5:
        return "it has five fields: minute, hour, day of month, month, day of week"
    words = {word.upper() for word in re.findall(r"[A-Za-z]+", expression)}
    if not all(_FIELD.fullmatch(field) for field in fields) or words - {*_DAYS, *_MONTHS}:
        return 'write numbers, "*", "/", "-", ",", and names of days and months only'
    if "7" in re.findall(r"[0-9]+", fields[4].split("/")[0]):
        return "Sunday is 0"
    try:
        next(CronSim(expression, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
    except CronSimError as error:
        return str(error).lower()
    except StopIteration:
        return "no such day ever comes"
    return ""


def bad_zone(name: str) -> str:
    """What is wrong with a time zone; empty when nothing is."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return f'"{name}" is no time zone that is known: write a name such as "Europe/Berlin" or "Etc/UTC"'
    return ""


def _times(expression: str, zone: str, at: float, *, back: bool = False) -> Iterator[float]:
    """Times at which the CronJob controller starts a Job, after ``at`` or before it.

    It leaves out a time that the change to summer time leaves out; cronsim moves it to the next there is.
    """
    start = dt.datetime.fromtimestamp(at, tz=dt.UTC).astimezone(zoneinfo.ZoneInfo(zone))
    times = CronSim(expression, start, reverse=back)
    for time in times:
        if time.minute in times.minutes and time.hour in times.hours:
            yield time.timestamp()


def next_after(expression: str, zone: str, at: float) -> float | None:
    """The first time after ``at``, seconds since the epoch; None when there is none."""
    return next((time for time in _times(expression, zone, at) if time > at), None)


def last_before(expression: str, zone: str, at: float) -> float | None:
    """The last time that is not after ``at``; None when there is none."""
    return next((time for time in _times(expression, zone, at + 1, back=True) if time <= at), None)


def widest_gap(expressions: Sequence[tuple[str, float]], zone: str, at: float) -> float:
    """The greatest age, in seconds, that the newest point reaches before another is there, when all goes well.

    Each expression comes with the seconds that its run takes: a point is of the time at which its run starts, and is
    there once it is done. Looked at from midnight (UTC) on.
    """
    return _widest_gap(tuple(expressions), zone, at // 86400 * 86400)


@lru_cache(maxsize=4096)
def _widest_gap(expressions: tuple[tuple[str, float], ...], zone: str, at: float) -> float:
    ahead = [[(time, takes) for time in _ahead(expression, zone, at)] for expression, takes in expressions]
    # As far as all of them were looked at: the seldom ones reach further.
    reach = min((times[-1][0] for times in ahead if times), default=at)
    # By when each is done: until then, the newest start of those that are done before is the newest point.
    done = sorted((time + takes, time) for times in ahead for time, takes in times if time <= reach)
    newest, widest = done[0][1] if done else at, 0.0
    for end, start in done[1:]:
        widest = max(widest, end - newest)
        newest = max(newest, start)
    return widest


def _ahead(expression: str, zone: str, at: float) -> list[float]:
    return list(islice(_times(expression, zone, at), _LOOKED_AHEAD))


def delay_of(uid: str, jitter: float) -> int:
    """By how many whole minutes the runs of a schedule come later: always the same, no more than ``jitter`` seconds."""
    most = int(jitter // 60)
    digest = hashlib.blake2b(uid.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (most + 1)


def later(expression: str, minutes: int) -> str:
    """The expression whose times come so many minutes later, or as many of them as an expression can say."""
    for delay in range(minutes, 0, -1):
        found = _shifted(expression, delay)
        if found is not None:
            return found
    return expression


def _shifted(expression: str, minutes: int) -> str | None:
    fields = expression.split()
    times = CronSim(expression, dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    if fields[0] == "*":
        return None
    carries = {(minute + minutes) // _HOUR for minute in times.minutes}
    if carries == {0}:
        return _written(times.minutes, minutes, _HOUR, fields[1:])
    any_day = fields[2:] == ["*", "*", "*"]
    if fields[1] == "*":
        return _written(times.minutes, minutes, _HOUR, fields[1:]) if any_day else None
    if len(carries) > 1:
        return None
    (carry,) = carries
    if max(times.hours) + carry >= _DAY and not any_day:
        return None
    hours = _numbers({(hour + carry) % _DAY for hour in times.hours})
    return _written(times.minutes, minutes, _HOUR, [hours, *fields[2:]])


def _written(values: set[int], by: int, modulus: int, rest: Sequence[str]) -> str:
    return " ".join([_numbers({(value + by) % modulus for value in values}), *rest])


def _numbers(values: set[int]) -> str:
    return "*" if len(values) == _HOUR else ",".join(str(value) for value in sorted(values))


def every(minutes: int, full: str) -> str:
    """Every so many minutes (a divisor of 60), half-way between the times at which the full backup starts."""
    first = min(CronSim(full, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)).minutes)
    start = (first + minutes // 2) % minutes
    return f"{_numbers(set(range(start, _HOUR, minutes)))} * * * *"
