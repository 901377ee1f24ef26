"""The cgroup under which all of a node's pods live, in every hierarchy that the machine has."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.paths import LabError
from tests.lab.processes import POLL_SECONDS, Process

EMPTY_SECONDS = 15.0


def root(name: str) -> str:
    """Return the cgroup's path, as kubelet's `cgroupRoot` takes it."""
    return f"/lastgood-lab-{name}"


def create(name: str) -> None:
    """Make the cgroup: kubelet refuses a `cgroupRoot` that is not there."""
    for hierarchy in _hierarchies():
        folder = hierarchy / root(name)[1:]
        folder.mkdir(exist_ok=True)
        # A new cpuset (version 1) has no CPU and no memory, and takes no process, until it is given some.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (folder / setting).exists() and (hierarchy / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())
        _delegate(hierarchy, folder)


def _delegate(hierarchy: Path, folder: Path) -> None:
    """Pass the controllers on (version 2); kubelet does the rest below."""
    if not (hierarchy / "cgroup.controllers").exists():
        return
    controllers = (hierarchy / "cgroup.controllers").read_text().split()
    for parent in (hierarchy, folder):
        if controllers:
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def delete(name: str) -> None:
    """Kill what is in the cgroup, and remove it."""
    folders = _folders(name)
    _until(lambda: not sum(map(_kill, folders)) and all(map(_remove, folders)), name)


def kill(name: str) -> None:
    """Kill what is in the cgroup, and leave it there."""
    folders = _folders(name)
    _until(lambda: not sum(map(_kill, folders)), name)


def _folders(name: str) -> list[Path]:
    return [folder for hierarchy in _hierarchies() if (folder := hierarchy / root(name)[1:]).is_dir()]


def _until(empty: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + EMPTY_SECONDS
    while not empty():
        if time.monotonic() > deadline:
            msg = f"cgroup {root(name)} does not become empty"
            raise LabError(msg)
        time.sleep(POLL_SECONDS)


def _kill(folder: Path) -> int:
    """Send SIGKILL to all in it; return how many there were."""
    found = 0
    for path, _, _ in os.walk(folder):
        try:
            pids = (Path(path) / "cgroup.procs").read_text().split()
        except OSError:
            continue
        for pid in pids:
            process = Process.of(int(pid))
            if process is not None:
                process.send(signal.SIGKILL)
                found += 1
    return found


def _remove(folder: Path) -> bool:
    """Remove it with all below; whether that worked: the kernel takes a moment after the last process."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)  # noqa: PTH106 - a cgroup's files cannot be deleted, its folder can
        except OSError:
            return False
    return True


def _hierarchies() -> list[Path]:
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            found.append(Path(folder))
    return found
