"""What a rollback asks for side by side: each request is a few milliseconds in which the bad revision runs on."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from lastgood.domain.model import Good, TargetSeen
from lastgood.domain.ports import Object
from lastgood.domain.rollback import RollbackSeen, find_target
from lastgood.services.revisions import Revisions
from lastgood.services.table import Service


async def at_once(*work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> list[Any]:
    """Results of all. Raises the first one's error when all have ended: none goes on behind its caller's back."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@dataclass(frozen=True, slots=True)
class Facts:
    """What a step is judged by, as it was read for this step."""

    seen: TargetSeen | None = None
    deployment: Object | None = None
    missing: tuple[str, ...] = ()
    """What the good revision names that is gone, until the rollback is prepared."""
    kept: Object = field(default_factory=dict)
    """ControllerRevision of the good revision, until the patch."""
    problem: str = ""
    """What keeps it from being used."""
    snapshot: tuple[str, str] = ("", "")
    """Key of what runs, and the ControllerRevision that holds it, where that was made already."""


@dataclass(slots=True)
class Ahead:
    """What one pass has ready for its next step, which takes it or does without."""

    facts: Facts | None = None
    """Read while the step before was being written."""
    rehearsed: list[Object] | None = None
    """A patch that the API server would accept."""

    def take(self) -> Facts | None:
        """The facts, for one step: the one after it has its own."""
        facts, self.facts = self.facts, None
        return facts


async def gather(revisions: Revisions, rollback: RollbackSeen, service: Service, before: Facts | None = None) -> Facts:
    """Read the facts for a Rollback's next step; ``before`` are those of the step before in the same pass."""
    if "Executed" in rollback.done:
        return Facts(*await revisions.see_fresh(service))
    named = rollback.target_key or rollback.revision is not None or rollback.version is not None
    if not named:
        # Which one is asked for is known only when it is known what runs.
        seen, deployment = await revisions.see_fresh(service)
        target = find_target(rollback, service.memory, seen)
        if target is None:
            return Facts(seen, deployment)
        kept, problem, missing = await revisions.whole(service, target, _known(before, target))
    else:
        target = find_target(rollback, service.memory, None)
        if target is None:
            return Facts(*await revisions.see_fresh(service))
        (seen, deployment), (kept, problem, missing) = await at_once(
            revisions.see_fresh(service), revisions.whole(service, target, _known(before, target))
        )
    return Facts(seen, deployment, missing, kept, problem)


def _known(before: Facts | None, target: Good) -> Object | None:
    """The ControllerRevision of this good revision, if it was read and found whole."""
    if before is None or before.problem or not before.kept:
        return None
    return before.kept if before.kept["metadata"]["name"] == target.snapshot else None
