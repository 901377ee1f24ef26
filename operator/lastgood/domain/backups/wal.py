"""PostgreSQL's write-ahead log: names of its segments, timelines, and whether what was kept leaves no gap.

The names are PostgreSQL's own (src/include/access/xlog_internal.h): 8 hexadecimal digits each of timeline, the upper
half of the position, and the segment within that.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SEGMENT = re.compile(r"^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$")
_HISTORY = re.compile(r"^([0-9A-F]{8})\.history$")
_SWITCH = re.compile(r"^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)")
PARTIAL = ".partial"


def lsn(text: str) -> int:
    """A log position such as "0/3000060", in bytes. ValueError for anything else."""
    upper, _, lower = text.partition("/")
    return (int(upper, 16) << 32) + int(lower, 16)


def written(position: int) -> str:
    """As PostgreSQL writes a position."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the log."""

    timeline: int
    number: int
    """Counted from the log's beginning."""

    def name(self, segment_bytes: int) -> str:
        """Its file's name."""
        each = (1 << 32) // segment_bytes
        return f"{self.timeline:08X}{self.number // each:08X}{self.number % each:08X}"

    def start(self, segment_bytes: int) -> int:
        """The position of its first byte."""
        return self.number * segment_bytes


def segment(name: str, segment_bytes: int) -> Segment | None:
    """The segment that a file's name stands for; None for a name of another kind."""
    found = _SEGMENT.match(name)
    if not found:
        return None
    timeline, upper, lower = (int(each, 16) for each in found.groups())
    return Segment(timeline, upper * ((1 << 32) // segment_bytes) + lower)


def holding(timeline: int, position: int, segment_bytes: int) -> Segment:
    """The segment that holds this position."""
    return Segment(timeline, position // segment_bytes)


def history_timeline(name: str) -> int | None:
    """The timeline that a history file is of; None for another file."""
    found = _HISTORY.match(name)
    return int(found[1], 16) if found else None


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a timeline was left for the next one."""

    timeline: int
    switch: int
    """Position at which it ended."""


def ancestry(history: str) -> Sequence[Branch]:
    """The timelines before one, oldest first, from its history file's text."""
    found = (_SWITCH.match(line) for line in history.splitlines() if not line.lstrip().startswith("#"))
    return tuple(Branch(int(each[1]), lsn(each[2])) for each in found if each)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an unbroken log goes."""

    last: Segment | None
    """The last one without a gap before it; None when already the first is missing."""
    missing: Segment | None
    """The first that is missing before the goal; None when the goal is reached."""


def reach(
    have: Iterable[Segment], *, start: Segment, goal: Segment, branches: Sequence[Branch], segment_bytes: int
) -> Reach:
    """Follow the log from a base's first segment to the goal, across timelines.

    ``branches``: the ancestry of the goal's timeline. A segment in which a timeline was left is wanted of the new one,
    which begins with a copy of it.
    """
    there = frozenset(have)
    ends = {branch.timeline: branch.switch // segment_bytes for branch in branches}
    order = [branch.timeline for branch in branches] + [goal.timeline]
    last: Segment | None = None
    timeline = start.timeline
    for number in range(start.number, goal.number + 1):
        while timeline != goal.timeline and number >= ends.get(timeline, number):
            if timeline not in order[:-1]:
                return Reach(last, Segment(goal.timeline, number))  # the base is no ancestor of the goal
            timeline = order[order.index(timeline) + 1]
        wanted = Segment(timeline, number)
        if wanted not in there:
            return Reach(last, wanted)
        last = wanted
    return Reach(last, None)


def runs(segments: Iterable[Segment]) -> Sequence[tuple[Segment, Segment]]:
    """Segments as runs of first and last, for a snapshot's tags."""
    told: list[tuple[Segment, Segment]] = []
    for each in sorted(segments):
        if told and told[-1][1] == Segment(each.timeline, each.number - 1):
            told[-1] = (told[-1][0], each)
        else:
            told.append((each, each))
    return tuple(told)


def as_tag(segments: Iterable[Segment], segment_bytes: int) -> str:
    """Runs in one word: "FIRST-LAST+FIRST-LAST"."""
    return "+".join(f"{first.name(segment_bytes)}-{last.name(segment_bytes)}" for first, last in runs(segments))


def from_tag(text: str, segment_bytes: int) -> frozenset[Segment]:
    """The segments that a tag names. ValueError for a tag that none wrote."""
    found: set[Segment] = set()
    for run in text.split("+") if text else ():
        first, last = (segment(name, segment_bytes) for name in run.split("-"))
        if first is None or last is None or first.timeline != last.timeline:
            message = f"{run} is no run of segments"
            raise ValueError(message)
        found.update(Segment(first.timeline, number) for number in range(first.number, last.number + 1))
    return frozenset(found)
