"""Objectives: one sample from window to verdict, and thirty thousand of them."""

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.bench.driver import Row

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.budget import BudgetRings, burn
from lastgood.domain.measure import Counts, Gauge, Points, Sample, Spread
from lastgood.domain.objective import ObjectiveState, judge
from lastgood.domain.objective_plan import ObjectivePlan, objective_plan
from lastgood.domain.window import Aggregate, Window

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
KINDS: dict[str, tuple[ObjectivePlan, Callable[[random.Random], Sample]]] = {
    "p95 of one point a sample": (LATENCY, _points),
    "p95 of a histogram of 12 buckets": (LATENCY, _spread),
    "mean of a gauge": (CPU, _gauge),
    "ratio of two counters": (ERRORS, _counts),
}


def _window(plan: ObjectivePlan) -> Window:
    return Window(plan.kind, window=plan.window, interval=plan.interval, quantile=plan.quantile)


def _one(plan: ObjectivePlan, make: Callable[[random.Random], Sample], length: float = 0) -> list[float]:
    """CPU microseconds of an update, of a read and of a verdict: of rounds that each do one thing more."""
    rng = random.Random(1)
    samples = [make(rng) for _ in range(2000)]
    spent = []
    for much in (0, 1, 2, 3):
        window = Window(plan.kind, window=length or plan.window, interval=plan.interval, quantile=plan.quantile)
        now, state, rounds = 1.8e9, ObjectiveState(), []
        for _ in range(9):
            began = time.process_time()
            for sample in samples:
                now += plan.interval
                if much > 0:
                    window.add(sample, now)
                if much > 1:
                    seen = window.read(now)
                if much > 2:
                    state = judge(plan, seen, state, now)
            rounds.append((time.process_time() - began) / len(samples) * 1e6)
        spent.append(sorted(rounds)[len(rounds) // 2])
    return [after - before for before, after in pairwise(spent)]


def _costs() -> Iterator[tuple[str, str, str, bool | None]]:
    for name, (plan, make) in KINDS.items():
        add, read, verdict = _one(plan, make)
        told = f"{add:.1f} / {read:.1f} / {verdict:.1f} µs"
        yield f"{name}: update / read / verdict", told, "≤ 10 µs together", add + read + verdict <= 10
    for length in (60, 600, 3600, 86400):
        add, read, _ = _one(LATENCY, _points, length)
        yield (
            f"p95 of points over {length} s, {length // 10} samples: update / read",
            f"{add:.1f} / {read:.1f} µs",
            "",
            None,
        )


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
    """Each service with a latency, an error rate with a budget, and a CPU share: one round of the interval."""
    plans = ((LATENCY, _points), (CPU, _gauge), (ERRORS, _counts))
    rng, now = random.Random(2), 1.8e9
    samples = {plan: [make(rng) for _ in range(97)] for plan, make in plans}
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    windows = [(plan, _window(plan)) for _ in range(SERVICES) for plan, _ in plans]
    states = [ObjectiveState()] * len(windows)
    for turn in range(8):
        now += 10
        for place, (plan, window) in enumerate(windows):
            window.add(samples[plan][(place + turn) % 97], now)
            states[place] = judge(plan, window.read(now), states[place], now)
    each = (tracemalloc.get_traced_memory()[0] - before) / len(windows)
    before = tracemalloc.get_traced_memory()[0]
    rings = [BudgetRings(30 * 86400.0) for _ in range(200)]
    ring = (tracemalloc.get_traced_memory()[0] - before) / len(rings)
    tracemalloc.stop()
    rounds = 5
    cpu = time.process_time()
    for turn in range(rounds):
        now += 10
        for place, (plan, window) in enumerate(windows):
            window.add(samples[plan][(place + turn) % 97], now)
            seen = window.read(now)
            assert isinstance(seen, Aggregate)
            states[place] = judge(plan, seen, states[place], now)
    cpu = (time.process_time() - cpu) / rounds
    yield f"{len(windows)} objectives, one round: CPU", f"{cpu * 1000:.0f} ms", "", None
    yield "the same at the default interval of 10 s, of one core", f"{cpu / 10 * 100:.1f} %", "≤ 1 %", cpu / 10 <= 0.01
    yield "memory of a window of 1 min with its state", f"{each:.0f} bytes", "", None
    yield "memory of a budget's rings", f"{ring:.0f} bytes", "", None
    whole = 3 * (each + ring) / 1000
    yield "memory of a service with three objectives, each with a budget", f"{whole:.1f} KB", "≤ 15 KB", whole <= 15


def run() -> list[Row]:
    """Rows of figure and value."""
    return [Row(*row) for part in (_costs, _budgets, _fleet) for row in part()]
