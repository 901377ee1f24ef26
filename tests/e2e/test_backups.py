"""Backups by real jobs on a real node: made while the operator is down, proven, damaged on purpose, and brought back."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.demo.cluster import BACKUP_IMAGE
from tests.e2e.backing import (
    CHECKSUM,
    FAR,
    POSTGRES,
    READY,
    ROLES,
    Bucket,
    Data,
    Looks,
    bucket,
    claim,
    install,
    schedule,
    secret,
    secrets,
    server,
)
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, config_map
from tests.e2e.operator_process import Operator
from tests.workers import common_folder, shared
from tests.workers import number as worker_number

pytestmark = [pytest.mark.e2e, pytest.mark.long]
ANYBODY = 47110
"""A user ID that is nobody's."""


@pytest.fixture(scope="session")
def jobs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The image of jobs on the node, and their ClusterRoles."""

    def up() -> bool:
        install(cluster)
        return False

    with shared(common_folder(tmp_path_factory) / "backups", up=up, down=lambda: None):
        yield


@pytest.fixture
def data(kube: Kube, jobs: None) -> Data:
    """A PostgreSQL with a table of orders, and the Secrets and the claim of its backups."""
    data = Data(kube)
    kube.apply(*server(kube.namespace, "postgres", port=5432), *secrets(data), claim("backups"))
    until(lambda: kube.run(*READY, check=False).returncode == 0, within=120, says="PostgreSQL is there")
    return data


@pytest.fixture
def looks(kube: Kube) -> Looks:
    return Looks(kube)


@pytest.fixture
def s3(cluster: Cluster, kube: Kube) -> Iterator[Bucket]:
    with bucket(cluster, kube, 17070 + worker_number()) as made:
        yield made


@pytest.fixture
def operator(spawn: Callable[..., Operator], jobs: None) -> Operator:
    running = spawn()
    running.wait_for_log('"leading"', within=90)
    return running


def _accepted(looks: Looks) -> None:
    until(lambda: looks.condition("Ready").get("reason") == "Accepted", within=60, says="the schedule is carried out")


_TOOLS = """
set -e
restic version; redis-cli --version; redis-server --version; redis-check-rdb --version; ssh -V 2>&1
lastgood job --help | head -1
export LD_BIND_NOW=1
for bin in $(echo "$LASTGOOD_POSTGRES_BIN" | tr : ' '); do
    for tool in postgres pg_ctl pg_dump pg_dumpall pg_restore pg_basebackup pg_receivewal pg_verifybackup pg_waldump psql
    do "$bin/$tool" --version; done
    major=$("$bin/postgres" --version | sed 's/[^0-9]*\\([0-9]*\\).*/\\1/')
    [ "$major" -lt 17 ] || "$bin/pg_combinebackup" --version
    "$bin/initdb" -D "/tmp/$major" --auth=trust --locale=en_US.UTF-8 >/dev/null
    "$bin/pg_ctl" -D "/tmp/$major" -o "-k /tmp -p 54$major -c listen_addresses=" -l /tmp/log -w start >/dev/null
    "$bin/psql" -h /tmp -p "54$major" -d postgres -Atc "SELECT 'served by ' || current_setting('server_version')"
    "$bin/pg_dump" -h /tmp -p "54$major" -Fc -f "/tmp/$major.dump" postgres
    "$bin/pg_restore" --list "/tmp/$major.dump" >/dev/null
    "$bin/psql" "host=127.0.0.1 port=1 sslmode=require" 2>&1 | grep -v 'not compiled in' | head -1
    "$bin/pg_ctl" -D "/tmp/$major" -m immediate stop >/dev/null
    rm -rf "/tmp/$major"
done
if touch /anywhere 2>/dev/null; then echo "the root is writable"; fi
"""


def test_the_image_has_what_jobs_need(kube: Kube, jobs: None) -> None:
    container = {
        "name": "tools",
        "image": BACKUP_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", _TOOLS],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tools"}, "spec": spec})

    def phase() -> str | None:
        found = (kube.get("pod", "tools") or {}).get("status", {}).get("phase")
        return found if found in {"Succeeded", "Failed"} else None

    ended = until(phase, within=180, says="all tools were asked")
    said = kube.run("logs", "tools").stdout
    assert ended == "Succeeded", said
    for major in (15, 16, 17, 18):
        assert f"served by {major}." in said, said
        assert f"pg_receivewal (PostgreSQL) {major}." in said, said
    assert said.count("connection to server at") == 4, said
    assert "restic 0." in said
    assert "writable" not in said


def test_runs_go_on_while_the_operator_is_down(
    kube: Kube, data: Data, looks: Looks, s3: Bucket, operator: Operator, spawn: Callable[..., Operator]
) -> None:
    data.fill()
    kube.apply(schedule(POSTGRES, s3.place(), schedule={"full": "* * * * *"}))
    _accepted(looks)
    first = until(looks.copied, within=300, says="a first Backup has succeeded", every=1)[0]["status"]
    assert {c["repository"]: c["state"] for c in first["copies"]} == {"primary": "Present", "copy-0": "Present"}
    assert first["contents"] == ["sales"]
    assert first["sizeBytes"] > 0
    assert first["storedBytes"] > 0

    operator.stop()
    before = {b["metadata"]["name"] for b in looks.backups()}

    def since() -> set[str]:
        return {b["metadata"]["name"] for b in looks.backups()} - before

    until(lambda: len(since()) >= 3, within=420, says="three more while nobody looks", every=2)
    kube.run("patch", "bs", "sales", "--type=merge", "-p", json.dumps({"spec": {"suspend": True}}))
    again = spawn()
    again.wait_for_log('"leading"', within=90)

    def counted() -> bool:
        status = (kube.get("backupschedule", "sales") or {})["status"]
        return bool(status.get("points", 0) >= len(before) + 3 and status.get("lastSuccess"))

    until(counted, within=120, says="all of them are counted")

    def ready() -> dict[str, object] | None:
        status: dict[str, object] = (kube.get("backupschedule", "sales") or {})["status"]
        return status if {r["state"] for r in status["repositories"]} == {"Ready"} else None  # type: ignore[attr-defined]

    status = until(ready, within=120, says="both repositories are ready")
    assert {r["name"] for r in status["repositories"]} == {"primary", "copy-0"}
    for repository in status["repositories"]:
        assert repository["recoverableUntil"]


def test_a_dropped_table_comes_back_and_the_application_is_stopped_meanwhile(
    kube: Kube, data: Data, looks: Looks, operator: Operator
) -> None:
    checksum = data.fill()
    kube.apply(schedule(POSTGRES), app(replicas=2))
    _accepted(looks)
    made = looks.backup("before")
    assert made["status"]["phase"] == "Succeeded", made["status"]
    data.sql("INSERT INTO orders VALUES (0, 'after the backup')")
    data.sql("DROP TABLE orders")

    done = looks.restore("back", to={"backup": "before"}, into={"swap": True}, stop=[{"name": "app"}])["status"]
    assert done["phase"] == "Succeeded", done
    assert {step["name"]: step["state"] for step in done["steps"]} == dict.fromkeys(
        ("Identified", "Verified", "Stopped", "SafetyBackup", "Restored", "Validated", "Started"), "Done"
    )
    assert data.sql(CHECKSUM) == checksum
    assert (kube.get("deployment", "app") or {})["spec"]["replicas"] == 2
    assert done["stopped"][0] | {"replicas": 2, "name": "app"} == done["stopped"][0]
    # What was there is kept twice: as a Backup, and under another name on the server.
    assert (kube.get("backup", done["safetyBackup"]) or {})["status"]["phase"] == "Succeeded"
    assert data.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'orders'", database=done["keptDatabase"]) == "0"


def test_a_restore_test_passes_and_finds_what_was_damaged_on_purpose(
    kube: Kube, data: Data, looks: Looks, operator: Operator
) -> None:
    data.fill()
    orders = {"name": "orders", "sql": "SELECT count(*) FROM orders", "equals": "20000"}
    # As a user that the image does not know: PostgreSQL refuses one without a name.
    proof = {"restoreTest": {"schedule": FAR, "assertions": [orders]}}
    kube.apply(schedule(POSTGRES, verification=proof, job={"runAsUser": ANYBODY}))
    _accepted(looks)
    assert looks.backup("first")["status"]["phase"] == "Succeeded"
    assert looks.task("proof", "restore-test"), looks.told()
    until(
        lambda: looks.condition("Verified").get("reason") == "Restored",
        within=60,
        says="the schedule says it is proven",
    )
    verified = (kube.get("backup", "first") or {})["status"]["verified"]
    assert [v["passed"] for v in verified if v["how"] == "RestoreTest"] == [True]

    # One byte in the middle of the largest pack, as a bad disk would have it; its name and size stay.
    looks.inside(
        "backups",
        r"""
        pack=$(find /claim -path '*/data/*' -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
        chmod u+w "$pack"
        python3 - "$pack" <<'END'
        import sys
        with open(sys.argv[1], "r+b") as file:
            file.seek(0, 2)
            middle = file.tell() // 2
            file.seek(middle)
            byte = file.read(1)
            file.seek(middle)
            file.write(bytes([byte[0] ^ 0xFF]))
        END
        """,
        user=ANYBODY,
    )
    assert not looks.task("proof-2", "restore-test")
    until(
        lambda: looks.condition("Verified").get("reason") == "VerificationFailed",
        within=60,
        says="the schedule says that it is not",
    )
    # A point that was seen to be bad is none to recover from.
    until(
        lambda: not ((kube.get("backupschedule", "sales") or {})["status"]["repositories"][0].get("recoverableUntil")),
        within=60,
        says="nothing can be recovered from it",
    )


def test_the_copy_elsewhere_brings_back_what_the_primary_lost(
    kube: Kube, data: Data, looks: Looks, s3: Bucket, operator: Operator
) -> None:
    checksum = data.fill()
    kube.apply(schedule(POSTGRES, s3.place()))
    _accepted(looks)
    assert looks.backup("first")["status"]["phase"] == "Succeeded"
    looks.inside("backups", "chmod -R u+w /claim/* && rm -rf /claim/*")
    data.sql("DROP TABLE orders")
    # The state that is there cannot be backed up where the primary is gone: the person says so.
    asked = {"to": {"backup": "first"}, "into": {"swap": True}, "repository": "copy-0", "safetyBackup": False}
    done = looks.restore("back", **asked)["status"]
    assert done["phase"] == "Succeeded", done
    assert data.sql(CHECKSUM) == checksum


def test_a_dead_copy_does_not_lose_the_backup_and_does_not_hide(
    kube: Kube, data: Data, looks: Looks, s3: Bucket, operator: Operator
) -> None:
    data.fill()
    kube.apply(schedule(POSTGRES, s3.place()))
    _accepted(looks)
    s3.stop()
    status = looks.backup("alone", within=400)["status"]
    copies = {c["repository"]: c["state"] for c in status["copies"]}
    assert (status["phase"], copies["primary"]) == ("Succeeded", "Present"), status
    assert copies["copy-0"] in {"Failed", "Missing"}
    s3.start()
    status = looks.backup("both", within=300)["status"]
    assert {c["state"] for c in status["copies"]} == {"Present"}, status


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("password", "WrongPassword"), ("key", "WrongKey")],
)
def test_what_was_wrong_is_named_and_no_secret_with_it(
    kube: Kube, data: Data, looks: Looks, operator: Operator, wrong: str, reason: str
) -> None:
    data.fill()
    kube.apply(schedule(POSTGRES))
    _accepted(looks)
    assert looks.backup("good")["status"]["phase"] == "Succeeded"
    if wrong == "password":
        kube.apply(secret("database", dsn=data.dsn(password="not-the-database-word")))
    else:
        kube.apply(secret("key", passphrase="some other passphrase", other="x"))
    status = looks.backup("bad")["status"]
    assert status["phase"] == "Failed"
    complete = next(c for c in status["conditions"] if c["type"] == "Complete")
    assert complete["reason"] == reason, complete
    said = kube.run("get", "bs,bk,jobs,events,pods", "-o", "yaml").stdout + looks.told() + operator.log
    for word in ("not-the-database-word", "e2e-database-word", "e2e-passphrase", "some other passphrase"):
        assert word not in said.replace("value: e2e-database-word", "")


def test_a_pod_that_is_killed_while_it_restores_leaves_the_old_database_in_place(
    kube: Kube, data: Data, looks: Looks, operator: Operator
) -> None:
    checksum = data.fill(rows=400000)
    kube.apply(schedule(POSTGRES))
    _accepted(looks)
    assert looks.backup("before", within=300)["status"]["phase"] == "Succeeded"
    data.sql("UPDATE orders SET what = 'wrong' WHERE id % 2 = 0")
    kube.apply(
        {
            "apiVersion": "lastgood.dev/v1alpha1",
            "kind": "Restore",
            "metadata": {"name": "back"},
            "spec": {"schedule": "sales", "needsApproval": False, "into": {"swap": True}, "to": {"backup": "before"}},
        }
    )

    def restoring() -> str | None:
        for pod in kube.all("pods"):
            labels = pod["metadata"].get("labels", {})
            if labels.get("lastgood.dev/task") == "restore" and pod["status"].get("phase") == "Running":
                return str(pod["metadata"]["name"])
        return None

    victim = until(restoring, within=240, says="the pod that restores runs")
    kube.run("delete", "pod", victim, "--grace-period=0", "--force")
    # The old one has its name for as long as the new one is not whole.
    assert data.sql("SELECT count(*) FROM orders WHERE what = 'wrong'") == "200000"
    # Nobody can say how far it came, so it is not tried again unasked: what stands is said, and nothing was swapped.
    done = looks.ended("restore", "back", within=400)["status"]
    assert done["phase"] == "Failed", done
    assert done["wayBack"], done
    assert data.sql("SELECT count(*) FROM orders WHERE what = 'wrong'") == "200000"
    again = looks.restore("again", to={"backup": "before"}, into={"swap": True}, within=500)["status"]
    assert again["phase"] == "Succeeded", again
    assert data.sql(CHECKSUM) == checksum


@pytest.fixture
def logged(kube: Kube, jobs: None) -> Data:
    """The same PostgreSQL on a claim, with its log to be received."""
    data = Data(kube)
    servers = server(kube.namespace, "postgres", port=5432, data="data")
    kube.apply(*servers, *secrets(data), claim("data"), claim("backups"))
    until(lambda: kube.run(*READY, check=False).returncode == 0, within=120, says="PostgreSQL is there")
    allow = "echo 'host replication all all scram-sha-256' >> /data/pg/pg_hba.conf"
    kube.run("exec", "postgres-0", "--", "sh", "-c", allow)
    data.sql("SELECT pg_reload_conf()", database="postgres")
    data.fill()
    return data


WAL = {"postgres": {"dsn": {"name": "database", "key": "dsn"}, "method": "wal", "spoolSize": "1Gi"}}


def test_a_deleted_schedule_leaves_no_slot_and_a_restarted_receiver_keeps_it(
    kube: Kube, logged: Data, looks: Looks, operator: Operator
) -> None:
    kube.apply(schedule(WAL))
    _accepted(looks)
    base = looks.backup("base", within=300)["status"]
    assert base["phase"] == "Succeeded", base

    def slots() -> str:
        return logged.sql("SELECT slot_name, active FROM pg_replication_slots", database="postgres")

    def receiver() -> str:
        found = [p for p in kube.all("pods") if p["metadata"].get("labels", {}).get("lastgood.dev/task") == "receive"]
        return " ".join(sorted(p["metadata"]["name"] for p in found))

    until(lambda: slots().endswith("|t"), within=90, says="the receiver receives")
    before, pod = slots(), receiver()
    kube.run("delete", "pod", pod, "--wait=true")
    until(lambda: pod not in receiver() and slots().endswith("|t"), within=90, says="another receiver receives")
    assert slots() == before
    # With it its account and its rights are collected, before the pod is told to end.
    kube.run("delete", "bs", "sales", "--wait=true")
    until(lambda: slots() == "", within=90, says="the slot is gone")
    until(lambda: receiver() == "", within=90, says="the receiver is gone")
    assert slots() == ""


def test_a_moment_between_two_transactions_comes_back_from_the_log(
    kube: Kube, logged: Data, looks: Looks, operator: Operator
) -> None:
    data = logged
    kube.apply(schedule(WAL))
    _accepted(looks)
    base = looks.backup("base", within=300)["status"]
    assert base["phase"] == "Succeeded", base
    data.sql("INSERT INTO orders SELECT n, 'kept' FROM generate_series(30001, 30100) n")
    time.sleep(1.2)  # the moment lies between two transactions, not within one's second
    moment = data.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    checksum = data.sql(CHECKSUM)
    time.sleep(1.2)
    data.sql("DELETE FROM orders WHERE id % 3 = 0")
    tick = looks.backup("tick", "Incremental", within=300)["status"]
    assert tick["phase"] == "Succeeded", tick
    done = looks.restore(
        "back",
        to={"time": moment},
        into={"inPlace": True},
        server={"statefulSet": "postgres", "claim": "data", "subPath": "pg"},
        within=500,
    )["status"]
    assert done["phase"] == "Succeeded", done
    until(lambda: kube.run(*READY, check=False).returncode == 0, within=120, says="PostgreSQL is there again")
    assert data.sql(CHECKSUM) == checksum


def test_declared_objects_come_back_with_the_rights_of_an_account_that_a_person_named(
    kube: Kube, jobs: None, looks: Looks, operator: Operator
) -> None:
    kube.apply(*secrets(Data(kube)), claim("backups"), config_map("rules", rule="old"), config_map("gone", x="1"))
    declared = schedule({"config": {"resources": ["configmaps", "services"]}})
    del declared["spec"]["schedule"]["incremental"]
    kube.apply(declared)
    _accepted(looks)
    before = looks.backup("before", within=300)["status"]
    assert before["phase"] == "Succeeded", before
    kube.run("delete", "configmap", "gone")
    kube.apply(config_map("rules", rule="new"))
    asked: dict[str, Any] = {"to": {"backup": "before"}, "into": {"inPlace": True}, "serviceAccount": "config-restore"}
    kube.run("create", "serviceaccount", "config-restore")
    powerless = looks.restore("powerless", **asked)["status"]
    assert powerless["phase"] == "Failed", powerless
    assert next(c for c in powerless["conditions"] if c["type"] == "Complete")["reason"] == "ClusterForbidden"
    assert kube.get("configmap", "gone") is None
    role = f"--clusterrole={ROLES}-config-restore"
    kube.run("create", "rolebinding", "config-restore", role, f"--serviceaccount={kube.namespace}:config-restore")
    back = looks.restore("back", **asked)["status"]
    assert back["phase"] == "Succeeded", back
    data = {name: (kube.get("configmap", name) or {})["data"] for name in ("rules", "gone")}
    assert data == {"rules": {"rule": "old"}, "gone": {"x": "1"}}
