"""What a source tells of one moment, and why it tells nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Silence(StrEnum):
    """Why there is no observation. None of these is good or bad news about the service."""

    NO_DATA = "NoData"
    """The source answered, and what was asked for was not there: a metric that vanished, an empty result."""
    NO_PODS = "NoPods"
    SOURCE_DOWN = "SourceDown"
    """Refused, unreachable, or an error of the server."""
    TIMEOUT = "SourceTimeout"
    DENIED = "SourceDenied"
    """Our credentials are not accepted, or the address policy forbids the address."""
    NOT_UNDERSTOOD = "NotUnderstood"
    """The answer was no number, no metrics, no JSON."""
    NO_LIMIT = "NoLimit"
    """There is nothing to compare usage with: the pods declare no limit."""
    FIRST_LOOK = "FirstLook"
    """A counter says something from its second reading on."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number as it is now."""

    value: float


@dataclass(frozen=True, slots=True)
class Points:
    """Single observations since the last sample, such as latencies in seconds."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Events since the last sample."""

    bad: float
    total: float
    codes: Mapping[int, float] | None = None
    """How many of all by HTTP status code, as far as the source tells."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram of what came since the last sample.

    ``bins`` maps the inclusive upper bound of each bin to the number of observations in it alone (not cumulative);
    the last bound may be infinite. The lower bound of a bin is the next smaller bound.
    """

    bins: Mapping[float, float]
    total: float
    sum: float | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No observation, and why. ``detail`` holds no secret and nothing of an answer's content."""

    reason: Silence
    detail: str = ""


Sample = Gauge | Points | Counts | Spread | Nothing
