"""Time in slots, which windows share: one object a slot for all windows of a shape, so that a step looks nothing up."""

import math
from functools import lru_cache

MAX_SLOTS = 20
"""A window ends within 5 % of its length."""


class Slot:
    """One slot of time, and the one after it once somebody has asked for that."""

    __slots__ = ("begins", "ends", "next", "number", "place")

    def __init__(self, number: int, width: float, slots: int) -> None:
        self.number = number
        self.begins, self.ends = number * width, (number + 1) * width
        self.place = number % slots
        """Where a window keeps it."""
        self.next: Slot | None = None


class Ruler:
    """Cuts time into slots: a window of W seconds has at most MAX_SLOTS, none shorter than the interval."""

    __slots__ = ("_latest", "never", "slots", "width")

    def __init__(self, window: float, interval: float) -> None:
        window = max(window, interval)
        self.slots = max(1, min(MAX_SLOTS, math.floor(window / interval + 1e-9)))
        self.width = window / self.slots
        self.never = self._latest = Slot(-1, self.width, self.slots)
        """Before any time."""

    def after(self, slot: Slot, at: float) -> Slot:
        """The slot of a time that is not before the end of this one."""
        following = self.next(slot)
        return following if at < following.ends else self._slot(max(math.floor(at / self.width), slot.number + 1))

    def next(self, slot: Slot) -> Slot:
        """The one after this."""
        if slot.next is None:
            slot.next = self._slot(slot.number + 1)
        return slot.next

    def _slot(self, number: int) -> Slot:
        slot = self._latest
        if slot.number != number:
            # The first of all windows to come here, or one whose clock stands elsewhere.
            slot = self._latest = Slot(number, self.width, self.slots)
        return slot


@lru_cache(maxsize=4096)
def ruler(window: float, interval: float) -> Ruler:
    """One for all windows of a shape."""
    return Ruler(window, interval)
