"""What happens, told as it happens: one line for each change that a person would want to know of."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.demo.cluster import Cluster

_COLOURS = {"good": "32", "bad": "31", "act": "33", "say": "36", "plain": "0"}


class Late(Exception):
    """What was waited for did not come."""


class Story:
    """Tells changes of the shop, with the seconds since the last chapter began."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._began = self._chapter = time.monotonic()
        self._known: dict[str, str] = {}

    def chapter(self, text: str) -> None:
        """Begin a chapter."""
        self._chapter = time.monotonic()
        self._print("")
        self._print(f"== {text}", "say", bold=True)

    def tell(self, text: str, tone: str = "plain") -> None:
        """One line."""
        self._print(f"  {time.monotonic() - self._chapter:6.1f}s  {text}", tone)

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._began

    def _print(self, text: str, tone: str = "plain", *, bold: bool = False) -> None:
        if sys.stdout.isatty() and tone != "plain":
            text = f"\033[{'1;' if bold else ''}{_COLOURS[tone]}m{text}\033[0m"
        print(text, flush=True)

    def watch_until(self, done: Callable[[dict[str, Any]], bool], *, within: float, what: str) -> dict[str, Any]:
        """Tell what changes until ``done`` holds for the shop. Raises Late when it does not in time."""
        deadline = time.monotonic() + within
        while True:
            shop = self._look()
            self._changes(shop)
            if done(shop):
                return shop
            if time.monotonic() > deadline:
                msg = f"not within {within:.0f} s: {what}"
                raise Late(msg)
            time.sleep(0.5)

    def _look(self) -> dict[str, Any]:
        text = self._cluster.run(
            "-n", "shop", "get", "monitoredservices,rollbacks,deployments,pods", "-o", "json", check=False
        )
        items = json.loads(text)["items"] if text else []
        return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}

    def _changes(self, shop: dict[str, Any]) -> None:
        for key, item in sorted(shop.items()):
            kind, _, name = key.partition("/")
            status = item.get("status") or {}
            match kind:
                case "Deployment":
                    wanted = item["spec"].get("replicas", 1)
                    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
                    ready = f"{updated} updated, {available} of {wanted} available"
                    self._say(key, f"deployment {name} {_version(item['spec']['template'])}: {ready}", "plain")
                case "Pod":
                    self._say(key, f"pod {name} {_version(item)}: {_pod(item)}", "plain")
                case "MonitoredService":
                    for probe in status.get("probes") or ():
                        self._probe(key, name, probe)
                    for condition in status.get("conditions") or ():
                        self._condition(key, name, condition)
                case "Rollback":
                    for step in status.get("steps") or ():
                        self._step(key, step)
                case _:
                    msg = f"nobody asked for a {kind}"
                    raise AssertionError(msg)
        for key in [key for key in self._known if key.startswith("Pod/") and key not in shop]:
            del self._known[key]
            self.tell(f"pod {key.removeprefix('Pod/')}: gone")

    def _probe(self, key: str, service: str, probe: dict[str, Any]) -> None:
        reason = f" ({probe['reason']})" if probe.get("reason") not in {None, "", "OK"} else ""
        tone = {"Passing": "good", "Failing": "bad"}.get(probe["state"], "act")
        text = f"{service}: probe {probe['name']} is {probe['state'].lower()}{reason}"
        self._say(f"{key}/probe/{probe['name']}", text, tone)

    def _step(self, key: str, step: dict[str, Any]) -> None:
        if step["state"] not in {"Pending", "Skipped"}:
            tone = {"Failed": "bad", "Done": "good"}.get(step["state"], "act")
            text = f"rollback {step['name']:<10} {step['state'].lower():<7} {step.get('message', '')}"
            self._say(f"{key}/{step['name']}", text, tone)

    def _condition(self, key: str, name: str, condition: dict[str, Any]) -> None:
        if condition["type"] == "Ready" and condition["status"] == "True":
            return
        tone = {"True": "good", "False": "bad"}.get(condition["status"], "act")
        if condition["type"] == "RollingBack":
            tone = "act"
            if condition["reason"] in {"NotNeeded", "Disabled"}:
                return
        text = f"{name}: {condition['type']}={condition['status']} {condition['reason']}"
        message = condition.get("message", "")
        self._say(f"{key}/{condition['type']}", f"{text}: {message}" if message else text, tone)

    def _say(self, key: str, text: str, tone: str) -> None:
        if self._known.get(key) != text:
            self._known[key] = text
            self.tell(text, tone)


def _version(labelled: dict[str, Any]) -> str:
    return str(labelled["metadata"].get("labels", {}).get("app.kubernetes.io/version", ""))


def _pod(pod: dict[str, Any]) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "ending"
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    ready = sum(container["ready"] for container in containers)
    return f"{ready} of {len(pod['spec']['containers'])} containers ready"
