"""What a schedule is made into; and that nothing is written when nothing differs."""

import copy
from typing import Any

import pytest
from tests.unit.domain.backups.making import UID, declared

from lastgood.domain.backups.children import SINCE, children, differs, is_ours, roles, to_write
from lastgood.domain.backups.pods import Declared, Options

OPTIONS = Options("docker.io/local/lastgood-backup:1", roles="release-lastgood")
T1, T2 = "2025-11-25T12:00:00.000000Z", "2025-11-26T12:00:00.000000Z"


def made(schedule: Declared) -> dict[tuple[str, str], dict[str, Any]]:
    return {(kind, body["metadata"]["name"]): body for kind, body in children(schedule, OPTIONS)}


def test_a_dump_becomes_six_cronjobs_and_an_account() -> None:
    found = made(declared())
    assert list(found) == [
        ("configmaps", "shop-jobs"),
        ("serviceaccounts", "shop-backup"),
        ("rolebindings", "shop-backup-job"),
        ("cronjobs", "shop-full"),
        ("cronjobs", "shop-data-sample"),
        ("cronjobs", "shop-restore-test"),
        ("cronjobs", "shop-full-check"),
        ("cronjobs", "shop-incremental"),
        ("cronjobs", "shop-prune"),
    ]
    for body in found.values():
        assert is_ours(body, UID)
        assert not is_ours(body, "another")
        assert body["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] is False
    full = found["cronjobs", "shop-full"]["spec"]
    assert (full["schedule"], full["timeZone"], full["concurrencyPolicy"]) == ("0 2 * * *", "Etc/UTC", "Forbid")
    assert (full["startingDeadlineSeconds"], full["suspend"]) == (86400, False)
    assert full["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 7200
    assert found["cronjobs", "shop-incremental"]["spec"]["schedule"] == "30 * * * *"
    assert sorted(found["configmaps", "shop-jobs"]["data"]) == [
        "data-sample.json",
        "full-check.json",
        "full.json",
        "group",
        "incremental.json",
        "passwd",
        "prune.json",
        "restore-test.json",
    ]


def test_wal_has_a_receiver_with_a_spool() -> None:
    found = made(declared(rpo="1h"))
    claim = found["persistentvolumeclaims", "shop-spool"]["spec"]
    assert claim == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    receiver = found["deployments", "shop-receive"]["spec"]
    assert receiver["strategy"] == {"type": "Recreate"}
    assert receiver["replicas"] == 1
    assert receiver["selector"]["matchLabels"].items() <= receiver["template"]["metadata"]["labels"].items()
    # Twice within the rpo: once would be too late by the time that the run takes.
    assert found["cronjobs", "shop-incremental"]["spec"]["schedule"] == "15,45 * * * *"
    own = made(declared(source={"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": "wal", "spool": "wal"}}))
    assert ("persistentvolumeclaims", "shop-spool") not in own


def test_the_receiver_is_started_anew_for_another_source_and_for_nothing_else() -> None:
    def template(**more: Any) -> Any:
        return made(declared(rpo="1h", **more))["deployments", "shop-receive"]["spec"]["template"]

    assert template() == template(schedule={"full": "0 3 * * *"}, retention={"last": 3})
    assert template() != template(source={"postgres": {"dsn": {"name": "other", "key": "dsn"}, "method": "wal"}})


def test_a_suspended_schedule_runs_nothing() -> None:
    found = made(declared(rpo="1h", suspend=True))
    assert all(body["spec"]["suspend"] for (kind, _), body in found.items() if kind == "cronjobs")
    assert found["deployments", "shop-receive"]["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"redis": {"url": {"name": "r", "key": "url"}}}, ["backup-job"]),
        ({"postgres": {"dsn": {"name": "d", "key": "dsn"}, "method": "wal"}}, ["backup-job", "backup-receive"]),
        ({"logs": {"workloads": [{"name": "web"}]}}, ["backup-job", "backup-logs"]),
        ({"config": {}}, ["backup-job", "backup-config"]),
        ({"config": {"secrets": True}}, ["backup-job", "backup-config", "backup-secrets"]),
    ],
)
def test_rights_are_bound_by_need(source: dict[str, Any], wanted: list[str]) -> None:
    schedule = declared(source=source)
    assert roles(schedule) == wanted
    bound = [b["roleRef"]["name"] for (kind, _), b in made(schedule).items() if kind == "rolebindings"]
    assert bound == [f"release-lastgood-{role}" for role in wanted]


def test_with_an_account_of_ones_own_none_is_made_and_nothing_is_bound() -> None:
    found = made(declared(job={"serviceAccount": "mine"}))
    assert not [kind for kind, _ in found if kind in {"serviceaccounts", "rolebindings"}]
    pod = found["cronjobs", "shop-full"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "mine"


def test_jitter_moves_all_runs_by_the_same_minutes() -> None:
    one, again = made(declared(schedule={"jitter": "30m"})), made(declared(schedule={"jitter": "30m"}))
    assert one == again
    other = made(declared(schedule={"jitter": "30m"}, uid="another"))
    assert one["cronjobs", "shop-full"]["spec"]["schedule"] != other["cronjobs", "shop-full"]["spec"]["schedule"]


def as_served(body: dict[str, Any]) -> dict[str, Any]:
    """As a list holds it: with defaults, quantities in the API server's form, what others added, and without a kind."""
    served = copy.deepcopy(body)
    del served["apiVersion"], served["kind"]
    served["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 1}
    served["metadata"]["annotations"]["other"] = "theirs"
    served["status"] = {"active": []}
    pod = served["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    pod["schedulerName"] = "default-scheduler"
    pod["containers"][0]["resources"]["limits"]["memory"] = "1Gi"
    return served


def test_what_is_as_wanted_is_not_written() -> None:
    wanted = made(declared(job={"memory": "1024Mi"}))["cronjobs", "shop-full"]
    served = as_served(to_write(None, wanted, T1))
    assert not differs(served, wanted)


def test_what_somebody_changed_is_put_back_and_what_others_wrote_stays() -> None:
    wanted = made(declared(job={"memory": "1024Mi"}))["cronjobs", "shop-full"]
    served = as_served(to_write(None, wanted, T1))
    served["spec"]["concurrencyPolicy"] = "Allow"
    assert differs(served, wanted)
    body = to_write(served, wanted, T2)
    assert body["spec"]["concurrencyPolicy"] == "Forbid"
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["annotations"]["other"] == "theirs"
    # It starts Jobs at these times since before.
    assert body["metadata"]["annotations"][SINCE] == T1


def test_what_was_taken_out_is_noticed() -> None:
    before = made(declared(job={"nodeSelector": {"disk": "ssd"}}))["cronjobs", "shop-full"]
    after = made(declared())["cronjobs", "shop-full"]
    assert differs(to_write(None, before, T1) | {"status": {}}, after)


@pytest.mark.parametrize(
    "change", [{"schedule": {"full": "0 3 * * *"}}, {"schedule": {"timeZone": "Europe/Berlin"}}, {"suspend": True}]
)
def test_other_times_are_expected_from_then_on_only(change: dict[str, Any]) -> None:
    before = to_write(None, made(declared())["cronjobs", "shop-full"], T1)
    before["metadata"]["resourceVersion"] = "7"
    assert (
        to_write(before, made(declared(**change))["cronjobs", "shop-full"], T2)["metadata"]["annotations"][SINCE] == T2
    )
    same = to_write(before, made(declared(retention={"last": 1}))["cronjobs", "shop-full"], T2)
    assert same["metadata"]["annotations"][SINCE] == T1


def test_a_claim_is_never_written_again() -> None:
    wanted = made(declared(rpo="1h"))["persistentvolumeclaims", "shop-spool"]
    served = copy.deepcopy(wanted)
    served["spec"]["resources"]["requests"]["storage"] = "10Gi"
    assert not differs(served, wanted)
