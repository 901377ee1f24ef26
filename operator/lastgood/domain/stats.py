"""What the kubelet's summary and the Metrics API tell of pods and nodes.

Both tell CPU as a rate over a time of their own choosing (some 10 to 30 seconds), and memory as the working set:
what the kernel cannot take back, and what counts against a limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastgood.domain.clock import from_text
from lastgood.domain.quantity import quantity


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and how old it was, in seconds, when it was told."""

    value: float
    age: float


@dataclass(frozen=True, slots=True)
class PodUse:
    """What one pod uses. A figure that was not told is None."""

    cpu: Figure | None = None
    """Cores."""
    memory: Figure | None = None
    """Working set in bytes."""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """What one kubelet told."""

    pods: Mapping[str, PodUse] = field(default_factory=dict)
    """By the pod's UID."""
    volumes: Mapping[tuple[str, str], Figure] = field(default_factory=dict)
    """Free share by the pod's UID and the volume's name."""
    disks: Sequence[Figure] = ()
    """Free shares of the node's file systems: the kubelet's, the images', the containers'."""


def node_seen(summary: Mapping[str, Any]) -> NodeSeen:
    """Read a kubelet's summary. Raises ValueError when it is none.

    Ages are by the kubelet's own clock, which is taken to show the newest time in the summary: the operator's may
    be minutes off.
    """
    try:
        node = summary["node"]
        file_systems = [node.get("fs"), *(node.get("runtime") or {}).values()]
        told = [node.get(part) for part in ("cpu", "memory", "rlimit", "network")]
        now = max(from_text(part["time"]) for part in [*told, *file_systems] if part and part.get("time"))
        pods = summary.get("pods") or []
        return NodeSeen(
            pods={pod["podRef"]["uid"]: _pod_use(pod, now) for pod in pods},
            volumes={
                (pod["podRef"]["uid"], volume["name"]): free
                for pod in pods
                for volume in pod.get("volume") or ()
                if (free := _free(volume, now)) is not None
            },
            disks=[free for disk in file_systems if (free := _free(disk, now)) is not None],
        )
    except (KeyError, TypeError, AttributeError) as error:
        msg = "not a summary"
        raise ValueError(msg) from error


def pods_use(metrics: Mapping[str, Any], now: float) -> Mapping[str, PodUse]:
    """Read a PodMetricsList, by the pod's name. ``now`` is in seconds since the epoch. Raises ValueError."""
    try:
        found = {}
        for item in metrics["items"]:
            age = max(0.0, now - from_text(item["timestamp"]))
            sums = {
                name: float(sum(quantity(str(container["usage"][name])) for container in item["containers"]))
                for name in ("cpu", "memory")
            }
            found[item["metadata"]["name"]] = PodUse(Figure(sums["cpu"], age), Figure(sums["memory"], age))
    except (KeyError, TypeError, AttributeError) as error:
        msg = "not a PodMetricsList"
        raise ValueError(msg) from error
    return found


def allocatable(node: Mapping[str, Any]) -> Mapping[str, float]:
    """Cores ("cpu") and bytes ("memory") that a Node has for pods. Raises ValueError when it is none."""
    try:
        told = node["status"]["allocatable"]
        return {name: float(quantity(str(told[name]))) for name in ("cpu", "memory")}
    except (KeyError, TypeError) as error:
        msg = "not a Node"
        raise ValueError(msg) from error


def _pod_use(pod: Mapping[str, Any], now: float) -> PodUse:
    return PodUse(_figure(pod, "cpu", "usageNanoCores", 1e9, now), _figure(pod, "memory", "workingSetBytes", 1.0, now))


def _figure(pod: Mapping[str, Any], part: str, name: str, unit: float, now: float) -> Figure | None:
    """The pod's own figure where its control group is measured, else the sum over its containers."""
    whole = pod.get(part) or {}
    if name in whole:
        return Figure(whole[name] / unit, _age(whole, now))
    each = [container.get(part) or {} for container in pod.get("containers") or ()]
    if not each or not all(name in one for one in each):
        return None
    return Figure(sum(one[name] for one in each) / unit, max(_age(one, now) for one in each))


def _free(file_system: Mapping[str, Any] | None, now: float) -> Figure | None:
    """The free share, in bytes or in inodes, whichever is less: without inodes nothing can be written either."""
    if not file_system or not file_system.get("capacityBytes") or "availableBytes" not in file_system:
        return None
    share = file_system["availableBytes"] / file_system["capacityBytes"]
    # File systems that make inodes as they go tell none.
    if file_system.get("inodes") and "inodesFree" in file_system:
        share = min(share, file_system["inodesFree"] / file_system["inodes"])
    return Figure(share, _age(file_system, now))


def _age(part: Mapping[str, Any], now: float) -> float:
    return max(0.0, now - from_text(part["time"]))
