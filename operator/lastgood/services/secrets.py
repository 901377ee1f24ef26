"""Copies of the Secrets that a good revision names, kept only where a MonitoredService asks for it.

A copy is a Secret like those that it was made of, so whoever may not read these may not read it either. It belongs to
the revision's ControllerRevision and goes with it. Nothing of its content passes through status, Events or logs.
"""

import base64
import json
from collections.abc import Iterable

from lastgood.domain.model import Good, Key
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.revision import ConfigSeen
from lastgood.services.objects import OWNER_LABEL


class SecretCopies:
    """Makes copies, and puts back what no longer exists: one that was changed since was changed for a reason."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def keep(self, key: Key, snapshot: str, configs: Iterable[ConfigSeen]) -> str:
        """Copy the Secrets of a revision; returns what kept that from being done, empty when it was."""
        namespace, service = key
        try:
            content = {}
            for config in configs:
                found = await self._cluster.get("secrets", namespace, config.name) if config.kind == "Secret" else None
                if found is not None:
                    kept = {"type": found.get("type", "Opaque"), "data": found.get("data") or {}}
                    content[config.name] = base64.b64encode(json.dumps(kept).encode()).decode()
            if not content:
                return ""
            owner = await self._cluster.get("controllerrevisions", namespace, snapshot)
            if owner is None:
                return f"ControllerRevision {snapshot} is gone"
            await self._cluster.create("secrets", namespace, _copy(owner, service, content))
        except ClusterError as error:
            if error.status == 409:
                # Kept when this revision was good before; what was copied then is what it was good with.
                return ""
            if error.status == 403:
                return "not allowed: set rbac.secrets and rbac.secretCopies in the chart"
            if error.status in {413, 422}:
                return "refused by the API server: together they are larger than a Secret may be"
            raise
        return ""

    async def kept(self, namespace: str, good: Good) -> dict[str, Object]:
        """Secrets that are kept with a good revision, by name; empty when none are, or they may not be read."""
        try:
            found = await self._cluster.get("secrets", namespace, good.snapshot)
        except ClusterError as error:
            if error.status != 403:
                raise
            return {}
        owners = {o.get("name") for o in (found or {}).get("metadata", {}).get("ownerReferences") or ()}
        if found is None or good.snapshot not in owners:
            return {}
        return {name: json.loads(base64.b64decode(text)) for name, text in (found.get("data") or {}).items()}

    async def restore(self, namespace: str, good: Good) -> list[str]:
        """Make those anew that the revision names and that no longer exist; returns their names."""
        restored = []
        for name, kept in sorted((await self.kept(namespace, good)).items()):
            if await self._cluster.get("secrets", namespace, name) is None:
                metadata = {"name": name, "namespace": namespace}
                body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **kept}
                await self._cluster.create("secrets", namespace, body)
                restored.append(name)
        return restored


def _copy(owner: Object, service: str, content: Object) -> Object:
    metadata = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {OWNER_LABEL: service[:63]},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ControllerRevision",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "lastgood.dev/copies",
        "immutable": True,
        "data": content,
    }
