"""A clock that never goes back, and unbroken runs: what windows, alerts and triggers share about time."""

from typing import NamedTuple

from lastgood.domain.clock import shown

LATE = 1.5
"""An observation that comes later than this many intervals after the one before it leaves a gap."""

ROUNDING = 1e-6
"""Seconds by which two equal times may differ: status keeps microseconds."""


class Steady:
    """Time for sliding windows: goes on as the clock does, and stands still where the clock goes back.

    What was seen before a step back grows old at the true speed, so nothing of it stays for ever. A step back of at
    most ``slack`` seconds (callers that read the clock in another order) is waited out and not kept.
    """

    __slots__ = ("_ahead", "last", "slack")

    def __init__(self, slack: float) -> None:
        self.slack = slack
        self.last = float("-inf")
        self._ahead = 0.0

    def at(self, now: float) -> float:
        """The steady time for a clock that says ``now``."""
        time = now + self._ahead
        if time >= self.last:
            self.last = time
        elif self.last - time > self.slack:
            self._ahead += self.last - time
        return self.last


class Run(NamedTuple):
    """A threshold that is exceeded without a break."""

    since: float
    """When it began, moved on by every gap in which nobody saw it exceeded: ``now - since`` is breaching time."""
    seen: float = 0.0
    """Latest observation that had a say; 0 when this process has seen none yet."""
    unobserved: float = 0.0
    """For how long nobody had looked when this was read from status; it is taken out of ``since`` already."""
    gaps: float = 0.0
    """For how many seconds in all nobody saw it exceeded, as far as this process knows: also taken out of ``since``."""

    @property
    def told_gaps(self) -> str:
        """What a message says of them, after how long it lasted; nothing where there are none."""
        return f", not counting {shown(self.gaps)} without an observation" if self.gaps >= 1 else ""

    def lasted(self, duration: float, now: float) -> bool:
        """Whether it has been exceeded for so long."""
        return now - self.since >= duration - ROUNDING


def follow(run: Run | None, exceeded: bool | None, at: float, *, interval: float, unknown_after: float) -> Run | None:
    """The run after one more observation.

    None as ``exceeded`` says nothing: it neither ends the run nor counts. A silence of more than ``unknown_after``
    ends it; a shorter one is taken out of its length, but for the interval that any two observations are apart. A
    clock that goes back takes nothing away and adds nothing.
    """
    if exceeded is False:
        return None
    if run is None:
        return Run(at, at) if exceeded else None
    apart = at - run.seen if run.seen else 0.0
    if max(apart, run.unobserved) > max(unknown_after, LATE * interval):
        return Run(at, at) if exceeded else None
    if not run.seen:
        return Run(min(run.since, at), at, gaps=run.unobserved)
    if apart < 0:
        return Run(run.since + apart, at, gaps=run.gaps)
    if exceeded is None:
        return run
    unseen = apart - interval if apart > LATE * interval else 0.0
    return Run(run.since + unseen, at, gaps=run.gaps + unseen)
