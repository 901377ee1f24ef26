"""Scales workloads to 0 and back, with what was before written on them: whoever finds one at 0 can see why."""

from lastgood.domain.backups.names import HOLDER_ANNOTATION, REPLICAS_ANNOTATION
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.services.restores.world import PLURALS

_CONFLICT = frozenset({409, 422})


def _escaped(name: str) -> str:
    return f"/metadata/annotations/{name.replace('/', '~1')}"


class Workloads:
    """Writer of replicas. All calls raise ClusterError; a workload that is gone is left alone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def stop(self, namespace: str, kind: str, name: str, *, replicas: int, holder: str) -> bool:
        """Scale to 0 and note for whom, and how many there were, in one write; False when somebody was faster."""
        body = await self._cluster.get(PLURALS[kind], namespace, name)
        if body is None:
            return True
        patch = self._frame(body)
        if not body["metadata"].get("annotations"):
            patch.append({"op": "add", "path": "/metadata/annotations", "value": {}})
        patch += [
            {"op": "add", "path": _escaped(HOLDER_ANNOTATION), "value": holder},
            {"op": "add", "path": _escaped(REPLICAS_ANNOTATION), "value": str(replicas)},
            {"op": "replace", "path": "/spec/replicas", "value": 0},
        ]
        return await self._patch(namespace, kind, name, patch)

    async def start(self, namespace: str, kind: str, name: str, *, replicas: int, holder: str) -> bool:
        """Scale back and take the notes off; what somebody has scaled meanwhile stays. False: somebody was faster."""
        body = await self._cluster.get(PLURALS[kind], namespace, name)
        annotations = (body or {}).get("metadata", {}).get("annotations") or {}
        if body is None or annotations.get(HOLDER_ANNOTATION) != holder:
            return True
        patch = self._frame(body)
        patch += [
            {"op": "remove", "path": _escaped(note)}
            for note in (HOLDER_ANNOTATION, REPLICAS_ANNOTATION)
            if note in annotations
        ]
        if int(body["spec"].get("replicas", 1)) == 0:
            patch.append({"op": "replace", "path": "/spec/replicas", "value": replicas})
        return await self._patch(namespace, kind, name, patch)

    @staticmethod
    def _frame(body: Object) -> list[Object]:
        metadata = body["metadata"]
        return [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]

    async def _patch(self, namespace: str, kind: str, name: str, patch: list[Object]) -> bool:
        try:
            await self._cluster.json_patch(PLURALS[kind], namespace, name, patch)
        except ClusterError as error:
            if error.status in _CONFLICT:
                # Its controller writes status all the time: look again, decide again.
                return False
            raise
        return True
