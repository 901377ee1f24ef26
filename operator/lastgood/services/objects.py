"""Objects that Lastgood creates for a service, so that labels and owners are the same on all of them."""

from lastgood.api import API_VERSION
from lastgood.domain.clock import to_text
from lastgood.domain.decide import StartRollback
from lastgood.domain.ports import Object
from lastgood.services.table import Service

OWNER_LABEL = "lastgood.dev/service"


def owned_metadata(service: Service, name: str) -> Object:
    """Metadata of an object that goes when its MonitoredService does."""
    namespace, owner = service.key
    return {
        "name": name,
        "namespace": namespace,
        "labels": {OWNER_LABEL: owner[:63]},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "MonitoredService",
                "name": owner,
                "uid": service.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def rollback_object(service: Service, action: StartRollback) -> Object:
    """The Rollback that an action asks for."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Rollback",
        "metadata": owned_metadata(service, action.name),
        "spec": {
            "service": service.key[1],
            "to": {"lastGood": True},
            "reason": action.message,
            "needsApproval": action.needs_approval,
            "dryRun": action.dry_run,
            **({"data": "Restore"} if action.data else {}),
            "trigger": {
                "type": str(action.trigger),
                **({"name": action.trigger_name} if action.trigger_name else {}),
                "since": to_text(action.breach_since),
                "badKey": action.bad_key,
                "targetKey": action.target.key,
                "message": action.message,
            },
        },
    }
