"""The Restores of a Rollback: created with it, and looked at as it goes on."""

from typing import Any

from lastgood.api import API_VERSION
from lastgood.domain.model import Good
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.domain.restores.part import Part, part_of, points_for, restore_name
from lastgood.services.objects import owned_metadata
from lastgood.services.table import Service, Table


class DataPart:
    """Creates and reads them. All calls raise ClusterError."""

    def __init__(self, cluster: Cluster, table: Table) -> None:
        self._cluster, self._table = cluster, table

    async def parts(self, body: Object) -> tuple[Part, ...]:
        """As they are this moment: what is about to be decided must not rest on a watch that lags."""
        namespace = body["metadata"]["namespace"]
        names = (body.get("status") or {}).get("restores") or ()
        return tuple([part_of(name, await self._cluster.get("restores", namespace, name)) for name in names])

    async def begin(self, body: Object, service: Service, target: Good) -> list[str]:
        """Create a Restore for each point that was noted with the good revision; their names."""
        rollback, namespace = body["metadata"]["name"], service.key[0]
        points, _ = points_for(service.plan, target)
        servers = {name: server for name, *server in service.plan.servers}
        names = []
        for point in points:
            name = restore_name(rollback, point.schedule)
            spec: dict[str, Any] = {
                "schedule": point.schedule,
                "to": {"backup": point.backup},
                "stop": [{"kind": "Deployment", "name": service.plan.target}],
                "services": [service.key[1]],
                "rollback": rollback,
                "needsApproval": service.plan.data_needs_approval,
                "reason": f"the data of {target.label}, to which Rollback {rollback} goes back",
            }
            if point.schedule in servers:
                stateful_set, claim, sub_path = servers[point.schedule]
                spec["server"] = {"statefulSet": stateful_set, "claim": claim, "subPath": sub_path}
            wanted = {
                "apiVersion": API_VERSION,
                "kind": "Restore",
                "metadata": owned_metadata(service, name),
                "spec": spec,
            }
            try:
                created = await self._cluster.create("restores", namespace, wanted)
            except ClusterError as error:
                if error.status != 409:
                    raise
            else:
                self._table.put_restore(created)
            names.append(name)
        return names
