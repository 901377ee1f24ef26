"""The operator with its history in a real PostgreSQL: budgets outlive it, and it outlives the database.

Minutes are handed over once a minute, so each step here takes one.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.e2e.kube import until
from tests.integration.process import Operator
from tests.integration.stage import Stage
from tests.integration.test_history import PASSWORD, Server, serving

pytestmark = pytest.mark.integration
TURN = 90
"""Seconds within which minutes are handed over, or known not to be."""

ERRORS = {
    "apiVersion": "lastgood.dev/v1alpha1",
    "kind": "ServiceLevelObjective",
    "metadata": {"name": "errors"},
    "spec": {
        "source": {"probe": {}},
        "indicator": {"ratio": {}},
        "window": "10s",
        "target": {"below": "1%"},
        "budget": {"objective": "99.9%", "period": "7d"},
    },
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def minutes(server: Server, *, bad: float = 0) -> int:
    """How many it has with at least so many bad events."""
    with psycopg.connect(server.dsn) as connection:
        if connection.execute("SELECT to_regclass('lastgood_minutes')").fetchone() == (None,):
            return 0
        found = connection.execute("SELECT count(*) FROM lastgood_minutes WHERE bad >= %s", (bad,)).fetchone()
    assert found is not None
    return int(found[0])


@pytest.fixture
def dsn(server: Server, tmp_path: Path) -> str:
    """Where the connection string is, in a file."""
    place = tmp_path / "dsn"
    place.write_text(server.dsn + "\n")
    return str(place)


def begin(stage: Stage, spawn: Callable[..., Operator], dsn: str) -> Operator:
    """An operator, a service with a budget, and a store that has said that it keeps it."""
    operator = spawn("--history-dsn-file", dsn)
    operator.wait_for_log('"leading"')
    stage.cluster.put(ERRORS)
    stage.begin("app", objectives=[{"name": "errors"}], rollback={"policy": "Disabled"})
    stage.good("app")
    return operator


@pytest.mark.long
def test_budgets_outlive_the_operator(stage: Stage, server: Server, spawn: Callable[..., Operator], dsn: str) -> None:
    first = begin(stage, spawn, dsn)
    stage.target.broken.add(("app", "v1"))
    until(lambda: minutes(server, bad=20), within=2 * TURN, says="a minute of errors is in the database")
    told = until(
        lambda: [e["note"] for e in stage.cluster.all("Event") if e["reason"] == "BudgetBurning"],
        within=30,
        says="an alert on the budget is told",
    )
    assert len(told) == 1
    assert "more than 14.4 (critical)" in told[0]
    first.stop()
    stage.target.broken.clear()

    second = spawn("--history-dsn-file", dsn)
    second.wait_for_log('"leading"')

    def left() -> bool:
        told = second.total("lastgood_objective_budget_left", objective="errors")
        return 0 < told < 0.98

    # A minute of nothing but errors is a tenth of what 99.9 % leave in a week. All that this one sees is good.
    until(left, within=2 * TURN, says="the budget that the first one spent is known to the second")
    assert PASSWORD not in first.log + second.log


@pytest.mark.long
def test_an_operator_outlives_its_database(
    stage: Stage, server: Server, spawn: Callable[..., Operator], dsn: str
) -> None:
    operator = begin(stage, spawn, dsn)
    before = until(lambda: minutes(server), within=2 * TURN, says="a minute is in the database")
    server.stop()
    try:
        said = stage.wait("app", "HistoryKept", "HistoryUnreachable", status="False", within=2 * TURN)
        assert PASSWORD not in said["message"]
        operator.more("lastgood_probe_outcomes_total", 3)
        until(
            lambda: operator.total("lastgood_history_waiting_minutes") >= 1, within=TURN, says="minutes wait in memory"
        )
        assert operator.total("lastgood_history_kept") == 0
    finally:
        server.start()
    stage.wait("app", "HistoryKept", "HistoryKept", status="True", within=2 * TURN)
    assert operator.total("lastgood_history_waiting_minutes") == 0
    assert minutes(server) > before
    assert PASSWORD not in operator.log
