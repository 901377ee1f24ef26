"""When a revision counts as seen to be good, and where the target stands with respect to the ledger."""

from dataclasses import dataclass, replace

from lastgood.domain.arrival import Rollout, not_arrived
from lastgood.domain.health import earliest_pass, fewest_passes, green_since
from lastgood.domain.model import Current, Good, Memory, Plan, TargetSeen
from lastgood.domain.triggers import TriggerKind

MIN_PASSES = 2
"""A revision is never called good on fewer passes in a row of every probe, however short the soak."""


def track(memory: Memory, seen: TargetSeen | None, now: float) -> Memory:
    """Follow the target: which revision runs, since when it is complete, and when it left the last good one."""
    if seen is None:
        return replace(memory, complete_since=None)
    memory = _rest(memory, seen, now)
    current, left = memory.current, memory.left_good_at
    if current is None or current.key != seen.key:
        known = {good.key for good in memory.ledger}
        # A watch may tell late, and a probe fail before it does. At the first look of a process its own time counts:
        # what it remembers of failures has been moved by the time in which nobody looked.
        since = min(now, seen.changed_at) if memory.watched and seen.changed_at is not None else now
        if seen.key in known:
            left = None
        elif left is None and memory.ledger:
            left = since
        # What was measured of another revision says nothing of this one.
        memory = replace(memory, complete_since=None, fine={}) if current is not None else memory
        current = Current(seen.key, since, seen.revision, seen.version)
    elif (current.revision, current.version) != (seen.revision, seen.version):
        current = replace(current, revision=seen.revision, version=seen.version)
    complete_since = memory.complete_since
    if not seen.complete:
        complete_since = None
    elif complete_since is None:
        # After a restart the controller's own word is the best that there is; it does not tell of pods that
        # came and went since, so it counts only once.
        told = seen.completed_at if seen.completed_at is not None and not memory.watched else now
        complete_since = min(told, now)
    return replace(memory, current=current, left_good_at=left, complete_since=complete_since, watched=True)


def _rest(memory: Memory, seen: TargetSeen, now: float) -> Memory:
    resting = seen.paused or seen.replicas == 0
    if resting == memory.resting:
        return memory
    return replace(memory, resting=resting, resumed_at=memory.resumed_at if resting else now)


@dataclass(frozen=True, slots=True)
class Soak:
    """How far a revision is on its way to being good."""

    done: bool
    until: float | None
    """When the soak ends if nothing breaks; None when it has not begun."""
    waiting_for: str = ""
    look: bool = False
    """Whether only a look at the pods and ConfigMaps is left."""


def soak(plan: Plan, memory: Memory, seen: TargetSeen | None, rollout: Rollout | None, now: float) -> Soak:
    """Whether the running revision has soaked: complete and green without a break for the soak time.

    And its pods have its ConfigMaps, when these are part of the revision: that is in ``rollout``, which is read when
    all else is done.
    """
    if memory.current is None or memory.complete_since is None:
        return Soak(done=False, until=None, waiting_for="the rollout to complete")
    if memory.health.state != "True" or green_since(memory.probes) is None:
        return Soak(done=False, until=None, waiting_for="every probe to be green")
    missed = next((name for name in plan.objectives if name not in memory.fine), None)
    if missed is not None:
        return Soak(done=False, until=None, waiting_for=f"objective {missed} to be met, or at risk at worst")
    if memory.runs:
        return Soak(done=False, until=None, waiting_for=f"what {min(memory.runs)} looks at to be well again")
    wanted = {trigger.name for trigger in plan.triggers if trigger.kind is TriggerKind.SIGNAL}
    for signal in memory.signals:
        if signal.type in wanted and signal.stands(now):
            return Soak(done=False, until=signal.until, waiting_for=f"{signal.type}, raised by {signal.by}, to end")
    fine = (memory.fine[name] for name in plan.objectives)
    began = max(memory.complete_since, memory.current.since)
    until = max(began, memory.health.since, *fine) + plan.soak
    if fewest_passes(memory.probes) < MIN_PASSES:
        return Soak(done=False, until=until, waiting_for=f"{MIN_PASSES} passes in a row of every probe")
    if now < until:
        return Soak(done=False, until=until, waiting_for="the soak time to pass")
    if earliest_pass(memory.probes) < began:
        # The passes before were another revision's: a soak may be shorter than an interval, and a probe may be late.
        return Soak(done=False, until=now + 1, waiting_for="a pass of every probe since the rollout completed")
    if seen is None or not plan.restore_config_maps or not any(c.kind == "ConfigMap" for c in seen.configs):
        return Soak(done=True, until=until)
    if rollout is None:
        return Soak(done=False, until=now + 1, waiting_for="a look at its pods", look=True)
    known = any(g.template_hash == seen.template_hash and g.key != seen.key for g in memory.ledger)
    missing = not_arrived(rollout, template_known=known, now=now)
    if missing is None:
        return Soak(done=True, until=until)
    # What time does not bring, somebody who deletes or restarts pods may, and nobody tells of that.
    return Soak(done=False, until=missing.until, waiting_for=missing.waiting_for, look=missing.until is None)


def candidate(plan: Plan, memory: Memory, seen: TargetSeen | None, rollout: Rollout | None, now: float) -> Soak | None:
    """The soak of the running revision when it may become the last good one; None when it is that, or may not."""
    current = memory.current
    if plan.suspend or current is None or any(mark.outcome == "" for mark in memory.marks):
        return None
    if memory.ledger and memory.ledger[0].key == current.key:
        return None
    return soak(plan, memory, seen, rollout, now)


def with_good(memory: Memory, good: Good, keep: int) -> tuple[Memory, tuple[Good, ...]]:
    """The memory with one more good revision, newest first, and the entries that fell out of it.

    A revision that soaked is no longer held to be bad, whatever was rolled back before; that there was a
    rollback still counts for the cooldown and the limit.
    """
    rest = tuple(g for g in memory.ledger if g.key != good.key)
    replaced = tuple(g for g in memory.ledger if g.key == good.key and g.snapshot != good.snapshot)
    ledger = (good, *rest)[:keep]
    marks = tuple(replace(m, bad_key="") if m.bad_key == good.key else m for m in memory.marks)
    dropped = (good, *rest)[keep:] + replaced
    return replace(memory, ledger=ledger, marks=marks, left_good_at=None), dropped


def newest_other(memory: Memory, key: str) -> Good | None:
    """The newest good revision that is not this one."""
    return next((good for good in memory.ledger if good.key != key), None)
