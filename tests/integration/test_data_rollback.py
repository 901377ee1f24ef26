"""Code and data back together: a Rollback and its Restores on a real API server; jobs are played (see ``restoring``)."""

from collections.abc import Callable

import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster
from tests.integration.manifests import rollback
from tests.integration.process import Operator
from tests.integration.restoring import IMAGE, Restoring, schedule
from tests.integration.stage import Stage

pytestmark = pytest.mark.integration
APPROVE = {"spec": {"approval": "Approved"}}
NAME = "back-db"


@pytest.fixture
def play(stage: Stage, cluster: Cluster) -> Restoring:
    cluster.put(schedule())
    restoring = Restoring(cluster)
    restoring.point("point", 60)
    return restoring


def good(spawn: Callable[..., Operator], stage: Stage, **policy: object) -> Operator:
    """The shop's v1 is good, and a backup point is noted with it."""
    operator = spawn("--backup-image", IMAGE)
    operator.wait_for_log('"leading"')
    rules = {"policy": "Disabled", **policy}
    stage.become_good("shop", backups=[{"name": "db"}], rollback=rules)
    until(lambda: stage.status("shop")["goodRevisions"][0].get("points"), within=30, says="the point is noted")
    return operator


def of(cluster: Cluster, name: str) -> dict[str, object]:
    return (cluster.get("Rollback", name) or {}).get("status") or {}


def ended(cluster: Cluster, name: str, phase: str) -> dict[str, object]:
    def there() -> bool:
        return of(cluster, name).get("phase") == phase

    try:
        until(there, within=60, says=f"{name} {phase}")
    except AssertionError as error:
        msg = f"{error}; it stands {of(cluster, name)}"
        raise AssertionError(msg) from None
    return of(cluster, name)


def message(status: dict[str, object]) -> str:
    return str(next(c["message"] for c in status["conditions"] if c["type"] == "Complete"))  # type: ignore[attr-defined]


def test_template_is_patched_while_nothing_runs_and_data_comes_before_the_start(
    spawn: Callable[..., Operator], stage: Stage, play: Restoring, cluster: Cluster
) -> None:
    operator = good(spawn, stage)
    stage.release_bad("shop")
    stage.wait("shop", "Healthy", "ProbesFailing")
    cluster.create(rollback("back", "shop", data="Restore"))
    play.play(NAME, "verify")
    play.reached(NAME, phase="AwaitingApproval")
    assert stage.version("shop") == "v2", "the code waits for the person who asked"
    cluster.patch("Restore", NAME, APPROVE)
    operator.kill()
    spawn("--backup-image", IMAGE)
    play.job(NAME, "safety")
    until(lambda: stage.version("shop") == "v1", within=30, says="the template is put back")
    assert play.replicas() == 0, "while nothing runs"
    play.play(NAME, "safety", says={"backup": "safe"})
    for task in ("restore", "validate", "swap"):
        assert play.replicas() == 0
        play.play(NAME, task)
    done = ended(cluster, "back", "Succeeded")
    assert f"data: Restore {NAME} has succeeded" in message(done)
    assert done["restores"] == [NAME]
    assert play.status(NAME)["backup"] == "point"
    assert (play.replicas(), stage.version("shop")) == (1, "v1")
    stage.wait("shop", "Healthy", "ProbesPassing", status="True")


def test_data_that_fails_does_not_take_the_code_with_it(
    spawn: Callable[..., Operator], stage: Stage, play: Restoring, cluster: Cluster
) -> None:
    good(spawn, stage, dataNeedsApproval=False)
    stage.release_bad("shop")
    stage.wait("shop", "Healthy", "ProbesFailing")
    cluster.create(rollback("back", "shop", data="Restore"))
    play.play(NAME, "verify")
    play.play(NAME, "safety", says={"backup": "safe"})
    play.play(NAME, "restore", says={"ok": False, "reason": "RepositoryDamaged", "message": "pack 4711 is damaged"})
    failed = ended(cluster, "back", "Failed")
    assert "the code was put back to v1 and its probes are green; the data was not put back" in message(failed)
    assert "pack 4711 is damaged" in message(failed)
    assert (play.replicas(), stage.version("shop")) == (1, "v1")
    assert {s["name"]: s["state"] for s in failed["steps"]}["Validated"] == "Done"  # type: ignore[attr-defined]


def test_automatic_rollback_puts_the_code_back_at_once_and_the_data_when_a_person_agrees(
    spawn: Callable[..., Operator], stage: Stage, play: Restoring, cluster: Cluster
) -> None:
    good(spawn, stage, policy="Automatic", data="Restore")
    stage.release_bad("shop")
    done = stage.rolled_back("shop")
    (name,) = done["status"]["restores"]
    assert f"Restore {name} waits for approval" in message(done["status"])
    play.play(name, "verify")
    play.reached(name, phase="AwaitingApproval")
    assert (play.replicas(), stage.version("shop")) == (1, "v1")
    cluster.patch("Restore", name, APPROVE)
    play.play(name, "safety", says={"backup": "safe"})
    for task in ("restore", "validate", "swap"):
        play.play(name, task)
    play.reached(name, phase="Succeeded")
    assert play.replicas() == 1
    assert len(stage.rollbacks("shop")) == 1, "a stop for data is no failure of a release"
