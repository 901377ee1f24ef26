"""Shares of what pods may use, and of what disks have left."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from lastgood.domain.measure import Gauge, Nothing, Sample, Silence
from lastgood.domain.sources import PodSeen
from lastgood.domain.stats import Figure, NodeSeen, PodUse

USE_FRESH = 90.0
"""Age in seconds up to which CPU and memory are taken for now. Both are measured every 10 to 60 seconds."""

DISK_FRESH = 300.0
"""The same of file systems: the kubelet looks at volumes once a minute, unless ``volumeStatsAggPeriod`` says else."""

Resource = Literal["cpu", "memory"]
Of = Literal["Limit", "Request", "Node"]


def used_share(
    pods: Sequence[PodSeen],
    use: Callable[[PodSeen], PodUse | None],
    *,
    resource: Resource,
    of: Of,
    nodes: Mapping[str, Mapping[str, float]],
) -> Sample:
    """The used share of the pod that uses the most of what it may.

    Pods without a fresh figure (those that have just started) are left out, and so are those without a limit, as long
    as there are others: both come about in every rollout.
    """
    if not pods:
        return Nothing(Silence.NO_PODS)
    shares: list[float] = []
    unlimited, stale = 0, 0.0
    for pod in pods:
        limit = _compared_with(pod, of, nodes).get(resource)
        if limit is None:
            unlimited += 1
            continue
        used = use(pod)
        figure = getattr(used, resource, None)
        if figure is None:
            continue
        if figure.age > USE_FRESH:
            stale = max(stale, figure.age)
            continue
        shares.append(figure.value / limit)
    if shares:
        return Gauge(max(shares))
    if unlimited == len(pods):
        if of == "Node":
            return Nothing(Silence.NO_DATA, "the nodes of the pods are not known")
        where = f"{of.lower()}s.{resource}"
        return Nothing(Silence.NO_LIMIT, f"a container of each pod declares no {where}: write it into the Deployment")
    if stale:
        return Nothing(Silence.NO_DATA, f"the {resource} figure is {stale:.0f} s old")
    return Nothing(Silence.NO_DATA, f"no {resource} figure of these pods yet")


def free_share_of_volumes(pods: Sequence[PodSeen], nodes: Mapping[str, NodeSeen], *, volume: str | None) -> Sample:
    """The free share of the fullest volume: of this name, or of all that are claims."""
    if not pods:
        return Nothing(Silence.NO_PODS)
    if volume is None and not any(pod.volumes for pod in pods):
        return Nothing(Silence.NO_DATA, "the pods have no volume that is a claim: name one in resources.volume")
    found = [
        figure
        for pod in pods
        for name in ((volume,) if volume is not None else pod.volumes)
        if (seen := nodes.get(pod.node)) and (figure := seen.volumes.get((pod.uid, name)))
    ]
    what = "their volumes" if volume is None else f'a volume "{volume}"'
    return _fullest(found, f"the kubelet tells nothing of {what}: its driver does not measure it, or not yet")


def free_share_of_nodes(pods: Sequence[PodSeen], nodes: Mapping[str, NodeSeen]) -> Sample:
    """The free share of the fullest file system of the nodes that run these pods."""
    if not pods:
        return Nothing(Silence.NO_PODS)
    found = [figure for name in sorted({pod.node for pod in pods} & set(nodes)) for figure in nodes[name].disks]
    return _fullest(found, "the kubelet tells nothing of the node's file systems")


def _fullest(found: Iterable[Figure], otherwise: str) -> Sample:
    found = list(found)
    fresh = [figure.value for figure in found if figure.age <= DISK_FRESH]
    if fresh:
        return Gauge(min(fresh))
    if found:
        return Nothing(Silence.NO_DATA, f"the figure is {min(figure.age for figure in found):.0f} s old")
    return Nothing(Silence.NO_DATA, otherwise)


def _compared_with(pod: PodSeen, of: Of, nodes: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    match of:
        case "Limit":
            return pod.limits or {}
        case "Request":
            return pod.requests or {}
        case "Node":
            return nodes.get(pod.node) or {}
