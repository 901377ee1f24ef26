"""What is written so that an object is as it was, and the words for what is refused."""

from typing import Any

import pytest

from lastgood.domain.backups.putting import (
    Refusal,
    Wanted,
    careful,
    differences,
    forbidden,
    listed,
    merge_patch,
    place,
    right_missing,
    write_of,
)

RIGHTS = (
    'configmaps "rules" is forbidden: User "system:serviceaccount:shop:back" cannot patch resource "configmaps" in API '
    'group "" in the namespace "shop"'
)
CREATES = (
    'widgets.example.com is forbidden: User "system:serviceaccount:shop:back" cannot create resource "widgets" in API '
    'group "example.com" in the namespace "shop"'
)
QUOTA = 'configmaps "rules" is forbidden: exceeded quota: few, requested: count/configmaps=1'


def wanted(kind: str = "ConfigMap", resource: str = "configmaps", version: str = "v1", **body: Any) -> Wanted:
    metadata = {"name": "a", "namespace": "elsewhere", "labels": {"l": "1"}, "annotations": {"n": "1"}}
    return Wanted(resource, {"apiVersion": version, "kind": kind, "metadata": metadata, **body})


def live(of: Wanted, **body: Any) -> dict[str, Any]:
    metadata = {**of.body["metadata"], "uid": "u", "resourceVersion": "7", "finalizers": ["f"], "managedFields": []}
    return {**of.body, "metadata": metadata, "status": {"x": 1}, **body}


@pytest.mark.parametrize(
    ("now", "was", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {}, {}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
    ],
)
def test_merge_patch(now: dict[str, Any], was: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch(now, was) == patch


def test_content_becomes_what_it_was_and_notes_of_others_stay() -> None:
    of = wanted(data={"rule": "old"})
    there = live(of, data={"rule": "new", "more": "1"})
    there["metadata"] = {**there["metadata"], "labels": {"l": "2", "since": "x"}}
    found = write_of(of, there, ())
    assert (found.do, found.body) == (
        "patch",
        {"data": {"rule": "old", "more": None}, "metadata": {"labels": {"l": "1"}, "resourceVersion": "7"}},
    )
    assert differences(of, there, ()) == ["data.more", "data.rule", "metadata.labels.l"]


def test_one_that_is_as_it_was_is_not_written() -> None:
    of = wanted(data={"rule": "old"})
    assert write_of(of, live(of), ()).do == "same"
    assert differences(of, live(of), ()) == []


def test_one_that_is_gone_is_made_without_what_binds_it_elsewhere() -> None:
    of = wanted(data={"rule": "old"}, status={"x": 1})
    found = write_of(of, None, ())
    assert found.do == "create"
    assert found.body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"l": "1"}, "annotations": {"n": "1"}},
        "data": {"rule": "old"},
    }
    assert differences(of, None, ()) == ["it does not exist"]


def test_what_somebody_else_looks_after_is_left_alone() -> None:
    of = wanted(data={"rule": "old"})
    owned = live(of, data={})
    owned["metadata"]["ownerReferences"] = [{"kind": "Certificate", "name": "web", "controller": True}]
    assert (write_of(of, owned, ()).do, write_of(of, owned, ()).why) == ("leave", "Certificate web makes it now")
    going = live(of, data={})
    going["metadata"]["deletionTimestamp"] = "t"
    assert write_of(of, going, ()).why == "it is being deleted"
    merely = live(of, data={})
    merely["metadata"]["ownerReferences"] = [{"kind": "Certificate", "name": "web"}]
    assert write_of(of, merely, ()).do == "patch"


def test_a_workload_that_is_stopped_keeps_its_replicas() -> None:
    of = wanted("Deployment", "deployments.apps", "apps/v1", spec={"replicas": 3, "paused": False})
    there = live(of, spec={"replicas": 0, "paused": True})
    assert write_of(of, there, {("Deployment", "a")}).body == {
        "spec": {"paused": False},
        "metadata": {"resourceVersion": "7"},
    }
    assert (write_of(of, there, ()).body or {})["spec"] == {"replicas": 3, "paused": False}
    assert write_of(of, None, {("Deployment", "a")}).do == "leave"


def test_what_the_cluster_gives_out_is_kept() -> None:
    service = wanted("Service", "services", spec={"ports": [{"port": 80}]})
    there = live(service, spec={"ports": [{"port": 81}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]})
    assert (write_of(service, there, ()).body or {})["spec"] == {"ports": [{"port": 80}]}
    headless = wanted("Service", "services", spec={"clusterIP": "None"})
    assert (write_of(headless, there, ()).body or {})["spec"]["clusterIP"] == "None"
    claim = wanted(
        "PersistentVolumeClaim", "persistentvolumeclaims", spec={"resources": {"requests": {"storage": "1Gi"}}}
    )
    grown = live(claim, spec={"resources": {"requests": {"storage": "2Gi"}}, "volumeName": "pv-1"})
    assert write_of(claim, grown, ()).do == "same"


@pytest.mark.parametrize(
    ("version", "resource", "name", "path"),
    [
        ("v1", "configmaps", "a", "/api/v1/namespaces/shop/configmaps"),
        ("apps/v1", "deployments.apps", "a", "/apis/apps/v1/namespaces/shop/deployments"),
        ("example.com/v1beta1", "widgets.example.com", "a.b", "/apis/example.com/v1beta1/namespaces/shop/widgets"),
        ("v1/namespaces/other", "configmaps", "a", None),
        ("v1", "configmaps", "../../other/configmaps/a", None),
        ("v1", "../secrets", "a", None),
        ("v1?x=", "configmaps", "a", None),
        ("None", "configmaps", "a", None),
    ],
)
def test_it_goes_into_this_namespace_or_nowhere(version: str, resource: str, name: str, path: str | None) -> None:
    of = Wanted(resource, {"apiVersion": version, "kind": "K", "metadata": {"name": name, "namespace": "other"}})
    assert place(of, "shop") == path


def test_what_is_missing_is_told_with_what_gives_it() -> None:
    refusals = [Refusal("configmaps/rules", 403, RIGHTS), Refusal("widgets.example.com/w", 403, CREATES)]
    assert right_missing(QUOTA) is None
    assert not Refusal("configmaps/rules", 403, QUOTA).about_rights
    assert forbidden([Refusal("configmaps/rules", 403, QUOTA)], "shop", "back") == ""
    assert forbidden([*refusals, *refusals], "shop", "back") == (
        "ServiceAccount back may not patch configmaps; create widgets.example.com. Give it these rights: kubectl create "
        "role back-more -n shop --verb=get,create,patch --resource=configmaps,widgets.example.com && kubectl create "
        "rolebinding back-more -n shop --role=back-more --serviceaccount=shop:back"
    )


def test_words_have_room() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a" * 10, "b" * 10, "c"], 21) == "a" * 10 + ", and 2 more"
    assert listed(["a" * 100], 10) == "a" * 100


def test_nothing_of_a_secret_is_quoted() -> None:
    said = 'Secret "s" is invalid: data[k]: Invalid value: "hush": no'
    assert careful("secrets", said) == 'Secret "s" is invalid: data[k]'
    assert careful("configmaps", said) == said
