"""Locks across processes, and the lab's way of saying what it is doing."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, say: str = "") -> Iterator[None]:
    """Hold an exclusive lock on `path` across processes; `say` is printed when it has to be waited for.

    The lock file stays: deleting it would let two processes hold "the" lock on two different files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if say:
                progress(say)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def progress(line: str) -> None:
    """Say what is going on, on standard error: standard output belongs to the commands' answers."""
    print(f"lab: {line}", file=sys.stderr, flush=True)
