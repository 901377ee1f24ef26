"""What makes a revision the same one: its pod template and the ConfigMaps that it names."""

import copy
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RESTART_ANNOTATION = "lastgood.dev/restarted-for"
"""Set on a pod template when only ConfigMaps were restored, so that pods start anew. No part of the identity."""

RESTART_ANNOTATIONS = frozenset(
    {
        RESTART_ANNOTATION,
        "kubectl.kubernetes.io/restartedAt",
        "cattle.io/timestamp",
        "reloader.stakater.com/last-reloaded-from",
    }
)
"""What is written into a pod template only to start pods anew, by us, kubectl, Rancher and Reloader: a restart is no
release, and to go back from it would change nothing."""

ROLLBACK_ANNOTATION = "lastgood.dev/rollback"
"""Set on the Deployment in the same patch that rolls it back: the UID of the Rollback that did."""

MISSING = "missing"
"""Stands for the hash of a ConfigMap that does not exist."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigSeen:
    """A ConfigMap or Secret that a template names; ``hash`` as in the API's ConfigRef."""

    kind: str
    name: str
    hash: str = ""
    optional: bool = False
    live: bool = field(default=False, compare=False)
    """Whether a change comes to running pods: mounted whole, and by no init container."""


_TO_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _digest(value: Any) -> str:
    return hashlib.sha256(_TO_JSON(value).encode()).hexdigest()


def _cleaned(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without what only restarts pods; what was left alone is the template's own."""
    cleaned = dict(template)
    if cleaned.get("metadata"):
        # The API server gives an empty metadata back with a null creationTimestamp or without, by its version.
        metadata = cleaned["metadata"] = {k: v for k, v in cleaned["metadata"].items() if k != "creationTimestamp"}
        annotations = metadata.get("annotations") or {}
        if not RESTART_ANNOTATIONS.isdisjoint(annotations):
            metadata["annotations"] = {k: v for k, v in annotations.items() if k not in RESTART_ANNOTATIONS}
            if not metadata["annotations"]:
                del metadata["annotations"]
    return cleaned


def clean_template(template: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the template without what only restarts pods."""
    return copy.deepcopy(_cleaned(template))


def template_hash(template: Mapping[str, Any]) -> str:
    """Identity of a pod template: 16 hexadecimal digits."""
    return _digest(_cleaned(template))[:16]


def config_hash(config_map: Mapping[str, Any]) -> str:
    """Identity of a ConfigMap's content: 16 hexadecimal digits."""
    return _digest([config_map.get("data") or {}, config_map.get("binaryData") or {}])[:16]


def secret_fingerprint(metadata: Mapping[str, Any]) -> str:
    """Changes whenever the Secret does and says nothing of its content: a short password's hash could be guessed."""
    return _digest([metadata.get("uid"), metadata.get("resourceVersion")])[:16]


def revision_key(template: str, configs: Iterable[ConfigSeen]) -> str:
    """Identity of a revision: template and ConfigMaps. Secrets are noted, not compared."""
    pairs = sorted({(c.name, c.hash) for c in configs if c.kind == "ConfigMap"})
    return _digest([template, pairs])[:16]


def named_configs(template: Mapping[str, Any]) -> list[ConfigSeen]:
    """Every ConfigMap and Secret that a pod template names, once each, without hashes."""
    found: dict[tuple[str, str], tuple[bool, bool]] = {}

    def note(kind: str, source: Any, key: str = "name", *, live: bool = False) -> None:
        if isinstance(source, dict) and source.get(key):
            place = (kind, str(source[key]))
            optional, alive = found.get(place, (True, True))
            found[place] = (optional and bool(source.get("optional")), alive and live)

    spec = template.get("spec") or {}
    fixed = _fixed_volumes(spec)
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for source in container.get("envFrom") or []:
            note("ConfigMap", source.get("configMapRef"))
            note("Secret", source.get("secretRef"))
        for variable in container.get("env") or []:
            origin = variable.get("valueFrom") or {}
            note("ConfigMap", origin.get("configMapKeyRef"))
            note("Secret", origin.get("secretKeyRef"))
    for volume in spec.get("volumes") or []:
        live = volume.get("name") not in fixed
        note("ConfigMap", volume.get("configMap"), live=live)
        note("Secret", volume.get("secret"), "secretName", live=live)
        for source in (volume.get("projected") or {}).get("sources") or []:
            note("ConfigMap", source.get("configMap"), live=live)
            note("Secret", source.get("secret"), live=live)
    for pull in spec.get("imagePullSecrets") or []:
        note("Secret", {**pull, "optional": True})
    return sorted(
        ConfigSeen(kind, name, optional=optional, live=live) for (kind, name), (optional, live) in found.items()
    )


def _fixed_volumes(spec: Mapping[str, Any]) -> set[str]:
    """Volumes whose content, or what was made of it, stays as it was when the pod or the container started."""
    fixed = set()
    for container in spec.get("initContainers") or []:
        # One that runs beside the others is a sidecar, which sees what changes.
        once = container.get("restartPolicy") != "Always"
        fixed |= {m.get("name") for m in container.get("volumeMounts") or [] if once}
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        mounts = container.get("volumeMounts") or []
        fixed |= {m.get("name") for m in mounts if m.get("subPath") or m.get("subPathExpr")}
    return fixed


def altered(snapshot: Mapping[str, Any], owner_uid: str, template: str, configs: Iterable[ConfigSeen]) -> str:
    """What is wrong with a kept revision; empty when it is what was kept. ``template``: hash of its pod template."""
    owners = {o.get("uid") for o in snapshot["metadata"].get("ownerReferences") or ()}
    data = snapshot.get("data") or {}
    if owner_uid not in owners:
        return "belongs to somebody else"
    if template_hash(data.get("template") or {}) != template:
        return "holds another pod template than the one that was seen to be good"
    kept = data.get("configMaps") or {}
    for config in configs:
        if config.kind == "ConfigMap" and config.hash not in {"", MISSING}:
            if config.name not in kept:
                return f"lacks ConfigMap {config.name}"
            if config_hash(kept[config.name]) != config.hash:
                return f"holds another content of ConfigMap {config.name} than the one that was seen to be good"
    return ""


def version_of(deployment: Mapping[str, Any]) -> str:
    """The version that a person knows: app.kubernetes.io/version of the template, the object, or the image's tag."""
    template = deployment.get("spec", {}).get("template", {})
    for holder in (template, deployment):
        label = ((holder.get("metadata") or {}).get("labels") or {}).get("app.kubernetes.io/version")
        if label:
            return str(label)
    containers = (template.get("spec") or {}).get("containers") or [{}]
    image = str(containers[0].get("image", "")).partition("@")[0]
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return tag if colon else ""


def difference(before: Mapping[str, Any], after: Mapping[str, Any], limit: int = 12000) -> str:
    """Unified diff of two templates as a person reads them, cut at ``limit`` characters.

    Values of environment variables are shown as hashes: people do put passwords there.
    """
    old, new = (json.dumps(_masked(clean_template(t)), indent=1, sort_keys=True).splitlines() for t in (before, after))
    text = "\n".join(difflib.unified_diff(old, new, "running", "last good", lineterm="", n=2))
    return text if len(text) <= limit else text[:limit] + "\n… (cut; the ControllerRevisions hold both templates)"


def _masked(template: dict[str, Any]) -> dict[str, Any]:
    spec = template.get("spec") or {}
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for variable in container.get("env") or []:
            if "value" in variable:
                variable["value"] = f"(hidden, hash {_digest(variable['value'])[:8]})"
    return template


_GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Fleet",
    "configsync.gke.io/resource-id": "Config Sync",
}
_GITOPS_MANAGERS = {
    "argocd-application-controller": "Argo CD",
    "argocd-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "fleetagent": "Fleet",
    "configsync": "Config Sync",
}
"""Field managers: Argo CD may mark what it owns by a label only that Helm sets, too."""


def gitops_manager(metadata: Mapping[str, Any]) -> str:
    """Name of the GitOps tool that owns this object, or an empty text."""
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    managers = {
        entry.get("manager")
        for entry in metadata.get("managedFields") or ()
        if not entry.get("subresource") and "f:template" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    by_mark = next((tool for mark, tool in _GITOPS.items() if mark in marks), "")
    return by_mark or next((tool for manager, tool in _GITOPS_MANAGERS.items() if manager in managers), "")
