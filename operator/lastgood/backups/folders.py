"""What engines that store folders have in common: their status, and the test of what comes back."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lastgood.api.backup import BackupStatus, Copy, Verified
from lastgood.domain.backups.ports import JobFailed, Point, Repository, Snapshot
from lastgood.domain.backups.texts import size, stamp


def status_of(method: str, at: float, made: Sequence[Snapshot], contents: Sequence[str]) -> BackupStatus:
    """What an engine says of a backup that it has made in the primary."""
    return BackupStatus(
        method=method,
        point=stamp(at),
        size_bytes=sum(s.size_bytes for s in made),
        stored_bytes=sum(s.stored_bytes for s in made),
        contents=[*contents[:127], f"and {len(contents) - 127} more"] if len(contents) > 128 else list(contents),
        copies=[Copy(repository="primary", state="Present", snapshots=[s.id for s in made])],
    )


def weigh(folder: Path) -> tuple[int, int]:
    """Regular files in a folder, and their bytes."""
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    return len(sizes), sum(sizes)


async def test_folders(work: Path, repository: Repository, point: Point) -> Verified:
    """Restore all snapshots of a point into throw-away folders, each gone before the next.

    restic reads back each file that it wrote and compares it with the checksums of its parts; files and bytes are
    counted besides, against the snapshot's own list.
    """
    files = total = 0
    for number, snapshot in enumerate(point.snapshots):
        folder = work / f"test-{number}"
        await repository.fetch(snapshot.id, folder)
        wanted, found = await repository.measure(snapshot.id), weigh(folder)
        if wanted != found:
            message = (
                f"{snapshot.tags.get('part', snapshot.id[:8])}: {found[0]} files with {found[1]} bytes came back "
                f"of {wanted[0]} with {wanted[1]}"
            )
            raise JobFailed("RestoreTestFailed", message)
        files, total = files + found[0], total + found[1]
        clear(folder)
    message = f"{files} files, {size(total)}: as many as were stored, all checksums right"
    return Verified(how="RestoreTest", passed=True, at=stamp(0), message=message)


def clear(folder: Path) -> None:
    """Remove a folder, also where its modes stand against that."""
    for root, names, _ in os.walk(folder):
        for name in names:
            if not (Path(root) / name).is_symlink():
                (Path(root) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
