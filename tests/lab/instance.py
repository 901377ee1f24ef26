"""What both modes build on: one lab's folder, its programs, and the processes in it."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from tests.lab import go_build
from tests.lab.api import Api
from tests.lab.paths import state_dir
from tests.lab.pki import Authority, Pair
from tests.lab.processes import Process, marked, spawn, terminate, wait_for
from tests.lab.state import Component, State

COMPONENT_SECONDS = 60.0
"""How long a component may take to become ready: some ten times what the slowest one takes on two idle cores."""


class Instance:
    """A lab's folder and what is written in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dir = state_dir(name)
        self.state = State.load(self.dir)

    @property
    def kubeconfig(self) -> Path:
        return self.dir / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.dir / "pki"

    def binary(self, name: str) -> str:
        """Return the path of a program that the lab builds."""
        return str(go_build.build(go_build.product_of(name)) / name)

    def log(self, component: str) -> Path:
        return self.dir / "logs" / f"{component}.log"

    @cached_property
    def authority(self) -> Authority:
        """The authority of a lab that is being booted."""
        return Authority(self.pki)

    def kubeconfig_for(self, user: str, *, groups: Sequence[str] = ()) -> str:
        """Write a kubeconfig for a component, and return its path."""
        client = self.authority.issue(user.replace(":", "-"), common_name=user, groups=groups)
        path = self.pki / f"{user.replace(':', '-')}.kubeconfig"
        return str(self.authority.kubeconfig(path, server=self._live.api_url, client=client))

    def api(self) -> Api:
        """Return the API server as its administrator."""
        client = Pair(cert=self.pki / "admin.crt", key=self.pki / "admin.key")
        return Api(self._live.api_url, authority=self.pki / "ca.crt", client=client)

    @property
    def _live(self) -> State:
        if self.state is None:
            msg = f"lab {self.name} has no state"
            raise RuntimeError(msg)
        return self.state

    def begin(self, state: State) -> None:
        """Make the folder of a lab that is about to boot."""
        (self.dir / "logs").mkdir(parents=True)
        self.__dict__.pop("authority", None)
        self.state = state
        state.save(self.dir)

    def save(self) -> None:
        self._live.save(self.dir)

    def spawn(self, component: str, argv: Sequence[str]) -> None:
        """Start a component, and write down that it was before anything else happens."""
        process = spawn(argv, log=self.log(component), marker=self.dir)
        self._live.components[component] = Component(argv=list(argv), process=process)
        self.save()

    def wait(self, what: str, check: Callable[[], bool], *, seconds: float = COMPONENT_SECONDS) -> None:
        """Wait for `check`, or fail as soon as any component dies."""
        wait_for(what, check, seconds=seconds, watched=self.watched())

    def wait_alone(self, component: str, check: Callable[[], bool]) -> None:
        """Wait for `check`, or fail as soon as `component` dies: the others may be down on purpose."""
        log = self.log(component)
        wait_for(component, check, seconds=COMPONENT_SECONDS, watched={log: self.watched()[log]})

    def watched(self) -> dict[Path, Process]:
        return {self.log(name): component.process for name, component in self._live.components.items()}

    def end_processes(self, *, grace: float) -> None:
        """End every process of the lab: those written down, and those that only their environment gives away.

        The latter are children that outlived their parent (containerd's shims, which heed no SIGTERM) or were started
        by an `up` that died before it wrote them down.
        """
        recorded = [component.process for component in self.state.components.values()] if self.state else []
        terminate(recorded, grace=grace)
        terminate(marked(self.dir), grace=0)

    def remove(self) -> None:
        """Delete the folder and everything in it."""
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.dir.exists():  # read-only folders that a workload made, say
            subprocess.run(["/bin/rm", "-rf", "--one-file-system", str(self.dir)], check=True)
        self.state = None
