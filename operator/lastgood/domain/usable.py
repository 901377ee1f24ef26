"""Which samples can be believed, and which of them an indicator can be made of."""

import math

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.sketch import LARGEST

# Looking a member up in its Enum takes as long as ten other steps.
_QUANTILE, _AVERAGE, _RATIO = Kind.QUANTILE, Kind.AVERAGE, Kind.RATIO

_NOT_A_NUMBER = Nothing(Silence.NOT_UNDERSTOOD, "not a finite number, or one that cannot be")
_WRONG_KIND = Nothing(Silence.NOT_UNDERSTOOD, "the source tells something that this indicator cannot be made of")


def usable(sample: Sample, kind: Kind) -> Sample:
    """The sample if it can be believed and made into this indicator; else Nothing, and why.

    Refused are NaN and infinity, negative counts, more than LARGEST, and all of a sample for one such number. More bad
    events than events are taken for all: both were read moments apart.
    """
    # Asked of every sample that there is; NaN is not equal to itself, and no comparison with it holds.
    if type(sample) is Gauge:
        believed, fits = -LARGEST <= sample.value <= LARGEST, kind is not _RATIO
    elif type(sample) is Points:
        for value in sample.values:
            if not -LARGEST <= value <= LARGEST:
                return _NOT_A_NUMBER
        believed, fits = True, kind is not _RATIO
    elif type(sample) is Counts:
        believed, fits = 0 <= sample.bad <= LARGEST and 0 <= sample.total <= LARGEST, kind is _RATIO
    elif type(sample) is Spread:
        believed, fits = sound(sample), kind is _QUANTILE or kind is _AVERAGE
    else:
        return sample
    if not believed:
        return _NOT_A_NUMBER
    return sample if fits else _WRONG_KIND


def sound(sample: Spread) -> bool:
    """Whether a histogram's counts and sum can be."""
    # Sums have every NaN in them, and minus infinity beside infinity is one.
    if sample.sum is not None and not math.isfinite(sample.sum):
        return False
    counts = sample.bins.values()
    return not counts or (min(counts) >= 0 and sum(counts) <= LARGEST and sum(sample.bins) > -math.inf)
