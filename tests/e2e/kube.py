"""kubectl as a person uses it for what changes something; quicker reads; and polling for a state."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.reader import PLACES, read

T = TypeVar("T")
PATIENCE = float(os.environ.get("LASTGOOD_PATIENCE", "1"))
"""Every wait may take so many times as long, on a machine that has much else to do."""


@dataclass(frozen=True)
class Kube:
    kubectl: str
    kubeconfig: Path
    namespace: str

    def run(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            [self.kubectl, "-n", self.namespace, *args],
            input=stdin,
            text=True,
            capture_output=True,
            env=env,
            check=False,
            timeout=60,
        )
        if check and done.returncode:
            msg = f"kubectl {' '.join(args)}: {done.stderr}"
            raise AssertionError(msg)
        return done

    def apply(self, *objects: dict[str, Any]) -> None:
        self.run("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        if kind in PLACES:
            return read(self.kubeconfig, f"{PLACES[kind].format(self.namespace)}/{name}")
        done = self.run("get", kind, name, "-o", "json", check=False)
        if done.returncode:
            assert "NotFound" in done.stderr, done.stderr
            return None
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def all(self, kind: str) -> list[dict[str, Any]]:
        if kind.removesuffix("s") in PLACES:
            found = read(self.kubeconfig, PLACES[kind.removesuffix("s")].format(self.namespace))
        else:
            found = json.loads(self.run("get", kind, "-o", "json").stdout)
        items: list[dict[str, Any]] = (found or {})["items"]
        return items

    def condition(self, service: str, kind: str) -> dict[str, Any]:
        body = self.get("monitoredservice", service) or {}
        found = [c for c in body.get("status", {}).get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def events(self) -> list[tuple[str, str]]:
        return [(e["reason"], e.get("note", "")) for e in self.all("events")]


def until(what: Callable[[], T], *, within: float, says: str, every: float = 0.25) -> T:
    """Poll until ``what`` gives something true."""
    deadline = time.monotonic() + within * PATIENCE
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {says}"
        time.sleep(every)
