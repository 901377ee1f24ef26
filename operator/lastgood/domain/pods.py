"""Pod objects, as sources want them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from lastgood.domain.quantity import quantity
from lastgood.domain.sources import PodSeen

RESOURCES = ("cpu", "memory")


def pods_seen(pods: Iterable[Mapping[str, Any]]) -> tuple[PodSeen, ...]:
    """The pods that run, by name. Those that wait, end or have ended do not count."""
    running = (pod for pod in pods if _runs(pod))
    return tuple(sorted((pod_seen(pod) for pod in running), key=lambda seen: seen.name))


def pod_seen(pod: Mapping[str, Any]) -> PodSeen:
    """One pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    return PodSeen(
        name=metadata["name"],
        uid=metadata["uid"],
        ip=status.get("podIP") or "",
        node=spec.get("nodeName") or "",
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
        limits=_declared(spec, "limits"),
        requests=_declared(spec, "requests"),
        volumes=tuple(
            volume["name"]
            for volume in spec.get("volumes") or ()
            if volume.get("persistentVolumeClaim") or volume.get("ephemeral")
        ),
    )


def _runs(pod: Mapping[str, Any]) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") == "Running"


def _declared(spec: Mapping[str, Any], what: Literal["limits", "requests"]) -> Mapping[str, float]:
    """What the pod declares for itself (Kubernetes 1.34), else the sum over its containers.

    Init containers that stay (sidecars) run beside the others; those that end do not.
    """
    containers = [
        *(spec.get("containers") or ()),
        *(c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"),
    ]
    whole = (spec.get("resources") or {}).get(what) or {}
    each = [(container.get("resources") or {}).get(what) or {} for container in containers]
    found: dict[str, float] = {}
    for name in RESOURCES:
        if name in whole:
            total = quantity(str(whole[name]))
        elif each and all(name in one for one in each):
            total = sum((quantity(str(one[name])) for one in each), Decimal())
        else:
            continue
        # Nothing can be a share of nothing. A limit of 0 is none, for the kubelet too.
        if total > 0:
            found[name] = float(total)
    return found
