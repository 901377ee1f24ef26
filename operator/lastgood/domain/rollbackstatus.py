"""What a Rollback's status says of its steps: from the object as it stands to the change that is to be written."""

from collections.abc import Mapping
from typing import Any

from lastgood.domain.clock import from_text, to_text
from lastgood.domain.decide import Condition
from lastgood.domain.model import Good, TargetSeen
from lastgood.domain.rollback import STEPS, Next
from lastgood.domain.status import configs_to_status, merge_conditions

Change = dict[str, Any]
"""Fields of a status as a merge patch has them."""


def identified(seen: TargetSeen, target: Good, now: float) -> Change:
    """What runs, what is gone back to, and since when."""
    before = {
        "key": seen.key,
        "revision": seen.revision,
        "version": seen.label,
        "templateHash": seen.template_hash,
        "replicas": seen.replicas,
        "configs": configs_to_status(seen.configs),
    }
    after = {
        "key": target.key,
        "revision": target.revision,
        "version": target.label,
        "templateHash": target.template_hash,
        "replicas": seen.replicas,
        "snapshot": target.snapshot,
        "configs": configs_to_status(target.configs),
    }
    return {"from": before, "to": after, "startedAt": to_text(now), "phase": "Running"}


def step_change(
    body: Mapping[str, Any], todo: Next, state: str, fields: Mapping[str, Any], now: float
) -> Change | None:
    """The change that says how one step stands; None when the status says so already."""
    status = body.get("status") or {}
    steps = {s["name"]: dict(s) for s in status.get("steps") or ()}
    for name in STEPS:
        steps.setdefault(name, {"name": name, "state": "Pending", "message": ""})
    fields = {"phase": "Running", **fields}
    old = steps[todo.step]
    if (old["state"], old.get("message")) == (state, todo.message) and status.get("phase") == fields["phase"]:
        return None
    steps[todo.step] = {"name": todo.step, "state": state, "message": todo.message, "at": to_text(now)}
    return {
        **_common(body, steps, Condition("Complete", "False", todo.reason or todo.step, todo.message), now),
        **fields,
    }


def end_change(body: Mapping[str, Any], todo: Next, phase: str, now: float) -> Change:
    """The change that says how a Rollback ended: at ``todo.step``, in a final phase."""
    status = body.get("status") or {}
    steps = {s["name"]: dict(s) for s in status.get("steps") or ()}
    state = {"Succeeded": "Done", "DryRun": "Done", "Refused": "Skipped"}.get(phase, "Failed")
    message = todo.message
    if phase == "Succeeded":
        took = now - from_text(status["startedAt"]) if status.get("startedAt") else 0.0
        origin, end = ((status.get(side) or {}).get("version", "") for side in ("from", "to"))
        message = f"went back from {origin} to {end} in {took:.0f}s{todo.message}"
    steps[todo.step] = {"name": todo.step, "state": state, "message": message, "at": to_text(now)}
    for name in STEPS:
        if steps.get(name, {}).get("state") in {None, "Pending", "Running"}:
            steps[name] = {"name": name, "state": "Skipped", "message": ""}
    condition = Condition("Complete", "True" if phase == "Succeeded" else "False", todo.reason or phase, message)
    return {**_common(body, steps, condition, now), "phase": phase, "finishedAt": to_text(now)}


def _common(body: Mapping[str, Any], steps: Mapping[str, Any], condition: Condition, now: float) -> Change:
    generation, before = body["metadata"].get("generation"), (body.get("status") or {}).get("conditions") or ()
    return {
        "observedGeneration": generation,
        "steps": [steps[n] for n in STEPS],
        "conditions": merge_conditions(before, [condition], generation or 1, now),
    }


def both(first: Change, second: Change) -> Change:
    """One change that does what the two do, one after the other."""
    out = dict(first)
    for name, value in second.items():
        old = out.get(name)
        out[name] = both(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out
