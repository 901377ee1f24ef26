from typing import Any

import pytest

from lastgood.domain.backups.declared import declared


def item(kind: str = "ConfigMap", **more: Any) -> dict[str, Any]:
    metadata = {
        "name": "a",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 3,
        "creationTimestamp": "t",
        "managedFields": [],
        "annotations": {"deployment.kubernetes.io/revision": "4"},
        "finalizers": ["x"],
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "status": {"x": 1}, **more}


def test_what_the_cluster_adds_goes_and_what_was_declared_stays() -> None:
    found = declared(item(data={"k": "v"}))
    assert found == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "n"},
        "data": {"k": "v"},
    }


@pytest.mark.parametrize(("address", "kept"), [("10.96.0.7", False), ("None", True)])
def test_an_address_that_was_given_out_goes(address: str, *, kept: bool) -> None:
    found = declared(item("Service", spec={"clusterIP": address, "clusterIPs": [address], "ports": []}))
    assert found is not None
    assert ("clusterIP" in found["spec"]) == kept
    assert found["spec"]["ports"] == []


def test_a_claim_forgets_the_volume_that_it_was_bound_to() -> None:
    bound = item("PersistentVolumeClaim", spec={"volumeName": "pv-1", "storageClassName": "fast"})
    bound["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes", "mine": "1"}
    found = declared(bound)
    assert found is not None
    assert (found["spec"], found["metadata"]["annotations"]) == ({"storageClassName": "fast"}, {"mine": "1"})


@pytest.mark.parametrize(("replicas", "kept"), [(0, 3), (2, 2)])
def test_one_that_a_restore_has_stopped_is_what_it_was(replicas: int, kept: int) -> None:
    """A safety backup is taken while it is stopped; whoever scales it meanwhile has declared that."""
    stopped = item("Deployment", spec={"replicas": replicas, "paused": False})
    stopped["metadata"]["annotations"] = {"lastgood.dev/stopped-by": "restore/x/y", "lastgood.dev/replicas": "3"}
    found = declared(stopped)
    assert found is not None
    assert found["spec"] == {"replicas": kept, "paused": False}
    assert "annotations" not in found["metadata"]


def test_what_others_make_is_left_out() -> None:
    owned = item()
    owned["metadata"]["ownerReferences"] = [{"kind": "X", "controller": True}]
    assert declared(owned) is None
    assert declared(item("Secret", type="kubernetes.io/service-account-token")) is None
    root = item()
    root["metadata"]["name"] = "kube-root-ca.crt"
    assert declared(root) is None
    referred = item()
    referred["metadata"]["ownerReferences"] = [{"kind": "X"}]
    found = declared(referred)
    assert found is not None
    assert "ownerReferences" not in found["metadata"]
