"""Names of segments, timelines, and gaps."""

import pytest

from lastgood.domain.backups.wal import (
    Branch,
    Reach,
    Segment,
    ancestry,
    as_tag,
    from_tag,
    history_timeline,
    holding,
    lsn,
    reach,
    runs,
    segment,
    written,
)

MB = 1 << 20
SIZE = 16 * MB


@pytest.mark.parametrize(
    ("name", "size", "found"),
    [
        ("000000010000000000000003", SIZE, Segment(1, 3)),
        ("0000000A00000002000000FF", SIZE, Segment(10, 2 * 256 + 255)),
        ("000000010000000100000000", MB, Segment(1, 4096)),
        ("000000010000000000000003.partial", SIZE, None),
        ("00000002.history", SIZE, None),
        ("000000010000000000000003.00000028.backup", SIZE, None),
    ],
)
def test_a_name_stands_for_a_segment(name: str, size: int, found: Segment | None) -> None:
    assert segment(name, size) == found
    if found:
        assert found.name(size) == name


def test_positions_are_written_as_postgresql_writes_them() -> None:
    assert lsn("16/B374D848") == 0x16_B374D848
    assert written(0x16_B374D848) == "16/B374D848"
    assert written(lsn("0/60")) == "0/60"
    assert holding(3, lsn("1/2000060"), SIZE) == Segment(3, 258)
    with pytest.raises(ValueError, match="invalid"):
        lsn("none")


HISTORY = """1\t0/5000098\tno recovery target specified

# a comment
2\t0/90000A0\tbefore 2026-01-01 00:00:00+00
"""


def test_a_history_file_tells_where_timelines_were_left() -> None:
    assert ancestry(HISTORY) == (Branch(1, lsn("0/5000098")), Branch(2, lsn("0/90000A0")))
    assert history_timeline("00000003.history") == 3
    assert history_timeline("000000030000000000000009") is None


ONE = [Segment(1, number) for number in range(2, 8)]


@pytest.mark.parametrize(
    ("have", "goal", "branches", "told"),
    [
        (ONE, Segment(1, 7), (), Reach(Segment(1, 7), None)),
        (ONE[:3] + ONE[4:], Segment(1, 7), (), Reach(Segment(1, 4), Segment(1, 5))),
        (ONE[1:], Segment(1, 7), (), Reach(None, Segment(1, 2))),
        (ONE[:-1], Segment(1, 7), (), Reach(Segment(1, 6), Segment(1, 7))),
        # Timeline 1 was left within segment 5: from there on the new timeline's files count.
        (
            [*ONE[:3], Segment(2, 5), Segment(2, 6)],
            Segment(2, 6),
            (Branch(1, 5 * SIZE + 99),),
            Reach(Segment(2, 6), None),
        ),
        ([*ONE, Segment(2, 6)], Segment(2, 6), (Branch(1, 5 * SIZE + 99),), Reach(Segment(1, 4), Segment(2, 5))),
        # Twice within one segment.
        (
            [*ONE[:3], Segment(3, 5), Segment(3, 6)],
            Segment(3, 6),
            (Branch(1, 5 * SIZE + 9), Branch(2, 5 * SIZE + 99)),
            Reach(Segment(3, 6), None),
        ),
        # A goal on a timeline that does not come from the base's.
        ([*ONE, Segment(4, 7)], Segment(4, 7), (Branch(3, 4 * SIZE),), Reach(None, Segment(4, 2))),
        ([*ONE, Segment(2, 7)], Segment(2, 7), (), Reach(None, Segment(2, 2))),
    ],
    ids=["whole", "gap", "first", "last", "timeline", "old-timeline", "twice", "stranger", "no-history"],
)
def test_a_gap_is_named(have: list[Segment], goal: Segment, branches: tuple[Branch, ...], told: Reach) -> None:
    assert reach(have, start=Segment(1, 2), goal=goal, branches=branches, segment_bytes=SIZE) == told
    assert reach(reversed(have), start=Segment(1, 2), goal=goal, branches=branches, segment_bytes=SIZE) == told


def test_runs_go_into_a_tag_and_come_back() -> None:
    have = [*ONE[:3], ONE[5], Segment(2, 8), Segment(2, 9)]
    assert runs(have) == ((ONE[0], ONE[2]), (ONE[5], ONE[5]), (Segment(2, 8), Segment(2, 9)))
    assert from_tag(as_tag(have, SIZE), SIZE) == frozenset(have)
    assert as_tag([], SIZE) == ""
    assert from_tag("", SIZE) == frozenset()
    assert "," not in as_tag(have, SIZE)  # restic parts tags at commas
    with pytest.raises(ValueError, match="no run"):
        from_tag("000000010000000000000003-000000020000000000000003", SIZE)
