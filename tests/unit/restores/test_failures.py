"""Each way to fail: the reason, whether the shop runs again, what is said of the way back."""

import json
from typing import Any

import pytest
from tests.unit.restores.api import (
    Api,
    all_well,
    backup,
    claim,
    complete,
    drive,
    fails,
    restore,
    source,
    stage,
    stateful,
    steps,
)

from lastgood.domain.restores.observed import job_seen

SERVER = {"statefulSet": "pg", "claim": "data-pg-0"}
WAL = {"method": "wal", "earliest": "2026-01-01T00:00:00Z"}


async def ended(api: Api, job: Any = all_well, **spec: Any) -> tuple[str, str, int]:
    """Reason, way back, and replicas of the shop at the end."""
    api.put("restores", restore(**spec))
    await drive(api, job)
    status = api.has("restores", "back")["status"]
    shop = api.objects.get(("deployments", "shop"))
    return complete(api)["reason"], status.get("wayBack", ""), shop["spec"]["replicas"] if shop else -1


def failing(task: str, how: Any) -> Any:
    return lambda name: how if name == task else all_well(name)


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
EVICTED = {"terminated": {"exitCode": 1}, "pod": {"reason": "Evicted", "message": "The node was low on memory."}}
PREEMPTED = {
    "terminated": {"exitCode": 143},
    "pod": {"conditions": [{"type": "DisruptionTarget", "status": "True", "message": "preempted"}]},
}
MUTE = {"terminated": {"exitCode": 3}}
LOST = {"terminated": {"exitCode": 1}, "pod_gone": True}
LATE = {"terminated": {"exitCode": 1}, "job_reason": "DeadlineExceeded"}
GONE = {"terminated": {"exitCode": 1}, "vanishes": True}


@pytest.mark.parametrize(
    ("mode", "task", "how", "reason", "replicas", "says"),
    [
        ("swap", "verify", fails("verify", "WrongKey"), "WrongKey", 2, "nothing was changed"),
        (
            "swap",
            "safety",
            fails("safety", "DiskFull"),
            "DiskFull",
            2,
            "nothing was changed; deployment/shop is started",
        ),
        ("inPlace", "safety", EVICTED, "PodEvicted", 2, "nothing was changed; deployment/shop is started again"),
        ("swap", "restore", OOM, "OutOfMemory", 2, 'database "shop" was not touched; deployment/shop is started again'),
        ("swap", "restore", fails("restore"), "Unreachable", 2, '" can be dropped, if it is there'),
        ("swap", "validate", MUTE, "JobFailed", 2, "holds what was restored, and can be dropped"),
        ("swap", "swap", fails("swap", "InUse"), "InUse", 2, 'database "shop" was not touched'),
        ("swap", "swap", LOST, "PodLost", 0, "it is not known whether the names were given"),
        ("swap", "swap", GONE, "JobVanished", 0, "either is whole. deployment/shop stays at 0 replicas"),
        ("inPlace", "restore", fails("restore"), "Unreachable", 0, "may be half restored; deployment/shop stays at 0"),
        (
            "inPlace",
            "restore",
            {**fails("restore"), "untouched": True},
            "Unreachable",
            2,
            "nothing was changed; deploy",
        ),
        ("inPlace", "restore", OOM, "OutOfMemory", 0, "kubectl create -f -"),
        ("inPlace", "restore", PREEMPTED, "PodEvicted", 0, "may be half restored"),
        ("inPlace", "restore", LATE, "JobTimeout", 0, "kubectl scale -n shop deployment/shop --replicas=2"),
        ("inPlace", "restore", GONE, "JobVanished", 0, "may be half restored"),
        ("inPlace", "validate", fails("validate", "ValidationFailed"), "ValidationFailed", 0, "is not valid"),
    ],
)
async def test_a_job_fails(mode: str, task: str, how: Any, reason: str, replicas: int, says: str) -> None:
    api = stage()
    found = await ended(api, failing(task, how), into={mode: True})
    assert found[0] == reason
    assert says in found[1]
    assert found[2] == replicas
    whole = next(c for c in api.has("restores", "back")["status"]["conditions"] if c["type"] == "DataWhole")
    assert whole["status"] == str(replicas == 2)
    assert not api.has("restores", "back")["metadata"]["finalizers"] if task != "verify" else True


async def test_a_new_database_is_said_to_be_dropped_where_the_job_could_not() -> None:
    """A job that fails drops what it has made; one that is killed cannot."""
    found = await ended(stage(), failing("restore", OOM), into={"newDatabase": {"name": "copy"}})
    assert found[0] == "OutOfMemory"
    assert found[1].startswith("nothing in use was changed")
    assert found[1].endswith('drop database "copy" before another try, if it is there')


async def test_a_job_that_only_reads_is_run_again_when_it_has_vanished() -> None:
    vanished: list[str] = []

    def job(task: str) -> Any:
        if task in {"verify", "validate"} and task not in vanished:
            vanished.append(task)
            return GONE
        return all_well(task)

    assert (await ended(stage(), job))[0] == "Succeeded"


async def test_a_safety_backup_whose_job_has_vanished_counts_when_its_record_is_there() -> None:
    api = stage()

    def job(task: str) -> Any:
        if task == "safety":
            api.put("backups", backup("back-safety-uidresto", "2026-01-03T00:00:00Z"))
            return GONE
        return all_well(task)

    assert (await ended(api, job))[0] == "Succeeded"
    assert api.has("restores", "back")["status"]["safetyBackup"] == "back-safety-uidresto"


async def test_way_back_of_a_server_names_server_and_stop_and_is_a_restore() -> None:
    api = stage(source=source("wal"))
    for body in api.all("backups"):
        body["status"] |= WAL
    api.put("statefulsets", stateful())
    api.put("persistentvolumeclaims", claim())
    api.tick(all_well)
    reason, back, replicas = await ended(api, failing("restore", OOM), server=SERVER)
    assert (reason, replicas, api.has("statefulsets", "pg")["spec"]["replicas"]) == ("OutOfMemory", 0, 0)
    assert "the server statefulset/pg stays stopped" in back
    told = json.loads(back.split("echo '")[1].split("' |")[0])
    assert told["spec"]["to"] == {"backup": "safe"}
    assert told["spec"]["server"]["statefulSet"] == "pg"
    api.put("backups", backup("safe", "2026-01-03T00:00:00Z", **WAL))
    told["metadata"] = {"name": "again"}
    api.put("restores", told)
    await drive(api, all_well, "again")
    assert complete(api, "again")["reason"] == "Succeeded"
    assert (api.has("statefulsets", "pg")["spec"]["replicas"], api.has("deployments", "shop")["spec"]["replicas"]) == (
        1,
        2,
    )


def server_stage(pg: Any = None, data: Any = None) -> Api:
    api = stage(source=source("wal"))
    for body in api.all("backups"):
        body["status"] |= WAL
    api.put("statefulsets", pg or stateful())
    api.put("persistentvolumeclaims", data or claim())
    return api


CONFIG = {"config": {}}
NEW_CLAIM = {"into": {"newVolume": {"claim": "c", "size": "1Gi"}}}
CNPG = {"labels": {"cnpg.io/cluster": "db"}}
PGO = {
    "ownerReferences": [
        {
            "apiVersion": "postgres-operator.crunchydata.com/v1beta1",
            "kind": "PostgresCluster",
            "name": "db",
            "controller": True,
        }
    ]
}
OWN = {"ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Db", "name": "db", "controller": True}]}


@pytest.mark.parametrize(
    ("api", "spec", "reason", "says"),
    [
        (stage(), {"schedule": "x"}, "ScheduleNotFound", 'BackupSchedule "x" does not exist'),
        (stage(), {"repository": "x"}, "RepositoryUnknown", "it has primary, away"),
        (stage(), {"repository": "away"}, "NoBackup", 'is in repository "away"'),
        (stage(), {"into": {"newVolume": {"claim": "c", "size": "1Gi"}}}, "IntoNotPossible", "write swap or inPlace"),
        (stage(source={"logs": {"workloads": [{"name": "a"}]}}), {}, "IntoNotPossible", "write newVolume"),
        (stage(), {"stop": [{"kind": "StatefulSet", "name": "x"}]}, "TargetNotFound", 'StatefulSet "x" of spec.stop'),
        (stage(), {"services": ["x"]}, "ServiceNotFound", 'MonitoredService "x"'),
        (server_stage(), {}, "ServerMissing", "name its StatefulSet and claim in spec.server"),
        (server_stage(), {"server": {"statefulSet": "x", "claim": "data-pg-0"}}, "TargetNotFound", 'StatefulSet "x"'),
        (server_stage(), {"server": {"statefulSet": "pg", "claim": "x"}}, "ClaimNotFound", 'claim "x"'),
        (server_stage(data=claim("other")), {"server": {"statefulSet": "pg", "claim": "other"}}, "ClaimNotOfServer", "it has data-pg-0"),
        (server_stage(stateful(replicas=3)), {"server": SERVER}, "ServerHasReplicas", "scale it to 1 first"),
        (server_stage(stateful(replicas=0)), {"server": SERVER}, "ServerStopped", "scale it to 1"),
        (server_stage(data=claim(**CNPG)), {"server": SERVER}, "ServerManaged", "CloudNativePG"),
        (server_stage(data=claim("db-1", **CNPG)), {"server": {"statefulSet": "db", "claim": "db-1"}}, "ServerManaged", "spec.bootstrap.recovery"),
        (server_stage(stateful(**PGO)), {"server": SERVER}, "ServerManaged", "spec.backups.pgbackrest.restore"),
        (server_stage(stateful(**OWN)), {"server": SERVER}, "ServerManaged", "restore it with the operator that owns it"),
        (stage(source=CONFIG), {}, "ServiceAccountMissing", "name in spec.serviceAccount one that may write"),
        (stage(source=CONFIG), {"serviceAccount": "x"}, "ServiceAccountNotFound", 'ServiceAccount "x"'),
        (stage(source=CONFIG), {"serviceAccount": "x", **NEW_CLAIM}, "ServiceAccountNotUsed", "leave out"),
        (stage(), {"serviceAccount": "x"}, "ServiceAccountNotUsed", "leave out spec.serviceAccount"),
        (stage(), {"to": {"time": "2020-01-01T00:00:00Z"}}, "BeforeOldestPoint", "2026-01-01T00:00:00Z"),
    ],
)  # fmt: skip
async def test_what_stands_against_it_before_anything_is_touched(api: Api, spec: Any, reason: str, says: str) -> None:
    found = await ended(api, **spec)
    assert (found[0], found[1], found[2]) == (reason, "nothing was changed", 2)
    assert says in complete(api)["message"]
    assert steps(api)["Identified"] == "Failed"
    assert {verb for verb, _, _ in api.writes} == {"status"}


async def test_declared_objects_that_were_written_by_half_name_the_account_in_the_way_back() -> None:
    api = stage(source=CONFIG)
    api.put("serviceaccounts", {"metadata": {"name": "mighty"}})
    job = failing("restore", fails("restore", "PartlyRestored", "1 of 2 objects"))
    reason, back, replicas = await ended(api, job, serviceAccount="mighty")
    assert (reason, replicas) == ("PartlyRestored", 0)
    told = json.loads(back.split("echo '")[1].split("' |")[0])
    assert (told["spec"]["serviceAccount"], told["spec"]["to"]) == ("mighty", {"backup": "safe"})


async def test_refused_by_a_person_and_by_the_api_server() -> None:
    api = stage()
    found = await ended(api, needsApproval=True, approval="Refused")
    assert (found[0], found[2]) == ("Refused", 2)
    quota = stage()
    quota.refuse = {"jobs"}
    assert (await ended(quota))[0] == "JobRefused"


async def test_a_claim_that_somebody_else_mounts() -> None:
    api = stage(source={"volume": {"claims": ["uploads"]}})
    api.put("persistentvolumeclaims", claim("uploads"))
    mount = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "uploads"}}]}
    api.put("pods", {"metadata": {"name": "cron-1"}, "spec": mount, "status": {"phase": "Running"}})
    found = await ended(api)
    assert (found[0], found[2]) == ("ClaimInUse", 2)
    assert "cron-1" in complete(api)["message"]


async def test_a_pod_that_ends_between_two_looks_is_no_stranger() -> None:
    """The server's own pod is there by one list of pods and gone by the next."""
    api = server_stage()
    listed, seen = api.list_objects, []

    async def list_objects(kind: str, namespace: str, selector: str = "") -> Any:
        found = await listed(kind, namespace, selector)
        for pod in found:
            if kind == "pods" and pod["metadata"]["name"] == "pg-0":
                pod["spec"] = {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data-pg-0"}}]}
                if not api.has("statefulsets", "pg")["spec"]["replicas"]:
                    seen.append(api.objects.pop(("pods", "pg-0")))
        return found

    api.list_objects = list_objects  # type: ignore[method-assign]
    found = await ended(api, server=SERVER)
    assert seen
    assert found[0] == "Succeeded", found


async def test_new_volume_is_made_once_and_is_nobodys_child() -> None:
    api = stage(source={"volume": {"claims": ["uploads"]}})
    found = await ended(api, into={"newVolume": {"claim": "fresh", "size": "2Gi"}}, stop=[])
    assert found[0] == "Succeeded"
    made = api.has("persistentvolumeclaims", "fresh")
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"]["resources"]["requests"]["storage"] == "2Gi"
    api.put("restores", restore("other", into={"newVolume": {"claim": "fresh", "size": "2Gi"}}, stop=[]))
    await drive(api, all_well, "other")
    assert complete(api, "other")["reason"] == "ClaimExists"


def test_a_job_without_pod_and_one_that_cannot_be_scheduled() -> None:
    job = {"metadata": {"name": "j"}, "status": {}}
    assert job_seen(job, ()).state == "Running"
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "conditions": [unschedulable]}}
    assert job_seen(job, (pod,)).waiting == "Unschedulable: 0/3 nodes"
    pulling = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Pending", "containerStatuses": [pulling]}}
    assert job_seen(job, (pod,)).waiting == "ImagePullBackOff: no such image"
