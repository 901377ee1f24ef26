"""Baselines of a good revision's objectives: kept beside its snapshot, as one annotation of its ControllerRevision."""

import json

import structlog

from lastgood.domain.baseline import Recorder
from lastgood.domain.ports import Cluster, ClusterError
from lastgood.services.table import Service

_log = structlog.get_logger(__name__)
ANNOTATION = "lastgood.dev/baselines"
_PATH = "/metadata/annotations/lastgood.dev~1baselines"
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
            patch = [{"op": "add", "path": _PATH, "value": json.dumps(texts, separators=(",", ":"))}]
            await self._cluster.json_patch("controllerrevisions", service.key[0], snapshot, patch)
            service.baseline_of = snapshot

    async def leave(self, service: Service, snapshot: str) -> None:
        """The newest good revision runs no more: keep all that was recorded of it, to compare the next one with."""
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
                try:
                    await self.save(service, newest.snapshot)
                except ClusterError as error:
                    _log.warning("baselines not kept", service=service.key, error=str(error))
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
