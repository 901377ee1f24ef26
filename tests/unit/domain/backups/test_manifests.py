"""Jobs and pods: each task sees what it needs at the paths of the contract, and nothing else."""

import json
from typing import Any, get_args

import pytest
from tests.unit.domain.backups.making import S3, UID, declared

from lastgood.api.backupjob import CREDENTIALS, VOLUMES, JobSpec, RestoreJob, Task
from lastgood.api.restore import RestoreSpec
from lastgood.domain.backups.manifests import job_for, owner_reference
from lastgood.domain.backups.names import child, fitting, slot_of
from lastgood.domain.backups.pods import Declared, Options

OPTIONS = Options("docker.io/local/lastgood-backup:1")
OWNER = owner_reference("Backup", "before", "uid-b")
FULL_HOUSE = {
    "repositories": {
        "primary": {"volume": {"claim": "backups"}},
        "secondary": [
            {"name": "offsite", "s3": {**S3, "ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}}},
            {
                "name": "attic",
                "sftp": {
                    "host": "attic",
                    "user": "bk",
                    "path": "/srv",
                    "privateKey": {"name": "ssh", "key": "id"},
                    "knownHosts": {"name": "ssh", "key": "hosts"},
                },
            },
        ],
    },
    "encryption": {
        "secretKeyRef": {"name": "backup-key", "key": "passphrase"},
        "previous": {"name": "old-key", "key": "passphrase"},
    },
}


def pod(task: Task, schedule: Declared, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = job_for(task, schedule, OPTIONS, name="j", owner=OWNER, **more).job["spec"]["template"][
        "spec"
    ]
    return found


def files(spec: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Path of each credential to (object, key)."""
    found = {}
    for volume in spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            (kind, entry), *rest = source.items()
            assert not rest
            found |= {item["path"]: (f"{kind}/{entry['name']}", item["key"]) for item in entry["items"]}
    return found


def mounts(spec: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Path of each claim to (its name, whether it can be written to)."""
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v
    }
    (container,) = spec["containers"]
    return {
        m["mountPath"].removeprefix(VOLUMES + "/"): (claims[m["name"]], not m.get("readOnly", False))
        for m in container["volumeMounts"]
        if m["name"] in claims
    }


def restore(**more: Any) -> RestoreJob:
    return RestoreJob(name="back", uid="uid-r", spec=RestoreSpec.model_validate({"schedule": "shop", **more}))


def test_credentials_are_at_the_paths_of_the_contract() -> None:
    found = files(pod("full", declared(**FULL_HOUSE)))
    assert found == {
        "source/dsn": ("secret/db", "dsn"),
        "key/current": ("secret/backup-key", "passphrase"),
        "key/previous": ("secret/old-key", "passphrase"),
        "repositories/offsite/access-key-id": ("secret/s3", "id"),
        "repositories/offsite/secret-access-key": ("secret/s3", "secret"),
        "repositories/offsite/ca.crt": ("configMap/ca", "ca.crt"),
        "repositories/attic/private-key": ("secret/ssh", "id"),
        "repositories/attic/known-hosts": ("secret/ssh", "hosts"),
    }
    (mount,) = [
        m for m in pod("full", declared(**FULL_HOUSE))["containers"][0]["volumeMounts"] if m["name"] == "credentials"
    ]
    assert mount == {"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True}


@pytest.mark.parametrize("task", ["data-sample", "prune"])
def test_what_only_looks_at_what_is_stored_never_sees_the_source(task: Task) -> None:
    found = files(pod(task, declared(**FULL_HOUSE), restore=restore()))
    assert "key/current" in found
    assert not [path for path in found if path.startswith("source/")]


@pytest.mark.parametrize("task", ["restore-test", "full-check", "verify"])
def test_what_restores_knows_which_database_it_is_about(task: Task) -> None:
    found = files(pod(task, declared(**FULL_HOUSE), restore=restore()))
    assert {"key/current", "source/dsn"} <= set(found)


@pytest.mark.parametrize("task", ["receive", "swap", "validate"])
def test_what_only_deals_with_the_source_never_sees_a_repository(task: Task) -> None:
    found = files(pod(task, declared(**FULL_HOUSE, rpo="1h"), restore=restore()))
    assert set(found) == {"source/dsn"}
    assert not [path for path in mounts(pod(task, declared(rpo="1h"), restore=restore())) if path.startswith("repos")]


def test_the_rights_to_restore_are_given_to_what_restores() -> None:
    job = restore(dsn={"name": "db-admin", "key": "dsn"})
    assert files(pod("restore", declared(), restore=job))["source/restore-dsn"] == ("secret/db-admin", "dsn")
    assert "source/restore-dsn" not in files(pod("safety", declared(), restore=job))


def test_the_spool_is_mounted_by_what_receives_seals_and_makes_bases() -> None:
    wal = declared(rpo="1h")
    for task in get_args(Task):
        mounted = mounts(pod(task, wal, restore=restore()))
        assert ("spool" in mounted) == (task in {"full", "incremental", "receive", "safety"}), task
    assert mounts(pod("full", wal))["spool"] == ("shop-spool", True)
    affinity = pod("full", wal)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert affinity == [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"lastgood.dev/receiver": UID}}}
    ]
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in pod("prune", wal)["affinity"]["podAffinity"]


def test_what_reads_a_claim_wants_to_be_where_its_pods_are() -> None:
    schedule = declared(source={"volume": {"claims": ["vectors"], "mountedBy": {"app": "search", "tier": "a"}}})

    def wishes(task: Task) -> list[tuple[int, dict[str, str]]]:
        found = pod(task, schedule)["affinity"]["podAffinity"]
        assert set(found) == {"preferredDuringSchedulingIgnoredDuringExecution"}
        terms = [(w["weight"], w["podAffinityTerm"]) for w in found["preferredDuringSchedulingIgnoredDuringExecution"]]
        assert {term["topologyKey"] for _, term in terms} == {"kubernetes.io/hostname"}
        return [(weight, term["labelSelector"]["matchLabels"]) for weight, term in terms]

    (holder, labels), (others, _) = wishes("full")
    assert labels == {"app": "search", "tier": "a"}
    assert holder > others
    # What reads only the repository may be anywhere, best beside the schedule's other jobs.
    assert [labels for _, labels in wishes("prune")] == [{"lastgood.dev/schedule-uid": UID}]


def test_files_are_read_only_in_the_pod_and_left_as_they_are() -> None:
    schedule = declared(source={"volume": {"claims": ["vectors"]}})
    spec = pod("full", schedule)
    assert mounts(spec) == {"repositories/primary": ("backups", True), "source/vectors": ("vectors", False)}
    (source,) = [v for v in spec["volumes"] if v.get("persistentVolumeClaim", {}).get("claimName") == "vectors"]
    # So the kubelet gives the files no other group.
    assert source["persistentVolumeClaim"]["readOnly"] is True
    assert spec["securityContext"]["fsGroup"] == 65532


def test_a_claim_that_is_source_and_repository_can_be_written_in_one_place_only() -> None:
    schedule = declared(source={"volume": {"claims": ["backups"]}})
    spec = pod("full", schedule)
    assert mounts(spec) == {"repositories/primary": ("backups", True), "source/backups": ("backups", False)}
    assert len([v for v in spec["volumes"] if "persistentVolumeClaim" in v]) == 1


def test_a_servers_volume_keeps_its_modes() -> None:
    schedule = declared(source={"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "physical"}})
    job = restore(server={"statefulSet": "pg", "claim": "data-pg-0"}, into={"inPlace": True})
    spec = pod("restore", schedule, restore=job)
    assert mounts(spec)["server/data-pg-0"] == ("data-pg-0", True)
    # With a group of its own the data directory would be open to it, and PostgreSQL refuse to start.
    assert "fsGroup" not in spec["securityContext"]
    assert "server/data-pg-0" not in mounts(pod("validate", schedule, restore=job))


def test_a_new_volume_is_filled_and_then_only_looked_at() -> None:
    schedule = declared(source={"volume": {"claims": ["vectors"]}})
    job = restore(into={"newVolume": {"claim": "vectors-2", "size": "1Gi"}})
    assert mounts(pod("restore", schedule, restore=job))["target/vectors-2"] == ("vectors-2", True)
    assert mounts(pod("validate", schedule, restore=job))["target/vectors-2"] == ("vectors-2", False)
    assert "server/vectors" not in mounts(pod("restore", schedule, restore=job))
    in_place = restore(into={"inPlace": True})
    assert mounts(pod("restore", schedule, restore=in_place))["server/vectors"] == ("vectors", True)


@pytest.mark.parametrize("task", get_args(Task))
def test_no_pod_has_a_right_that_it_does_not_need(task: Task) -> None:
    spec = pod(task, declared(rpo="1h", **FULL_HOUSE), restore=restore())
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ask = {"full", "incremental", "data-sample", "restore-test", "full-check", "prune", "safety", "receive"}
    assert spec["automountServiceAccountToken"] == (task in ask)
    assert {e["name"] for e in container["env"]} == {"JOB_NAME", "POD_NAME", "POD_NAMESPACE", "HOME"}
    assert container["args"] == ["job", "--spec", "/etc/lastgood/job/spec.json"]


@pytest.mark.parametrize("task", ["verify", "restore", "validate"])
def test_declared_objects_go_back_as_the_account_that_the_restore_names(task: Task) -> None:
    schedule = declared(source={"config": {}})
    named = restore(serviceAccount="mighty")
    spec = pod(task, schedule, restore=named)
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("mighty", True)
    assert "key/current" in files(spec)
    assert "repositories/primary" in mounts(spec)
    into_claim = restore(serviceAccount="mighty", into={"newVolume": {"claim": "look", "size": "1Gi"}})
    spec = pod(task, schedule, restore=into_claim)
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("shop-backup", False)


@pytest.mark.parametrize("task", get_args(Task))
def test_nothing_else_runs_as_the_account_that_a_restore_names(task: Task) -> None:
    named = restore(serviceAccount="mighty")
    for schedule in (declared(), declared(source={"volume": {"claims": ["vectors"]}})):
        assert pod(task, schedule, restore=named)["serviceAccountName"] == "shop-backup"
    if task not in {"verify", "restore", "validate"}:
        assert pod(task, declared(source={"config": {}}), restore=named)["serviceAccountName"] == "shop-backup"


def test_no_secret_is_in_what_a_job_is_told() -> None:
    made = job_for("full", declared(rpo="1h", **FULL_HOUSE), OPTIONS, name="before", owner=OWNER, backup="before")
    told = JobSpec.model_validate_json(made.config_map["data"]["spec.json"])
    assert (told.task, told.schedule, told.backup, told.namespace) == ("full", "shop", "before", "prod")
    assert told.spec == declared(rpo="1h", **FULL_HOUSE).spec
    assert told.slot == slot_of(UID)
    assert json.loads(made.config_map["data"]["spec.json"])["spec"]["source"]["postgres"]["dsn"] == {
        "name": "db",
        "key": "dsn",
    }


def test_a_job_made_once_goes_with_its_owner_and_has_a_name_that_finds_it_again() -> None:
    made = job_for("full", declared(), OPTIONS, name="n" * 200, owner=OWNER, deadline=90)
    assert made.job["metadata"]["name"] == made.config_map["metadata"]["name"]
    assert len(made.job["metadata"]["name"]) == 63
    assert made.job["metadata"]["ownerReferences"] == [OWNER]
    assert made.job["spec"]["activeDeadlineSeconds"] == 90
    assert job_for("full", declared(), OPTIONS, name="n" * 200, owner=OWNER, deadline=90) == made
    assert made.job["metadata"]["labels"]["lastgood.dev/schedule-uid"] == UID


def test_names_fit_and_differ() -> None:
    assert child("shop", "full-check") == "shop-full-check"
    long = [child("a" * 60 + end, "restore-test") for end in ("", "x", ".y", "z" * 190)]
    assert len(set(long)) == 4
    assert all(len(name) <= 52 and name.endswith("-restore-test") for name in long)
    assert fitting("a" * 54 + "." + "b" * 20, 63).count("..") == 0
    assert slot_of(UID) == "lastgood_0a1b2c3d111122223333444455556666"
