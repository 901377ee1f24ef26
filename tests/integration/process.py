"""The operator as a process on this machine, its log and its metrics."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.kube import PATIENCE, until
from tests.warm import Warm


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _begun(
    arguments: list[str], environment: dict[str, str], log: Path, prefix: Sequence[str]
) -> "Warm | subprocess.Popen[bytes]":
    if not prefix:
        return Warm(arguments, environment, log)
    # Another program is to start it, which cannot be given a process that runs.
    command = [*prefix, sys.executable, "-m", "lastgood.cli.main", *arguments]
    path = "operator" + os.pathsep + environment.get("PYTHONPATH", "")
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env={**environment, "PYTHONPATH": path})


class Operator:
    """One operator for one namespace, running from the start."""

    def __init__(
        self,
        kubeconfig: Path | None,
        namespace: str,
        log: Path,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._log = log
        self.url = f"http://127.0.0.1:{free_port()}"
        arguments = ["run", *(["--kubeconfig", str(kubeconfig)] if kubeconfig else [])]
        arguments += ["--namespaces", namespace, "--lease-namespace", namespace, "--listen", self.url[7:]]
        arguments += ["--allow-loopback", *options]
        self._process = _begun(arguments, {**os.environ, **(environment or {})}, log, prefix)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a node dies: nothing is said, nothing is given back."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """As the kubelet does."""
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_log(self, text: str, within: float = 90) -> None:
        deadline = time.monotonic() + within * PATIENCE
        while text not in self.log:
            assert self.running, self.log[-3000:]
            assert time.monotonic() < deadline, f"{text} not within {within} s:\n{self.log[-3000:]}"
            time.sleep(0.05)

    def page(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, trust_env=False)

    def total(self, sample: str, **labels: str) -> float:
        """Sum over the samples of this name that have these labels."""
        families = text_string_to_metric_families(self.page("/metrics").text)
        return sum(
            s.value for f in families for s in f.samples if s.name == sample and labels.items() <= s.labels.items()
        )

    def more(self, sample: str, by: float = 1, *, within: float = 20, **labels: str) -> None:
        """Wait until a counter has grown by so much."""
        before = self.total(sample, **labels)
        until(
            lambda: self.total(sample, **labels) >= before + by, within=within, says=f"{sample}{labels} grows by {by}"
        )
