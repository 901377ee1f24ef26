"""Pods, as sources see them."""

from typing import Any

import pytest

from lastgood.domain.pods import pod_seen, pods_seen


def container(
    limits: dict[str, Any] | None = None, requests: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    resources = {key: value for key, value in (("limits", limits), ("requests", requests)) if value is not None}
    return {"name": "c", "resources": resources, **more}


def pod(*containers: dict[str, Any], name: str = "a", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"nodeName": "n1", "containers": list(containers), **spec},
        "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_who_and_where() -> None:
    seen = pod_seen(pod(container()))
    assert (seen.name, seen.uid, seen.ip, seen.node, seen.ready) == ("a", "uid-a", "10.0.0.1", "n1", True)
    bare = pod_seen({"metadata": {"name": "b", "uid": "u"}})
    assert (bare.ip, bare.node, bare.ready, bare.limits, bare.volumes) == ("", "", False, {}, ())


@pytest.mark.parametrize(
    ("spec", "limits"),
    [
        (pod(container({"cpu": "100m", "memory": "128Mi"})), {"cpu": 0.1, "memory": 134217728.0}),
        (pod(container({"cpu": "1.5"}), container({"cpu": "500m"})), {"cpu": 2.0}),
        (pod(container({"cpu": 2, "memory": "1e3"})), {"cpu": 2.0, "memory": 1000.0}),
        (pod(container({"cpu": "1", "memory": "1G"}), container({"memory": "1G"})), {"memory": 2e9}),
        (pod(container()), {}),
        (pod(container({"cpu": "0"})), {}),
        (pod(), {}),
        (
            pod(
                container({"cpu": "1"}),
                initContainers=[container({"cpu": "1"}, restartPolicy="Always"), container({"cpu": "64"})],
            ),
            {"cpu": 2.0},
        ),
        (pod(container({"cpu": "1"}), initContainers=[container(restartPolicy="Always")]), {}),
        (pod(container(), container(), resources={"limits": {"cpu": "3"}}), {"cpu": 3.0}),
        (pod(container({"cpu": "1"}), resources={"limits": {"memory": "1Ki"}}), {"cpu": 1.0, "memory": 1024.0}),
    ],
    ids=[
        "one",
        "a sum",
        "numbers",
        "one without cpu",
        "none",
        "a zero is no limit",
        "no containers",
        "a sidecar counts, an init container does not",
        "a sidecar without",
        "the pod's own",
        "the pod's own and a sum",
    ],
)
def test_limits(spec: dict[str, Any], limits: dict[str, float]) -> None:
    assert pod_seen(spec).limits == limits


def test_a_tenth_ten_times_is_one() -> None:
    assert pod_seen(pod(*[container({"cpu": "0.1"})] * 10)).limits == {"cpu": 1.0}


def test_requests_apart_from_limits() -> None:
    seen = pod_seen(pod(container({"cpu": "2"}, {"cpu": "250m"})))
    assert (seen.limits, seen.requests) == ({"cpu": 2.0}, {"cpu": 0.25})


def test_volumes_that_are_claims() -> None:
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "x"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "host", "hostPath": {"path": "/"}},
    ]
    assert pod_seen(pod(container(), volumes=volumes)).volumes == ("data", "scratch")


def test_only_pods_that_run() -> None:
    ending = pod(name="ending")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [pod(name="b"), ending, pod(name="a"), pod(name="p", phase="Pending"), pod(name="f", phase="Failed")]
    assert [seen.name for seen in pods_seen(pods)] == ["a", "b"]
