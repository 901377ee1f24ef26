"""What is kept of objectives by the minute, as a port. Adapters keep it and decide nothing."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class Series(NamedTuple):
    """Whose minutes these are."""

    namespace: str
    service: str
    objective: str


class Minute(NamedTuple):
    """One minute of one objective of one service."""

    series: Series
    minute: int
    """Unix time of its beginning, in minutes."""
    bad: float
    total: float
    value: float | None = None
    """What was measured at its end, in base units; None when nothing was."""


class Hour(NamedTuple):
    """Sums over one hour of one objective of one service."""

    series: Series
    hour: int
    """Unix time of its beginning, in hours."""
    bad: float
    total: float
    minutes: int = 60
    """How many minutes of it were seen."""


class HistoryReason(StrEnum):
    """How the store is."""

    KEPT = "HistoryKept"
    FULL = "HistoryFull"
    """The disk, or the bound that was set, leaves no room."""
    UNREACHABLE = "HistoryUnreachable"
    """The database or the file does not answer."""
    IN_MEMORY = "HistoryInMemory"
    """There is no store: budgets begin anew with the process."""
    BEGUN_ANEW = "HistoryBegunAnew"
    """The file was broken; it was moved aside."""


@dataclass(frozen=True, slots=True)
class HistoryState:
    """What is said when the store flips, for a condition and a metric. ``message`` holds no secret."""

    reason: HistoryReason
    message: str
    waiting: int = 0
    """Minutes in memory that the store does not have yet."""
    dropped: int = 0
    """Minutes given up since the start, because memory is bounded."""


class HistoryLost(Exception):
    """The store did not keep or did not answer: nothing of the batch counts as kept. The text holds no secret."""

    def __init__(self, reason: HistoryReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class History(Protocol):
    """Minutes of objectives. Minute ranges begin with ``since`` and end before ``until``."""

    async def append(self, rows: Sequence[Minute]) -> None:
        """Keep all rows or none. A minute that is there already is replaced, so that a retry doubles nothing.

        Raises HistoryLost.
        """
        ...

    async def read(self, series: Series, since: int, until: int) -> Sequence[Minute]:
        """Minutes of one series, oldest first. Raises HistoryLost."""
        ...

    def replay(self, since: int, until: int) -> AsyncIterator[Sequence[Minute]]:
        """All series, an hour at a time, oldest hour first: for the last hours, at a start. Raises HistoryLost."""
        ...

    def hourly(self, since: int, until: int) -> AsyncIterator[Sequence[Hour]]:
        """Sums of all series, an hour at a time, oldest first; both bounds in hours. Raises HistoryLost.

        For the long run, at a start: a hundred times less to read than the minutes.
        """
        ...

    async def prune(self, before: int) -> None:
        """Forget hours that ended before this minute. Raises HistoryLost."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections."""
        ...
