"""What must hold whatever happens."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.world import FAIL, PASS, PLAN, UNKNOWN, World, target

from lastgood.domain.health import ProbeState, Thresholds, observe

EVENTS = st.lists(
    st.one_of(
        st.sampled_from([("outcome", PASS), ("outcome", FAIL), ("outcome", FAIL), ("outcome", UNKNOWN)]),
        st.tuples(st.just("release"), st.sampled_from(["v1", "v2", "v3", "v4"])),
        st.tuples(st.just("restart"), st.floats(0, 30)),
        st.tuples(st.just("finish"), st.sampled_from(["Succeeded", "Failed"])),
        st.tuples(st.just("wait"), st.floats(-2, 400)),
        st.tuples(st.just("flap"), st.booleans()),
    ),
    max_size=120,
)


def play(events: list[tuple[str, object]]) -> World:
    world = World(plan=replace(PLAN, soak=20, failing_for=60, cooldown=120))
    for kind, value in events:
        world.now += 10
        if kind == "outcome":
            world.outcome(value)  # type: ignore[arg-type]
        elif kind == "release":
            world.seen = target(str(value))
        elif kind == "restart":
            world.restart(float(value))  # type: ignore[arg-type]
        elif kind == "finish" and any(not m.outcome for m in world.memory.marks):
            world.finish(str(value))
        elif kind == "wait":
            world.now += float(value)  # type: ignore[arg-type]
        elif kind == "flap" and world.seen is not None:
            world.seen = replace(world.seen, complete=bool(value))
        before = len(world.started)
        running = world.seen.key if world.seen else ""
        probes = dict(world.memory.probes)
        world.step()
        for _, action in world.started[before:]:
            assert action.target.key != running, "never to the revision that is running"
            assert action.target.key in world.recorded, "never to one that was not seen to be good"
            assert any(p.run is not None and p.run.value == "Fail" for p in probes.values()), "never on Unknown"
        again = world.decide()
        assert not again.actions, "nothing more once the actions are observed"
        assert again == world.decide(), "deterministic"
    return world


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_whatever_happens(events: list[tuple[str, object]]) -> None:
    world = play(events)
    starts = [at for at, _ in world.started]
    ends = [m.ended for m in world.memory.marks if m.ended is not None]
    for at in starts:
        assert not any(end <= at < end + 120 for end in ends), "never two inside the cooldown"
    keys = [action.bad_key for _, action in world.started]
    for key in set(keys):
        # Once for each time that it was not seen to be good in between.
        assert keys.count(key) <= 1 + world.recorded.count(key)


@given(st.lists(st.sampled_from([PASS, FAIL, UNKNOWN]), max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_probe_state_needs_its_threshold(outcomes: list[object], failures: int, successes: int) -> None:
    state = ProbeState()
    for number, outcome in enumerate(outcomes):
        before, state = state, observe(state, outcome, float(number), Thresholds(failures, successes))  # type: ignore[arg-type]
        if state.state != before.state:
            needed = successes if state.state == "Passing" else failures
            run = outcomes[number + 1 - needed : number + 1]
            assert len(run) == needed
            assert all(o is outcome for o in run)
            assert state.since == float(number + 1 - state.run_length)


@given(st.permutations([("a", FAIL), ("b", FAIL), ("c", PASS)]))
def test_order_of_observations_at_one_time_does_not_matter(order: list[tuple[str, object]]) -> None:
    world = World()
    for _ in range(4):
        world.now += 10
        for name, outcome in order:
            world.outcome(outcome, name)  # type: ignore[arg-type]
    assert world.memory.health.state == "False"
    assert world.decide().conditions == _reference().decide().conditions


def _reference() -> World:
    world = World()
    for _ in range(4):
        world.now += 10
        for name, outcome in (("a", FAIL), ("b", FAIL), ("c", PASS)):
            world.outcome(outcome, name)
    return world
