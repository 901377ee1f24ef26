"""BackupSchedule, Backup and Restore on a real API server: every rule both ways, as offline, and its own defaults."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster, Refused, refusal
from tests.unit.api import backups, test_rules
from tests.unit.api.test_rules import Place

from lastgood.api.backupschedule import BackupSchedule
from lastgood.api.restore import Restore
from lastgood.api.validation import validate

pytestmark = pytest.mark.integration

KINDS = {"BackupSchedule", "Backup", "Restore"}
PLACES = [
    place
    for place in test_rules.PLAIN
    if place[0] in KINDS or (place[0] == "MonitoredService" and place[1].startswith("spec.backups"))
]
NOW = "2027-01-15T08:00:00Z"


@pytest.fixture(scope="module")
def shared(lab: Any, namespace_for: Callable[[], str]) -> Iterator[Cluster]:
    cluster = Cluster(lab.kubeconfig, namespace_for())
    yield cluster
    cluster.close()


def cases(right: int) -> list[Any]:
    """(place, value) of every case of one side."""
    return [pytest.param(p, v, id=f"{p[1]}={v} ({p[2][:30]})") for p in PLACES for v in test_rules.cases(p)[right]]


@pytest.mark.parametrize(("place", "value"), cases(0))
def test_taken_by_both(shared: Cluster, place: Place, value: Any) -> None:
    body = test_rules.at(place, value)
    said = refusal(shared, body)
    assert not any(sentence.endswith(place[2]) for sentence in said)
    assert set(validate(body)) == said


@pytest.mark.parametrize(("place", "value"), cases(1))
def test_refused_by_both_in_one_sentence(shared: Cluster, place: Place, value: Any) -> None:
    body = test_rules.at(place, value)
    said = refusal(shared, body)
    assert any(sentence.endswith(place[2]) for sentence in said), said
    assert set(validate(body)) == said


@pytest.mark.parametrize("name", backups.MANIFESTS)
def test_every_whole_manifest_is_taken(shared: Cluster, name: str) -> None:
    assert refusal(shared, backups.MANIFESTS[name]) == set()


def _largest() -> dict[str, Any]:
    """A schedule with as much of everything as the schema takes."""
    long = "a" * 253
    keys = [{"name": long, "key": f"{n}".zfill(253)} for n in range(2)]
    s3 = {"bucket": "b" * 63, "prefix": long, "accessKeyId": keys[0], "secretAccessKey": keys[1]}
    places = [{"s3": {"endpoint": "https://" + str(n) * 500, **s3}} for n in range(5)]
    checks = [{"name": f"c{n}", "sql": "S" * 4096} for n in range(32)]
    cron = ",".join(str(n) for n in range(10, 38)) + " 10 1 1 1"
    return backups.made(
        "BackupSchedule",
        backups.spec(
            {
                "postgres": {
                    "dsn": keys[0],
                    "method": "logical",
                    "databases": [f"{n}".zfill(63) for n in range(64)],
                }
            },
            *places,
            schedule={"full": cron, "incremental": cron.replace(" 10 ", " 11 ")},
            verification={"restoreTest": {"assertions": checks}},
            rpo="8760h",
        ),
    )


def test_the_largest_schedule_is_within_the_budget_of_the_rules(shared: Cluster) -> None:
    assert refusal(shared, _largest()) == set()
    workloads = [{"name": f"{n}".zfill(253)} for n in range(64)]
    logs = backups.but("logs", source={"logs": {"workloads": workloads}})
    assert refusal(shared, backups.made("BackupSchedule", logs)) == set()
    resources = [f"{n}".zfill(128) for n in range(64)]
    config = backups.but("config", source={"config": {"resources": resources}})
    assert refusal(shared, backups.made("BackupSchedule", config)) == set()


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("dumps", {"source": None}, "spec.source: Required value"),
        ("dumps", {"repositories": None}, "spec.repositories: Required value"),
        ("dumps", {"encryption": None}, "spec.encryption: Required value"),
        ("dumps", {"retain": {}}, 'unknown field "spec.retain"'),
        ("dumps", {"retention": {"last": -1}}, "greater than or equal to 0"),
        ("dumps", {"job": {"runAsUser": 0}}, "greater than or equal to 1"),
        ("dumps", {"job": {"nodeSelector": {f"l{n}": "x" for n in range(17)}}}, "Too many: 17: must have at most 16"),
        ("dumps", {"source": {"postgres": {"dsn": {"name": "a", "key": "k"}, "method": "pitr"}}}, "Unsupported value"),
        ("wal", {"repositories": backups.twice_the_same_name()}, "Duplicate value"),
        ("volumes", {"source": {"volume": {"claims": []}}}, "should have at least 1 items"),
        (
            "volumes",
            {"source": {"volume": {"claims": ["a"], "mountedBy": {f"l{n}": "x" for n in range(17)}}}},
            "Too many: 17: must have at most 16",
        ),
    ],
    ids=str,
)
def test_shape(shared: Cluster, name: str, change: dict[str, Any], says: str) -> None:
    body = backups.made("BackupSchedule", backups.but(name, **change))
    said = refusal(shared, body)
    assert any(says in sentence for sentence in said), said
    assert set(validate(body)) == said


def test_defaults_are_filled_in(cluster: Cluster) -> None:
    smallest = backups.made("BackupSchedule", backups.SPECS["dumps"])
    spec = cluster.create(smallest)["spec"]
    del spec["repositories"], spec["encryption"]
    assert spec == {
        "source": {
            "postgres": {"dsn": smallest["spec"]["source"]["postgres"]["dsn"], "globals": True, "spoolSize": "5Gi"}
        },
        "schedule": {
            "full": "0 2 * * *",
            "timeZone": "Etc/UTC",
            "jitter": "0s",
            "deadline": "2h",
            "startingDeadline": "24h",
        },
        "suspend": False,
        "retention": {"last": 0, "hourly": 48, "daily": 14, "weekly": 8, "monthly": 12},
        "verification": {
            "dataSample": {"schedule": "30 4 * * *", "share": "5%"},
            "restoreTest": {"schedule": "0 5 * * 0", "scratchSize": "10Gi"},
            "fullCheck": {"schedule": "0 6 1 * *"},
        },
        "job": {"cpu": "100m", "memory": "512Mi", "runAsUser": 65532},
    }
    whole = {**spec, **{k: smallest["spec"][k] for k in ("repositories", "encryption")}}
    assert BackupSchedule.model_validate({"spec": whole}) == BackupSchedule.model_validate(smallest)
    asked = backups.made("Restore", {"schedule": "shop"})
    assert cluster.create(asked)["spec"] == {
        "schedule": "shop",
        "to": {"latest": True},
        "repository": "primary",
        "safetyBackup": True,
        "timeout": "4h",
        "reason": "",
        "needsApproval": True,
    }
    assert Restore.model_validate(asked).spec.to.latest
    assert cluster.create(backups.made("Backup", {"schedule": "shop"}))["spec"] == {
        "schedule": "shop",
        "type": "Full",
        "reason": "",
    }


def _changed(cluster: Cluster, kind: str, body: dict[str, Any]) -> str:
    """What the server says of a merge patch of the spec; nothing when it takes it."""
    try:
        cluster.patch(kind, "shop", {"spec": body})
    except Refused as refused:
        return str(refused)
    return ""


def test_a_schedule_keeps_what_its_backups_depend_on(cluster: Cluster) -> None:
    cluster.create(backups.made("BackupSchedule", backups.SPECS["wal"]))
    before = backups.SPECS["wal"]["encryption"]["secretKeyRef"]
    fresh = {"name": "backup-key", "key": "fresh"}
    kept = [
        ({"source": {"postgres": None, "redis": {"url": before}}}, "the kind of the source cannot be changed"),
        ({"repositories": {"primary": {"volume": {"path": "other"}}}}, "the primary repository stays where it is"),
        ({"encryption": {"secretKeyRef": fresh}}, "a new passphrase is let in by the one before it"),
    ]
    for change, says in kept:
        assert says in _changed(cluster, "BackupSchedule", change)
    for change in (
        {"encryption": {"secretKeyRef": fresh, "previous": before}},
        {"encryption": {"previous": None}},
        {"repositories": {"secondary": None}},
        {"source": {"postgres": {"method": "physical", "spool": None}}, "rpo": "2h"},
        {"schedule": {"full": "0 3 * * *"}, "suspend": True},
    ):
        assert _changed(cluster, "BackupSchedule", change) == ""


def test_a_restore_takes_its_approval_and_nothing_else(cluster: Cluster) -> None:
    cluster.create(backups.made("Restore", backups.RESTORES["in time"]))
    for change in (
        {"schedule": "other"},
        {"to": {"time": "2027-01-15T09:00:00Z"}},
        {"server": None},
        {"stop": []},
        {"services": ["a"]},
        {"safetyBackup": False},
    ):
        assert "a Restore cannot be changed once it exists" in _changed(cluster, "Restore", change)
    assert _changed(cluster, "Restore", {"approval": "Approved"}) == ""
    assert "the approval was given and stays" in _changed(cluster, "Restore", {"approval": "Refused"})


def test_a_backup_stays_as_it_was_asked_for(cluster: Cluster) -> None:
    cluster.create(backups.MANIFESTS["backup"])
    assert "a Backup cannot be changed once it exists" in _changed(cluster, "Backup", {"type": "Incremental"})


def test_the_data_of_a_rollback_stays(cluster: Cluster) -> None:
    cluster.create(test_rules.rollback(data="Restore"))
    with pytest.raises(Refused, match="a Rollback cannot be changed once it exists"):
        cluster.patch("Rollback", "rb", {"spec": {"data": "Keep"}})


def test_columns_short_names_and_category(kubectl: Kube, cluster: Cluster) -> None:
    cluster.create(backups.made("BackupSchedule", backups.SPECS["dumps"]))
    cluster.create(backups.MANIFESTS["backup"])
    cluster.create(backups.made("Restore", backups.RESTORES["swap"]))

    def condition(kind: str, status: str, reason: str) -> dict[str, str]:
        return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW}

    told = {
        "method": "logical",
        "conditions": [condition("Ready", "True", "Accepted"), condition("RPOMet", "False", "TooOld")],
        "points": 3,
        "size": "1.2 GB",
        "nextRun": NOW,
        "runs": [{"name": "full", "lastSuccess": NOW}],
        "repositories": [{"name": "primary", "state": "Ready", "recoverableUntil": NOW}],
    }
    cluster.patch("BackupSchedule", "shop", {"status": told}, status=True)
    done = {
        "phase": "Succeeded",
        "point": NOW,
        "sizeBytes": 1000,
        "storedBytes": 10,
        "conditions": [condition("Verified", "True", "RestoreTest")],
        "copies": [{"repository": "primary", "state": "Present", "snapshots": ["abc"]}],
        "verified": [{"how": "RestoreTest", "passed": True, "at": NOW}],
    }
    cluster.patch("Backup", "shop", {"status": done}, status=True)
    head, row = kubectl.run("get", "bs").stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    names = ["METHOD", "READY", "LAST SUCCESS", "NEXT RUN", "POINTS", "SIZE", "RPO", "VERIFIED", "AGE"]
    assert [name for name in names if name not in head] == []
    assert row.split()[:3] == ["shop", "logical", "True"]
    assert "False" in row
    _, row = kubectl.run("get", "bk").stdout.splitlines()
    assert row.split()[:8] == ["shop", "shop", "Full", "Succeeded", NOW, "1000", "10", "RestoreTest"]
    assert "restore.lastgood.dev/shop" in kubectl.run("get", "rst", "-o", "name").stdout
    listed = kubectl.run("get", "lastgood", "-o", "name").stdout
    assert {f"{kind.lower()}.lastgood.dev/shop" for kind in KINDS} <= set(listed.split())
