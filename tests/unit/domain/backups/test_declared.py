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
        "metadata": {"name": "a", "namespace": "n", "finalizers": ["x"]},
        "data": {"k": "v"},
    }


@pytest.mark.parametrize(("address", "kept"), [("10.96.0.7", False), ("None", True)])
def test_an_address_that_was_given_out_goes(address: str, *, kept: bool) -> None:
    found = declared(item("Service", spec={"clusterIP": address, "clusterIPs": [address], "ports": []}))
    assert found is not None
    assert ("clusterIP" in found["spec"]) == kept
    assert found["spec"]["ports"] == []


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
