"""Processes of the product that begin where all is imported: that is most of a start's work, and tests start hundreds.

Each is a process of its own, forked from one that has done nothing but import. How a start from nothing goes is shown
where it matters: by the command's own tests, and by every pod on the node.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from lastgood.cli.main import main


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def _run(arguments: Sequence[str], environment: Mapping[str, str], out: str) -> None:
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["lastgood", *arguments]
    sys.exit(main(arguments))


class Warm:
    """One running ``lastgood ARGUMENTS…``, with what it says appended to ``out``. Used as `subprocess.Popen` is."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], out: Path) -> None:
        process: BaseProcess = _server().Process(
            target=_run, args=(list(arguments), dict(environment), str(out)), daemon=True
        )
        out.touch()
        self._out, self._from = out, out.stat().st_size
        process.start()
        self._process = process

    @property
    def pid(self) -> int:
        """Its number."""
        return int(self._process.pid or 0)

    @property
    def returncode(self) -> int | None:
        """Exit status, or None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal while it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Exit status. Raises TimeoutError."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            msg = f"lastgood ({self.pid}) still runs after {timeout} s"
            raise TimeoutError(msg)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """What it said until its end, on both streams. Raises TimeoutError."""
        self.wait(timeout)
        with self._out.open("rb") as out:
            out.seek(self._from)
            return out.read().decode(), None
