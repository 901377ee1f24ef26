"""Several processes of one run of pytest: what they share, and who of them does what has to be done once."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.lab.locks import locked

_WORKER = "PYTEST_XDIST_WORKER"


def number() -> int:
    """This process's number among the run's, from 0; 0 as well where it is the only one."""
    return int(os.environ.get(_WORKER, "gw0").removeprefix("gw"))


def common_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this run have, and no other run."""
    mine = factory.getbasetemp()
    return mine.parent if _WORKER in os.environ else mine


@contextmanager
def shared(folder: Path, *, up: Callable[[], bool], down: Callable[[], None]) -> Iterator[None]:
    """Have ``up`` done by the first process that comes here, and ``down`` by the last one that leaves.

    ``up`` returns whether ``down`` is to be done. A process that dies is counted as one that left: what counts are
    locks, and the kernel takes those back.
    """
    folder.mkdir(exist_ok=True)
    made = folder / "made"
    with (folder / "users").open("a") as users:
        with locked(folder / "gate"):
            if not made.exists():
                made.write_text("made" if up() else "found")
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with locked(folder / "gate"):
                fcntl.flock(users, fcntl.LOCK_UN)
                if _nobody_else(folder / "users"):
                    word = made.read_text()
                    made.unlink()
                    if word == "made":
                        down()


def _nobody_else(users: Path) -> bool:
    with users.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
