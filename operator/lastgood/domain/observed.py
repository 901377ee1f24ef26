"""From a Deployment as the API server gives it to what decisions look at, in two steps.

A sketch is what the table keeps of each target: a whole Deployment takes some twenty times as much memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lastgood.domain.clock import from_text
from lastgood.domain.model import TargetSeen
from lastgood.domain.revision import (
    ROLLBACK_ANNOTATION,
    ConfigSeen,
    gitops_manager,
    named_configs,
    revision_key,
    template_hash,
    version_of,
)


@dataclass(frozen=True, slots=True)
class Sketch:
    """A Deployment without its template; fields as in TargetSeen."""

    uid: str
    generation: int
    template_hash: str
    revision: int
    version: str
    replicas: int
    paused: bool
    complete: bool
    completed_at: float | None
    gitops: str
    rolled_back_by: str
    named: tuple[ConfigSeen, ...]
    """ConfigMaps and Secrets that the template names, without hashes."""
    resource_version: int = 0
    selector: str = ""
    """Label selector of its pods, as a query."""
    changed_at: float | None = None
    """When the pod template was last written, as the API server noted it; None when it did not."""


def version_number(body: Mapping[str, Any]) -> int:
    """Resource version of an object, by which older and newer of the same object are told apart."""
    try:
        return int(body["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return 0


def written_at(body: Mapping[str, Any], *fields: str) -> float | None:
    """When these fields ("f:spec", "f:template") were last written, no earlier than their last change.

    From the field managers' times, which are in whole seconds. None when there are none.
    """
    found = []
    for entry in body["metadata"].get("managedFields") or ():
        owned = entry.get("fieldsV1") or {}
        for field in fields:
            owned = owned.get(field) or {}
        if entry.get("time") and not entry.get("subresource") and (owned or not fields):
            found.append(from_text(entry["time"]))
    return max(found, default=None)


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as a query."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for wanted in selector.get("matchExpressions") or ():
        key, values = wanted["key"], ",".join(wanted.get("values") or ())
        match wanted["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
            case _:
                # The API server knows no others.
                pass
    return ",".join(parts)


def sketch(deployment: Mapping[str, Any]) -> Sketch:
    """What is kept of a Deployment."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    status = deployment.get("status") or {}
    annotations = metadata.get("annotations") or {}
    wanted = int(spec.get("replicas", 1))
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    progressing = conditions.get("Progressing") or {}
    complete = (
        int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)
        and wanted > 0
        and wanted
        == int(status.get("updatedReplicas") or 0)
        == int(status.get("availableReplicas") or 0)
        == int(status.get("replicas") or 0)
    )
    completed_at = None
    if progressing.get("reason") == "NewReplicaSetAvailable" and progressing.get("lastUpdateTime"):
        completed_at = from_text(progressing["lastUpdateTime"])
    return Sketch(
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        template_hash=template_hash(spec["template"]),
        revision=int(annotations.get("deployment.kubernetes.io/revision") or 0),
        version=version_of(deployment),
        replicas=wanted,
        paused=bool(spec.get("paused")),
        complete=complete,
        completed_at=completed_at,
        gitops=gitops_manager(metadata),
        rolled_back_by=annotations.get(ROLLBACK_ANNOTATION, ""),
        named=tuple(named_configs(spec["template"])),
        resource_version=version_number(deployment),
        selector=selector_text(spec.get("selector") or {}),
        changed_at=written_at(deployment, "f:spec", "f:template"),
    )


def target_seen(
    seen: Sketch, configs: Iterable[ConfigSeen], *, compare_configs: bool, configs_changed: float | None = None
) -> TargetSeen:
    """What decisions look at; ``configs`` is what the template names, with hashes."""
    configs = tuple(configs)
    times = [at for at in (seen.changed_at, configs_changed if compare_configs else None) if at is not None]
    return TargetSeen(
        uid=seen.uid,
        generation=seen.generation,
        template_hash=seen.template_hash,
        key=revision_key(seen.template_hash, configs if compare_configs else ()),
        revision=seen.revision,
        version=seen.version,
        replicas=seen.replicas,
        paused=seen.paused,
        complete=seen.complete,
        completed_at=seen.completed_at,
        gitops=seen.gitops,
        rolled_back_by=seen.rolled_back_by,
        configs=configs,
        changed_at=max(times) if seen.changed_at is not None else None,
    )
