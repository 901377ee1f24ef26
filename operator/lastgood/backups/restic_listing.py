"""What a repository holds: read once, kept for a moment, and amended by what this job itself does to it.

Each call of restic derives the key anew, which costs half a second. What is kept is good for decisions that another
job's work of the last moment cannot make wrong; those that it can ask for a fresh reading.
"""

import contextlib
from collections.abc import Iterator, Sequence

from lastgood.backups.restic_call import Call
from lastgood.backups.restic_output import snapshots_of
from lastgood.domain.backups.ports import Snapshot

KEPT_SECONDS = 30.0
"""Within the steps of a short job; beside one that takes longer, reading again costs nothing."""


class Listing:
    """The snapshots of one repository, as far as they are known."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._known: list[Snapshot] | None = None
        self._at = 0.0
        self._hindered = 0

    async def read(self) -> list[Snapshot]:
        """Ask restic. Oldest first. Raises JobFailed."""
        self._known = None
        at, hindered = self._call.settings.now(), self._call.hindered
        # Without a lock: what is only read here is one file a snapshot, and each of those is whole.
        ended = await self._call.once("snapshots", "--json", "--no-lock")
        self._known, self._at, self._hindered = snapshots_of(ended.output), at, hindered
        return list(self._known)

    async def recent(self) -> list[Snapshot]:
        """What was read a moment ago, with what this job has changed since; or read now. Oldest first."""
        age = self._call.settings.now() - self._at
        # Where another's lock was in the way, another was at work.
        if self._known is None or not 0 <= age < KEPT_SECONDS or self._hindered != self._call.hindered:
            return await self.read()
        return list(self._known)

    def added(self, snapshot: Snapshot) -> None:
        """One was made."""
        if self._known is not None:
            self._known = sorted([*self._known, snapshot], key=lambda s: (s.time, s.id))

    def removed(self, snapshots: Sequence[str]) -> None:
        """These were forgotten."""
        if self._known is not None:
            self._known = [s for s in self._known if s.id not in snapshots]

    def forget(self) -> None:
        """Keep nothing: it was changed, and how is not known."""
        self._known = None

    @contextlib.contextmanager
    def unsure(self) -> Iterator[None]:
        """Around what changes the repository: where it fails or is cut off, it may have done so or not."""
        try:
            yield
        except BaseException:
            self.forget()
            raise
