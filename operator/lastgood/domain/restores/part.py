"""Restores as parts of a Rollback: what code and data wait for of each other, and what is said when one of them fails.

1. Prepared: the Rollback creates a Restore for each of the service's backups. They identify and verify their points.
2. Once both are approved, the Restores take the workload to 0 and wait.
3. Executed: the pod template is patched while nothing runs.
4. The Restores, seeing that, put the data back, and the last of them starts the workload.
5. Validated: the Rollback waits for their end and then for rollout and probes, as without data.

The code is never held up by data that cannot come: a Restore that has failed, was refused or deleted is waited for by
nobody, and neither is one that needs the approval of a person when the Rollback was started by a trigger.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastgood.domain.backups.names import fitting
from lastgood.domain.clock import from_text
from lastgood.domain.model import DataPoint, Good, Plan
from lastgood.domain.restores.state import FINAL


@dataclass(frozen=True, slots=True)
class Part:
    """One Restore of a Rollback."""

    name: str
    phase: str = ""
    exists: bool = True
    approved: bool = False
    stopped: bool = False
    """It has the workload at 0, or was past that."""
    whole: bool = True
    message: str = ""
    finished_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return not self.exists or self.phase in FINAL

    @property
    def failed(self) -> bool:
        """Whether its data was not put back, and nobody wanted that."""
        return not self.exists or self.phase == "Failed"


def part_of(name: str, body: Mapping[str, Any] | None) -> Part:
    """A part out of its Restore; one that is gone or going was deleted by a person."""
    if body is None or body["metadata"].get("deletionTimestamp"):
        return Part(name, exists=False, message="it was deleted")
    spec, status = body["spec"], body.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    steps = {s["name"]: s["state"] for s in status.get("steps") or ()}
    finished = status.get("finishedAt")
    return Part(
        name=name,
        phase=status.get("phase") or "",
        approved=not spec.get("needsApproval", True) or spec.get("approval") == "Approved",
        stopped=steps.get("Stopped") in {"Done", "Skipped"},
        whole=(conditions.get("DataWhole") or {}).get("status") != "False",
        message=(conditions.get("Complete") or {}).get("message", ""),
        finished_at=from_text(finished) if finished else None,
    )


def points_for(plan: Plan, good: Good) -> tuple[tuple[DataPoint, ...], tuple[str, ...]]:
    """Points to restore with a good revision, and the schedules of which none was noted."""
    noted = {point.schedule: point for point in good.points}
    there = tuple(noted[name] for name in plan.backups if name in noted)
    return there, tuple(name for name in plan.backups if name not in noted)


def restore_name(rollback: str, schedule: str) -> str:
    """The same after a crash, so that a retry adopts it."""
    return fitting(f"{rollback}-{schedule}", 253)


def held_up(parts: Iterable[Part], *, automatic: bool) -> tuple[Part, ...]:
    """Restores that the patch waits for."""
    return tuple(p for p in parts if not p.over and not p.stopped and (p.approved or not automatic))


def working(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Restores that the validation waits for."""
    return tuple(p for p in parts if not p.over and p.approved)


def waiting_text(parts: Sequence[Part]) -> str:
    """What is waited for, with what a person does about it."""
    told = []
    for part in parts:
        what = f"Restore {part.name}"
        if not part.approved:
            approval = '{"spec":{"approval":"Approved"}}'
            what += f" (needs approval: kubectl patch restore {part.name} --type=merge -p '{approval}')"
        told.append(what)
    return ", ".join(told)


def told_at_end(parts: Sequence[Part]) -> str:
    """What became of the data, for a Rollback that ends well."""
    told = [f"data: Restore {p.name} has succeeded" for p in parts if p.phase == "Succeeded"]
    told += [f"the data stays: Restore {p.name} was refused" for p in parts if p.phase == "Refused"]
    told += [f"the data is as it was: Restore {p.name} waits for approval" for p in parts if not p.over]
    return "".join(f"; {text}" for text in told)


def failure(parts: Sequence[Part]) -> str:
    """What failed of the data; empty when nothing did."""
    return "; ".join(f"Restore {p.name}: {p.message}" for p in parts if p.failed)
