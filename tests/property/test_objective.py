"""Alerts that last, against a list of all that was seen."""

from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.objective import ObjectiveState, Standing, flipped, from_status, judge, to_status
from lastgood.domain.objective_plan import AlertPlan, Kind, ObjectivePlan
from lastgood.domain.steady import Run, follow
from lastgood.domain.window import Aggregate

T0 = 1_800_000_000.0
INTERVAL, UNKNOWN_AFTER = 10.0, 60.0
OBSERVED = st.lists(st.tuples(st.floats(0.1, 100), st.sampled_from([True, True, True, False, None])), max_size=40)


@given(OBSERVED)
def test_a_run_is_as_long_as_what_was_seen_of_it(observed: list[tuple[float, bool | None]]) -> None:
    run: Run | None = None
    now, last, length = T0, T0, None
    for step, exceeded in observed:
        now += step
        run = follow(run, exceeded, now, interval=INTERVAL, unknown_after=UNKNOWN_AFTER)
        if exceeded is None:
            if now - last > UNKNOWN_AFTER:
                length = None
            continue
        apart = now - last
        if not exceeded:
            length = None
        elif length is None or apart > UNKNOWN_AFTER:
            length = 0.0
        else:
            length += apart if apart <= 1.5 * INTERVAL else INTERVAL
        last = now
    assert (run is None) is (length is None)
    if run is not None and length is not None:
        assert abs((last - run.since) - length) < 1e-5 or abs(run.seen - run.since - length) < 1e-5


PLAN = ObjectivePlan(
    "x",
    Kind.VALUE,
    below=True,
    target=1.0,
    shown="1",
    unit="",
    scale=1.0,
    interval=INTERVAL,
    window=UNKNOWN_AFTER,
    unknown_after=UNKNOWN_AFTER,
    alerts=(
        AlertPlan("critical", 3.0, "3", lasting=50, min_samples=5),
        AlertPlan("warning", 2.0, "2", lasting=20),
    ),
)
SEEN = st.one_of(
    st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 3.5, 3.5]).flatmap(
        lambda v: st.sampled_from([0, 3, 5, 99, 99]).map(lambda n: Aggregate(v if n else None, n, 6, n / 60, 60))
    ),
    st.just(Nothing(Silence.TIMEOUT)),
)
REGULAR = st.lists(st.tuples(SEEN, st.integers(1, 8)), max_size=12)


@given(REGULAR)
def test_a_breach_is_told_when_and_only_when_it_lasted(spans: list[tuple[Aggregate | Nothing, int]]) -> None:
    state, now = ObjectiveState(), T0
    # Seconds that each alert's threshold was seen exceeded for, and when it was last looked at.
    lengths: dict[str, float] = {}
    looks: dict[str, float] = {}
    for seen, times in spans:
        for _ in range(times):
            now += INTERVAL
            state = judge(PLAN, seen, state, now)
            if isinstance(seen, Nothing):
                continue
            fired = ""
            for alert in PLAN.alerts:
                if seen.value is None or seen.events < alert.min_samples:
                    continue
                if seen.value > alert.threshold:
                    whole = alert.severity in lengths and now - looks[alert.severity] <= UNKNOWN_AFTER
                    lengths[alert.severity] = lengths[alert.severity] + INTERVAL if whole else 0.0
                    fired = fired or (alert.severity if lengths[alert.severity] >= alert.lasting else "")
                else:
                    lengths.pop(alert.severity, None)
                looks[alert.severity] = now
            if seen.value is None:
                assert (state.state, state.reason) == (Standing.UNKNOWN, "TooFewSamples")
                continue
            assert state.severity == fired
            assert (state.state is Standing.BREACHED) is bool(fired)
            if not fired:
                assert (state.state is Standing.MET) is (seen.value <= PLAN.target)


@given(
    st.lists(
        st.tuples(SEEN, st.floats(-500, 500) | st.just(10.0), st.booleans(), st.floats(0, 100)), min_size=1, max_size=40
    )
)
def test_clocks_and_restarts_never_raise_nor_age_a_breach(
    events: list[tuple[Aggregate | Nothing, float, bool, float]],
) -> None:
    state, now, real = ObjectiveState(), T0, 0.0
    for seen, step, restart, unobserved in events:
        now += step
        real += max(step, 0.0)
        before, state = state, judge(PLAN, seen, state, now)
        assert isinstance(flipped(before, state), bool)
        assert state.since <= now
        if restart:
            now += unobserved
            state = from_status(to_status("x", state), unobserved=unobserved)
        for run in (state.failing or {}).values():
            # Nothing fails for longer than time has passed.
            assert now - run.since <= real + 1e-4
