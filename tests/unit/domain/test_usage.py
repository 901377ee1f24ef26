"""Shares out of what a kubelet and the Metrics API tell."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lastgood.domain.measure import Gauge, Nothing, Sample, Silence
from lastgood.domain.sources import PodSeen
from lastgood.domain.stats import Figure, NodeSeen, PodUse, allocatable, node_seen, pods_use
from lastgood.domain.usage import free_share_of_nodes, free_share_of_volumes, used_share

SUMMARY: Mapping[str, Any] = json.loads((Path(__file__).parent / "summary.json").read_text())
"""Of a kubelet 1.34: one pod that burns 0.2 cores, with a claim of 64 MiB that is 3/4 full."""
UID = SUMMARY["pods"][0]["podRef"]["uid"]


def seen(name: str = "a", *, node: str = "n1", volumes: tuple[str, ...] = (), **shares: float) -> PodSeen:
    return PodSeen(name, f"uid-{name}", "10.0.0.1", node, limits=shares, requests=shares, volumes=volumes)


def share(
    pods: list[PodSeen], use: dict[str, PodUse], *, resource: Any = "cpu", of: Any = "Limit", **nodes: Any
) -> Sample:
    return used_share(pods, lambda pod: use.get(pod.name), resource=resource, of=of, nodes=nodes)


def cpu(value: float, age: float = 10) -> PodUse:
    return PodUse(cpu=Figure(value, age))


def test_a_real_summary() -> None:
    node = node_seen(SUMMARY)
    assert node.pods[UID] == PodUse(Figure(0.200177995, 15.0), Figure(121655296.0, 15.0))
    assert node.volumes[UID, "small"] == Figure(0.25, 37.0)
    assert (UID, "hosted") not in node.volumes
    assert len(node.disks) == 3
    assert all(0.1 < disk.value < 0.2 for disk in node.disks)


def test_without_a_control_group_of_the_pod_its_containers_are_added_up() -> None:
    summary = copy.deepcopy(dict(SUMMARY))
    del summary["pods"][0]["cpu"], summary["pods"][0]["memory"]
    use = node_seen(summary).pods[UID]
    assert use.cpu == Figure(0.199910087, 0.0)
    del summary["pods"][0]["containers"][0]["cpu"]["usageNanoCores"]
    assert node_seen(summary).pods[UID].cpu is None


@pytest.mark.parametrize("nonsense", [{}, [], "x", {"node": {}}, {"node": {"cpu": {"time": "yesterday"}}}, None])
def test_no_summary(nonsense: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        node_seen(nonsense)


def test_a_disk_without_inodes_left_is_full() -> None:
    disk = {"time": "2026-01-01T00:00:00Z", "availableBytes": 50, "capacityBytes": 100, "inodes": 10, "inodesFree": 0}
    assert node_seen({"node": {"fs": disk}}).disks == [Figure(0.0, 0.0)]
    assert node_seen({"node": {"fs": {**disk, "inodes": 0}}}).disks == [Figure(0.5, 0.0)]


def test_the_metrics_api() -> None:
    usage = [{"usage": {"cpu": "199910087n", "memory": "1Ki"}}, {"usage": {"cpu": "1m", "memory": "1Mi"}}]
    item = {"metadata": {"name": "a"}, "timestamp": "2026-01-01T00:00:00Z", "window": "15s", "containers": usage}
    found = pods_use({"items": [item]}, 1767225600 + 20)
    assert found["a"].cpu == Figure(pytest.approx(0.200910087), 20)
    assert found["a"].memory == Figure(1024 + 1048576, 20)
    with pytest.raises(ValueError, match="PodMetricsList"):
        pods_use({"items": [{}]}, 0)


def test_what_a_node_has() -> None:
    assert allocatable({"status": {"allocatable": {"cpu": "1930m", "memory": "1Gi"}}}) == {"cpu": 1.93, "memory": 2**30}
    with pytest.raises(ValueError, match="not a Node"):
        allocatable({})


@pytest.mark.parametrize(
    ("pods", "use", "told"),
    [
        ([], {}, Nothing(Silence.NO_PODS)),
        ([seen(cpu=2)], {"a": cpu(1)}, Gauge(0.5)),
        ([seen(cpu=2), seen("b", cpu=1)], {"a": cpu(1), "b": cpu(0.9)}, Gauge(0.9)),
        ([seen(cpu=2), seen("b")], {"a": cpu(1), "b": cpu(8)}, Gauge(0.5)),
        ([seen(cpu=2), seen("b", cpu=2)], {"a": cpu(1)}, Gauge(0.5)),
        ([seen(cpu=2), seen("b", cpu=2)], {"a": cpu(1), "b": cpu(2, 600)}, Gauge(0.5)),
        ([seen(cpu=2)], {"a": cpu(3)}, Gauge(1.5)),
        (
            [seen()],
            {"a": cpu(1)},
            Nothing(Silence.NO_LIMIT, "a container of each pod declares no limits.cpu: write it into the Deployment"),
        ),
        ([seen(cpu=2)], {"a": cpu(1, 91)}, Nothing(Silence.NO_DATA, "the cpu figure is 91 s old")),
        ([seen(cpu=2)], {}, Nothing(Silence.NO_DATA, "no cpu figure of these pods yet")),
        ([seen(cpu=2)], {"a": PodUse()}, Nothing(Silence.NO_DATA, "no cpu figure of these pods yet")),
    ],
    ids=[
        "no pods",
        "one",
        "the worst",
        "one without a limit",
        "one that has just started",
        "one whose figure is old",
        "more than all",
        "no limit anywhere",
        "only an old figure",
        "nothing known",
        "no such figure",
    ],
)
def test_used_share(pods: list[PodSeen], use: dict[str, PodUse], told: Sample) -> None:
    assert share(pods, use) == told


def test_of_what() -> None:
    pod = PodSeen("a", "u", "ip", "n1", limits={"memory": 4.0}, requests={"memory": 2.0})
    use = {"a": PodUse(memory=Figure(1, 0))}
    assert share([pod], use, resource="memory") == Gauge(0.25)
    assert share([pod], use, resource="memory", of="Request") == Gauge(0.5)
    assert share([pod], use, resource="memory", of="Node", n1={"memory": 10.0}) == Gauge(0.1)
    assert share([pod], use, resource="memory", of="Node") == Nothing(
        Silence.NO_DATA, "the nodes of the pods are not known"
    )


def test_the_fullest_volume() -> None:
    pods = [seen(volumes=("data", "logs")), seen("b", node="n2", volumes=("data",))]
    nodes = {
        "n1": NodeSeen(
            volumes={
                ("uid-a", "data"): Figure(0.5, 60),
                ("uid-a", "logs"): Figure(0.4, 60),
                ("uid-a", "tmp"): Figure(0.1, 60),
                ("uid-z", "data"): Figure(0.0, 60),
            }
        ),
        "n2": NodeSeen(volumes={("uid-b", "data"): Figure(0.3, 60)}),
    }
    assert free_share_of_volumes(pods, nodes, volume=None) == Gauge(0.3)
    assert free_share_of_volumes(pods, nodes, volume="logs") == Gauge(0.4)
    assert free_share_of_volumes(pods, nodes, volume="tmp") == Gauge(0.1)
    assert free_share_of_volumes([], nodes, volume=None) == Nothing(Silence.NO_PODS)
    other = free_share_of_volumes(pods, nodes, volume="other")
    assert isinstance(other, Nothing)
    assert other.reason is Silence.NO_DATA
    none = free_share_of_volumes([seen()], nodes, volume=None)
    assert none == Nothing(Silence.NO_DATA, "the pods have no volume that is a claim: name one in resources.volume")


def test_an_old_look_at_a_volume() -> None:
    nodes = {"n1": NodeSeen(volumes={("uid-a", "data"): Figure(0.5, 301)})}
    told = free_share_of_volumes([seen(volumes=("data",))], nodes, volume=None)
    assert told == Nothing(Silence.NO_DATA, "the figure is 301 s old")


def test_nodes() -> None:
    nodes = {"n1": NodeSeen(disks=[Figure(0.5, 1), Figure(0.2, 1)]), "n2": NodeSeen(disks=[Figure(0.1, 1)])}
    assert free_share_of_nodes([seen()], nodes) == Gauge(0.2)
    assert free_share_of_nodes([seen(), seen("b", node="n2")], nodes) == Gauge(0.1)
    assert isinstance(free_share_of_nodes([seen()], {}), Nothing)
