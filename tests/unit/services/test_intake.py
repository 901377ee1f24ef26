"""What watch events do to the table. The controller is a stand-in that notes what it is told."""

from typing import Any, cast

from lastgood.services.controller import Controller
from lastgood.services.intake import Intake
from lastgood.services.metrics import Metrics
from lastgood.services.table import Table

SIGNAL = {"type": "SecurityIncident", "id": "a", "at": "2026-03-01T12:00:00Z", "by": "me"}


class Told:
    """In place of a controller that leads."""

    leading = True

    def __init__(self) -> None:
        self.dirty: list[object] = []
        self.raised: list[object] = []
        self.queue = self.objective_queue = self.evidence = self

    def add(self, key: object) -> None:
        self.dirty.append(key)

    def signals(self, _: object, status: dict[str, Any]) -> None:
        self.raised.append(status.get("signals"))


def body(generation: int, soak: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "api", "uid": "u", "generation": generation},
        "spec": {
            "targetRef": {"name": "api"},
            "probes": [{"name": "health", "http": {"url": "http://api/health"}}],
            "stability": {"soak": soak},
        },
        "status": status,
    }


def test_one_event_tells_of_an_edit_and_of_a_signal() -> None:
    """A watch may put several changes into one event."""
    told, table = Told(), Table()
    intake = Intake(table, cast("Controller", told), Metrics())
    intake.service(body(1, "10m"), deleted=False)
    service = table.services["shop", "api"]
    service.loaded = True
    intake.service(body(2, "11m", signals=[SIGNAL]), deleted=False)
    assert table.services["shop", "api"] is service
    assert (service.generation, service.plan.soak) == (2, 660)
    assert told.raised == [[SIGNAL]]


def test_a_service_that_was_not_read_yet_has_its_signals_from_status() -> None:
    told, table = Told(), Table()
    intake = Intake(table, cast("Controller", told), Metrics())
    intake.service(body(1, "10m"), deleted=False)
    intake.service(body(2, "11m", signals=[SIGNAL]), deleted=False)
    assert told.raised == []
    assert table.services["shop", "api"].status["signals"] == [SIGNAL]
