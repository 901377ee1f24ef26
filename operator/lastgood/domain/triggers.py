"""What starts a rollback: each trigger of a MonitoredService, since when it is breached, and when it is due.

One notion for all: a ``Breach``. ``decide`` takes the first that is due and asks the guards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lastgood.api.base import amount, seconds
from lastgood.api.triggers import Triggers
from lastgood.domain.baseline import Baseline, Degraded, NotCompared, degradation
from lastgood.domain.budget import Burn, Burning
from lastgood.domain.clock import from_text, shown, to_text
from lastgood.domain.health import Health
from lastgood.domain.measure import Nothing
from lastgood.domain.objective import ObjectiveState, Standing
from lastgood.domain.objective_plan import SEVERITIES, Kind, ObjectivePlan, cut
from lastgood.domain.steady import ROUNDING, Run, follow
from lastgood.domain.window import Aggregate


class TriggerKind(StrEnum):
    """Kinds of triggers, as a Rollback names them. In the order in which equally old breaches are taken."""

    SIGNAL = "Signal"
    HEALTH_FAILING = "HealthFailing"
    ERROR_RATE = "ErrorRate"
    DEGRADATION = "Degradation"
    OBJECTIVE = "Objective"
    BURN_RATE = "BurnRate"


_ORDER = {kind: place for place, kind in enumerate(TriggerKind)}


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger in plain values; those that do not belong to its kind are left at their defaults."""

    kind: TriggerKind
    name: str = ""
    """Of an objective, empty for any; of a signal, its type."""
    above: float = 0.0
    shown: str = ""
    """``above`` as the spec has it."""
    lasting: float = 0.0
    severity: str = ""
    min_samples: int = 1
    least: float = 0.0
    """What a change has to exceed to be one, as a share of the objective's target."""
    skip_cooldown: bool = False


def triggers_of(spec: Triggers) -> tuple[Trigger, ...]:
    """All triggers of a spec."""
    return (Trigger(TriggerKind.HEALTH_FAILING, lasting=seconds(spec.health_failing.for_)), *measured_triggers(spec))


def measured_triggers(spec: Triggers) -> tuple[Trigger, ...]:
    """All triggers of a spec besides health's."""
    found = []
    if (rate := spec.error_rate) is not None:
        name = rate.objective or ""
        found.append(Trigger(TriggerKind.ERROR_RATE, name, amount(rate.above), rate.above, lasting=seconds(rate.for_)))
    if (worse := spec.degradation) is not None:
        found.append(
            Trigger(
                TriggerKind.DEGRADATION,
                worse.objective or "",
                amount(worse.above),
                worse.above,
                lasting=seconds(worse.for_),
                min_samples=worse.min_samples,
                least=amount(worse.least_change),
            )
        )
    found += [
        Trigger(TriggerKind.OBJECTIVE, o.name, lasting=seconds(o.for_), severity=o.severity) for o in spec.objectives
    ]
    found += [Trigger(TriggerKind.BURN_RATE, b.name, amount(b.above), b.above) for b in spec.burn_rates]
    found += [Trigger(TriggerKind.SIGNAL, s.type, skip_cooldown=s.skip_cooldown) for s in spec.signals]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Looked:
    """One objective as its latest sample left it."""

    plan: ObjectivePlan
    state: ObjectiveState
    seen: Aggregate | Nothing
    at: float
    """When that sample was taken."""
    baseline: Baseline | None = None
    """Of the last good revision."""
    burn: Burn | None = None
    proven: bool = True
    """Whether it was seen not to be breached since it was written as it is: else it may itself be what is wrong."""

    def degraded(self, min_samples: int) -> Degraded | NotCompared:
        """How it compares with the last good revision."""
        return degradation(self.plan, self.baseline, self.seen, self.at, min_samples=min_samples)

    @property
    def ratio(self) -> float | None:
        """Share of bad events; None when that is unknown, of too few events, or not what is measured."""
        if self.plan.kind is not Kind.RATIO or not self.state.fresh or isinstance(self.seen, Nothing):
            return None
        return self.seen.value


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that stands."""

    type: str
    at: float
    by: str
    reason: str = ""
    until: float | None = None
    """When it ceases to stand by itself."""

    def stands(self, now: float) -> bool:
        """Whether it still does."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that triggers look at."""

    health: Health
    failing: Sequence[str] = ()
    """Probes that fail by their latest outcome: ``health.failing_now``."""
    objectives: Mapping[str, Looked] | None = None
    signals: Sequence[Signal] = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """A trigger whose condition holds without a break."""

    trigger: Trigger
    since: float
    """When what is wrong began; compared with releases."""
    message: str
    due_at: float
    confirmed: bool = True
    """Whether the latest look of this process says so; a rollback needs that."""
    objective: str = ""
    proven: bool = True

    @property
    def patience(self) -> float:
        """How long it has to last, in seconds."""
        return max(0.0, self.due_at - self.since)

    def due(self, now: float) -> bool:
        """Whether it has lasted for as long as the trigger wants."""
        return now >= self.due_at - ROUNDING


Runs = Mapping[str, Run]
"""By "kind/objective/threshold": since when a trigger's condition holds. Health and signals keep their own time."""


def run_key(trigger: Trigger, objective: str) -> str:
    """Under what the run of a trigger over an objective is remembered."""
    return f"{trigger.kind}/{objective}/{trigger.severity or trigger.shown}"


def evaluate(
    triggers: Sequence[Trigger], evidence: Evidence, runs: Runs, now: float
) -> tuple[tuple[Breach, ...], dict[str, Run]]:
    """All breaches, the one that is or was due first at the front, and the runs to remember.

    A trigger without a named objective stands for each objective by itself: two that are bad in turn are not one that
    is bad without a break.
    """
    breaches: list[Breach] = []
    looked = evidence.objectives or {}
    # Out of status, of an objective that was not sampled since.
    after = {key: run for key, run in runs.items() if not run.seen and key.split("/")[1] not in looked}
    for trigger in triggers:
        match trigger.kind:
            case TriggerKind.HEALTH_FAILING:
                breaches += _health(trigger, evidence, now)
            case TriggerKind.SIGNAL:
                breaches += _signals(trigger, evidence)
            case _:
                names = [trigger.name] if trigger.name else sorted(looked)
                for name in names:
                    if name in looked:
                        breaches += _objective(trigger, name, looked[name], runs, after, now)
    breaches.sort(key=lambda b: (b.due_at, _ORDER[b.trigger.kind], b.objective))
    return tuple(breaches), after


def integrity_signals(objectives: Mapping[str, Looked]) -> tuple[Signal, ...]:
    """Violations that integrity queries have found and still find, as signals."""
    found = []
    for name, looked in sorted(objectives.items()):
        state = looked.state
        missed = state.state is Standing.AT_RISK and not looked.plan.alerts
        if looked.plan.integrity and looked.proven and state.fresh and (state.state is Standing.BREACHED or missed):
            found.append(Signal("DataIntegrity", state.breach_since, f"objective {name}", state.message))
    return tuple(found)


def all_due(breaches: Sequence[Breach], now: float) -> list[Breach]:
    """The breaches to act on, confirmed ones first."""
    return sorted((b for b in breaches if b.due(now)), key=lambda b: not b.confirmed)


def first_due(breaches: Sequence[Breach], now: float) -> Breach | None:
    """The breach to act on: due, and confirmed rather than not."""
    return next(iter(all_due(breaches, now)), None)


def next_due(breaches: Sequence[Breach], now: float) -> float | None:
    """When to look again for the next one."""
    return min((b.due_at for b in breaches if not b.due(now)), default=None)


def _health(trigger: Trigger, evidence: Evidence, now: float) -> list[Breach]:
    health = evidence.health
    if health.state != "False":
        return []
    probes = f" ({', '.join(evidence.failing)})" if evidence.failing else ""
    message = f"health was False for {shown(now - health.since)}{probes}"
    return [Breach(trigger, health.since, message, health.since + trigger.lasting, bool(evidence.failing))]


def _signals(trigger: Trigger, evidence: Evidence) -> list[Breach]:
    return [
        Breach(trigger, s.at, f"{s.type} was raised by {s.by}" + (f": {s.reason}" if s.reason else ""), s.at)
        for s in evidence.signals
        if s.type == trigger.name
    ]


def _objective(
    trigger: Trigger, name: str, looked: Looked, runs: Runs, after: dict[str, Run], now: float
) -> list[Breach]:
    key = run_key(trigger, name)
    exceeded = _exceeded(trigger, looked)
    run, at = runs.get(key), looked.at
    if run is not None and at == run.seen and exceeded is not False:
        # No sample since: time passes, but nobody has looked.
        exceeded, at = None, now
    run = follow(run, exceeded, at, interval=looked.plan.interval, unknown_after=looked.plan.unknown_after)
    if run is None:
        return []
    after[key] = run
    since = run.since
    if trigger.kind is TriggerKind.OBJECTIVE:
        # The alert has a time of its own; what is wrong began before it.
        failing = (looked.state.failing or {}).items()
        since = min([since, *(r.since for severity, r in failing if _reaches(severity, trigger.severity))])
    message = _message(trigger, name, looked, f" for {shown(now - run.since)}{run.told_gaps}")
    confirmed = _exceeded(trigger, looked) is True and now - looked.at <= looked.plan.unknown_after
    return [Breach(trigger, since, message, run.since + trigger.lasting, confirmed, name, looked.proven)]


def _exceeded(trigger: Trigger, looked: Looked) -> bool | None:
    """Whether the condition holds; None when that is not known."""
    match trigger.kind:
        case TriggerKind.ERROR_RATE:
            return None if looked.ratio is None else looked.ratio > cut(trigger.above, below=True)
        case TriggerKind.DEGRADATION:
            degraded = looked.degraded(trigger.min_samples)
            return _much_worse(trigger, looked.plan, degraded) if isinstance(degraded, Degraded) else None
        case TriggerKind.OBJECTIVE:
            state = looked.state
            if state.state is Standing.UNKNOWN or not state.fresh:
                return None
            return state.severity != "" and _reaches(state.severity, trigger.severity)
        case TriggerKind.BURN_RATE:
            burning = _burning(trigger, looked)
            return burning.exceeds(trigger.above) if burning is not None else None
        case TriggerKind.HEALTH_FAILING | TriggerKind.SIGNAL:
            return None


def _much_worse(trigger: Trigger, plan: ObjectivePlan, degraded: Degraded) -> bool:
    """By its own scale, and by the target's: three milliseconds are half as much again as two."""
    change, least = abs(degraded.now - degraded.then), trigger.least * abs(plan.target)
    return degraded.worse > trigger.above * (1 + 1e-9) and change > cut(least, below=True)


def _reaches(severity: str, wanted: str) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(wanted)


def _burning(trigger: Trigger, looked: Looked) -> Burning | None:
    """The windows of this rate; the kind takes no others."""
    if looked.burn is None:
        return None
    return next((b for b in looked.burn.windows if b.window.rate == trigger.above), None)


def _message(trigger: Trigger, name: str, looked: Looked, span: str) -> str:
    match trigger.kind:
        case TriggerKind.ERROR_RATE:
            now = "" if looked.ratio is None else f" (now {looked.ratio * 100:.3g}%)"
            return f"the share of bad events of {name} was above {trigger.shown}{span}{now}"
        case TriggerKind.DEGRADATION:
            told = looked.degraded(trigger.min_samples)
            now = ""
            if isinstance(told, Degraded):
                than = " at this hour" if told.same_hour else ""
                now = f" (now {told.worse * 100:.3g}%: {told.now:.3g}, then{than} {told.then:.3g})"
            return f"{name} was worse than with the last good revision by more than {trigger.shown}{span}{now}"
        case TriggerKind.BURN_RATE:
            burning = _burning(trigger, looked)
            rate = f" ({burning.long:.3g})" if burning is not None and burning.long is not None else ""
            return f"the error budget of {name} burns faster than {trigger.shown}{rate}{span}"
        case _:
            message = f" ({looked.state.message})" if looked.state.message else ""
            return f"objective {name} was breached, {trigger.severity} or worse,{span}{message}"


def to_status(runs: Runs) -> list[str]:
    """Runs as "key=time", as ``failingSince`` of an objective has them."""
    return [f"{key}={to_text(run.since)}" for key, run in sorted(runs.items())]


def from_status(texts: Sequence[Any], *, unobserved: float = 0.0) -> dict[str, Run]:
    """The runs; the seconds in which nobody looked are taken out. Raises ValueError for what nobody here wrote."""
    pairs = (str(text).rpartition("=") for text in texts)
    return {key: Run(from_text(since) + unobserved, unobserved=unobserved) for key, _, since in pairs}
