"""Whether the pods that run can have the ConfigMaps that their revision names.

A ConfigMap may change under pods that run. A mounted one comes to them at a later sync of the kubelet; one that is
read through the environment, a subPath or an init container comes only to pods that start after the change. Until
then green probes say nothing about the new content.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lastgood.domain.clock import from_text
from lastgood.domain.revision import ConfigSeen

SYNC_SECONDS = 120.0
"""After so long a mounted ConfigMap is taken to have arrived: the kubelet syncs a pod every 60 to 90 s."""

CLOCKS_SECONDS = 2.0
"""By how much a node's clock and the API server's may differ."""


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A ConfigMap of the running revision."""

    name: str
    changed_at: float
    """Latest time, by the API server's clock, at which its content may have changed."""
    live: bool
    """Whether a change comes to running pods."""
    as_created: bool = False
    """Never changed since it was created, and no pod can have started without it."""


@dataclass(frozen=True, slots=True)
class PodTimes:
    """When a pod of the running revision began."""

    created: float
    """By the API server's clock."""
    started: float | None
    """When its first container started, by the node's clock; None when none has."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was read to tell whether the configuration has arrived."""

    configs: tuple[ConfigChange, ...]
    pods: tuple[PodTimes, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """What has not come to all pods yet; ``until`` when time alone will bring it."""

    waiting_for: str
    until: float | None = None


def not_arrived(rollout: Rollout, *, template_known: bool, now: float) -> Missing | None:
    """What some pod cannot have yet, or None.

    ``template_known``: another revision with this very pod template was seen, so pods may be as old as that one.
    """
    missing = None
    for config in rollout.configs:
        if all(_has(pod, config, template_known=template_known) for pod in rollout.pods):
            continue
        if not config.live:
            return Missing(
                f"pods started after ConfigMap {config.name} changed: running ones do not get it (kubectl rollout "
                "restart)"
            )
        until = config.changed_at + SYNC_SECONDS
        if now < until and (missing is None or missing.until is None or until > missing.until):
            missing = Missing(f"the kubelet to bring ConfigMap {config.name} to the pods", until)
    return missing


def _has(pod: PodTimes, config: ConfigChange, *, template_known: bool) -> bool:
    if pod.created >= config.changed_at or (config.as_created and not template_known):
        return True
    return pod.started is not None and pod.started >= config.changed_at + CLOCKS_SECONDS


def config_change(named: ConfigSeen, config_map: Mapping[str, Any], first_seen: float) -> ConfigChange:
    """What is known of the last change of a ConfigMap's content.

    ``first_seen``: since when this process has seen this content. Field managers' times move with labels, too; so
    the earlier of both is the later that a change of content can have been.
    """
    metadata = config_map["metadata"]
    created = from_text(metadata["creationTimestamp"])
    managed = [from_text(m["time"]) for m in metadata.get("managedFields") or () if m.get("time")]
    changed = min(max([created, *managed]), first_seen) if managed else first_seen
    return ConfigChange(
        name=named.name,
        changed_at=changed,
        live=named.live and not config_map.get("immutable"),
        as_created=bool(managed) and max(managed) <= created and not named.optional,
    )


def pod_times(pods: Iterable[Mapping[str, Any]]) -> tuple[PodTimes, ...]:
    """Times of the pods that run; those that end or have ended do not count."""
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        if pod["metadata"].get("deletionTimestamp") or status.get("phase") in {"Succeeded", "Failed"}:
            continue
        started = [
            from_text(state["startedAt"])
            for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
            for state in (container.get("state") or {}).values()
            if state and state.get("startedAt")
        ]
        found.append(PodTimes(from_text(pod["metadata"]["creationTimestamp"]), min(started, default=None)))
    return tuple(found)
