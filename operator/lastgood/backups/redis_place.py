"""Where a stopped Redis finds a dump when it starts.

A server with ``appendonly yes`` reads its append-only files and not the dump; without any it starts empty. So where
there are such files they are put aside, and the dump is laid down as the base of new ones too.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path

from lastgood.domain.backups.ports import JobFailed

_DUMP = "dump.rdb"
_FOLDER = "appendonlydir"
_OLD_FILE = "appendonly.aof"
"""Before Redis 7."""
_PREFIX = re.compile(r"^file (?P<name>\S+)\.\d+\.(base|incr)\.(rdb|aof) ", re.MULTILINE)


def place(dump: Path, root: Path, name: str) -> str:
    """Lay a dump down; what was done, in a sentence. What was there is kept beside it under the restore's name.

    Done again after it was cut off, it keeps what the first attempt put aside.
    """
    if not root.is_dir():
        raise JobFailed("VolumeMissing", f"there is no folder {root.name} in the server's volume")
    before = f".before-{name}"
    folder, old = root / _FOLDER, root / _OLD_FILE
    kept = root / f"{_FOLDER}{before}"
    said = "the server loads it when it starts"
    if folder.is_dir() or kept.is_dir():
        if not kept.exists():
            folder.rename(kept)
        elif folder.exists():
            shutil.rmtree(folder)
        _append_only(dump, folder, _prefix(kept))
        said += f", as appendonly too, whose files before are in {kept.name}"
    elif old.exists() or (root / f"{_OLD_FILE}{before}").exists():
        _aside(old, before)
        _copy(dump, old)
        said += f", as appendonly too, whose file before is {_OLD_FILE}{before}"
    _aside(root / _DUMP, before)
    _copy(dump, root / _DUMP)
    return f"{_DUMP} is in the server's volume ({_DUMP}{before} is what was there): {said}"


def _aside(file: Path, before: str) -> None:
    kept = file.with_name(file.name + before)
    if file.exists() and not kept.exists():
        file.rename(kept)


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all; readable by the server's user, who may be another."""
    draft = target.with_name(target.name + ".new")
    shutil.copyfile(source, draft)
    draft.chmod(0o664)
    with contextlib.suppress(PermissionError):
        owner = target.parent.stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.rename(target)


def _prefix(kept: Path) -> str:
    """What the server's files are called."""
    for manifest in kept.glob("*.manifest"):
        found = _PREFIX.search(manifest.read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            return found["name"]
    return _OLD_FILE


def _append_only(dump: Path, folder: Path, prefix: str) -> None:
    """Append-only files of Redis 7 with the dump as their base. The manifest comes last."""
    folder.mkdir()
    with contextlib.suppress(PermissionError):
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
    folder.chmod(0o775)
    base, more = f"{prefix}.1.base.rdb", f"{prefix}.1.incr.aof"
    _copy(dump, folder / base)
    for name, text in (
        (more, ""),
        (f"{prefix}.manifest", f"file {base} seq 1 type b\nfile {more} seq 1 type i\n"),
    ):
        draft = folder / ".draft"
        draft.write_text(text, encoding="utf-8")
        _copy(draft, folder / name)
        draft.unlink()
