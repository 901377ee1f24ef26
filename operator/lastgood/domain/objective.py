"""From what a window holds to a verdict over one objective: met, at risk, breached or unknown."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from lastgood.domain.clock import from_text, shown, to_text
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.objective_plan import Kind, ObjectivePlan
from lastgood.domain.steady import ROUNDING, Run, follow
from lastgood.domain.window import Aggregate


class Standing(StrEnum):
    """How a service stands with one objective, named as status shows it."""

    MET = "Met"
    AT_RISK = "AtRisk"
    BREACHED = "Breached"
    UNKNOWN = "Unknown"


class ObjectiveState(NamedTuple):
    """What is believed of one objective. A tuple is made three times as quickly as a frozen dataclass."""

    state: Standing = Standing.UNKNOWN
    severity: str = ""
    since: float = 0.0
    """When it became so; the breach behind it is older: ``failing``."""
    reason: str = ""
    message: str = ""
    """What was measured then."""
    failing: Mapping[str, Run] | None = None
    """By severity: since when the alert's threshold is exceeded without a break."""
    seen_at: float = 0.0
    """Latest sample that had an answer; 0 when this process has seen none and waits for none yet."""
    fresh: bool = False
    """Whether the latest sample was usable: only then is a breach confirmed."""
    unobserved: float = 0.0
    """For how long nobody had looked when this was read from status."""

    @property
    def confirmed(self) -> bool:
        """Breached, and this process's latest look says so too."""
        return self.state is Standing.BREACHED and self.fresh

    @property
    def breach_since(self) -> float:
        """When the breach of the present severity began: before its alert did."""
        run = (self.failing or {}).get(self.severity)
        return run.since if run is not None else self.since


def settled(state: ObjectiveState, at: float) -> ObjectiveState:
    """The state once more, after samples that changed nothing, the latest of them at this time."""
    failing = {s: Run(run.since, at, gaps=run.gaps) for s, run in state.failing.items()} if state.failing else None
    return ObjectiveState(
        state.state, state.severity, state.since, state.reason, state.message, failing, at, state.fresh
    )


def stays_until(plan: ObjectivePlan, before: ObjectiveState, state: ObjectiveState, now: float) -> float:
    """Until when samples change nothing that are on the same side of every bound as the one that led to this state.

    Not at all when that one said nothing about a run, or came no later than the one before; not beyond the moment at
    which a run has lasted for long enough.
    """
    until = math.inf
    for alert in plan.alerts:
        run = state.failing.get(alert.severity) if state.failing else None
        if run is None:
            continue
        was = before.failing.get(alert.severity) if before.failing else None
        if run.seen != now or (was is not None and was.seen >= now):
            return now
        if not run.lasted(alert.lasting, now):
            until = min(until, run.since + alert.lasting - 2 * ROUNDING)
    return until


def judge(
    plan: ObjectivePlan,
    seen: Aggregate | Nothing,
    before: ObjectiveState,
    now: float,
    codes: Mapping[str, float] | None = None,
) -> ObjectiveState:
    """The state after one more sample: the window's content, or Nothing when this sample gave none.

    What was not seen is neither good nor bad: silence leaves the state for ``unknown_after``, then it is Unknown. A
    window with too few events is Unknown at once, since it is silent about a whole window.
    ``codes`` counts events by status code or class, for the message alone.
    """
    if isinstance(seen, Nothing):
        return _silent(plan, seen, before, now)
    failing: dict[str, Run] = {}
    severity, enough = "", not plan.alerts and seen.events >= 1
    for alert in plan.alerts:
        exceeded = None
        if seen.value is not None and seen.events >= alert.min_samples and seen.rate >= alert.min_rate:
            enough = True
            exceeded = plan.beyond(seen.value, alert.threshold)
        was = before.failing.get(alert.severity) if before.failing else None
        if was is None and not exceeded:
            continue
        run = follow(was, exceeded, now, interval=plan.interval, unknown_after=plan.unknown_after)
        if run is not None:
            failing[alert.severity] = run
            if exceeded and not severity and run.lasted(alert.lasting, now):
                severity = alert.severity
    runs = failing or None
    if seen.value is None or not enough:
        reason = "TooFewSamples" if seen.events < 1 or not enough else str(Silence.NO_DATA)
        return _moved(before, Standing.UNKNOWN, "", reason, runs, now, fresh=False) or ObjectiveState(
            Standing.UNKNOWN, "", now, reason, _too_few(plan, seen), runs, now
        )
    if severity:
        standing, reason = Standing.BREACHED, "ThresholdExceeded"
    elif plan.beyond(seen.value, plan.target):
        standing, reason = Standing.AT_RISK, "TargetMissed"
    else:
        standing, reason = Standing.MET, ""
    gaps = failing[severity].told_gaps if severity else ""
    return _moved(before, standing, severity, reason, runs, now, fresh=True) or ObjectiveState(
        standing, severity, now, reason, describe(plan, seen.value, severity, codes, gaps), runs, now, fresh=True
    )


def _moved(
    before: ObjectiveState,
    state: Standing,
    severity: str,
    reason: str,
    failing: Mapping[str, Run] | None,
    now: float,
    *,
    fresh: bool,
) -> ObjectiveState | None:
    """The same state one sample later; None when it is another one. The hot path: most samples change nothing."""
    if before.state is not state or before.severity != severity or before.reason != reason or not before.since:
        return None
    return ObjectiveState(state, severity, min(before.since, now), reason, before.message, failing, now, fresh)


def _silent(plan: ObjectivePlan, seen: Nothing, before: ObjectiveState, now: float) -> ObjectiveState:
    last = min(before.seen_at, now) or now
    begun = before.since > 0
    held = begun and now - last <= plan.unknown_after and before.unobserved <= plan.unknown_after
    reason = str(seen.reason)
    if held and (before.state is not Standing.UNKNOWN or before.reason in {reason, "TooFewSamples"}):
        return ObjectiveState(
            before.state,
            before.severity,
            min(before.since, now),
            before.reason,
            before.message,
            before.failing,
            last,
            unobserved=before.unobserved,
        )
    still = begun and before.state is Standing.UNKNOWN
    since = min(before.since, now) if still else now
    if still and before.reason == reason:
        return ObjectiveState(Standing.UNKNOWN, "", since, reason, before.message, None, last)
    message = f"no observation ({reason})" + (f": {seen.detail}" if seen.detail else "")
    return ObjectiveState(Standing.UNKNOWN, "", since, reason, message, None, last)


def _too_few(plan: ObjectivePlan, seen: Aggregate) -> str:
    told = f"{seen.events:g} observations in {shown(plan.window)}"
    if not plan.alerts:
        return f"{told} say nothing"
    least = min(plan.alerts, key=lambda a: (a.min_samples, a.min_rate))
    rate = f" and {least.min_rate:g} a second" if least.min_rate else ""
    return f"{told} ({seen.rate:.3g} a second), at least {least.min_samples}{rate} are needed"


def amount(plan: ObjectivePlan, value: float) -> str:
    """A value in the target's unit, with three digits."""
    number = value / plan.scale
    return f"{number:.3g}{plan.unit}" if abs(number) < 1000 else f"{number:.0f}{plan.unit}"


_WORDS = {Kind.AVERAGE: "average", Kind.RATIO: "share of bad events", Kind.VALUE: "value"}


def describe(
    plan: ObjectivePlan, value: float, severity: str = "", codes: Mapping[str, float] | None = None, gaps: str = ""
) -> str:
    """What was measured, and what it should be: "p95 is 5.2s, target below 2s, critical above 5s for 5m".

    ``gaps`` says for how long of that nobody looked.
    """
    what = f"p{plan.quantile * 100:g}" if plan.kind is Kind.QUANTILE else _WORDS[plan.kind]
    good, bad = ("below", "above") if plan.below else ("above", "below")
    text = f"{what} is {amount(plan, value)}, target {good} {plan.shown}"
    for alert in plan.alerts:
        if alert.severity == severity:
            text += f", {severity} {bad} {alert.shown}" + (
                f" for {shown(alert.lasting)}{gaps}" if alert.lasting else ""
            )
    if codes:
        # Those of errors where there are any: what went well says nothing of what does not.
        failed = {code: count for code, count in codes.items() if code[:1] in {"4", "5"}}
        most = sorted((failed or codes).items(), key=lambda item: (-item[1], item[0]))[:3]
        text += f" ({', '.join(f'{code}: {count:g}' for code, count in most)})"
    return text


def to_status(name: str, state: ObjectiveState) -> dict[str, Any]:
    """One entry of ``status.objectives``; only of a state that has begun."""
    return {
        "name": name,
        "state": str(state.state),
        "severity": state.severity,
        "since": to_text(state.since),
        "reason": state.reason,
        "message": state.message,
        "failingSince": [f"{s}={to_text(run.since)}" for s, run in sorted((state.failing or {}).items())],
    }


def from_status(entry: Mapping[str, Any], *, unobserved: float = 0.0) -> ObjectiveState:
    """The state that an entry holds.

    ``unobserved`` is for how many seconds nobody was looking: no threshold was seen exceeded meanwhile. Raises
    KeyError or ValueError for what ``to_status`` did not write.
    """
    failing = {}
    for text in entry.get("failingSince") or ():
        severity, _, since = text.partition("=")
        failing[severity] = Run(from_text(since) + unobserved, unobserved=unobserved)
    state = Standing(entry["state"])
    shift = unobserved if state in {Standing.BREACHED, Standing.AT_RISK} else 0.0
    return ObjectiveState(
        state=state,
        severity=entry.get("severity") or "",
        since=from_text(entry["since"]) + shift,
        reason=entry.get("reason") or "",
        message=entry.get("message") or "",
        failing=failing or None,
        unobserved=unobserved,
    )


def event(name: str, before: ObjectiveState, after: ObjectiveState) -> tuple[str, str, str] | None:
    """Type, reason and message of the Event that a change of state is worth; None when it is worth none.

    A value that moves about its target is none, and neither is the first word after a start that all is well.
    """
    message = f"{name}: {after.message or after.reason}"
    bad = {Standing.BREACHED, Standing.UNKNOWN}
    if after.state is Standing.BREACHED:
        return "Warning", "ObjectiveBreached", f"{message} ({after.severity})"
    if after.state is Standing.UNKNOWN:
        return ("Warning", "ObjectiveUnknown", message) if before.since and before.state not in bad else None
    if before.since and before.state in bad and (before.state is Standing.BREACHED or before.seen_at):
        return "Normal", "ObjectiveMet" if after.state is Standing.MET else "ObjectiveAtRisk", message
    return None


def flipped(before: ObjectiveState, after: ObjectiveState) -> bool:
    """Whether status has to be written: also when a gap moved the beginning of a run."""
    if (before.state, before.severity, before.reason) != (after.state, after.severity, after.reason):
        return True
    if before.failing is after.failing:
        return False
    return {s: r.since for s, r in (before.failing or {}).items()} != {
        s: r.since for s, r in (after.failing or {}).items()
    }
