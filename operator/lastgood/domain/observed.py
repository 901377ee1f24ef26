"""From a Deployment as the API server gives it to what decisions look at."""

from collections.abc import Iterable, Mapping
from typing import Any

from lastgood.domain.clock import from_text
from lastgood.domain.model import TargetSeen
from lastgood.domain.revision import (
    ROLLBACK_ANNOTATION,
    ConfigSeen,
    gitops_manager,
    revision_key,
    template_hash,
    version_of,
)


def target_seen(deployment: Mapping[str, Any], configs: Iterable[ConfigSeen], *, compare_configs: bool) -> TargetSeen:
    """What decisions look at; ``configs`` is what the template names, with hashes."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    status = deployment.get("status") or {}
    wanted = int(spec.get("replicas", 1))
    hashed = template_hash(spec["template"])
    configs = tuple(configs)
    annotations = metadata.get("annotations") or {}
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
    return TargetSeen(
        uid=metadata["uid"],
        generation=int(metadata.get("generation") or 0),
        template_hash=hashed,
        key=revision_key(hashed, configs if compare_configs else ()),
        revision=int(annotations.get("deployment.kubernetes.io/revision") or 0),
        version=version_of(deployment),
        replicas=wanted,
        paused=bool(spec.get("paused")),
        complete=complete,
        completed_at=completed_at,
        gitops=gitops_manager(metadata),
        rolled_back_by=annotations.get(ROLLBACK_ANNOTATION, ""),
        configs=configs,
    )
