"""Starting, watching and ending the lab's processes, without ever touching a process that is not the lab's.

A process is known by its id together with the moment it started and the machine's boot: an id that was recycled does
not match. What a dead `up` never came to write down is found by a variable in its environment that only the lab sets.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.paths import LabError

MARKER = "LASTGOOD_LAB_STATE"
"""The environment variable that holds a lab's state folder in each of its processes, and their children's."""

GRACE_SECONDS = 4.0
"""How long a process may take to end after SIGTERM before it gets SIGKILL: the API server would wait for watchers."""
KILL_SECONDS = 10.0
"""How long the kernel may take to end a process after SIGKILL."""

POLL_SECONDS = 0.05

# Nothing of the caller's environment reaches the lab: an HTTPS_PROXY there would break the cluster in odd ways.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of this boot of the machine."""

    pid: int
    started: int
    """When it started, in clock ticks since the machine did (`/proc/PID/stat`, field 22)."""
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """Return the process that has this id now, or None."""
        started = _started(pid)
        return None if started is None else cls(pid=pid, started=started, boot=_boot())

    @property
    def alive(self) -> bool:
        return self.boot == _boot() and _started(self.pid) == self.started

    def send(self, signum: int) -> None:
        """Send a signal to exactly this process: the descriptor is opened first, then the process is compared."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive:
                signal.pidfd_send_signal(descriptor, signum)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """Return the start time of a running process; a zombie is not running."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name, may hold spaces and brackets: what follows its last bracket is regular.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def spawn(argv: Sequence[str], *, log: Path, marker: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start a process that outlives this one, its output appended to `log`.

    A shell in between lets init inherit it: as our own child it would stay a zombie in every test run that stops it.
    """
    done = subprocess.run(
        ["/bin/sh", "-c", 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!', "sh", str(log), *argv],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd="/",
        env={**_ENVIRONMENT, "HOME": str(marker), **(environment or {}), MARKER: str(marker)},
    )
    pid = int(done.stdout)
    # One that has ended already is reported as dead, by a start time that no process has.
    return Process.of(pid) or Process(pid=pid, started=-1, boot=_boot())


def marked(marker: Path) -> list[Process]:
    """Return the processes that carry this lab's marker, whoever started them."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # it ended, or it is another user's
            continue
        if wanted in environment.split(b"\0") and (process := Process.of(int(entry.name))) is not None:
            found.append(process)
    return found


def terminate(processes: Iterable[Process], *, grace: float = GRACE_SECONDS) -> None:
    """End the processes: SIGTERM, and SIGKILL for those that are still there after `grace` seconds."""
    remaining = [process for process in processes if process.alive]
    for signum, limit in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_SECONDS)):
        if not remaining or limit <= 0:
            continue
        for process in remaining:
            process.send(signum)
        deadline = time.monotonic() + limit
        while remaining and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            remaining = [process for process in remaining if process.alive]
    if remaining:
        msg = f"processes that even SIGKILL does not end: {', '.join(str(process.pid) for process in remaining)}"
        raise LabError(msg)


def wait_for(what: str, check: Callable[[], bool], *, seconds: float, watched: Mapping[Path, Process]) -> None:
    """Wait until `check` holds. Fails early, with the end of its log, when one of `watched` (by log file) has died."""
    deadline = time.monotonic() + seconds
    while not check():
        for log, process in watched.items():
            if not process.alive:
                msg = f"{log.stem} died while the lab waited for {what}:\n{tail(log)}"
                raise LabError(msg)
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {log.stem}\n{tail(log, lines=8)}" for log in watched)
            msg = f"{what}: not within {seconds:.0f} s\n{logs}"
            raise LabError(msg)
        time.sleep(POLL_SECONDS)


def tail(log: Path, *, lines: int = 25) -> str:
    """Return the last lines of a log file."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
