"""What must hold whatever happens: random histories of releases, outcomes, restarts and clocks that go back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.world import FAIL, PASS, PLAN, UNKNOWN, World, target

from lastgood.domain.decide import StartRollback
from lastgood.domain.health import ProbeState, Thresholds, observe
from lastgood.domain.outcome import Outcome
from lastgood.domain.status import from_status, to_status

SOAK, FAILING_FOR, COOLDOWN, LIMIT, WINDOW, THRESHOLD = 20, 60, 150, 3, 2000, 3
SHORT = replace(PLAN, soak=SOAK, failing_for=FAILING_FOR, cooldown=COOLDOWN, limit=LIMIT, limit_window=WINDOW)

_BASIC = (
    st.tuples(st.just("outcomes"), st.sampled_from([PASS, FAIL, FAIL, UNKNOWN]), st.integers(1, 12)),
    st.tuples(st.just("outcomes"), st.sampled_from([PASS, FAIL, FAIL, UNKNOWN]), st.integers(1, 4)),
    st.tuples(st.just("release"), st.sampled_from(["v1", "v2", "v3", "v4"]), st.just(0)),
    st.tuples(st.just("restart"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("finish"), st.sampled_from(["Succeeded", "Failed"]), st.just(0)),
    # Each event takes 10 s: these clocks stand still or go back by up to 5 s, or jump ahead.
    st.tuples(st.just("wait"), st.integers(-15, -10), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 400), st.just(0)),
    st.tuples(st.just("flap"), st.booleans(), st.just(0)),
)
_CYCLE = st.tuples(st.just("cycle"), st.sampled_from(["v1", "v2", "v3", "v4"]), st.booleans())
"""A whole release that soaks or fails: random events alone would seldom get so far."""

HISTORIES = st.lists(st.one_of(*_BASIC, _CYCLE, _CYCLE), max_size=40)


@dataclass
class Judge:
    """Plays a history and holds every decision to what must always be true."""

    world: World = field(default_factory=lambda: World(plan=SHORT))
    seen: list[tuple[float, Outcome]] = field(default_factory=list)
    """All outcomes with their times, over restarts."""
    own: list[Outcome] = field(default_factory=list)
    """Outcomes since the last restart."""
    ends: list[float] = field(default_factory=list)

    def play(self, history: Iterable[tuple[str, object, object]]) -> None:
        for kind, value, more in history:
            if kind == "cycle":
                self.event("release", value)
                self.event("finish", "Succeeded")
                for _ in range(12):
                    self.event("outcome", PASS if more else FAIL)
                self.event("finish", "Succeeded")
                self.event("outcome", PASS)
            elif kind == "outcomes":
                for _ in range(int(more)):  # type: ignore[call-overload]
                    self.event("outcome", value)
            else:
                self.event(kind, value)

    def event(self, kind: str, value: object) -> None:
        world = self.world
        world.now += 10
        match kind, value:
            case "outcome", Outcome():
                world.outcome(value)
                self.seen.append((world.now, value))
                self.own.append(value)
            case "release", str():
                world.seen = target(value)
            case "restart", int():
                world.restart(value)
                self.own = []
            case "finish", str() if any(not m.outcome for m in world.memory.marks):
                world.finish(value)
                self.ends.append(world.now)
            case "wait", int():
                world.now += value
            case "flap", bool() if world.seen is not None:
                world.seen = replace(world.seen, complete=value)
        self.step()

    def step(self) -> None:
        world = self.world
        first = world.decide()
        assert first == world.decide(), "deterministic"
        under_way = [m for m in world.memory.marks if not m.outcome]
        earlier = list(world.started)
        world.step()
        for at, action in world.started[len(earlier) :]:
            assert not under_way, "one at a time"
            self.judge(at, action, [t for t, _ in earlier])
        again = world.decide()
        assert not again.actions, "nothing more once the actions are observed"
        assert replace(world, memory=again.memory).decide() == again, "and nothing changes by looking"

    def judge(self, at: float, action: StartRollback, earlier: Sequence[float]) -> None:
        world = self.world
        assert world.seen is not None
        assert action.bad_key == world.seen.key, "from the revision that is running"
        assert action.target.key != world.seen.key, "never to it"
        assert action.target.key in world.recorded, "never to one that was not seen to be good"
        assert all(at >= end + COOLDOWN for end in self.ends), "never two inside the cooldown"
        assert sum(1 for t in earlier if t > at - WINDOW) < LIMIT, "never more than the limit"
        assert self.own, "never without an outcome of this process"
        assert self.own[-1] is FAIL, "never on another outcome than a failure"
        tail = []
        for moment, outcome in reversed(self.seen):
            if outcome is PASS:
                break
            tail.append((moment, outcome))
        outcomes = [o for _, o in tail]
        runs = [outcomes[n : n + THRESHOLD] for n in range(len(outcomes))]
        assert [FAIL] * THRESHOLD in runs, "never on fewer failures in a row than the threshold"
        assert at >= min(moment for moment, o in tail if o is FAIL) + FAILING_FOR, "never before its time"


@settings(max_examples=400, deadline=None)
@given(HISTORIES)
def test_whatever_happens(history: list[tuple[str, object, object]]) -> None:
    judge = Judge()
    judge.play(history)
    keys = [action.bad_key for _, action in judge.world.started]
    for key in set(keys):
        # Once for each time that it was not seen to be good in between.
        assert keys.count(key) <= 1 + judge.world.recorded.count(key)


def test_the_histories_get_as_far_as_rollbacks() -> None:
    """Properties over histories in which nothing happens would hold, and say nothing."""
    judge = Judge()
    judge.play([("cycle", "v1", True), ("cycle", "v2", False), ("wait", 200, 0), ("cycle", "v3", False)])
    assert [(a.bad_key, a.target.key) for _, a in judge.world.started] == [("k-v2", "k-v1"), ("k-v3", "k-v1")]


def test_a_revision_that_soaked_does_not_make_its_rollback_forgotten() -> None:
    """Bad, back, released again and good: the cooldown of that rollback still holds for the next release."""
    judge = Judge()
    judge.play([("cycle", "v1", True), ("cycle", "v2", False)])
    end = judge.ends[-1]
    judge.event("release", "v2")
    for _ in range(2):
        judge.event("outcome", PASS)
    assert judge.world.recorded[-1] == "k-v2"
    judge.event("release", "v3")
    while judge.world.now < end + COOLDOWN - 10:
        judge.event("outcome", FAIL)
    assert (judge.world.reason("RollingBack"), len(judge.world.started)) == ("Cooldown", 1)


@settings(max_examples=200, deadline=None)
@given(HISTORIES, st.integers(1, 60))
def test_unknown_alone_never_leads_to_a_rollback(history: list[tuple[str, object, object]], count: int) -> None:
    """Whatever was before: once health is Unknown, more of it starts nothing."""
    judge = Judge()
    judge.play(history)
    for _ in range(THRESHOLD):
        judge.event("outcome", UNKNOWN)
    before = len(judge.world.started)
    assert judge.world.memory.health.state == "Unknown"
    for _ in range(count):
        judge.event("outcome", UNKNOWN)
    assert len(judge.world.started) == before


@settings(max_examples=200, deadline=None)
@given(HISTORIES)
def test_status_holds_all_that_a_successor_needs(history: list[tuple[str, object, object]]) -> None:
    judge = Judge()
    judge.play(history)
    status = to_status(judge.world.memory)
    assert to_status(from_status(status)) == status
    # The API server drops nulls from the items of lists: with one in it, what is wanted is never what is there, and
    # every look would write.
    items = [item for value in status.values() if isinstance(value, list) for item in value]
    assert not [item for item in items if None in item.values()]


PHASES = st.lists(
    st.tuples(st.sampled_from(["v2", "v3", "v4", "v5"]), st.booleans(), st.integers(0, 59)), min_size=1, max_size=6
)


def _releases(phases: list[tuple[str, bool, int]], *, restarts: bool) -> list[tuple[str, str]]:
    """Ten minutes for each release, v1 before them; a restart somewhere in each, or none."""
    world = World(plan=replace(PLAN, soak=100, failing_for=100, cooldown=50, limit=100))
    for version, fine, restart in [("v1", True, 0), *phases]:
        world.seen = target(version)
        for step in range(60):
            world.now += 10
            if restarts and step == restart:
                world.restart(0.0)
            bad = not fine and world.seen is not None and world.seen.version == version
            world.outcome(FAIL if bad else PASS)
            started = len(world.started)
            world.step()
            if len(world.started) > started:
                world.finish()
    return [(a.bad_key, a.target.key) for _, a in world.started]


@settings(max_examples=150, deadline=None)
@given(PHASES)
def test_a_restart_anywhere_gives_the_same_rollbacks(phases: list[tuple[str, bool, int]]) -> None:
    undisturbed = _releases(phases, restarts=False)
    assert _releases(phases, restarts=True) == undisturbed


@given(st.lists(st.sampled_from([PASS, FAIL, UNKNOWN]), max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_probe_state_needs_its_threshold(outcomes: list[Outcome], failures: int, successes: int) -> None:
    state = ProbeState()
    for number, outcome in enumerate(outcomes):
        before, state = state, observe(state, outcome, float(number), Thresholds(failures, successes))
        if state.state != before.state:
            needed = successes if state.state == "Passing" else failures
            run = outcomes[number + 1 - needed : number + 1]
            assert len(run) == needed
            assert all(o is outcome for o in run)
            assert state.since == float(number + 1 - state.run_length)


_FAILING = "Failing"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from([PASS, FAIL, FAIL, UNKNOWN])] * 3), min_size=1, max_size=16),
    st.permutations(["a", "b", "c"]),
)
def test_order_of_observations_at_one_time_does_not_matter(ticks: list[tuple[Outcome, ...]], order: list[str]) -> None:
    worlds = World(), World()
    recovered = False
    for tick in ticks:
        by_name = dict(zip("abc", tick, strict=True))
        before = {n: p.state for n, p in worlds[0].memory.probes.items()}
        for world, names in zip(worlds, (["a", "b", "c"], order), strict=True):
            world.now += 10
            for name in names:
                world.outcome(by_name[name], name)
        after = worlds[0].memory.probes
        recovered |= any(was == _FAILING != after[n].state for n, was in before.items())
    assert worlds[0].memory.probes == worlds[1].memory.probes
    assert worlds[0].memory.health.state == worlds[1].memory.health.state
    # One that recovers in the instant in which another begins to fail may or may not have ended the run between.
    if not recovered:
        assert (
            worlds[0].memory.health.since == worlds[1].memory.health.since or worlds[0].memory.health.state == "Unknown"
        )
        assert worlds[0].decide().conditions == worlds[1].decide().conditions
