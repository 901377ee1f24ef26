"""Memory to status and back: what a restart finds again."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lastgood.api.base import seconds
from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.domain import objective as objectives
from lastgood.domain import triggers
from lastgood.domain.budget import BudgetTold
from lastgood.domain.clock import from_text, to_text
from lastgood.domain.decide import Condition
from lastgood.domain.health import Health, ProbeState, State, silenced
from lastgood.domain.model import Current, DataPoint, Good, Mark, Memory, Plan
from lastgood.domain.revision import ConfigSeen


def plan_of(spec: MonitoredServiceSpec) -> Plan:
    """The plan in plain values."""
    policy = spec.rollback
    return Plan(
        target=spec.target_ref.name,
        suspend=spec.suspend,
        soak=seconds(spec.stability.soak),
        keep=spec.stability.keep,
        depends_on=tuple(d.name for d in spec.depends_on),
        policy=policy.policy,
        failing_for=seconds(policy.triggers.health_failing.for_),
        cooldown=seconds(policy.cooldown),
        limit=policy.limit.count,
        limit_window=seconds(policy.limit.window),
        copy_secrets=spec.stability.secrets == "Copy",
        restore_config_maps=policy.config_maps == "Restore",
        override_gitops=policy.git_ops == "Override",
        rollout_timeout=seconds(policy.rollout_timeout),
        validation_timeout=seconds(policy.validation_timeout),
        restore_data=policy.data == "Restore",
        data_needs_approval=policy.data_needs_approval,
        servers=tuple(
            (b.name, b.server.stateful_set, b.server.claim, b.server.sub_path) for b in spec.backups if b.server
        ),
        objectives=tuple(o.name for o in spec.objectives),
        backups=tuple(b.name for b in spec.backups),
        triggers=triggers.measured_triggers(policy.triggers),
    )


_AT_TIMES = frozenset({"ObjectivesMet", "HistoryKept", "BackupsCurrent", "RPOMet", "RTOMet"})
"""Conditions of ours that a service or a schedule has only with objectives. What others write stays."""


def merge_conditions(
    before: Iterable[Mapping[str, Any]], now_true: Iterable[Condition], generation: int, now: float
) -> list[dict[str, Any]]:
    """Conditions in metav1 form; the transition time moves only when the status flips."""
    old = {c["type"]: c for c in before}
    merged = []
    for condition in now_true:
        was = old.pop(condition.type, None)
        same = was is not None and was["status"] == condition.status
        merged.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "observedGeneration": generation,
                "lastTransitionTime": was["lastTransitionTime"] if was is not None and same else to_text(now),
            }
        )
    return merged + [dict(c) for c in old.values() if c["type"] not in _AT_TIMES]


def to_status(memory: Memory) -> dict[str, Any]:
    """What of the memory goes into status, conditions excepted."""
    current = memory.current
    return {
        "health": {"state": memory.health.state, "since": to_text(memory.health.since)}
        if memory.health.since
        else None,
        "probes": [
            {
                "name": n,
                "state": str(p.state),
                "since": to_text(p.since),
                "reason": p.reason,
                "proven": p.proven,
                "definition": p.definition,
            }
            for n, p in sorted(memory.probes.items())
            if p.since
        ],
        "current": None
        if current is None
        else {
            "key": current.key,
            "revision": current.revision,
            "version": current.label,
            "since": to_text(current.since),
        },
        "leftGoodAt": to_text(memory.left_good_at) if memory.left_good_at is not None else None,
        "resumedAt": to_text(memory.resumed_at) if memory.resumed_at is not None else None,
        "goodRevisions": [good_to_status(g) for g in memory.ledger],
        "lastGood": memory.ledger[0].label if memory.ledger else "",
        "rollbacks": [
            {
                "name": m.name,
                "badKey": m.bad_key,
                "at": to_text(m.at),
                # The API server leaves a null out of a list's items: what it holds would never be what is wanted.
                **({"ended": to_text(m.ended)} if m.ended is not None else {}),
                "outcome": m.outcome,
            }
            for m in memory.marks
        ],
        "objectives": [_objective_to_status(name, memory) for name, o in sorted(memory.objectives.items()) if o.since],
        "triggerRuns": triggers.to_status(memory.runs),
    }


def _objective_to_status(name: str, memory: Memory) -> dict[str, Any]:
    entry = objectives.to_status(name, memory.objectives[name])
    if name in memory.proofs:
        entry["proven"] = memory.proofs[name]
    if name in memory.budgets:
        budget = memory.budgets[name]
        entry["budget"] = {"left": budget.left, "burning": budget.burning}
    return entry


def configs_to_status(configs: Iterable[ConfigSeen]) -> list[dict[str, str]]:
    """ConfigMaps and Secrets of a revision as status holds them."""
    return [{"kind": c.kind, "name": c.name, "hash": c.hash} for c in configs]


def good_to_status(good: Good) -> dict[str, Any]:
    """One ledger entry as status holds it."""
    return {
        "key": good.key,
        "templateHash": good.template_hash,
        "revision": good.revision,
        "replicaSetUID": good.replica_set_uid,
        "podTemplateHash": good.pod_template_hash,
        "version": good.version,
        "images": list(good.images),
        "configs": configs_to_status(good.configs),
        "goodSince": to_text(good.good_since),
        "snapshot": good.snapshot,
        # Absent where there are none: most services have no schedules, and ledgers of before must read the same.
        **({"points": [_point_to_status(point) for point in good.points]} if good.points else {}),
    }


def _point_to_status(point: DataPoint) -> dict[str, str]:
    return {"schedule": point.schedule, "backup": point.backup, "at": to_text(point.at)}


def good_from_status(entry: Mapping[str, Any]) -> Good:
    """One ledger entry out of status."""
    return Good(
        key=entry["key"],
        template_hash=entry["templateHash"],
        revision=int(entry.get("revision") or 0),
        good_since=from_text(entry["goodSince"]),
        snapshot=entry["snapshot"],
        version=entry.get("version") or "",
        replica_set_uid=entry.get("replicaSetUID") or "",
        pod_template_hash=entry.get("podTemplateHash") or "",
        images=tuple(entry.get("images") or ()),
        configs=tuple(ConfigSeen(c["kind"], c["name"], c.get("hash") or "") for c in entry.get("configs") or ()),
        points=tuple(DataPoint(p["schedule"], p["backup"], from_text(p["at"])) for p in entry.get("points") or ()),
    )


def unseen(memory: Memory, seconds: float) -> Memory:
    """The memory after so many seconds in which nobody looked: failures go on, but that time does not count."""
    health = memory.health
    probes = {
        name: p._replace(since=p.since + seconds, run_since=p.run_since + seconds) if p.state is State.FAILING else p
        for name, p in memory.probes.items()
    }
    if health.state == "False":
        health = replace(health, since=health.since + seconds)
    return replace(memory, probes=probes, health=health, fine={})


def set_aside(memory: Memory, now: float) -> Memory:
    """The memory of a service whose probes were stopped: what they said before says nothing of later."""
    probes = {name: silenced(p, now) for name, p in memory.probes.items()}
    if probes == memory.probes and not memory.objectives and not memory.runs:
        return memory
    health = Health("Unknown", now) if probes != memory.probes else memory.health
    return replace(memory, probes=probes, health=health, objectives={}, runs={}, fine={}, budgets={})


def from_status(status: Mapping[str, Any], *, unobserved: float = 0.0) -> Memory:
    """The memory that a status holds.

    ``unobserved`` is for how many seconds nobody was looking. A failure is carried over that gap but the gap
    itself is not counted: what was not seen is Unknown, and Unknown is never bad.
    """
    health = status.get("health") or {}
    current = status.get("current")
    state = health.get("state", "Unknown")

    def shifted(text: str, *, failing: bool) -> float:
        return from_text(text) + (unobserved if failing else 0.0)

    return Memory(
        probes={
            p["name"]: ProbeState(
                state=State(p["state"]),
                since=shifted(p["since"], failing=p["state"] == "Failing"),
                reason=p.get("reason") or "",
                proven=bool(p.get("proven")),
                definition=p.get("definition") or "",
            )
            for p in status.get("probes") or ()
        },
        health=Health(state, shifted(health["since"], failing=state == "False")) if health else Health(),
        current=None
        if not current
        else Current(
            current["key"], from_text(current["since"]), int(current.get("revision") or 0), current.get("version") or ""
        ),
        left_good_at=from_text(status["leftGoodAt"]) if status.get("leftGoodAt") else None,
        resumed_at=from_text(status["resumedAt"]) if status.get("resumedAt") else None,
        ledger=tuple(good_from_status(g) for g in status.get("goodRevisions") or ()),
        marks=tuple(
            Mark(
                m["name"],
                m["badKey"],
                from_text(m["at"]),
                from_text(m["ended"]) if m.get("ended") else None,
                m.get("outcome") or "",
            )
            for m in status.get("rollbacks") or ()
        ),
        objectives={
            o["name"]: objectives.from_status(o, unobserved=unobserved) for o in status.get("objectives") or ()
        },
        proofs={o["name"]: o["proven"] for o in status.get("objectives") or () if o.get("proven")},
        budgets={
            o["name"]: BudgetTold(o["budget"]["left"], o["budget"].get("burning") or "")
            for o in status.get("objectives") or ()
            if o.get("budget")
        },
        runs=triggers.from_status(status.get("triggerRuns") or (), unobserved=unobserved),
        signals=signals_from_status(status),
    )


def signals_from_status(status: Mapping[str, Any]) -> tuple[triggers.Signal, ...]:
    """Signals that stand, as whoever took them wrote them down."""
    return tuple(
        triggers.Signal(
            s["type"],
            from_text(s["at"]),
            s.get("by") or "",
            s.get("reason") or "",
            from_text(s["until"]) if s.get("until") else None,
        )
        for s in status.get("signals") or ()
    )
