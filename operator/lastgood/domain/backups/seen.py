"""What the operator sees of backups: points as Backup objects tell them, runs as Jobs do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from lastgood.api.backup import Backup
from lastgood.api.backupjob import JobResult
from lastgood.domain.backups.names import TASK_LABEL
from lastgood.domain.clock import from_text
from lastgood.domain.ports import Object


@dataclass(frozen=True, slots=True)
class Proof:
    """A look at what is stored, passed or failed."""

    how: str
    passed: bool
    repository: str
    at: float
    seconds: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One Backup."""

    name: str
    uid: str
    schedule: str
    type: str
    phase: str
    made: float
    """When the object was created."""
    point: float | None = None
    """The time whose state it restores."""
    earliest: float | None = None
    finished: float | None = None
    base: str = ""
    size_bytes: int = 0
    job: str = ""
    copies: Mapping[str, tuple[str, str, str]] | None = None
    """By repository: state, reason, message."""
    proofs: tuple[Proof, ...] = ()
    why: str = ""
    """Reason of its condition Complete."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.phase in {"Succeeded", "Failed"}


def point_of(body: Object) -> Point:
    """A Backup object as it matters. Raises ValueError (ValidationError among them) for one that cannot be read."""
    backup, metadata = Backup.model_validate({"spec": body["spec"], "status": body.get("status")}), body["metadata"]
    status = backup.status
    head = {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "schedule": backup.spec.schedule,
        "type": backup.spec.type,
        "made": from_text(metadata["creationTimestamp"]),
    }
    if status is None:
        return Point(**head, phase="Pending")
    return Point(
        **head,
        phase=status.phase,
        point=_time(status.point),
        earliest=_time(status.earliest),
        finished=_time(status.finished_at),
        base=status.base,
        size_bytes=status.size_bytes,
        job=status.job,
        copies={c.repository: (c.state, c.reason, c.message) for c in status.copies},
        proofs=tuple(
            Proof(v.how, v.passed, v.repository, from_text(v.at), v.seconds, v.message) for v in status.verified
        ),
        why=next((c.reason for c in status.conditions if c.type == "Complete"), ""),
    )


def _time(text: str | None) -> float | None:
    return None if text is None else from_text(text)


class Points:
    """The points of one schedule, and which of them can be used."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.all = sorted(points, key=lambda p: (p.point or p.made, p.name))
        self._by_name = {point.name: point for point in self.all}

    def usable(self, repository: str) -> list[Point]:
        """Points that can be restored from this repository, oldest first."""
        return [point for point in self.all if self._usable(point, repository, set())]

    def _usable(self, point: Point, repository: str, on_the_way: set[str]) -> bool:
        """A point is: it succeeded, is there, was not found bad there, and so is all that it builds upon."""
        if point.phase != "Succeeded" or point.point is None or point.name in on_the_way:
            return False
        if ((point.copies or {}).get(repository) or ("",))[0] != "Present":
            return False
        if any(not proof.passed for proof in newest_of_each(point.proofs) if proof.repository == repository):
            return False
        if not point.base or point.base == point.name:
            return True
        base = self._by_name.get(point.base)
        return base is not None and self._usable(base, repository, on_the_way | {point.name})

    def size_of(self, point: Point) -> int:
        """Bytes of the data that it restores: those of its base where it is an increment."""
        base = self._by_name.get(point.base)
        return max(point.size_bytes, base.size_bytes if base is not None else 0)

    def proofs(self) -> list[tuple[Point, Proof]]:
        """All proofs with the point that was looked at, newest first."""
        found = [(point, proof) for point in self.all for proof in point.proofs]
        return sorted(found, key=lambda entry: entry[1].at, reverse=True)


def newest_of_each(proofs: Iterable[Proof]) -> list[Proof]:
    """The newest of each kind and repository."""
    found: dict[tuple[str, str], Proof] = {}
    for proof in sorted(proofs, key=lambda p: p.at):
        found[(proof.how, proof.repository)] = proof
    return list(found.values())


@dataclass(frozen=True, slots=True)
class JobSeen:
    """One Job of a schedule."""

    name: str
    task: str
    created: float
    state: Literal["Running", "Succeeded", "Failed"]
    finished: float | None = None
    reason: str = ""
    message: str = ""
    seconds: int = 0
    result: JobResult | None = None


def job_of(body: Object, told: str | None = None) -> JobSeen:
    """A Job, with what its last pod said at its end. Raises ValueError and KeyError for what is no Job."""
    metadata, status = body["metadata"], body.get("status") or {}
    created = from_text(metadata["creationTimestamp"])
    true = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    ended = true.get("Complete") or true.get("Failed")
    state: Literal["Running", "Succeeded", "Failed"] = (
        "Succeeded" if "Complete" in true else "Failed" if "Failed" in true else "Running"
    )
    result = result_of(told)
    finished = None
    seconds = 0
    if ended is not None:
        finished = from_text(status.get("completionTime") or ended["lastTransitionTime"])
        started = from_text(status["startTime"]) if status.get("startTime") else created
        seconds = max(0, round(finished - started))
    return JobSeen(
        name=metadata["name"],
        task=(metadata.get("labels") or {}).get(TASK_LABEL, ""),
        created=created,
        state=state,
        finished=finished,
        reason=_reason(state, true, result),
        message=_message(state, true, result),
        seconds=result.seconds if result is not None and result.seconds else seconds,
        result=result,
    )


def result_of(told: str | None) -> JobResult | None:
    """What a job said at its end; None when it said nothing that can be read."""
    try:
        return JobResult.model_validate_json(told) if told else None
    except ValidationError:
        return None


def _reason(state: str, true: Mapping[str, Any], result: JobResult | None) -> str:
    if state == "Failed":
        # A job that was ended by its deadline has said nothing, or of an earlier try.
        if true["Failed"].get("reason") == "DeadlineExceeded":
            return "DeadlineExceeded"
        return result.reason if result is not None and not result.ok and result.reason else "JobDied"
    return "Done" if state == "Succeeded" else ""


def _message(state: str, true: Mapping[str, Any], result: JobResult | None) -> str:
    if state != "Failed":
        return ""
    if true["Failed"].get("reason") == "DeadlineExceeded":
        return "it took longer than spec.schedule.deadline, or its pod could not start: see its pod's events"
    if result is not None and not result.ok and result.message:
        return result.message
    return "its pod ended without a word: see the pod's status and log"
