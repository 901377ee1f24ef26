"""The status of a ServiceLevelObjective: written when it flips, and not otherwise."""

from typing import Any

import pytest

from lastgood.services.accepting import Accepting, judgement
from lastgood.services.table import ObjectiveKnown, Table

PLACE = ("shop", "latency")


class Written:
    """The one verb of a cluster that is used here, and what was written with it."""

    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []

    async def merge_status(self, plural: str, namespace: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        assert (plural, namespace, name) == ("servicelevelobjectives", *PLACE)
        self.changes.append(change)
        return {"status": change}


@pytest.mark.parametrize(
    ("understood", "used", "status", "reason"),
    [
        pytest.param(True, True, "True", "Accepted", id="in use"),
        pytest.param(True, False, "True", "NotUsed", id="nobody lists it"),
        pytest.param(False, True, "False", "NotUnderstood", id="not understood, though listed"),
        pytest.param(False, False, "False", "NotUnderstood", id="not understood"),
    ],
)
def test_judgement(understood: bool, used: bool, status: str, reason: str) -> None:
    told = judgement(understood=understood, used=used)
    assert (told.type, told.status, told.reason) == ("Ready", status, reason)
    assert told.message


async def test_written_when_it_flips_and_not_a_second_time() -> None:
    cluster, table = Written(), Table()
    accepting = Accepting(cluster, table)  # type: ignore[arg-type] - one verb is enough
    await accepting.tell(PLACE)
    assert cluster.changes == []
    table.objectives[PLACE] = ObjectiveKnown(key=PLACE, uid="u", generation=3, spec=b"{}", status={})
    await accepting.tell(PLACE)
    await accepting.tell(PLACE)
    assert [(c["observedGeneration"], c["conditions"][0]["reason"]) for c in cluster.changes] == [(3, "NotUsed")]
    table.measured_by[PLACE] = {("shop", "api")}
    await accepting.tell(PLACE)
    await accepting.tell(PLACE)
    assert [c["conditions"][0]["reason"] for c in cluster.changes] == ["NotUsed", "Accepted"]
    # The word "True" has not changed with the reason: neither has its time.
    first, second = (c["conditions"][0]["lastTransitionTime"] for c in cluster.changes)
    assert first == second
    table.objectives[PLACE].generation = 4
    await accepting.tell(PLACE)
    assert cluster.changes[-1]["observedGeneration"] == 4
