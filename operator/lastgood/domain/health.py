"""From single outcomes to a verdict over a service: True, False or Unknown, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from lastgood.domain.outcome import Outcome, ProbeReason, Verdict


class State(StrEnum):
    """State of one probe, named as status shows it."""

    PASSING = "Passing"
    FAILING = "Failing"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many equal outcomes in a row it takes to believe them."""

    failures: int = 3
    successes: int = 1


class ProbeState(NamedTuple):
    """What is believed of one probe, and the run of equal outcomes that may change it.

    A tuple, since one is made for every outcome: a frozen dataclass takes four times as long.
    """

    state: State = State.UNKNOWN
    since: float = 0.0
    """First outcome of the run that led to this state."""
    reason: str = ""
    detail: str = ""
    run: Verdict | None = None
    """Verdict of the latest outcomes; None when this process has seen none yet."""
    run_length: int = 0
    run_since: float = 0.0
    last_pass: float = 0.0
    """Latest pass seen by this process."""
    proven: bool = False
    """Whether it has passed since it was written as it is: one that never did may itself be what is wrong."""
    definition: str = ""
    """What is asked, as a hash."""


@dataclass(frozen=True, slots=True)
class Health:
    """Verdict over all probes of a service."""

    state: str = "Unknown"
    """"True", "False" or "Unknown", as in a condition."""
    since: float = 0.0


_BELIEVED = {Verdict.PASS: State.PASSING, Verdict.FAIL: State.FAILING, Verdict.UNKNOWN: State.UNKNOWN}


def observe(before: ProbeState, outcome: Outcome, now: float, thresholds: Thresholds) -> ProbeState:
    """The state of a probe after one more outcome.

    An Unknown takes as many in a row as a failure does: one look-up that went wrong neither ends a run of
    failures nor counts as one.
    """
    verdict = outcome.verdict
    passed = verdict is Verdict.PASS
    if verdict is before.run:
        run_length, run_since = before.run_length + 1, before.run_since
    else:
        run_length, run_since = 1, now
    believed = _BELIEVED[verdict]
    needed = thresholds.successes if passed else thresholds.failures
    state, since, reason, detail = before.state, before.since, before.reason, before.detail
    # A probe that cannot ask from its first run on is Unknown already: nobody would learn why.
    if run_length >= needed and (believed is not state or not since):
        state, since, detail = believed, run_since, outcome.detail
        reason = "" if outcome.reason is ProbeReason.OK else str(outcome.reason)
    last_pass = now if passed else before.last_pass
    proven = passed or before.proven
    return ProbeState(
        state, since, reason, detail, verdict, run_length, run_since, last_pass, proven, before.definition
    )


def defined(before: ProbeState, definition: str, now: float) -> ProbeState:
    """The state of a probe that is written as this hash says: one that was written otherwise has said nothing yet."""
    if before.definition == definition:
        return before
    if not before.definition:
        # Of before hashes were kept.
        return before._replace(definition=definition, proven=before.proven or before.state is State.PASSING)
    return ProbeState(since=now, reason="Rewritten", definition=definition)


def combine(before: Health, probes: Mapping[str, ProbeState], now: float) -> Health:
    """The verdict over all probes.

    False as long as any probe fails, without a break: when one recovers while another still fails, the run
    goes on. True only when all pass, since the last one began to.
    """
    states = probes.values()
    failing = [p.since for p in states if p.state is State.FAILING]
    if failing:
        # A slower probe may believe later what began earlier: which was told first must not matter.
        since = min(failing) if before.state != "False" else min(before.since, *failing)
        return Health("False", since)
    if not probes or any(p.state is State.UNKNOWN for p in states):
        since = before.since if before.state == "Unknown" and before.since else now
        return Health("Unknown", since)
    return Health("True", max(p.since for p in states))


def failing_now(probes: Mapping[str, ProbeState]) -> list[str]:
    """Names of probes that are failing and whose latest outcome, seen by this process, was a failure."""
    return sorted(n for n, p in probes.items() if p.state is State.FAILING and p.run is Verdict.FAIL)


def silenced(before: ProbeState, now: float) -> ProbeState:
    """The state of a probe that does not run: what it said before says nothing of later."""
    if before.state is State.UNKNOWN and before.run is None and before.reason == "NotRunning":
        return before
    return ProbeState(since=now, reason="NotRunning", proven=before.proven, definition=before.definition)


def proven_failing_since(probes: Mapping[str, ProbeState]) -> float | None:
    """Since when a probe fails that has passed as it is written; None when there is none."""
    return min((p.since for p in probes.values() if p.state is State.FAILING and p.proven), default=None)


def green_since(probes: Mapping[str, ProbeState]) -> float | None:
    """When the last probe's unbroken run of passes began, as seen by this process; None unless all pass."""
    if not probes or any(p.state is not State.PASSING or p.run is not Verdict.PASS for p in probes.values()):
        return None
    return max(p.run_since for p in probes.values())


def fewest_passes(probes: Mapping[str, ProbeState]) -> int:
    """Length of the shortest run of passes over all probes, as seen by this process."""
    return min((p.run_length if p.run is Verdict.PASS else 0 for p in probes.values()), default=0)


def earliest_pass(probes: Mapping[str, ProbeState]) -> float:
    """When the probe whose latest pass is the oldest has passed, as seen by this process; 0 when one never has."""
    return min((p.last_pass for p in probes.values()), default=0.0)
