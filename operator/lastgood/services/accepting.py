"""Status of a ServiceLevelObjective: whether it is understood, and whether anybody is measured by it."""

import time

from lastgood.domain.decide import Condition
from lastgood.domain.model import Key
from lastgood.domain.ports import Cluster
from lastgood.domain.status import merge_conditions
from lastgood.services.table import Table, shared


def judgement(*, understood: bool, used: bool) -> Condition:
    """The condition Ready."""
    if not understood:
        message = "this version of Lastgood does not understand the spec: see kubectl explain slo.spec"
        return Condition("Ready", "False", "NotUnderstood", message)
    if not used:
        message = "no MonitoredService of this namespace lists it in spec.objectives, so nothing is measured"
        return Condition("Ready", "True", "NotUsed", message)
    return Condition("Ready", "True", "Accepted", "measured for each MonitoredService that lists it")


class Accepting:
    """Writes it, when it flips."""

    def __init__(self, cluster: Cluster, table: Table) -> None:
        self._cluster, self._table = cluster, table

    async def tell(self, place: Key) -> None:
        """Look at one objective."""
        known = self._table.objectives.get(place)
        if known is None:
            return
        condition = judgement(understood=bool(known.spec), used=bool(self._table.measured_by.get(place)))
        before = known.status.get("conditions") or ()
        conditions = merge_conditions(before, [condition], known.generation, time.time())
        change = {"observedGeneration": known.generation, "conditions": conditions}
        if any(known.status.get(name) != value for name, value in change.items()):
            written = await self._cluster.merge_status("servicelevelobjectives", *place, change)
            known.status = shared(written.get("status") or {})
