"""What jobs write: conditions, results that fit where they go, states of repositories."""

from collections.abc import Sequence

from lastgood.api.backup import Copy, Verified
from lastgood.api.backupjob import JobResult
from lastgood.api.backupschedule import RepositoryStatus
from lastgood.api.base import Condition
from lastgood.api.repositories import RepositoryState
from lastgood.domain.backups.points import Held
from lastgood.domain.backups.texts import stamp

ROOM = 4096
"""Bytes that a termination log takes."""
_MESSAGE = 1024
_VERIFIED = 16


def complete(*, ok: bool, reason: str, message: str, at: float) -> Condition:
    """The condition Complete of a Backup."""
    return Condition(
        type="Complete",
        status="True" if ok else "False",
        last_transition_time=stamp(at),
        reason=reason,
        message=message[:_MESSAGE],
    )


def proven(verified: Sequence[Verified], at: float) -> Condition | None:
    """The condition Verified: what the newest proof of any kind said; None without one."""
    if not verified:
        return None
    newest = max(verified, key=lambda v: v.at)
    failed = [v for v in verified if not v.passed]
    shown = failed[0] if failed else newest
    return Condition(
        type="Verified",
        status="False" if failed else "True",
        last_transition_time=stamp(at),
        reason=shown.how,
        message=shown.message[:_MESSAGE],
    )


def with_condition(conditions: Sequence[Condition], new: Condition | None) -> list[Condition]:
    """Conditions with one of them changed; one that says the same keeps its time."""
    if new is None:
        return list(conditions)
    old = next((c for c in conditions if c.type == new.type), None)
    if old is not None and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return [*(c for c in conditions if c.type != new.type), new]


def with_verified(verified: Sequence[Verified], new: Sequence[Verified]) -> list[Verified]:
    """Proofs with new ones among them: newest first, one for each how and repository."""
    replaced = {(v.how, v.repository) for v in new}
    kept = [v for v in verified if (v.how, v.repository) not in replaced]
    return sorted([*new, *kept], key=lambda v: v.at, reverse=True)[:_VERIFIED]


def fitting(result: JobResult) -> str:
    """The result as JSON in no more bytes than a termination log takes; what is least needed goes first."""
    cuts: tuple[dict[str, object], ...] = (
        {},
        {"verified": [_short(v) for v in result.verified]},
        {"copies": [c.model_copy(update={"snapshots": [], "message": c.message[:100]}) for c in result.copies]},
        {"removed": result.removed[:20]},
        {"repositories": [r.model_copy(update={"message": r.message[:80]}) for r in result.repositories]},
        {"message": result.message[:300]},
        {"removed": [], "copies": [], "verified": []},
        {"repositories": []},
    )
    text = ""
    for cut in cuts:
        result = result.model_copy(update=cut)
        text = result.model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= ROOM:
            break
    return text


def _short(verified: Verified) -> Verified:
    return verified.model_copy(update={"message": verified.message[:100]})


def copy_of(repository: str, one: Held | None, before: Copy | None = None) -> Copy:
    """The state of a backup in a repository that answers."""
    if one is not None:
        return Copy(repository=repository, state="Present", snapshots=[s.id for s in one.snapshots])
    was = before is not None and before.state in {"Present", "Removed"}
    return Copy(repository=repository, state="Removed" if was else "Missing")


def repository_status(
    name: str,
    usable: Sequence[Held],
    *,
    size_bytes: int = 0,
    newest: float | None = None,
) -> RepositoryStatus:
    """A repository that answers. ``newest`` is the newest point of the primary: one that lacks it is behind."""
    until = usable[-1].at if usable else None
    behind = newest is not None and (until is None or until < newest)
    state: RepositoryState = "Behind" if behind else "Ready"
    return RepositoryStatus(
        name=name,
        state=state,
        reason="Behind" if behind else "Ready",
        message="the newest point is not there yet" if behind else "",
        recoverable_until=None if until is None else stamp(until),
        oldest=stamp(usable[0].at) if usable else None,
        points=len(usable),
        size_bytes=size_bytes,
    )


def repository_failed(name: str, reason: str, message: str) -> RepositoryStatus:
    """A repository that cannot be used; what it holds is not known."""
    return RepositoryStatus(name=name, state="Failed", reason=reason, message=message[:_MESSAGE])
