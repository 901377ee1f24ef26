"""From outcomes to a verdict: thresholds, runs, and Unknown as a thing of its own."""

import pytest
from tests.unit.domain.build import FAIL, OK, T0, UNKNOWN, breaching, failing, passing

from lastgood.domain.health import (
    Health,
    ProbeState,
    State,
    Thresholds,
    combine,
    defined,
    failing_now,
    fewest_passes,
    green_since,
    observe,
    proven_failing_since,
    silenced,
)
from lastgood.domain.outcome import UNKNOWN_REASONS, Outcome, ProbeReason, Verdict
from lastgood.domain.status import from_status, to_status

_OUTCOMES = {"P": OK, "F": FAIL, "U": UNKNOWN}


def after(outcomes: str, thresholds: Thresholds, before: ProbeState | None = None) -> ProbeState:
    """The state after these outcomes (P, F, U), one each 10 s from T0."""
    state = before or ProbeState()
    for index, letter in enumerate(outcomes):
        state = observe(state, _OUTCOMES[letter], T0 + 10 * index, thresholds)
    return state


@pytest.mark.parametrize(
    ("outcomes", "failures", "successes", "state", "since"),
    [
        pytest.param("", 3, 1, State.UNKNOWN, 0.0, id="nothing seen is Unknown"),
        pytest.param("P", 3, 1, State.PASSING, T0, id="one pass is enough at threshold 1"),
        pytest.param("P", 3, 2, State.UNKNOWN, 0.0, id="one pass is too few at threshold 2"),
        pytest.param("PP", 3, 2, State.PASSING, T0, id="since is the first pass of the run"),
        pytest.param("FF", 3, 1, State.UNKNOWN, 0.0, id="two failures are too few"),
        pytest.param("FFF", 3, 1, State.FAILING, T0, id="three failures, since the first of them"),
        pytest.param("F", 1, 1, State.FAILING, T0, id="threshold 1"),
        pytest.param("PFF", 3, 1, State.PASSING, T0, id="two failures do not end a pass"),
        pytest.param("PFFF", 3, 1, State.FAILING, T0 + 10, id="the third does, since the first of the run"),
        pytest.param("PFFPFF", 3, 1, State.PASSING, T0, id="a pass in between begins the count anew"),
        pytest.param("FFFP", 3, 1, State.PASSING, T0 + 30, id="a pass ends a failure at threshold 1"),
        pytest.param("FFFPFP", 3, 2, State.FAILING, T0, id="passes that are not in a row do not end it"),
        pytest.param("FFFU", 3, 1, State.FAILING, T0, id="one Unknown does not end a failing state"),
        pytest.param("FFFUU", 3, 1, State.FAILING, T0, id="nor do two"),
        pytest.param("FFFUUU", 3, 1, State.UNKNOWN, T0 + 30, id="three are believed: nothing is known"),
        pytest.param("FUF", 3, 1, State.UNKNOWN, 0.0, id="an Unknown is not counted as a failure"),
        pytest.param("FFU", 3, 1, State.UNKNOWN, 0.0, id="an Unknown is no third failure"),
        pytest.param("UU", 3, 1, State.UNKNOWN, 0.0, id="two Unknown from the start are too few to tell of"),
        pytest.param("UUU", 3, 1, State.UNKNOWN, T0, id="three Unknown from the start are believed"),
        pytest.param("PUU", 3, 1, State.PASSING, T0, id="Unknown does not end a pass at once"),
        pytest.param("PUUU", 3, 1, State.UNKNOWN, T0 + 10, id="three in a row do"),
    ],
)
def test_thresholds(outcomes: str, failures: int, successes: int, state: State, since: float) -> None:
    believed = after(outcomes, Thresholds(failures, successes))
    assert (believed.state, believed.since) == (state, since)


def test_an_unknown_between_failures_begins_the_run_of_failures_anew() -> None:
    state = after("PFFUFF", Thresholds())
    assert state.state is State.PASSING
    assert (state.run, state.run_length, state.run_since) == (Verdict.FAIL, 2, T0 + 40)


def test_reason_and_detail_are_those_of_the_flip_and_empty_for_a_pass() -> None:
    assert (after("FFF", Thresholds()).reason, after("FFF", Thresholds()).detail) == (
        "UnexpectedStatus",
        "expected 2xx, got 500",
    )
    assert (after("FFFP", Thresholds()).reason, after("FFFP", Thresholds()).detail) == ("", "")


def test_a_probe_that_could_never_ask_says_why() -> None:
    state = after("UUUU", Thresholds())
    assert (state.since, state.reason, state.detail) == (T0, "DNSUnavailable", "no name server answered")


def test_last_pass_is_kept_through_failures() -> None:
    assert after("PFFF", Thresholds()).last_pass == T0


@pytest.mark.parametrize("reason", list(ProbeReason))
def test_each_reason_has_the_verdict_of_its_group(reason: ProbeReason) -> None:
    expected = Verdict.PASS if reason == "OK" else Verdict.UNKNOWN if reason in UNKNOWN_REASONS else Verdict.FAIL
    assert Outcome(reason).verdict is expected


def test_only_these_reasons_are_unknown() -> None:
    # A list by hand: whoever moves a reason here takes rollbacks away from somebody.
    assert {str(r) for r in UNKNOWN_REASONS} == {"DNSUnavailable", "AddressDenied", "ProberError"}


_UNKNOWN_STATE = ProbeState(State.UNKNOWN, T0 + 5, "DNSUnavailable", "", Verdict.UNKNOWN, 3, T0 + 5)


@pytest.mark.parametrize(
    ("before", "probes", "verdict"),
    [
        pytest.param(Health(), {}, Health("Unknown", T0 + 50), id="no probe"),
        pytest.param(Health(), {"a": passing(T0)}, Health("True", T0), id="all pass"),
        pytest.param(
            Health(), {"a": passing(T0), "b": passing(T0 + 9)}, Health("True", T0 + 9), id="since the last one began to"
        ),
        pytest.param(Health("True", T0), {"a": failing(T0 + 20)}, Health("False", T0 + 20), id="one fails"),
        pytest.param(
            Health("True", T0),
            {"a": failing(T0 + 30), "b": failing(T0 + 20)},
            Health("False", T0 + 20),
            id="two fail, since the first",
        ),
        pytest.param(
            Health("False", T0 + 3),
            {"a": passing(T0 + 40), "b": failing(T0 + 20)},
            Health("False", T0 + 3),
            id="one recovers while another fails: the run goes on",
        ),
        pytest.param(
            Health("False", T0 + 20),
            {"a": failing(T0 + 20), "b": failing(T0 + 10)},
            Health("False", T0 + 10),
            id="a slower probe believes later what began earlier",
        ),
        pytest.param(
            Health("True", T0), {"a": passing(T0), "b": _UNKNOWN_STATE}, Health("Unknown", T0 + 50), id="one unknown"
        ),
        pytest.param(
            Health("True", T0),
            {"a": failing(T0 + 9), "b": _UNKNOWN_STATE},
            Health("False", T0 + 9),
            id="a failure counts",
        ),
        pytest.param(
            Health("Unknown", T0 + 7), {"a": _UNKNOWN_STATE}, Health("Unknown", T0 + 7), id="still unknown, same since"
        ),
        pytest.param(
            Health("False", T0),
            {"a": _UNKNOWN_STATE},
            Health("Unknown", T0 + 50),
            id="Unknown ends a False without a True",
        ),
    ],
)
def test_combine(before: Health, probes: dict[str, ProbeState], verdict: Health) -> None:
    assert combine(before, probes, T0 + 50) == verdict


def test_failing_now_wants_state_and_latest_outcome() -> None:
    probes = {
        "b": failing(T0),
        "a": failing(T0),
        "restored": failing(T0, run=None),
        "just passed": failing(T0, run=Verdict.PASS),
        "just unknown": failing(T0, run=Verdict.UNKNOWN),
        "good": passing(T0),
    }
    assert failing_now(probes) == ["a", "b"]


def test_green_since_and_fewest_passes() -> None:
    assert green_since({}) is None
    assert fewest_passes({}) == 0
    both = {"a": passing(T0, runs=4), "b": passing(T0 + 8, runs=2)}
    assert (green_since(both), fewest_passes(both)) == (T0 + 8, 2)
    one_fails = {"a": passing(T0), "b": ProbeState(State.PASSING, T0, run=Verdict.FAIL, run_length=1, run_since=T0 + 9)}
    assert (green_since(one_fails), fewest_passes(one_fails)) == (None, 0)
    restored = {"a": ProbeState(State.PASSING, T0)}
    assert (green_since(restored), fewest_passes(restored)) == (None, 0)


def test_a_restored_failure_is_no_failure_until_this_process_saw_one() -> None:
    """Failed for 4 minutes, killed, 30 s unobserved: a minute of failing is left to be seen."""
    killed_at, gap = T0 + 240, 30.0
    memory = from_status(to_status(breaching(T0)), unobserved=gap)
    assert memory.health == Health("False", T0 + gap)
    assert killed_at + gap - memory.health.since == 240
    assert failing_now(memory.probes) == []
    fresh = observe(memory.probes["http"], FAIL, killed_at + gap, Thresholds())
    assert (fresh.state, fresh.since) == (State.FAILING, T0 + gap)
    assert failing_now({"http": fresh}) == ["http"]
    assert combine(memory.health, {"http": fresh}, killed_at + gap) == Health("False", T0 + gap)


def test_a_probe_is_proven_by_a_pass_and_stays_so() -> None:
    state = observe(ProbeState(definition="d"), FAIL, T0, Thresholds())
    assert not state.proven
    state = observe(state, OK, T0 + 1, Thresholds())
    state = observe(state, FAIL, T0 + 2, Thresholds())
    assert (state.proven, state.definition) == (True, "d")


def test_a_probe_that_is_written_otherwise_begins_anew() -> None:
    before = failing(T0)._replace(definition="old")
    assert defined(before, "old", T0 + 9) == before
    assert defined(before, "new", T0 + 9) == ProbeState(since=T0 + 9, reason="Rewritten", definition="new")


def test_what_was_remembered_before_definitions_were_is_taken_as_it_was() -> None:
    assert defined(passing(T0)._replace(proven=False), "d", T0).proven
    assert not defined(failing(T0)._replace(proven=False), "d", T0).proven


def test_a_probe_that_does_not_run_has_nothing_to_say_and_is_as_proven_as_it_was() -> None:
    after = silenced(failing(T0)._replace(definition="d"), T0 + 9)
    assert after == ProbeState(since=T0 + 9, reason="NotRunning", proven=True, definition="d")
    assert silenced(after, T0 + 99) == after


def test_since_when_a_proven_probe_fails() -> None:
    new = failing(T0 - 50)._replace(proven=False)
    assert proven_failing_since({"a": failing(T0), "b": failing(T0 - 9), "new": new, "c": passing(T0 - 99)}) == T0 - 9
    assert proven_failing_since({"new": new}) is None
