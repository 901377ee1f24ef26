"""Objectives: one sample from window to verdict, and thirty thousand of them."""

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.bench.driver import Row

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.budget import burn
from lastgood.domain.measure import Counts, Gauge, Points, Sample, Spread
from lastgood.domain.objective import ObjectiveState
from lastgood.domain.objective_plan import ObjectivePlan, objective_plan
from lastgood.domain.rings import BudgetRings
from lastgood.domain.track import Track

SERVICES = 10_000
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))
_ALERTS = {"severity": "critical", "for": "5m"}


def _plan(indicator: dict[str, object], below: str, threshold: str, **more: object) -> ObjectivePlan:
    spec = {
        "source": {"probe": {}},
        "indicator": indicator,
        "target": {"below": below},
        "alerts": [_ALERTS | {"threshold": threshold}],
    }
    return objective_plan("x", ServiceLevelObjectiveSpec.model_validate(spec | more))


def _points(rng: random.Random) -> Sample:
    return Points((rng.lognormvariate(-2, 0.5),))


def _spread(rng: random.Random) -> Sample:
    return Spread({b: float(rng.randrange(20)) for b in _BOUNDS}, 100, 12.5)


def _gauge(rng: random.Random) -> Sample:
    return Gauge(rng.uniform(0.3, 0.9))


def _counts(rng: random.Random) -> Sample:
    return Counts(float(rng.randrange(3)), 100.0)


LATENCY = _plan({"quantile": {"of": "95%"}}, "2s", "5s")
CPU = _plan({"average": {}}, "80%", "90%")
ERRORS = _plan({"ratio": {}}, "1%", "5%", budget={"objective": "99.9%"})


def _good(rng: random.Random) -> Sample:
    return Counts(0.0, float(rng.randrange(50, 150)))


KINDS: dict[str, tuple[ObjectivePlan, Callable[[random.Random], Sample]]] = {
    "p95 of one point a sample": (LATENCY, _points),
    "p95 of a histogram of 12 buckets": (LATENCY, _spread),
    "mean of a gauge": (CPU, _gauge),
    "ratio of two counters": (ERRORS, _counts),
    "ratio of two counters without a bad event": (ERRORS, _good),
}


_OF_A_SERVICE = ("p95 of one point a sample", "mean of a gauge", "ratio of two counters")


def _one(plan: ObjectivePlan, make: Callable[[random.Random], Sample]) -> float:
    """CPU microseconds of a sample, from the window to the verdict, minutes included and a budget where there is one."""
    rng = random.Random(1)
    samples = [make(rng) for _ in range(2000)]
    track, now, state, rounds = Track(plan, ""), 1.8e9, ObjectiveState(), []
    for _ in range(9):
        began = time.process_time()
        for sample in samples:
            now += plan.interval
            state, _ = track.take(sample, state, now, steady=False)
        rounds.append((time.process_time() - began) / len(samples) * 1e6)
    return sorted(rounds)[len(rounds) // 2]


def _costs() -> Iterator[tuple[str, str, str, bool | None]]:
    for name, (plan, make) in KINDS.items():
        each = _one(plan, make)
        yield f"{name}: window update and verdict", f"{each:.1f} µs", "≤ 10 µs", each <= 10
    for length in (60, 600, 3600, 86400):
        each = _one(replace(LATENCY, window=float(length)), _points)
        yield f"p95 of points over {length} s, {length // 10} samples: the same", f"{each:.1f} µs", "", None


def _budgets() -> Iterator[tuple[str, str, str, bool | None]]:
    assert ERRORS.budget is not None
    rings, now = BudgetRings(ERRORS.budget.period), 1.8e9
    began = time.process_time()
    for _ in range(20_000):
        now += 10
        rings.add(1, 100, 10, now)
    yield "budget: update", f"{(time.process_time() - began) / 20_000 * 1e6:.1f} µs", "", None
    began = time.process_time()
    for _ in range(2000):
        burn(ERRORS.budget, rings, now)
    each = (time.process_time() - began) / 2000 * 1e6
    yield "budget: four burn rates, what is left, forecast", f"{each:.1f} µs", "", None


def _fleet() -> Iterator[tuple[str, str, str, bool | None]]:
    """Each service with a latency, a CPU share, and an error rate with a budget: rounds of the interval.

    One in ten services has bad events in most samples, a day like any other; then all of them, an outage of everything.
    """
    for share, told in ((10, "one in ten with bad events"), (1, "all with bad events")):
        cpu = _rounds(share)
        row = f"{3 * SERVICES} objectives, {told}, one round: CPU"
        yield row, f"{cpu * 1000:.0f} ms", "", None
        wanted = "≤ 1 %" if share > 1 else ""
        met = cpu / 10 <= 0.01 if share > 1 else None
        yield "the same at the default interval of 10 s, of one core", f"{cpu / 10 * 100:.1f} %", wanted, met
    whole = _memory()
    yield "memory of a service with three objectives, each with a budget", f"{whole:.1f} KB", "≤ 15 KB", whole <= 15


def _rounds(share: int) -> float:
    """CPU seconds of a round in which every so many-th service has bad events."""
    plans = ((LATENCY, _points), (CPU, _gauge), (ERRORS, _counts))
    rng, now = random.Random(2), 1.8e9
    samples = [[make(rng) for _ in range(97)] for _, make in plans]
    good = [_good(rng) for _ in range(97)]
    tracks = [Track(plan, "") for _ in range(SERVICES) for plan, _ in plans]
    states = [ObjectiveState()] * len(tracks)
    rounds = []
    # A minute to fill windows, then five: burn rates are looked at once in each, and worked out once in all.
    for turn in range(36):
        now += 10
        round_ = [
            (track, (good if place % 3 == 2 and place // 3 % share else samples[place % 3])[(place + turn) % 97])
            for place, track in enumerate(tracks)
        ]
        began = time.process_time()
        for place, (track, sample) in enumerate(round_):
            states[place], _ = track.take(sample, states[place], now, steady=False)
        rounds.append(time.process_time() - began)
    return sum(rounds[6:]) / 30


def _memory() -> float:
    plans = [(replace(plan, budget=ERRORS.budget), make) for plan, make in (KINDS[name] for name in _OF_A_SERVICE)]
    rng, now, services = random.Random(3), 1.8e9, 300
    samples = [[make(rng) for _ in range(97)] for _, make in plans]
    for plan, _ in plans:
        Track(plan, "")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracks = [Track(plan, "") for _ in range(services) for plan, _ in plans]
    states = [ObjectiveState()] * len(tracks)
    for turn in range(50):
        now += 10
        for place, track in enumerate(tracks):
            sample = samples[place % 3][(place + turn) % 97]
            states[place], _ = track.take(sample, states[place], now, steady=False)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / services / 1000


def run() -> list[Row]:
    """Rows of figure and value."""
    return [Row(*row) for part in (_costs, _budgets, _fleet) for row in part()]
