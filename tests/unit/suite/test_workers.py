"""What processes of one run share comes up once, and goes once: with the last of them."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

import pytest
from tests.workers import shared

PROCESSES = 4
SPAWN = multiprocessing.get_context("spawn")


def note(folder: Path, word: str) -> None:
    with (folder / "notes").open("a") as notes:
        notes.write(f"{word}\n")


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().split()


def take_part(folder: Path, barrier: Barrier, leave: Event, *, made: bool, dies: bool) -> None:
    def up() -> bool:
        note(folder, "up")
        return made

    with shared(folder / "thing", up=up, down=lambda: note(folder, "down")):
        barrier.wait(30)
        note(folder, "used")
        if dies:
            os._exit(1)
        assert leave.wait(30)


@pytest.mark.parametrize(("made", "last"), [(True, ["down"]), (False, [])])
@pytest.mark.parametrize("dying", [0, 1])
def test_up_once_and_down_with_the_last(tmp_path: Path, made: bool, last: list[str], dying: int) -> None:
    barrier, leave = SPAWN.Barrier(PROCESSES), SPAWN.Event()
    processes = [
        SPAWN.Process(target=take_part, args=(tmp_path, barrier, leave), kwargs={"made": made, "dies": n < dying})
        for n in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes[:dying]:
        process.join(60)
    leave.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [int(n < dying) for n in range(PROCESSES)]
    assert notes(tmp_path) == ["up", *["used"] * PROCESSES, *last]


def test_one_that_could_not_come_up_is_tried_by_the_next(tmp_path: Path) -> None:
    def fail() -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError), shared(tmp_path / "thing", up=fail, down=lambda: note(tmp_path, "down")):
        pass
    with shared(tmp_path / "thing", up=lambda: True, down=lambda: note(tmp_path, "down")):
        assert not (tmp_path / "notes").exists()
    assert notes(tmp_path) == ["down"]
