"""One service in a world without a cluster: releases, outcomes and time are what a test says they are."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.domain.build import plan

from lastgood.domain.decide import Decision, RecordGood, StartRollback, decide, mark_ended, mark_started
from lastgood.domain.health import ProbeState, Thresholds, combine, observe
from lastgood.domain.ledger import with_good
from lastgood.domain.model import Good, Memory, Plan, Surroundings, TargetSeen
from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.status import from_status, to_status

PLAN = plan(target="app", soak=60, keep=3)
PASS = Outcome(ProbeReason.OK)
FAIL = Outcome(ProbeReason.UNEXPECTED_STATUS, "got 503, expected 2xx")
UNKNOWN = Outcome(ProbeReason.DNS_UNAVAILABLE)


def target(version: str, **more: Any) -> TargetSeen:
    return replace(
        TargetSeen(
            uid="u", generation=1, template_hash=f"t-{version}", key=f"k-{version}", revision=1, version=version
        ),
        complete=True,
        **more,
    )


def good(version: str, at: float = 0) -> Good:
    return Good(
        key=f"k-{version}",
        template_hash=f"t-{version}",
        revision=1,
        good_since=at,
        snapshot=f"s-{version}",
        version=version,
    )


@dataclass
class World:
    plan: Plan = PLAN
    seen: TargetSeen | None = field(default_factory=lambda: target("v1"))
    memory: Memory = field(default_factory=Memory)
    around: Surroundings = field(default_factory=Surroundings)
    now: float = 1_000_000.0
    started: list[tuple[float, StartRollback]] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)

    def outcome(self, outcome: Outcome, probe: str = "health") -> None:
        before = self.memory.probes.get(probe) or ProbeState()
        after = observe(before, outcome, self.now, Thresholds(3, 1))
        probes = {**self.memory.probes, probe: after}
        self.memory = replace(self.memory, probes=probes, health=combine(self.memory.health, probes, self.now))

    def decide(self) -> Decision:
        return decide(
            service="app", plan=self.plan, memory=self.memory, seen=self.seen, around=self.around, now=self.now
        )

    def step(self) -> Decision:
        """Decide and carry out, as the controller does."""
        decision = self.decide()
        self.memory = decision.memory
        for action in decision.actions:
            match action:
                case RecordGood(key=key):
                    self.recorded.append(key)
                    entry = replace(good(self.seen.version, self.now), key=key)  # type: ignore[union-attr]
                    self.memory, _ = with_good(self.memory, entry, self.plan.keep)
                case StartRollback():
                    self.started.append((self.now, action))
                    self.memory = mark_started(self.memory, action, self.now)
        return decision

    def run(self, seconds: float, outcome: Outcome, *, every: float = 30) -> Decision:
        """Let time pass, with an outcome every so many seconds."""
        end = self.now + seconds
        decision = self.decide()
        while self.now < end:
            self.now += every
            self.outcome(outcome)
            decision = self.step()
        return decision

    def finish(self, phase: str = "Succeeded") -> None:
        """The Rollback under way ends; when well, its target runs."""
        action = self.started[-1][1]
        if phase == "Succeeded":
            self.seen = target(action.target.version)
        self.memory = mark_ended(self.memory, action.name, phase, self.now)

    def restart(self, unobserved: float = 0.0) -> None:
        """A new process: status is all that is left."""
        self.memory = from_status(to_status(self.memory), unobserved=unobserved)

    def reason(self, kind: str) -> str:
        return next(c.reason for c in self.decide().conditions if c.type == kind)
