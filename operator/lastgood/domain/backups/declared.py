"""What of an object was declared."""

from collections.abc import Mapping
from typing import Any

_ADDED = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "deletionTimestamp")
_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")
_CLUSTERS_OWN = frozenset({("ConfigMap", "kube-root-ca.crt"), ("Service", "kubernetes")})


def declared(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object as somebody wrote it; None for one that a controller makes from another, or the cluster for itself."""
    metadata = dict(item["metadata"])
    if any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()):
        return None
    kind = str(item.get("kind"))
    if (kind, metadata["name"]) in _CLUSTERS_OWN or item.get("type") == "kubernetes.io/service-account-token":
        return None
    for key in (*_ADDED, "ownerReferences"):
        metadata.pop(key, None)
    annotations = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k not in _ANNOTATIONS}
    if annotations:
        metadata["annotations"] = annotations
    kept = {**{k: v for k, v in item.items() if k != "status"}, "metadata": metadata}
    if kind == "Service" and (item.get("spec") or {}).get("clusterIP") != "None":
        # Given out by the cluster, perhaps to another by then.
        kept["spec"] = {k: v for k, v in (item.get("spec") or {}).items() if k not in {"clusterIP", "clusterIPs"}}
    return kept
