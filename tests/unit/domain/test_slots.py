"""Slots of time: shared while clocks agree, right when they do not."""

import math
from itertools import pairwise

import pytest

from lastgood.domain.slots import MAX_SLOTS, Ruler, Slot, ruler


@pytest.mark.parametrize(
    ("window", "interval", "slots", "width"),
    [
        (60, 10, 6, 10),
        (3600, 10, MAX_SLOTS, 180),
        (45, 10, 4, 11.25),
        (5, 30, 1, 30),
        (0.3, 0.1, 3, pytest.approx(0.1)),
    ],
)
def test_no_slot_is_shorter_than_the_interval(window: float, interval: float, slots: int, width: float) -> None:
    made = Ruler(window, interval)
    assert (made.slots, made.width) == (slots, width)


def walk(made: Ruler, begin: float, steps: int) -> list[Slot]:
    slot = made.after(made.never, begin)
    found = [slot]
    for _ in range(steps):
        slot = made.after(slot, slot.ends)
        found.append(slot)
    return found


def test_those_who_come_later_get_the_same_slots() -> None:
    assert ruler(60.0, 10.0) is ruler(60.0, 10.0)
    made = Ruler(60, 10)
    first = walk(made, 1000.0, 0)[0]
    other = made.after(made.never, 1009.9)
    assert other is first
    assert made.after(first, 1010.0) is made.after(other, 1019.0)


def test_whoever_is_behind_or_ahead_has_slots_of_the_same_times() -> None:
    made = Ruler(60, 10)
    ahead, behind = walk(made, 5000.0, 30), walk(made, 1000.0, 30)
    for begin, found in ((500, ahead), (100, behind)):
        assert [slot.number for slot in found] == list(range(begin, begin + 31))
        assert [slot.place for slot in found] == [number % 6 for number in range(begin, begin + 31)]
        assert all(one.ends == other.begins for one, other in pairwise(found))
    assert made.after(behind[0], 9999.0).number == 999


def test_each_slot_begins_after_the_one_before_however_times_are_rounded() -> None:
    made = Ruler(0.7, 0.1)
    slot = made.after(made.never, 1.8e9)
    for _ in range(1000):
        following = made.after(slot, slot.ends)
        assert following.number > slot.number
        assert following.begins <= slot.ends < following.ends or math.isclose(following.begins, slot.ends)
        slot = following
