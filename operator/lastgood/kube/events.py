"""The form of an Event."""

import uuid

from lastgood.api import API_VERSION
from lastgood.domain.clock import to_text
from lastgood.domain.ports import Object


def event_object(regarding: Object, kind: str, reason: str, message: str, *, at: float, instance: str) -> Object:
    """An events.k8s.io/v1 Event about an object, of kind "Normal" or "Warning"; its message is cut to what fits."""
    metadata = regarding["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:12]}",
            "namespace": metadata["namespace"],
        },
        "eventTime": to_text(at),
        "type": kind,
        "reason": reason,
        "action": reason,
        "note": message[:1000],
        "reportingController": "lastgood.dev/operator",
        "reportingInstance": instance[:120],
        "regarding": {
            "apiVersion": regarding.get("apiVersion", API_VERSION),
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }
