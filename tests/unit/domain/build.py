"""Short ways to build what decisions are made from; every default is the case in which nothing is wrong."""

from dataclasses import replace
from typing import Any

from lastgood.domain.health import Health, ProbeState, State, failing_now
from lastgood.domain.model import Current, Good, Mark, Memory, Plan, Surroundings, TargetSeen
from lastgood.domain.outcome import Outcome, ProbeReason, Verdict
from lastgood.domain.triggers import Breach

T0 = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC: far from zero, so that a forgotten time shows."""

OK = Outcome(ProbeReason.OK)
FAIL = Outcome(ProbeReason.UNEXPECTED_STATUS, "expected 2xx, got 500")
UNKNOWN = Outcome(ProbeReason.DNS_UNAVAILABLE, "no name server answered")


def plan(**changes: Any) -> Plan:
    base = Plan(
        target="backend",
        suspend=False,
        soak=600,
        keep=5,
        depends_on=(),
        policy="Automatic",
        failing_for=300,
        cooldown=600,
        limit=3,
        limit_window=86400,
        restore_config_maps=True,
        copy_secrets=False,
        override_gitops=False,
        rollout_timeout=600,
        validation_timeout=300,
    )
    return replace(base, **changes)


def health_breach(plan: Plan, memory: Memory) -> Breach:
    """What the trigger on health makes of a memory, whether it is due or not."""
    trigger, since = plan.all_triggers[0], memory.health.since
    return Breach(trigger, since, "health was False", since + trigger.lasting, bool(failing_now(memory.probes)))


def good(key: str = "v1", **changes: Any) -> Good:
    """The good revision with this key: v1 has revision 1, version v1, template hash t-v1."""
    number = int(key.removeprefix("v"))
    base = Good(
        key=key,
        template_hash=f"t-{key}",
        revision=number,
        good_since=T0 - 5000 + number,
        snapshot=f"s-{key}",
        version=key,
    )
    return replace(base, **changes)


def seen(key: str = "v2", **changes: Any) -> TargetSeen:
    base = TargetSeen(
        uid="d-uid",
        generation=1,
        template_hash=f"t-{key}",
        key=key,
        revision=int(key.removeprefix("v")) if key.removeprefix("v").isdigit() else 0,
        version=key,
        replicas=2,
        complete=True,
    )
    return replace(base, **changes)


def passing(since: float, *, runs: int = 5, last: float | None = None) -> ProbeState:
    last_pass = since if last is None else last
    return ProbeState(State.PASSING, since, "", "", Verdict.PASS, runs, since, last_pass, proven=True)


def failing(since: float, *, runs: int = 5, run: Verdict | None = Verdict.FAIL) -> ProbeState:
    return ProbeState(State.FAILING, since, "UnexpectedStatus", "expected 2xx, got 500", run, runs, since, proven=True)


def breaching(since: float = T0 - 300, **changes: Any) -> Memory:
    """v1 was good, v2 was released a minute before the failure began and runs now."""
    base = Memory(
        probes={"http": failing(since)},
        health=Health("False", since),
        current=Current("v2", since - 60, 2, "v2"),
        complete_since=since - 30,
        watched=True,
        left_good_at=since - 60,
        ledger=(good("v1"),),
    )
    return replace(base, **changes)


def green(since: float = T0 - 600, key: str = "v1", **changes: Any) -> Memory:
    """A revision that is complete and green since a time."""
    base = Memory(
        probes={"http": passing(since)},
        health=Health("True", since),
        current=Current(key, since, 1, key),
        complete_since=since,
        watched=True,
    )
    return replace(base, **changes)


def mark(name: str = "rb", bad_key: str = "v2", at: float = T0 - 4000, **changes: Any) -> Mark:
    return replace(Mark(name, bad_key, at, at + 60, "Succeeded"), **changes)


def around(**changes: Any) -> Surroundings:
    return replace(Surroundings(), **changes)
