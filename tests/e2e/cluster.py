"""The cluster that e2e tests run on: the lab, or kind where CLUSTER=kind says so.

Operators are processes of the test in the node's network and with its names, so that a test can kill one where it
stands; that is the same on both.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.lab import Lab, go_build, images


class Cluster(Protocol):
    """What tests ask of a cluster."""

    @property
    def kubeconfig(self) -> Path: ...

    @property
    def inner_kubeconfig(self) -> Path:
        """The same for a process in the node's network."""
        ...

    @property
    def exec_prefix(self) -> list[str]:
        """What to put before a command so that it runs in the node's network; the process id stays the command's."""
        ...

    def tool(self, name: str) -> str:
        """Path of kubectl or helm."""
        ...

    def load(self, dockerfile: Path, context: Path, tag: str, base: str, packages: Sequence[str]) -> None:
        """Build an image and bring it to the node. ``base`` is the image in FROM, ``packages`` what the lab puts into
        it in its place."""
        ...

    def up(self) -> bool:
        """Return whether this made it: one that was up before is not to be taken down."""
        ...

    def down(self) -> None: ...


class LabCluster:
    """The project's own node."""

    def __init__(self, name: str = "") -> None:
        self._lab = Lab(name=name or os.environ.get("LASTGOOD_LAB", "lab"))

    @property
    def kubeconfig(self) -> Path:
        return self._lab.kubeconfig

    @property
    def inner_kubeconfig(self) -> Path:
        return self._lab.kubeconfig

    @property
    def exec_prefix(self) -> list[str]:
        return self._lab.exec_prefix

    def tool(self, name: str) -> str:
        return str(self._lab.bin(name))

    def load(self, dockerfile: Path, context: Path, tag: str, base: str, packages: Sequence[str]) -> None:
        self._lab.load_image(images.build(dockerfile, context, tag, {base: packages}))

    def reboot(self) -> None:
        self._lab.reboot()

    def up(self) -> bool:
        states = self._lab.status().values()
        was_up = bool(states) and all(state in {"running", "ready"} for state in states)
        self._lab.up()
        return not was_up

    def down(self) -> None:
        self._lab.down()


class KindCluster:
    """A kind cluster named lastgood-e2e, on Docker, with a kubeconfig of its own. Takes root, to enter its network."""

    NAME = "lastgood-e2e"
    DNS = "10.96.0.10"

    def __init__(self) -> None:
        self._folder = Path(tempfile.gettempdir()) / self.NAME

    @property
    def kubeconfig(self) -> Path:
        return self._folder / "kubeconfig"

    @property
    def inner_kubeconfig(self) -> Path:
        return self._folder / "inner-kubeconfig"

    @property
    def exec_prefix(self) -> list[str]:
        found = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Pid}}", f"{self.NAME}-control-plane"],
            text=True,
            capture_output=True,
            check=True,
        )
        # In the node's network, with the cluster's names; each program hands over to the next by exec.
        script = f'mount --bind {self._folder}/resolv.conf /etc/resolv.conf && exec "$@"'
        return ["nsenter", f"--net=/proc/{found.stdout.strip()}/ns/net", "unshare", "--mount", "sh", "-c", script, "sh"]

    def tool(self, name: str) -> str:
        found = shutil.which(name)
        if found is None and name in go_build.products():
            # Servers that tests start beside the cluster.
            found = str(go_build.build(name) / name)
        if found is None:
            msg = f"CLUSTER=kind needs {name}: install it, or leave CLUSTER out for the lab"
            raise RuntimeError(msg)
        return found

    def load(self, dockerfile: Path, context: Path, tag: str, base: str, packages: Sequence[str]) -> None:
        del packages
        self._run("docker", "build", "--quiet", "--file", str(dockerfile), "--tag", tag, str(context))
        self._run("kind", "load", "docker-image", tag, "--name", self.NAME)

    def up(self) -> bool:
        self._folder.mkdir(exist_ok=True)
        # Names without a namespace are looked up nowhere else: tests write them whole.
        (self._folder / "resolv.conf").write_text(f"nameserver {self.DNS}\noptions ndots:1\n", encoding="ascii")
        known = subprocess.run([self.tool("kind"), "get", "clusters"], text=True, capture_output=True, check=True)
        made = self.NAME not in known.stdout.split()
        if made:
            node = ["--image", os.environ["KIND_NODE"]] if os.environ.get("KIND_NODE") else []
            self._run("kind", "create", "cluster", "--name", self.NAME, "--kubeconfig", str(self.kubeconfig), *node)
        self._run("kind", "export", "kubeconfig", "--name", self.NAME, "--kubeconfig", str(self.kubeconfig))
        # From outside it is a port that Docker forwards; the node's own is one that its certificate names as well.
        outer = self.kubeconfig.read_text(encoding="utf-8")
        inner = re.sub(r"server: https://127\.0\.0\.1:\d+", "server: https://127.0.0.1:6443", outer)
        self.inner_kubeconfig.write_text(inner, encoding="utf-8")
        self.inner_kubeconfig.chmod(0o600)
        return made

    def down(self) -> None:
        self._run("kind", "delete", "cluster", "--name", self.NAME)

    def _run(self, *command: str) -> None:
        subprocess.run([self.tool(command[0]), *command[1:]], check=True, stdout=subprocess.DEVNULL)


def make() -> Cluster:
    """The cluster that CLUSTER names: "lab", which is the default, or "kind"."""
    wanted = os.environ.get("CLUSTER") or "lab"
    if wanted not in {"lab", "kind"}:
        msg = f"CLUSTER={wanted}: these tests run on lab or kind; they make and delete what they like there"
        raise RuntimeError(msg)
    return KindCluster() if wanted == "kind" else LabCluster()
