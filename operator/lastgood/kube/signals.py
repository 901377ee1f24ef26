"""The port `SignalBook`: reviews of tokens and rights, and ``status.signals``.

It writes without the Lease: a signal must be taken by whichever replica it reaches, and what is written is what
somebody said, not what was decided. The object's resourceVersion keeps two writers apart.
"""

from collections.abc import Sequence

from lastgood.api import GROUP, VERSION
from lastgood.domain.ports import Caller, ClusterError, Object
from lastgood.kube.cluster import KubeCluster, path_of

_KIND = "monitoredservices"
_REVIEW_SECONDS = 5.0


class KubeSignals:
    """Signals at one API server."""

    def __init__(self, cluster: KubeCluster) -> None:
        self._cluster = cluster

    async def who(self, token: str) -> Caller | None:
        """See the port."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        answer = await self._cluster.request("POST", path, body=body, timeout=_REVIEW_SECONDS)
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status["user"]
        return Caller(user["username"], user.get("uid", ""), tuple(user.get("groups") or ()), user.get("extra") or {})

    async def may(self, caller: Caller, namespace: str, service: str) -> bool:
        """See the port."""
        attributes = {
            "namespace": namespace,
            "name": service,
            "verb": "create",
            "group": GROUP,
            "version": VERSION,
            "resource": _KIND,
            "subresource": "signals",
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": caller.name,
                "uid": caller.uid,
                "groups": list(caller.groups),
                "extra": {name: list(values) for name, values in caller.extra.items()},
                "resourceAttributes": attributes,
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await self._cluster.request("POST", path, body=body, timeout=_REVIEW_SECONDS)
        return bool((answer.get("status") or {}).get("allowed"))

    async def service(self, namespace: str, name: str) -> Object | None:
        """See the port."""
        try:
            return await self._cluster.get(_KIND, namespace, name)
        except ClusterError as error:
            if error.status == 403:
                # Not a namespace that this operator watches.
                return None
            raise

    async def write(self, service: Object, signals: Sequence[Object]) -> Object:
        """See the port."""
        metadata = service["metadata"]
        written: Object = await self._cluster.past_fence(
            "patch-status",
            "PATCH",
            _KIND,
            path_of(_KIND, metadata["namespace"], metadata["name"]) + "/status",
            body={
                "metadata": {"resourceVersion": metadata["resourceVersion"]},
                "status": {"signals": list(signals)},
            },
            content="application/merge-patch+json",
        )
        return written

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        """See the port."""
        await self._cluster.event_past_fence(regarding, kind, reason, message, at)
