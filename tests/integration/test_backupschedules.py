"""BackupSchedules on a real API server with the controllers that make Jobs out of CronJobs.

No node, so no pod runs: what a job would write (its Backup, its last words) is written by the test, see ``Jobs``.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Refused
from tests.integration.manifests import deployment
from tests.integration.process import Operator
from tests.integration.rights import Installed
from tests.integration.scheduling import IMAGE, Jobs, backup, claim, condition, names, now, schedule, secret
from tests.integration.stage import Stage

Object = dict[str, Any]
ALL = {"shop-full", "shop-incremental", "shop-data-sample", "shop-restore-test", "shop-full-check", "shop-prune"}


@pytest.fixture
def jobs(cluster: Cluster) -> Jobs:
    cluster.put(claim(), secret("db", dsn="postgresql://app:sekret-word@db/shop"))
    return Jobs(cluster)


@pytest.fixture
def backing_up(spawn: Callable[..., Operator], cluster: Cluster, jobs: Jobs) -> Operator:
    # Pods that would be given a right too many are refused.
    strict = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.request(
        "PATCH",
        f"/api/v1/namespaces/{cluster.namespace}",
        content=json.dumps(strict),
        headers={"Content-Type": "application/merge-patch+json"},
    )
    running = spawn("--backup-image", IMAGE)
    running.wait_for_log('"leading"', within=90)
    return running


def wait(
    cluster: Cluster, kind: str, reason: str, *, of: str = "shop", what: str = "BackupSchedule", within: float = 60
) -> Object:
    seen: list[Object] = []

    def reached() -> bool:
        seen[:] = [condition(cluster, what, of, kind)]
        return seen[0].get("reason") == reason

    try:
        until(reached, within=within, says=f"{of}: {kind} {reason}")
    except AssertionError as error:
        msg = f"{error}; it says {seen[0]}"
        raise AssertionError(msg) from None
    return seen[0]


def settled(operator: Operator, *, looks: int = 3) -> float:
    """The count of writes once it has not grown for some looks."""
    same, last = 0, -1.0

    def look() -> bool:
        nonlocal same, last
        writes = operator.total("lastgood_api_writes_total")
        same, last = (same + 1, last) if writes == last else (0, writes)
        return same >= looks

    until(look, within=20, says="writes to come to rest", every=1)
    return last


def test_a_schedule_becomes_objects_that_heal_and_nothing_more_is_written(
    cluster: Cluster, backing_up: Operator
) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    assert names(cluster, "CronJob") == ALL
    assert {"shop-backup"} <= names(cluster, "ServiceAccount")
    assert names(cluster, "RoleBinding") == {"shop-backup-job"}
    full = cluster.get("CronJob", "shop-full")
    assert full is not None
    assert full["spec"]["timeZone"] == "Etc/UTC"
    assert full["metadata"]["ownerReferences"][0]["name"] == "shop"
    status = (cluster.get("BackupSchedule", "shop") or {})["status"]
    assert status["method"] == "logical"
    assert status["nextRun"] > now()
    before = settled(backing_up)

    cluster.delete("CronJob", "shop-full")
    until(lambda: cluster.get("CronJob", "shop-full"), within=10, says="the CronJob to be made anew")
    cluster.patch("CronJob", "shop-prune", {"spec": {"concurrencyPolicy": "Allow"}})
    until(
        lambda: (cluster.get("CronJob", "shop-prune") or {})["spec"]["concurrencyPolicy"] == "Forbid",
        within=10,
        says="the edit to be undone",
    )
    cluster.delete("ConfigMap", "shop-jobs")
    until(lambda: cluster.get("ConfigMap", "shop-jobs"), within=10, says="the ConfigMap to be made anew")
    # Three writes, one for each thing that somebody broke.
    assert settled(backing_up) == before + 3, backing_up.log[-4000:]

    # Touched, and as it was: a look, and no write.
    body = cluster.get("CronJob", "shop-full")
    assert body is not None
    cluster.patch("CronJob", "shop-full", {"metadata": {"annotations": {"theirs": "x"}}})
    assert settled(backing_up) == before + 3


def test_the_key_is_made_once_and_never_anew_once_there_are_backups(
    cluster: Cluster, jobs: Jobs, backing_up: Operator
) -> None:
    cluster.create(schedule())
    key = until(lambda: cluster.get("Secret", "backup-key"), within=20, says="the key")
    passphrase = base64.b64decode(key["data"]["passphrase"]).decode()
    assert len(passphrase) >= 32
    assert "ownerReferences" not in key["metadata"]
    wait(cluster, "Ready", "Accepted")
    assert passphrase not in backing_up.log
    assert passphrase not in str(cluster.get("BackupSchedule", "shop"))

    jobs.succeed("first")
    until(
        lambda: ((cluster.get("BackupSchedule", "shop") or {})["status"]).get("points") == 1,
        within=15,
        says="the point to be counted",
    )
    cluster.delete("Secret", "backup-key")
    # An edit has it look at once.
    cluster.patch("BackupSchedule", "shop", {"spec": {"retention": {"last": 7}}})
    missing = wait(cluster, "Ready", "KeyMissing")
    assert "put the old one back" in missing["message"]
    assert cluster.get("Secret", "backup-key") is None
    cluster.create(secret("backup-key", passphrase=passphrase))
    wait(cluster, "Ready", "Accepted", within=30)


def test_a_key_that_is_not_asked_for_is_not_made(cluster: Cluster, backing_up: Operator) -> None:
    cluster.create(schedule(encryption={"secretKeyRef": {"name": "backup-key", "key": "passphrase"}}))
    missing = wait(cluster, "Ready", "KeyMissing")
    assert missing["message"].endswith("create it, or write encryption.create: true")
    assert names(cluster, "CronJob") == set()
    cluster.create(secret("backup-key", passphrase="correct horse"))
    wait(cluster, "Ready", "Accepted", within=30)
    assert names(cluster, "CronJob") == ALL


def test_a_backup_made_by_hand_runs_at_once_and_once(cluster: Cluster, jobs: Jobs, backing_up: Operator) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.create(backup("before-migration", reason="schema 42"))
    job = until(lambda: cluster.get("Job", "before-migration"), within=15, says="its Job")
    assert job["metadata"]["ownerReferences"][0]["kind"] == "Backup"
    assert job["metadata"]["labels"]["lastgood.dev/task"] == "full"
    told = (cluster.get("ConfigMap", "before-migration") or {})["data"]["spec.json"]
    assert '"backup": "before-migration"' in told
    assert "sekret-word" not in told
    until(lambda: jobs.pods("before-migration"), within=20, says="its pod")
    running = wait(cluster, "Running", "JobsActive")
    assert running["message"] == "full (before-migration)"

    # The job does its part; a second look, and a second operator, make no second Job.
    jobs.succeed("before-migration")
    jobs.end("before-migration", ok=True, result={"ok": True, "task": "full", "reason": "Done", "seconds": 42})
    wait(cluster, "Running", "Idle", within=40)
    status = (cluster.get("BackupSchedule", "shop") or {})["status"]
    assert status["points"] == 1
    (run,) = status["runs"]
    assert (run["name"], run["seconds"]) == ("full", 42)
    assert backing_up.total("lastgood_backup_runs_total", task="full", result="succeeded") >= 1
    assert backing_up.total("lastgood_backup_points", schedule="shop", repository="primary") == 1
    assert names(cluster, "Job") == {"before-migration"}


def test_a_backup_whose_job_died_is_brought_to_its_end(cluster: Cluster, jobs: Jobs, backing_up: Operator) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.create(backup("doomed"))
    until(lambda: cluster.get("Job", "doomed"), within=15, says="its Job")
    cluster.patch("Job", "doomed", {"spec": {"activeDeadlineSeconds": 2}})
    wait(cluster, "Complete", "DeadlineExceeded", of="doomed", what="Backup", within=40)
    body = cluster.get("Backup", "doomed")
    assert body is not None
    assert body["status"]["phase"] == "Failed"
    failed = wait(cluster, "RunsOnTime", "RunFailed")
    assert failed["message"].startswith("full: DeadlineExceeded, ")


def test_what_a_pod_said_at_its_end_is_told(cluster: Cluster, jobs: Jobs, backing_up: Operator) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.create(backup("wrong"))
    until(lambda: cluster.get("Job", "wrong"), within=15, says="its Job")
    said = {"ok": False, "task": "full", "reason": "WrongPassword", "message": "db does not take the password"}
    for _ in range(3):
        jobs.end("wrong", ok=False, result=said)
    wait(cluster, "Complete", "WrongPassword", of="wrong", what="Backup", within=60)
    failed = wait(cluster, "RunsOnTime", "RunFailed")
    assert failed["message"] == "full: WrongPassword, db does not take the password"


def test_a_point_that_its_job_could_not_record_is_recorded_from_its_last_words(
    cluster: Cluster, jobs: Jobs, backing_up: Operator
) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.create(backup("silent"))
    until(lambda: cluster.get("Job", "silent"), within=30, says="its Job")
    copies = [{"repository": "primary", "state": "Present", "snapshots": ["5f" * 32]}]
    said = {"ok": True, "task": "full", "backup": "silent", "point": now(-60), "sizeBytes": 7, "copies": copies}
    jobs.end("silent", ok=True, result=said)
    until(
        lambda: ((cluster.get("Backup", "silent") or {}).get("status") or {}).get("phase") == "Succeeded",
        within=90,
        says="the point to be recorded",
    )
    until(
        lambda: ((cluster.get("BackupSchedule", "shop") or {})["status"]).get("points") == 1,
        within=20,
        says="the point to be counted",
    )
    # One that is removed later is not written anew.
    cluster.delete("Backup", "silent")
    cluster.patch("BackupSchedule", "shop", {"spec": {"retention": {"last": 3}}})
    until(
        lambda: not ((cluster.get("BackupSchedule", "shop") or {})["status"]).get("points"),
        within=30,
        says="the point to be gone",
    )
    settled(backing_up)
    assert cluster.get("Backup", "silent") is None


def test_a_backup_waits_for_its_schedule(cluster: Cluster, backing_up: Operator) -> None:
    cluster.create(backup("early"))
    wait(cluster, "Complete", "UnknownSchedule", of="early", what="Backup")
    cluster.create(schedule())
    until(lambda: cluster.get("Job", "early"), within=15, says="its Job")


def test_a_name_that_is_taken_is_left_alone(cluster: Cluster, backing_up: Operator) -> None:
    theirs = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "shop-full"},
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {
                "spec": {
                    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "theirs"}]}}
                }
            },
        },
    }
    cluster.create(theirs)
    cluster.create(schedule())
    taken = wait(cluster, "Ready", "NameTaken")
    assert taken["message"] == "cronjobs shop-full exists and does not belong to this schedule: rename one of them"
    body = cluster.get("CronJob", "shop-full")
    assert body is not None
    assert body["spec"]["schedule"] == "0 0 1 1 *"
    cluster.delete("CronJob", "shop-full")
    wait(cluster, "Ready", "Accepted", within=40)


def test_a_bad_edit_leaves_what_runs_as_it_was(cluster: Cluster, backing_up: Operator) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.patch("BackupSchedule", "shop", {"spec": {"schedule": {"timeZone": "Europe/Bern"}}})
    wait(cluster, "Ready", "BadTimeZone")
    body = cluster.get("CronJob", "shop-full")
    assert body is not None
    assert body["spec"]["timeZone"] == "Etc/UTC"


def test_missing_secrets_and_claims_are_named(cluster: Cluster, backing_up: Operator) -> None:
    source = {"postgres": {"dsn": {"name": "nowhere", "key": "dsn"}, "method": "logical"}}
    cluster.create(schedule(source=source))
    missing = wait(cluster, "Ready", "SecretMissing")
    assert missing["message"] == 'Secret "nowhere" with key "dsn" does not exist here: create it or mend the name'
    cluster.create(schedule("other", repositories={"primary": {"volume": {"claim": "void"}}}))
    missing = wait(cluster, "Ready", "ClaimMissing", of="other")
    assert missing["message"] == 'PersistentVolumeClaim "void" does not exist here: create it or mend the name'


def test_one_repository_is_not_written_by_two(cluster: Cluster, backing_up: Operator) -> None:
    inside = {"primary": {"volume": {"claim": "backups", "path": "lastgood/shop"}}}
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    cluster.create(schedule("other", repositories=inside))
    wait(cluster, "Ready", "RepositoryShared", of="other")
    wait(cluster, "Ready", "RepositoryShared")
    cluster.delete("BackupSchedule", "other")
    wait(cluster, "Ready", "Accepted")


def test_wal_has_a_receiver_and_what_is_no_longer_wanted_goes(cluster: Cluster, backing_up: Operator) -> None:
    wal = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "wal"}}
    cluster.create(schedule(source=wal))
    wait(cluster, "Ready", "Accepted")
    receiver = until(lambda: cluster.get("Deployment", "shop-receive"), within=10, says="the receiver")
    until(
        lambda: [p for p in cluster.all("Pod") if p["metadata"]["name"].startswith("shop-receive-")],
        within=40,
        says="its pod",
    )
    assert receiver["spec"]["strategy"]["type"] == "Recreate"
    assert "shop-spool" in names(cluster, "PersistentVolumeClaim")
    logical = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}}
    cluster.patch("BackupSchedule", "shop", {"spec": {"source": logical}})
    until(lambda: cluster.get("Deployment", "shop-receive") is None, within=15, says="the receiver to go")
    # It may hold what was received and not stored yet.
    assert "shop-spool" in names(cluster, "PersistentVolumeClaim")


def test_deleted_with_all_that_it_had_but_its_key(cluster: Cluster, jobs: Jobs, backing_up: Operator) -> None:
    cluster.create(schedule())
    wait(cluster, "Ready", "Accepted")
    jobs.succeed("first")
    cluster.delete("BackupSchedule", "shop")
    until(lambda: not names(cluster, "CronJob"), within=60, says="the CronJobs to go")
    until(lambda: cluster.get("ServiceAccount", "shop-backup") is None, within=60, says="the account to go")
    assert cluster.get("Secret", "backup-key") is not None
    assert cluster.get("Backup", "first") is not None


def test_a_real_cronjob_runs_while_the_operator_is_down_and_is_adopted_after(
    cluster: Cluster, jobs: Jobs, spawn: Callable[..., Operator]
) -> None:
    first = spawn("--backup-image", IMAGE)
    first.wait_for_log('"leading"')
    cluster.create(schedule(schedule={"full": "* * * * *"}))
    wait(cluster, "Ready", "Accepted")
    first.stop()
    job = until(
        lambda: next((n for n in names(cluster, "Job") if n.startswith("shop-full-")), None),
        within=75,
        says="the CronJob to start a Job with no operator there",
    )
    jobs.succeed(job)
    jobs.end(job, ok=True, result={"ok": True, "task": "full", "reason": "Done", "seconds": 3, "backup": job})
    second = spawn("--backup-image", IMAGE)
    second.wait_for_log('"leading"')
    until(
        lambda: ((cluster.get("BackupSchedule", "shop") or {})["status"]).get("points") == 1,
        within=20,
        says="the point to be counted",
    )
    until(
        lambda: [
            r for r in (cluster.get("BackupSchedule", "shop") or {})["status"].get("runs", ()) if r["seconds"] == 3
        ],
        within=40,
        says="the run to be told",
    )


def test_rpo_of_a_service_follows_its_schedules_and_points_belong_to_good_revisions(
    stage: Stage, cluster: Cluster, jobs: Jobs, spawn: Callable[..., Operator]
) -> None:
    operator = spawn("--backup-image", IMAGE)
    operator.wait_for_log('"leading"')
    cluster.put(deployment("web"), stage.monitored("web", backups=[{"name": "shop"}]))
    unknown = stage.wait("web", "Ready", "UnknownSchedule")
    assert (
        unknown["message"]
        == 'backups names BackupSchedule "shop", which does not exist here: create it or mend the name'
    )
    hourly = {"full": "0 2 * * *", "incremental": "*/15 * * * *"}
    cluster.create(schedule(rpo="1h", schedule=hourly))
    stage.wait("web", "BackupsCurrent", "BackupsUnknown")
    stage.wait("web", "Ready", "Accepted")
    jobs.succeed("first", at=-60)
    stage.wait("web", "BackupsCurrent", "BackupsFresh", status="True")
    stage.good("web")

    def noted() -> list[Object]:
        return list(stage.status("web")["goodRevisions"][0].get("points") or ())

    until(lambda: [p["backup"] for p in noted()] == ["first"], within=20, says="the point to be noted")
    jobs.succeed("second")
    until(lambda: [p["backup"] for p in noted()] == ["second"], within=20, says="the newer one to be noted")

    # Lost: nothing usable is left, and the service says so; what was noted stays.
    for name in ("first", "second"):
        gone = [{"repository": "primary", "state": "Removed", "snapshots": []}]
        cluster.patch("Backup", name, {"status": {"copies": gone}}, status=True)
    cluster.create(backup("third"))
    until(lambda: cluster.get("Job", "third"), within=15, says="its Job")
    cluster.patch("Job", "third", {"spec": {"activeDeadlineSeconds": 1}})
    behind = stage.wait("web", "BackupsCurrent", "BackupsBehind", status="False", within=60)
    assert behind["message"].startswith("shop: the primary repository holds no point that can be used")
    assert [p["backup"] for p in noted()] == ["second"]
    cluster.patch("MonitoredService", "web", {"spec": {"backups": None}})
    until(lambda: "BackupsCurrent" not in cluster.conditions("web"), within=20, says="the condition to go")


def test_the_charts_rights_suffice_and_no_other_role_can_be_bound(
    cluster: Cluster, jobs: Jobs, chart: Installed, spawn: Callable[..., Operator]
) -> None:
    operator = spawn(*chart.options, "--backup-image", IMAGE)
    operator.wait_for_log('"leading"', within=90)
    key = {"secretKeyRef": {"name": "config-key", "key": "passphrase"}, "create": True}
    wal = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "wal"}}
    cluster.create(schedule(source=wal))
    cluster.create(schedule("declared", source={"config": {"secrets": True}}, encryption=key))
    wait(cluster, "Ready", "Accepted")
    wait(cluster, "Ready", "Accepted", of="declared")
    bound = {
        "declared-backup-job",
        "declared-backup-config",
        "declared-backup-secrets",
        "shop-backup-job",
        "shop-backup-receive",
    }
    assert bound <= names(cluster, "RoleBinding")
    assert {"backup-key", "config-key"} <= names(cluster, "Secret")
    cluster.create(backup("now"))
    until(lambda: cluster.get("Job", "now"), within=30, says="its Job")
    cluster.delete("CronJob", "shop-full")
    until(lambda: cluster.get("CronJob", "shop-full"), within=30, says="the CronJob to be made anew")
    logical = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "logical"}}
    cluster.patch("BackupSchedule", "shop", {"spec": {"source": logical, "retention": {"last": 3}}})
    until(lambda: cluster.get("Deployment", "shop-receive") is None, within=40, says="the receiver to go")
    assert '"status": 403' not in operator.log
    assert "forbidden" not in operator.log

    operator.stop()
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    everything = {"metadata": {"name": "all"}, "roleRef": reference, "subjects": []}
    with chart.as_account(chart.name) as mine, pytest.raises(Refused) as refused:
        mine.request("POST", mine.path("RoleBinding"), json=everything)
    assert refused.value.status == 403
