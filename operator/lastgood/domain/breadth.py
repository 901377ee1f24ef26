"""Whether many services broke together: that is one cause outside all of them, and no release of any."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from lastgood.domain.clock import shown

FEWEST = 5
"""Fewer than this are a coincidence."""

SHARE = 0.5
"""Of all that were well, so many broke together."""

TOGETHER_SECONDS = 120.0
"""How far apart the beginnings may be: probes of different intervals believe at different times."""


def mass_breach(since: float, failing_since: Sequence[float], healthy: int) -> str:
    """How many broke at about this time, as a sentence, when that points to one cause; else empty.

    ``failing_since``, in order, is since when each failing service fails of which some revision was ever seen to be
    good: one that never worked tells nothing of an outage. ``healthy`` is how many are well now. What has been failing
    for long is no part of it, on either side.
    """
    first, last = since - TOGETHER_SECONDS, since + TOGETHER_SECONDS
    together = bisect_right(failing_since, last) - bisect_left(failing_since, first)
    if together < FEWEST or together < SHARE * (together + healthy):
        return ""
    return f"{together} of {together + healthy} services began to fail within {shown(TOGETHER_SECONDS)}"
