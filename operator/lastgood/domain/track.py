"""One objective of one service as it goes: what each sample does to its window, its state, its budget, its baseline."""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lastgood.api.base import seconds
from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.baseline import Baseline, Recorder
from lastgood.domain.budget import Burn, alarm, burn, quiet
from lastgood.domain.measure import Counts, Nothing, Points, Sample, Silence
from lastgood.domain.objective import ObjectiveState, Standing, judge, settled, stays_until
from lastgood.domain.objective_plan import Kind, ObjectivePlan, objective_plan
from lastgood.domain.outcome import UNKNOWN_REASONS, Outcome, ProbeReason, Verdict
from lastgood.domain.rings import BURN_WINDOWS, BudgetRings
from lastgood.domain.sides import sides_of
from lastgood.domain.triggers import Looked, Trigger, TriggerKind, run_key
from lastgood.domain.window import Aggregate, Window

LOOK_SECONDS = 60.0
"""How often it is looked which alerts on burn rates fire: a unit of 30 days."""

BURN_SECONDS = 300.0
"""How often burn rates are worked out as long as that stays the same, the fastest does not fire and no trigger looks at
them: a budget loses no more than 2 % in that, which is what the fastest alert is for."""

_FASTEST = BURN_WINDOWS[0].rate

_UNSEEN = Nothing(Silence.NO_DATA, "nothing was measured yet")

_UNTIMED = frozenset(
    {
        ProbeReason.DNS_NOT_FOUND,
        ProbeReason.CONNECTION_REFUSED,
        ProbeReason.CONNECTION_FAILED,
        ProbeReason.TLS_FAILED,
        ProbeReason.PROTOCOL_ERROR,
        ProbeReason.AUTHENTICATION_FAILED,
    }
)
"""Outcomes that are no answer to what was asked: a refusal within a millisecond is no quick answer."""


def definition(spec: ServiceLevelObjectiveSpec) -> str:
    """Hash of what is measured and what it should be; not of its words, its budget or its patience."""
    asked = spec.model_dump_json(exclude={"description", "budget", "timeout"})
    return hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()


def plan_for(name: str, spec: ServiceLevelObjectiveSpec, service: MonitoredServiceSpec) -> ObjectivePlan:
    """The plan for one service: an objective over its probes is sampled as often as they run.

    Raises ValueError when it names a probe that the service does not have.
    """
    if spec.source.probe is not None:
        wanted = spec.source.probe.name
        probes = [p for p in service.probes if wanted in {None, p.name}]
        if not probes:
            msg = f'objective "{name}" measures probe "{wanted}", which this service does not have: mend the name'
            raise ValueError(msg)
        spec = spec.model_copy(update={"interval": min((p.interval for p in probes), key=seconds)})
    return objective_plan(name, spec)


def of_outcome(kind: Kind, outcome: Outcome) -> Sample:
    """What the run of a probe tells an objective."""
    if outcome.reason in UNKNOWN_REASONS:
        return Nothing(Silence.SOURCE_DOWN, str(outcome.reason))
    if kind is Kind.RATIO:
        return Counts(float(outcome.verdict is not Verdict.PASS), 1.0)
    if outcome.reason in _UNTIMED:
        return Nothing(Silence.NO_DATA, f"the probe was not answered ({outcome.reason})")
    return Points((outcome.seconds,))


class Minute(NamedTuple):
    """What one minute held."""

    minute: int
    """Of Unix time."""
    bad: float
    total: float
    value: float | None


class Track:
    """One objective of one service in this process. Nothing here waits, and no clock is read."""

    __slots__ = (
        "_alarm",
        "_bad",
        "_burned_at",
        "_burns",
        "_codes",
        "_codes_since",
        "_count",
        "_each",
        "_each_bad",
        "_high",
        "_judged",
        "_looked_at",
        "_low",
        "_minute_bad",
        "_minute_ends",
        "_minute_total",
        "_rings",
        "_side",
        "_sides",
        "_silence",
        "_stays_until",
        "_total",
        "_turns",
        "at",
        "awaiting",
        "baseline",
        "began",
        "burn",
        "definition",
        "plan",
        "probe",
        "recorder",
        "run_keys",
        "steady_triggers",
        "triggers",
        "window",
    )

    def __init__(
        self, plan: ObjectivePlan, definition: str, triggers: tuple[Trigger, ...] = (), probe: str | None = None
    ) -> None:
        self.plan, self.definition, self.probe = plan, definition, probe
        """``probe`` is the name of the probe that feeds it, empty for all of them, None for none."""
        self.triggers = tuple(t for t in triggers if _concerns(t, plan))
        self.run_keys = tuple(run_key(t, plan.name) for t in self.triggers)
        self.steady_triggers = all(_steady(t, plan) for t in self.triggers)
        """Whether its triggers say the same as long as the indicator is on the same side of every bound."""
        rates = tuple(t.above for t in self.triggers if t.kind is TriggerKind.ERROR_RATE)
        self._sides = sides_of(plan, rates)
        self._rings = BudgetRings(plan.budget.period) if plan.budget is not None else None
        self.burn: Burn | None = None
        self.awaiting = False
        """Whether what was kept of the budget's period is still to be loaded: until then nobody knows what is left."""
        # Rate of the fastest alert on them that fires; whether a trigger looks at them.
        self._alarm = 0.0
        self._burns = any(t.kind is TriggerKind.BURN_RATE for t in self.triggers)
        self.baseline: Baseline | None = None
        self.began = 0
        """Minute of the first sample: what is older is the history's."""
        # When burn rates were worked out, and when it was looked whether they have to be.
        self._burned_at = self._looked_at = 0.0
        # What came since it was handed over to the minute and to the budget: once in each unit of either. How many
        # samples that were, the events in them, and when they are to be handed over.
        self._count, self._bad, self._total, self._turns = 0, 0.0, 0.0, 0.0
        self._minute_bad = self._minute_total = self._minute_ends = 0.0
        # What each of them is to the minute and to the budget if it tells no events, on the present side.
        self._each = self._each_bad = 0.0
        self.at = 0.0
        self.release()

    def release(self) -> None:
        """Another revision runs from now on: what was measured before says nothing of it."""
        plan = self.plan
        self.window = Window(plan.kind, window=plan.window, interval=plan.interval, quantile=plan.quantile)
        # Why the latest sample was none.
        self._silence: Nothing | None = _UNSEEN
        # The state that the latest look led to, on which side of its bounds the indicator was, and until when the same
        # again changes nothing.
        self._judged: ObjectiveState | None = None
        self._side, self._stays_until = 0, 0.0
        # From which value to which that side goes, if it does not depend on the number of events.
        self._low, self._high = math.inf, -math.inf
        # By status code: of this window's length of time, and of the one before.
        self._codes: tuple[dict[str, float], dict[str, float]] | None = None
        self._codes_since = 0.0
        compared = any(t.kind is TriggerKind.DEGRADATION for t in self.triggers)
        self.recorder = Recorder(plan.kind, plan.quantile) if compared else None

    @property
    def value(self) -> float | None:
        """The indicator with the latest sample; None when that said nothing."""
        return None if self._silence is not None else self.window.value

    @property
    def seen(self) -> Aggregate | Nothing:
        """What the window held with the latest sample; Nothing when that was none."""
        return self._silence or self.window.read(self.at)

    def answered(self, code: str, now: float, count: float = 1) -> None:
        """Count answers with a status code, for the message of a breach."""
        if self._codes is None or not 0 <= now - self._codes_since <= self.plan.window:
            self._codes, self._codes_since = ({}, self._codes[0] if self._codes else {}), now
        self._codes[0][code] = self._codes[0].get(code, 0) + count

    def _answers(self) -> dict[str, float] | None:
        if self._codes is None:
            return None
        new, old = self._codes
        return {code: new.get(code, 0) + old.get(code, 0) for code in {*new, *old}} or None

    def take(
        self, sample: Sample, before: ObjectiveState, now: float, *, steady: bool
    ) -> tuple[ObjectiveState, Minute | None]:
        """The state after one more sample, and the minute that has ended with it.

        It is the same object as ``before`` when the sample changes nothing that anybody compares: most samples are
        soon after the one before and on the same side of every bound. What such samples leave behind is told by
        ``settled``. ``steady`` says that one revision runs alone: only then does a sample belong into its baseline.
        """
        window, sides, last = self.window, self._sides, self.at
        taken = window.add(sample, now)
        if type(taken) is Nothing:
            return self._silent(taken, before, now), None
        value = window.value
        if (
            before is self._judged
            and value is not None
            and self._low <= value <= self._high
            and window.events >= sides.most
            and 0 <= now - last <= sides.soon
            and now < self._stays_until
        ):
            state = before
        else:
            state = self._judge(before, now)
        self.at = now
        if now < self._turns:
            minute = None
            self._count += 1
            if type(taken) is Counts:
                self._total += taken.total
                if taken.bad:
                    self._bad += min(taken.bad, taken.total)
        else:
            minute = self._turn(taken, last, now)
        if self.recorder is not None and steady and state.state is not Standing.BREACHED:
            self.recorder.add(taken, now)
        return state, minute

    def _judge(self, before: ObjectiveState, now: float) -> ObjectiveState:
        """The state, of a window that may be on another side than before."""
        window, sides, last = self.window, self._sides, self.at
        if now < last:
            self._turns = 0.0
        side = sides.of(window)
        if side == self._side and before is self._judged and now < self._stays_until and 0 <= now - last <= sides.soon:
            return before
        before = self.settled(before)
        self._silence = None
        state = judge(self.plan, window.latest(), before, now, self._answers())
        self._judged, self._side, self._stays_until = state, side, stays_until(self.plan, before, state, now)
        self._low, self._high = sides.span(window)
        each = each_bad = 0.0
        if (value := window.value) is not None:
            each = sides.each
            each_bad = each if (value > sides.target if sides.below else value < sides.target) else 0.0
        if (each, each_bad) != (self._each, self._each_bad):
            # What came before was something else.
            self._hand_over(last)
            self._each, self._each_bad = each, each_bad
        return state

    def _turn(self, taken: Sample, last: float, now: float) -> Minute | None:
        """Hand over what came in the unit that has ended, and begin another with this; the minute that has ended."""
        self._hand_over(last)
        begins = not self._minute_ends - 60 <= now < self._minute_ends
        minute = self._next_minute(now) if begins else None
        self._count = 1
        if type(taken) is Counts:
            self._bad, self._total = min(taken.bad, taken.total), taken.total
        self._turns = self._minute_ends
        if self._rings is not None:
            self._turns = min(self._turns, self._rings.ends(now))
            if begins or not self._looked_at:
                self._burn(now)
        return minute

    def _hand_over(self, last: float) -> None:
        """Hand over what came; the latest of it at this time."""
        count = self._count
        if count:
            bad, total = self._bad + count * self._each_bad, self._total + count * self._each
            self._minute_bad += bad
            self._minute_total += total
            if self._rings is not None:
                self._rings.add(bad, total, count * self.plan.interval, last)
            self._count, self._bad, self._total = 0, 0.0, 0.0

    @property
    def rings(self) -> BudgetRings | None:
        """The budget, with all that came."""
        self._hand_over(self.at)
        return self._rings

    def _next_minute(self, now: float) -> Minute | None:
        """Begin another minute; the one that has ended."""
        ended, value = None, self.window.value
        if self._minute_ends and (self._minute_total or value is not None):
            ended = Minute(round(self._minute_ends / 60) - 1, self._minute_bad, self._minute_total, value)
        minute = math.floor(now / 60)
        self._minute_ends = 60.0 * (minute + 1)
        self.began = self.began or minute
        self._minute_bad = self._minute_total = 0.0
        return ended

    def _silent(self, nothing: Nothing, before: ObjectiveState, now: float) -> ObjectiveState:
        before, last = self.settled(before), self.at
        self._hand_over(last)
        if now < last:
            self._turns = 0.0
        self.at, self._silence, self._judged = now, nothing, None
        if now >= self._turns and abs(now - self._looked_at) >= LOOK_SECONDS:
            self._burn(now)
        return judge(self.plan, nothing, before, now)

    def settled(self, state: ObjectiveState) -> ObjectiveState:
        """The state with what samples that changed nothing have left behind: when the latest was taken."""
        return settled(state, self.at) if state is self._judged and state.seen_at != self.at else state

    def _burn(self, now: float) -> None:
        """Work burn rates out where they matter: asked once a minute."""
        budget, rings = self.plan.budget, self._rings
        if budget is None or rings is None:
            return
        self._looked_at = now
        fresh = self.burn is not None and abs(now - self._burned_at) < BURN_SECONDS
        if fresh and self._alarm < _FASTEST and not self._burns:
            if not self._alarm and not self._bad and not self._each_bad and quiet(rings, now):
                # Most of all looks end here.
                return
            self._hand_over(now)
            if alarm(budget, rings, now) == self._alarm:
                return
        self._hand_over(now)
        self._burned_at = now
        self.burn = burn(budget, rings, now)
        self._alarm = self.burn.alarm

    def looked(self, state: ObjectiveState, *, proven: bool) -> Looked:
        """As triggers look at it."""
        return Looked(self.plan, self.settled(state), self.seen, self.at, self.baseline, self.burn, proven)

    def load(
        self, hours: list[tuple[int, float, float, float]], minutes: list[tuple[int, float, float]], now: float
    ) -> None:
        """Take in what was kept of the budget's period from before this process: see BudgetRings."""
        if self._rings is not None:
            self._hand_over(self.at)
            self._rings.load_hours(hours, now)
            self._rings.load(minutes, now)

    def filled(self) -> None:
        """All that was kept is loaded: with the next sample the budget is known."""
        self.awaiting, self.burn = False, None
        self._burned_at = self._looked_at = self._turns = 0.0

    def empty(self) -> None:
        """Forget the budget's period, to be loaded once more with what this process has handed to the history since."""
        if self.plan.budget is not None:
            self._hand_over(self.at)
            self._rings, self.began, self._turns = BudgetRings(self.plan.budget.period), 0, 0.0


def _steady(trigger: Trigger, plan: ObjectivePlan) -> bool:
    if trigger.kind is TriggerKind.ERROR_RATE:
        # Its bound is above, whatever the objective's are.
        return plan.below
    return trigger.kind is TriggerKind.OBJECTIVE


def _concerns(trigger: Trigger, plan: ObjectivePlan) -> bool:
    if trigger.name not in {"", plan.name}:
        return False
    concerns: Mapping[TriggerKind, Callable[[], bool]] = {
        TriggerKind.ERROR_RATE: lambda: plan.kind is Kind.RATIO,
        TriggerKind.DEGRADATION: lambda: plan.kind in {Kind.QUANTILE, Kind.AVERAGE},
        TriggerKind.OBJECTIVE: lambda: True,
        TriggerKind.BURN_RATE: lambda: plan.budget is not None,
    }
    return concerns.get(trigger.kind, lambda: False)()
