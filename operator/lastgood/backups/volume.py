"""Files on claims: stored as they lie there, and brought back in place or into a new claim."""

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import VolumeSource
from lastgood.backups.folders import clear, status_of, test_folders, weigh
from lastgood.domain.backups.ports import JobFailed, Places, Point, Repository, Snapshot, before_writing
from lastgood.domain.backups.texts import size

OWN = ".lastgood-*"
"""What restores leave on a volume; never backed up."""
_LEFT_ALONE = frozenset({"lost+found"})


class VolumeEngine:
    """See the ports `Engine`, `Tester` and `Restorer`."""

    def __init__(self, source: VolumeSource, places: Places, now: Callable[[], float]) -> None:
        self._source = source
        self._places = places
        self._now = now

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port. Claims are read one after another, while they are in use."""
        del work
        at = self._now()
        exclude = [*self._source.exclude, OWN]
        made = [
            await repository.store(self._places.source(claim), tags={**tags, "part": claim}, exclude=exclude)
            for claim in self._source.claims
        ]
        return status_of("volume", at, made, self._source.claims)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port: another full, which costs what has changed."""
        return await self.full(work, repository, tags)

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """See the port."""
        return await test_folders(work, repository, point)

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port."""
        del work
        into = restore.spec.into
        if claim := restore.spec.new_claim:
            return await self._into_new(repository, await self._wanted(repository, restore), claim)
        if into is not None and into.in_place is not True:
            raise JobFailed("NotSupported", "files go in place or into a new volume: write inPlace or newVolume")
        begun = any(self._journal(claim, restore.name).is_file() for claim in self._source.claims)
        # All are fetched beside what is there before an entry of any is moved.
        with nullcontext() if begun else before_writing():
            wanted = await self._wanted(repository, restore)
            for snapshot in wanted:
                await self._fetched(repository, snapshot, restore.name)
        return "; ".join(self._exchanged(snapshot.tags["part"], restore.name) for snapshot in wanted)

    @staticmethod
    async def _wanted(repository: Repository, restore: RestoreJob) -> list[Snapshot]:
        there = {s.id: s for s in await repository.snapshots({})}
        wanted = [there[s] for s in restore.snapshots if s in there]
        if len(wanted) != len(restore.snapshots) or not wanted:
            raise JobFailed("SnapshotMissing", f"repository {repository.name} lacks snapshots of {restore.backup}")
        return wanted

    async def _into_new(self, repository: Repository, wanted: list[Snapshot], claim: str) -> str:
        root = self._places.target(claim)
        _must_be_there(root, claim)
        for snapshot in wanted:
            await repository.fetch(snapshot.id, root / snapshot.tags["part"] if len(wanted) > 1 else root)
        files, weight = weigh(root)
        return f"claim {claim} holds {files} files, {size(weight)}"

    def _journal(self, claim: str, name: str) -> Path:
        """What was there when entries of this claim began to be moved."""
        return self._places.server(claim) / f".lastgood-before-{name}" / ".entries"

    async def _fetched(self, repository: Repository, snapshot: Snapshot, name: str) -> None:
        claim = snapshot.tags["part"]
        root = self._places.server(claim)
        _must_be_there(root, claim)
        fresh = root / f".lastgood-new-{name}"
        clear(fresh)
        await repository.fetch(snapshot.id, fresh)

    def _exchanged(self, claim: str, name: str) -> str:
        """By renaming: what is cut off can be done again from the start."""
        journal = self._journal(claim, name)
        root, before = self._places.server(claim), journal.parent
        fresh = root / f".lastgood-new-{name}"
        if not journal.is_file():
            before.mkdir(exist_ok=True)
            old = [p.name for p in root.iterdir() if not p.name.startswith(".lastgood-") and p.name not in _LEFT_ALONE]
            draft = before / ".entries.new"
            draft.write_text(json.dumps(old), encoding="utf-8")
            draft.rename(journal)
        for entry in json.loads(journal.read_text(encoding="utf-8")):
            if (root / entry).is_symlink() or (root / entry).exists():
                # One that is there already was moved by an earlier attempt: what stands in its place is from us.
                if (before / entry).is_symlink() or (before / entry).exists():
                    _remove(root / entry)
                else:
                    (root / entry).rename(before / entry)
        files, weight = weigh(fresh)
        for entry in fresh.iterdir():
            _remove(root / entry.name)
            entry.rename(root / entry.name)
        fresh.rmdir()
        return f"claim {claim}: {files} files, {size(weight)}, are back; what was there before is in {before.name}"

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """See the port: restic has compared each file as it was written; here only that there are files."""
        del work
        if claim := restore.spec.new_claim:
            roots = [self._places.target(claim)]
        else:
            roots = [self._places.server(each) for each in self._source.claims]
        counted = {}
        for root in roots:
            _must_be_there(root, root.name)
            here = [p for p in root.iterdir() if not p.name.startswith(".lastgood-") and p.name not in _LEFT_ALONE]
            inner = [weigh(p) if p.is_dir() and not p.is_symlink() else (1, p.lstat().st_size) for p in here]
            counted[root.name] = (sum(files for files, _ in inner), sum(weight for _, weight in inner))
        if not any(files for files, _ in counted.values()):
            raise JobFailed("ValidationFailed", f"there is no file on {', '.join(counted)}")
        return "; ".join(f"{claim}: {files} files, {size(weight)}" for claim, (files, weight) in counted.items())


def _must_be_there(root: Path, claim: str) -> None:
    if not root.is_dir():
        raise JobFailed("VolumeMissing", f"claim {claim} is not mounted in the job's pod")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        clear(path)
    else:
        path.unlink(missing_ok=True)
