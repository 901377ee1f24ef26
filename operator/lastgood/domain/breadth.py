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


def mass_breach(since: float, failing_since: Sequence[float], recovered_since: Sequence[float], healthy: int) -> str:
    """How many broke at about this time, as a sentence, when that points to one cause; else empty.

    ``failing_since``, in order, is since when each failing service fails of which some revision was ever seen to be
    good: one that never worked tells nothing of an outage. ``recovered_since`` is the same of those that recovered only
    lately: who comes back last must not be taken for the only one that broke. ``healthy`` is how many are well now.
    What has been failing for long is no part of it, on either side.
    """
    failing, recovered = _together(since, failing_since), _together(since, recovered_since)
    together, total = failing + recovered, failing + max(healthy, recovered)
    if together < FEWEST or together < SHARE * total:
        return ""
    return f"{together} of {total} services began to fail within {shown(TOGETHER_SECONDS)}"


def _together(since: float, others: Sequence[float]) -> int:
    return bisect_right(others, since + TOGETHER_SECONDS) - bisect_left(others, since - TOGETHER_SECONDS)
