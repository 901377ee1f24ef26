"""A right that the operator itself lacks is told on the Restore, once, and nothing is taken for done."""

from typing import Any

import pytest
from tests.unit.restores.api import NAMESPACE, restore, stage

from lastgood.domain.backups.pods import Options
from lastgood.domain.ports import ClusterError
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.restores.controller import RestoreController
from lastgood.services.table import Table


class Told(Events):
    """Keeps what is told in place of writing it."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str]] = []

    def tell(self, regarding: Any, kind: str, reason: str, message: str) -> None:
        self.all.append((regarding["metadata"]["name"], reason, message))


async def test_told_once_for_each_right() -> None:
    api, table, told = stage(), Table(), Told()
    body = api.put("restores", restore())
    table.restores[NAMESPACE, "back"] = body
    says = ["cannot patch statefulsets"]

    async def refuse(*_: Any, **__: Any) -> Any:
        raise ClusterError(403, says[-1])

    api.merge_status = refuse  # type: ignore[method-assign]
    controller = RestoreController(api, table, Metrics(), told, Options("image:1"))  # type: ignore[arg-type]
    controller.leading = True
    for _ in range(3):
        with pytest.raises(ClusterError):
            await controller.reconcile((NAMESPACE, "back"))
    says.append("cannot create jobs")
    with pytest.raises(ClusterError):
        await controller.reconcile((NAMESPACE, "back"))

    assert [(name, reason) for name, reason, _ in told.all] == [("back", "Forbidden")] * 2
    assert "cannot patch statefulsets" in told.all[0][2]
    assert "cannot create jobs" in told.all[1][2]
    assert not api.writes
