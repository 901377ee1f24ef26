"""The operator as a process in the node's network, so that a test can kill it where it stands."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.demo.cluster import BACKUP_IMAGE
from tests.e2e.cluster import Cluster


class Operator:
    """One operator for one namespace."""

    def __init__(
        self, cluster: Cluster, namespace: str, logs: Path, *, port: int = 18080, options: Sequence[str] = ()
    ) -> None:
        self._cluster, self._namespace, self._port, self._options = cluster, namespace, port, options
        self._logs = logs
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        with self._logs.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    *self._cluster.exec_prefix,
                    sys.executable,
                    "-m",
                    "lastgood.cli.main",
                    "run",
                    "--kubeconfig",
                    str(self._cluster.inner_kubeconfig),
                    "--namespaces",
                    self._namespace,
                    "--lease-namespace",
                    self._namespace,
                    "--listen",
                    f"127.0.0.1:{self._port}",
                    f"--backup-image={BACKUP_IMAGE}",
                    "--backup-roles=lastgood-system:lastgood",
                    *self._options,
                ],
                stdout=out,
                stderr=out,
                env={
                    **os.environ,
                    "PYTHONPATH": "operator" + os.pathsep + os.environ.get("PYTHONPATH", ""),
                    **environment,
                },
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a node dies: nothing is said, nothing is given back."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """As the kubelet does."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=20)

    @property
    def log(self) -> str:
        return self._logs.read_text()

    def wait_for_log(self, text: str, within: float = 90) -> None:
        deadline = time.monotonic() + within
        while text not in self.log:
            assert self.running, self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.1)
