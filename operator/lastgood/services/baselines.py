"""Baselines of a good revision's objectives: kept beside its snapshot, as one annotation of its ControllerRevision."""

import json

import structlog

from lastgood.domain.baseline import Recorder
from lastgood.domain.ports import Cluster, ClusterError
from lastgood.services.table import Service

_log = structlog.get_logger(__name__)
ANNOTATION = "lastgood.dev/baselines"
DAY = 86400.0


class Baselines:
    """Reads and writes them."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def load(self, service: Service) -> None:
        """Give the tracks what was kept with the newest good revision; nothing to do when they have it."""
        newest = service.memory.ledger[0] if service.memory.ledger else None
        recording = [name for name, track in service.tracks.items() if track.recorder is not None]
        if newest is None or not recording or service.baseline_of == newest.snapshot:
            return
        found = await self._cluster.get("controllerrevisions", service.key[0], newest.snapshot)
        texts = _texts(((found or {}).get("metadata") or {}).get("annotations") or {})
        running = service.memory.current is not None and service.memory.current.key == newest.key
        for name in recording:
            track = service.tracks[name]
            kept = _recorder(texts.get(name))
            if kept is None or kept.kind is not track.plan.kind or texts.get(f"{name}/as") != track.definition:
                continue
            track.baseline = kept.baseline()
            if running and track.recorder is not None and track.recorder.baseline().events < track.baseline.events:
                track.recorder = kept
        service.baseline_of = newest.snapshot

    async def save(self, service: Service, snapshot: str) -> None:
        """Keep what the tracks have recorded with this good revision, which is what runs."""
        texts: dict[str, str] = {}
        for name, track in service.tracks.items():
            if track.recorder is not None and track.recorder.baseline().events:
                track.baseline = track.recorder.baseline()
                texts |= {name: track.recorder.to_text(), f"{name}/as": track.definition}
        if texts:
            await self._annotate(service.key[0], snapshot, json.dumps(texts, separators=(",", ":")))
            service.baseline_of = snapshot

    async def _annotate(self, namespace: str, snapshot: str, text: str) -> None:
        """Write the annotation, with the whole object around it.

        A ControllerRevision's data must not change by a byte. A patch has the API server write it anew in its own way,
        without spaces and with `<` as an escape, and then refuse it; what is read and sent back is as it was made.
        """
        found = await self._cluster.get("controllerrevisions", namespace, snapshot)
        if found is not None:
            metadata = found["metadata"]
            metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: text}
            await self._cluster.replace("controllerrevisions", namespace, found)

    async def keep(self, service: Service, snapshot: str) -> None:
        """Keep all that was recorded of the newest good revision, to compare the next one with, if that can be."""
        try:
            await self.save(service, snapshot)
        except ClusterError as error:
            _log.warning("baselines not kept", service=service.key, error=str(error))

    async def refresh(self, service: Service) -> None:
        """Keep more of the running revision when it is the newest good one and much has come since: twice as long."""
        newest = service.memory.ledger[0] if service.memory.ledger else None
        current = service.memory.current
        if newest is None or current is None or current.key != newest.key or service.baseline_of != newest.snapshot:
            return
        for track in service.tracks.values():
            if track.recorder is None:
                continue
            kept = track.baseline.seconds if track.baseline is not None else 0.0
            if track.recorder.baseline().seconds >= min(max(2 * kept, 3600.0), kept + DAY):
                await self.keep(service, newest.snapshot)
                return


def _texts(annotations: dict[str, str]) -> dict[str, str]:
    try:
        found = json.loads(annotations.get(ANNOTATION) or "{}")
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _recorder(text: str | None) -> Recorder | None:
    try:
        return Recorder.from_text(text) if text else None
    except ValueError:
        # Somebody wrote into it: as good as none.
        return None
