"""A window against a list that keeps every sample."""

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.measure import Counts, Gauge, Nothing, Points, Sample, Silence, Spread
from lastgood.domain.objective_plan import Kind
from lastgood.domain.window import Aggregate, Window

T0 = 1_800_000_000.0
SILENT = st.sampled_from([Nothing(Silence.TIMEOUT), Gauge(math.nan), Points((1.0, math.inf)), Counts(-1, 5)])
LATENCIES = st.floats(1e-4, 50)
SAMPLES: dict[Kind, st.SearchStrategy[Sample]] = {
    Kind.VALUE: LATENCIES.map(Gauge) | SILENT,
    Kind.AVERAGE: LATENCIES.map(Gauge) | st.lists(LATENCIES, max_size=4).map(lambda v: Points(tuple(v))) | SILENT,
    Kind.QUANTILE: st.lists(LATENCIES, max_size=6).map(lambda v: Points(tuple(v))) | SILENT,
    Kind.RATIO: st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda c: Counts(min(c), max(c))) | SILENT,
}
HISTOGRAM = st.lists(st.floats(0, 30), min_size=4, max_size=4).map(
    lambda counts: Spread(dict(zip([0.1, 0.5, 2.0, math.inf], counts, strict=True)), sum(counts), 1.5 * sum(counts))
)
LENGTHS = st.sampled_from([(60.0, 10.0), (300.0, 10.0), (45.0, 10.0), (10.0, 30.0), (7.5, 1.5), (86400.0, 3600.0)])


@dataclass
class Every:
    """Keeps all, and looks at all."""

    window: Window
    kept: list[tuple[float, Sample]] = field(default_factory=list)

    def within(self, now: float) -> list[Sample]:
        newest = math.floor(now / self.window.width)
        return [s for at, s in self.kept if math.floor(at / self.window.width) > newest - self.window.slots]


def values(samples: list[Sample]) -> list[float]:
    found: list[float] = []
    for sample in samples:
        match sample:
            case Gauge(value):
                found.append(value)
            case Points(several):
                found.extend(several)
            case _:
                raise AssertionError
    return found


def check(kind: Kind, told: Aggregate | Nothing, samples: list[Sample], q: float) -> None:
    if not samples:
        assert isinstance(told, Nothing)
        return
    assert isinstance(told, Aggregate)
    assert told.samples == len(samples)
    if kind is Kind.RATIO:
        bad, total = (sum(getattr(s, what) for s in samples) for what in ("bad", "total"))
        assert (told.events, told.value) == (total, bad / total if total else None)
        return
    all_values = values(samples)
    assert told.events == len(all_values)
    if not all_values:
        assert told.value is None
        return
    assert told.value is not None
    if kind is Kind.VALUE:
        assert told.value == all_values[-1]
    elif kind is Kind.AVERAGE:
        assert math.isclose(told.value, math.fsum(all_values) / len(all_values), rel_tol=1e-12)
    else:
        exact = sorted(all_values)[max(1, math.ceil(q * len(all_values) - 1e-9)) - 1]
        assert math.isclose(told.value, exact, rel_tol=0.01)


@given(st.sampled_from(list(SAMPLES)), LENGTHS, st.sampled_from([0.5, 0.95, 1.0]), st.data())
def test_a_window_tells_what_a_list_of_all_samples_does(
    kind: Kind, lengths: tuple[float, float], q: float, data: st.DataObject
) -> None:
    window = Window(kind, window=lengths[0], interval=lengths[1], quantile=q)
    every, now = Every(window), T0
    step = st.one_of(st.just(lengths[1]), st.floats(0, 3 * lengths[1]), st.floats(0, 3 * lengths[0]))
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(step)
        sample = data.draw(SAMPLES[kind])
        if window.add(sample, now) is sample and not isinstance(sample, Nothing):
            every.kept.append((now, sample))
        check(kind, window.read(now), every.within(now), q)
    later = now + data.draw(step)
    check(kind, window.read(later), every.within(later), q)
    gone = window.read(later + max(lengths) * 1.01)
    assert isinstance(gone, Nothing)


@given(LENGTHS, st.lists(st.tuples(st.floats(0, 100), HISTOGRAM), min_size=1, max_size=60))
def test_histograms_of_broken_counts_do_not_drift(
    lengths: tuple[float, float], steps: list[tuple[float, Spread]]
) -> None:
    quantile = Window(Kind.QUANTILE, window=lengths[0], interval=lengths[1], quantile=0.9)
    average = Window(Kind.AVERAGE, window=lengths[0], interval=lengths[1])
    every, now = Every(quantile), T0
    for step, sample in steps:
        now += step
        quantile.add(sample, now)
        average.add(sample, now)
        every.kept.append((now, sample))
        anew = Window(Kind.QUANTILE, window=lengths[0], interval=lengths[1], quantile=0.9)
        for held in every.within(now):
            anew.add(held, now)
        told, exact, mean = quantile.read(now), anew.read(now), average.read(now)
        assert isinstance(told, Aggregate)
        assert isinstance(exact, Aggregate)
        assert isinstance(mean, Aggregate)
        assert math.isclose(told.events, exact.events, rel_tol=1e-9, abs_tol=1e-9)
        if exact.events > 1e-3:
            assert told.value is not None
            assert exact.value is not None
            # A rank that meets an edge exactly may fall to either side of it: then both answers are that edge.
            assert math.isclose(told.value, exact.value, rel_tol=1e-6, abs_tol=1e-6)
            assert mean.value is not None
            assert math.isclose(mean.value, 1.5, rel_tol=1e-9)


@given(
    st.sampled_from(list(SAMPLES)),
    LENGTHS,
    st.lists(st.floats(-1e6, 1e6) | st.floats(-20, 20), max_size=40),
    st.data(),
)
def test_whatever_the_clock_does_nothing_counts_twice_or_stays(
    kind: Kind, lengths: tuple[float, float], steps: list[float], data: st.DataObject
) -> None:
    window = Window(kind, window=lengths[0], interval=lengths[1], quantile=0.9)
    now, added = T0, 0
    for step in steps:
        now += step
        sample = data.draw(SAMPLES[kind])
        added += not isinstance(window.add(sample, now), Nothing)
        told = window.read(now + data.draw(st.floats(-5, 0)))
        samples = told.samples if isinstance(told, Aggregate) else 0
        assert samples <= added
    # Time as it passes, however far in the future the clock had been: after a window and two slots all is gone.
    for _ in range(window.slots + 2):
        now += window.width
        window.read(now)
    assert isinstance(window.read(now), Nothing)
