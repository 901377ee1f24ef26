"""The port `LeaseStore`: one Lease object."""

from lastgood.domain.ports import Object
from lastgood.kube.cluster import KubeCluster, path_of


class KubeLease:
    """The port `LeaseStore`: one Lease object."""

    def __init__(self, cluster: KubeCluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name

    async def read(self) -> Object | None:
        """See the port."""
        return await self._cluster.get("leases", self._namespace, self._name)

    async def write(self, lease: Object) -> Object:
        """See the port. Past the fence, since the Lease is what the fence asks for."""
        lease = {
            **lease,
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**lease.get("metadata", {}), "name": self._name, "namespace": self._namespace},
        }
        known = "resourceVersion" in lease["metadata"]
        path = path_of("leases", self._namespace, self._name if known else "")
        written: Object = await self._cluster.request("PUT" if known else "POST", path, body=lease, timeout=3)
        return written
