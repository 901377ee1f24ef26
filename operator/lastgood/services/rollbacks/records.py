"""Rollback objects as the domain sees them, and what is to be told from one at a glance."""

from collections.abc import Mapping
from typing import Any

from lastgood.domain.clock import from_text
from lastgood.domain.restores.part import Part
from lastgood.domain.rollback import FINAL, RollbackSeen, outcome_of

AWAITING_APPROVAL = "AwaitingApproval"
"""Phase of a Rollback that waits for a person."""


def rollback_seen(body: Mapping[str, Any], parts: tuple[Part, ...] = ()) -> RollbackSeen:
    """What the domain looks at, out of a Rollback object; ``parts`` are its Restores."""
    spec, status = body["spec"], body.get("status") or {}
    to, trigger = spec.get("to") or {}, spec.get("trigger") or {}
    steps = {s["name"]: s for s in status.get("steps") or ()}
    executed = steps.get("Executed", {})
    return RollbackSeen(
        name=body["metadata"]["name"],
        # It has none before it is written.
        uid=body["metadata"].get("uid", ""),
        service=spec["service"],
        phase=phase_of(body),
        done=frozenset(n for n, s in steps.items() if s["state"] == "Done"),
        revision=to.get("revision"),
        version=to.get("version"),
        bad_key=trigger.get("badKey") or "",
        # Once identified the target stays, however the ledger moves on.
        target_key=(status.get("to") or {}).get("key") or trigger.get("targetKey") or "",
        needs_approval=bool(spec.get("needsApproval")),
        approval=spec.get("approval") or "",
        dry_run=bool(spec.get("dryRun")),
        executed_at=from_text(executed["at"]) if executed.get("state") == "Done" and executed.get("at") else None,
        from_template_hash=(status.get("from") or {}).get("templateHash") or "",
        config_maps=_config_maps(status),
        kept_as=(status.get("from") or {}).get("snapshot") or "",
        data=spec.get("data") == "Restore",
        automatic="trigger" in spec,
        parts=parts,
    )


def _config_maps(status: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    before, after = (
        {c["name"]: c.get("hash") for c in (status.get(side) or {}).get("configs") or () if c["kind"] == "ConfigMap"}
        for side in ("from", "to")
    )
    return tuple((name, before.get(name, ""), good) for name, good in after.items() if before.get(name) != good)


def phase_of(body: Mapping[str, Any]) -> str:
    """The phase of a Rollback; empty before its first step."""
    return (body.get("status") or {}).get("phase") or ""


def is_final(body: Mapping[str, Any]) -> bool:
    """Whether a Rollback has ended."""
    return phase_of(body) in FINAL


def ended_as(body: Mapping[str, Any]) -> str:
    """What the service remembers of an ended Rollback."""
    status = body["status"]
    reason = next((c["reason"] for c in status.get("conditions") or () if c["type"] == "Complete"), "")
    return outcome_of(status["phase"], reason, rollback_seen(body).done)
