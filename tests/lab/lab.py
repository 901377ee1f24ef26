"""The lab as tests and demonstrations use it: up, down, and a component stopped or started in between."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import controlplane, go_build, node, readiness
from tests.lab.instance import Instance
from tests.lab.locks import locked, progress
from tests.lab.paths import LabError, home_dir
from tests.lab.processes import GRACE_SECONDS, terminate
from tests.lab.state import Mode, State

SWEEP_GRACE_SECONDS = 1.0
"""Shorter than for a component that is to come back: the API server waits for watchers, and all data goes anyway."""

NEEDED = {"control-plane": ("etcd", "kubernetes"), "node": ("etcd", "kubernetes", "coredns", "helm")}


class Lab:
    """One lab by its name. Cheap to make: all that it knows is read from the lab's folder.

    Without `mode` or `controllers`, the lab is what it is up as, or was before it was damaged; else a node.
    """

    def __init__(self, name: str = "lab", mode: Mode | None = None, *, controllers: bool | None = None) -> None:
        self.name = name
        self._instance = Instance(name)
        state = self._instance.state
        self.mode: Mode = mode or (state.mode if state else "node")
        asked = (state is not None and state.controllers) if controllers is None else controllers
        self.controllers = asked or self.mode == "node"

    @classmethod
    def all(cls) -> "list[Lab]":
        """Return every lab of this user that is up or left something behind."""
        home = home_dir()
        return [cls(path.name) for path in sorted(home.iterdir()) if path.is_dir()] if home.is_dir() else []

    def up(self) -> None:
        """Boot it. One that is up already stays as it is; what is left of a dead one is removed first.

        :raises LabError: when a component does not become ready, or another kind of lab by this name is up.
        """
        pins = [str(go_build.build(product)) for product in NEEDED[self.mode]]
        if self.mode == "node":
            node.prepare()
        with self._locked():
            state = self._instance.state
            if state is not None and self._healthy(state):
                if state.mode != self.mode or (self.controllers and not state.controllers):
                    msg = (
                        f"lab {self.name} is up as another kind ({state.mode}): take it down first, or use another name"
                    )
                    raise LabError(msg)
                if state.pins == pins:
                    return
                progress(f"{self.name} runs other versions than are pinned now: booting it anew")
            elif self._instance.dir.exists():
                progress(f"{self.name} did not end in order, or is damaged: booting it anew")
            self._sweep(orderly=False)
            self._boot(pins)

    def _boot(self, pins: list[str]) -> None:
        began = time.monotonic()
        instance = self._instance
        state = State(mode=self.mode, controllers=self.controllers, pins=pins)
        instance.begin(state)
        if self.mode == "node":
            node.boot(instance)
        else:
            controlplane.boot(instance, controllers=self.controllers)
        state.ready = True
        instance.save()
        progress(f"{self.name} ({self.mode}) is ready: {time.monotonic() - began:.1f} s")

    def down(self) -> None:
        """End it and remove all that it made. One that is not there is fine."""
        with self._locked():
            self._sweep(orderly=True)

    def _sweep(self, *, orderly: bool) -> None:
        instance = self._instance
        if orderly and instance.state is not None and instance.state.mode == "node":
            node.delete_pods(instance)
        grace = SWEEP_GRACE_SECONDS if orderly else 0
        if node.possible():
            node.sweep(instance, grace=grace)
        else:
            instance.end_processes(grace=grace)
        instance.remove()

    def status(self) -> dict[str, str]:
        """Return each component's state in a word, and the lab's own under its mode; empty when there is no lab."""
        self._reload()
        state = self._instance.state
        if state is None:
            return {}
        words = {
            name: "running" if item.process.alive else "stopped" if item.stopped else "dead"
            for name, item in state.components.items()
        }
        return {state.mode: "ready" if self._healthy(state) else "not ready", **words}

    def stop(self, component: str, *, kill: bool = False) -> None:
        """Stop a component: SIGTERM and, after a grace period, SIGKILL; SIGKILL at once with `kill`."""
        if component == node.HOLDER:
            msg = f"{component} holds what all others run in: use down"
            raise LabError(msg)
        with self._locked():
            item = self._state().components[self._known(component)]
            item.stopped = True
            self._instance.save()
            terminate([item.process], grace=0 if kill else GRACE_SECONDS)

    def start(self, component: str) -> None:
        """Start a component that was stopped, as it was started first, and wait until it is ready.

        One whose dependencies are stopped is not waited for: it cannot become ready.
        """
        with self._locked():
            item = self._state().components[self._known(component)]
            if not item.process.alive:
                self._instance.spawn(component, item.argv)
            ready = readiness.check(self._instance, component)
            if ready is not None:
                self._instance.wait_alone(component, ready)
            self._revive()

    def _revive(self) -> None:
        """Start again what nobody stopped and is not running: some components end when the API server is long away.

        A real node's supervisor does so at once, over and over; here, it is done once there is a point in it.
        """
        for name, item in list(self._state().components.items()):
            if name != node.HOLDER and not item.stopped and not item.process.alive:
                self._instance.spawn(name, item.argv)

    def restart(self, component: str, *, kill: bool = False) -> None:
        """Stop and start a component."""
        self.stop(component, kill=kill)
        self.start(component)

    def reboot(self) -> None:
        """Cut a node's power: all of its processes end at once, pods' too, and its programs are started again."""
        with self._locked():
            if self._state().mode != "node":
                msg = f"lab {self.name} is no node: restart its components"
                raise LabError(msg)
            node.reboot(self._instance)

    def logs(self, component: str) -> Path:
        """Return the path of a component's log."""
        return self._instance.log(self._known(component))

    def load_image(self, path: Path) -> None:
        """Make the images of a docker-archive tar known to the node."""
        node.load_image(self._instance, path)

    def add_volumes(self, count: int) -> None:
        """Make more persistent volumes, for tests that claim more than a node has at boot."""
        node.add_volumes(self._instance, count)

    def bin(self, name: str) -> Path:
        """Return the path of a program that the lab builds, such as `helm` or `kubectl`."""
        return Path(self._instance.binary(name))

    @property
    def api_url(self) -> str:
        return self._state().api_url

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig: stands alone, and works on this machine inside and outside of the lab."""
        return self._instance.kubeconfig

    @property
    def exec_prefix(self) -> list[str]:
        """What to put before a command so that it runs in the lab's network, with KUBECONFIG and PATH set.

        Each program in it hands over to the next, so that the process id and signals are the command's own.
        """
        state = self._state()
        path = [*state.pins, os.environ.get("PATH", os.defpath)]
        settings = ["env", f"KUBECONFIG={self.kubeconfig}", f"PATH={':'.join(path)}"]
        return [*node.enter(self.name), *settings] if state.mode == "node" else settings

    def _healthy(self, state: State) -> bool:
        alive = all(item.process.alive for item in state.components.values())
        return state.ready and alive and self._instance.api().ready()

    def _known(self, component: str) -> str:
        components = self._state().components
        if component not in components:
            msg = f"lab {self.name} has no component {component!r}; there are: {', '.join(components)}"
            raise LabError(msg)
        return component

    def _state(self) -> State:
        state = self._instance.state
        if state is None:
            self._reload()
            state = self._instance.state
        if state is None:
            msg = f"lab {self.name} is not up"
            raise LabError(msg)
        return state

    def _reload(self) -> None:
        self._instance.state = State.load(self._instance.dir)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(home_dir() / f"{self.name}.lock", say=f"another process is busy with {self.name}, waiting for it"):
            self._reload()
            yield
