"""What of an object was declared."""

from collections.abc import Mapping
from typing import Any

from lastgood.domain.backups.names import HOLDER_ANNOTATION, REPLICAS_ANNOTATION

_ADDED = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "deletionTimestamp")
_CLUSTERS = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
        # Ours, while a Restore has a workload stopped: they are of that moment.
        HOLDER_ANNOTATION,
        REPLICAS_ANNOTATION,
    }
)
"""Annotations that the cluster writes, and finds wrong on another object."""
_CLUSTERS_OWN = frozenset({("ConfigMap", "kube-root-ca.crt"), ("Service", "kubernetes")})
_GIVEN: Mapping[str, tuple[str, ...]] = {
    "Service": ("clusterIP", "clusterIPs", "healthCheckNodePort"),
    "PersistentVolumeClaim": ("volumeName",),
}
"""Fields of spec that the cluster gives out, perhaps to another by then."""


def declared(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object as somebody wrote it; None for one that a controller makes from another, or the cluster for itself."""
    metadata = dict(item["metadata"])
    if controller_of(item):
        return None
    kind = str(item.get("kind"))
    if (kind, metadata["name"]) in _CLUSTERS_OWN or item.get("type") == "kubernetes.io/service-account-token":
        return None
    # Finalizers are written by those who must look after an object's end, and who may be gone by the time it is back.
    for key in (*_ADDED, "ownerReferences", "finalizers"):
        metadata.pop(key, None)
    before = metadata.pop("annotations", None) or {}
    annotations = {k: v for k, v in before.items() if k not in _CLUSTERS}
    if annotations:
        metadata["annotations"] = annotations
    kept = {**{k: v for k, v in item.items() if k != "status"}, "metadata": metadata}
    spec = item.get("spec") or {}
    given = given_out(kind, spec)
    if given:
        kept["spec"] = {k: v for k, v in spec.items() if k not in given}
    replicas = before.get(REPLICAS_ANNOTATION, "")
    if HOLDER_ANNOTATION in before and replicas.isdecimal() and spec.get("replicas") == 0:
        # A Restore has stopped it for a while: what was declared is what it goes back to.
        kept["spec"] = {**spec, "replicas": int(replicas)}
    return kept


def given_out(kind: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of an object's spec that nobody declared: a Service without an address of its own says so itself."""
    if kind == "Service" and spec.get("clusterIP") == "None":
        return ()
    return _GIVEN.get(kind, ())


def controller_of(item: Mapping[str, Any]) -> str:
    """Kind and name of the controller that makes an object from another; empty for none."""
    owners = item["metadata"].get("ownerReferences") or ()
    return next((f"{o.get('kind')} {o.get('name')}" for o in owners if o.get("controller")), "")
