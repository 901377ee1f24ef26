"""Whether the pods that run can have the ConfigMaps that their revision names."""

from typing import Any

import pytest
from tests.unit.domain.build import T0

from lastgood.domain.arrival import (
    CLOCKS_SECONDS,
    SYNC_SECONDS,
    ConfigChange,
    PodTimes,
    Rollout,
    config_change,
    not_arrived,
    pod_times,
)
from lastgood.domain.clock import to_text
from lastgood.domain.revision import ConfigSeen, named_configs


def missing(changed: float, pods: tuple[PodTimes, ...], now: float = T0, **more: Any) -> Any:
    known = more.pop("known", False)
    change = ConfigChange("settings", changed, **{"live": False, **more})
    return not_arrived(Rollout((change,), pods), template_known=known, now=now)


def test_a_pod_made_after_the_change_has_it() -> None:
    assert missing(T0, (PodTimes(T0, None),)) is None
    assert missing(T0, (PodTimes(T0 + 9, None), PodTimes(T0 - 1, T0))) is not None, "all of them"


def test_a_container_that_started_well_after_the_change_has_it() -> None:
    """A pod waits for a ConfigMap that is made after it, and a restarted container reads it anew."""
    assert missing(T0, (PodTimes(T0 - 99, T0 + CLOCKS_SECONDS),)) is None
    assert missing(T0, (PodTimes(T0 - 99, T0 + CLOCKS_SECONDS - 0.1),)) is not None, "clocks may differ"


def test_a_mounted_one_is_waited_for_and_then_there() -> None:
    old = (PodTimes(T0 - 999, T0 - 998),)
    waiting = missing(T0 - 10, old, live=True)
    assert waiting.until == T0 - 10 + SYNC_SECONDS
    assert "kubelet" in waiting.waiting_for
    assert missing(T0 - SYNC_SECONDS, old, live=True) is None


def test_the_last_to_arrive_is_waited_for_and_what_never_does_is_told_first() -> None:
    pods = (PodTimes(T0 - 999, T0 - 998),)
    first, last = ConfigChange("a", T0 - 50, live=True), ConfigChange("b", T0 - 10, live=True)
    for order in ((first, last), (last, first)):
        found = not_arrived(Rollout(order, pods), template_known=False, now=T0)
        assert found is not None
        assert found.until == T0 - 10 + SYNC_SECONDS
    never = ConfigChange("c", T0 - 500, live=False)
    found = not_arrived(Rollout((first, never), pods), template_known=False, now=T0)
    assert found is not None
    assert found.until is None
    assert "ConfigMap c" in found.waiting_for


def test_pods_that_needed_it_to_start_have_it_as_it_was_made() -> None:
    old = (PodTimes(T0 - 5, T0 - 1),)
    assert missing(T0, old, as_created=True) is None
    assert missing(T0, old, as_created=True, known=True) is not None


def test_nothing_is_missing_without_pods_or_without_configuration() -> None:
    assert missing(T0, ()) is None
    assert not_arrived(Rollout((), (PodTimes(0, None),)), template_known=True, now=T0) is None


def config_map(created: float, *managed: float, **more: Any) -> dict[str, Any]:
    metadata = {"name": "settings", "creationTimestamp": to_text(created)}
    if managed:
        metadata["managedFields"] = [{"manager": "x", "time": to_text(at)} for at in managed]  # type: ignore[assignment]
    return {"metadata": metadata, **more}


@pytest.mark.parametrize(
    ("config", "first_seen", "changed", "as_created"),
    [
        pytest.param(config_map(T0, T0), T0 + 60, T0, True, id="as it was made"),
        pytest.param(config_map(T0, T0, T0 + 30), T0 + 60, T0 + 30, False, id="changed since"),
        pytest.param(config_map(T0, T0, T0 + 90), T0 + 60, T0 + 60, False, id="a label moved later: the content stood"),
        pytest.param(config_map(T0), T0 + 60, T0 + 60, False, id="no managers: what we saw counts"),
    ],
)
def test_when_a_config_map_changed(config: dict[str, Any], first_seen: float, changed: float, as_created: bool) -> None:
    named = ConfigSeen("ConfigMap", "settings", live=True)
    expected = ConfigChange("settings", changed, live=True, as_created=as_created)
    assert config_change(named, config, first_seen) == expected


def test_an_immutable_one_does_not_come_to_running_pods_and_an_optional_one_may_come_late() -> None:
    named = ConfigSeen("ConfigMap", "settings", optional=True, live=True)
    found = config_change(named, config_map(T0, T0, immutable=True), T0)
    assert (found.live, found.as_created) == (False, False)


def test_pods_that_end_do_not_count_and_the_first_container_does() -> None:
    def pod(**more: Any) -> dict[str, Any]:
        status = {
            "initContainerStatuses": [{"state": {"terminated": {"startedAt": to_text(T0 + 1)}}}],
            "containerStatuses": [{"state": {"running": {"startedAt": to_text(T0 + 5)}}}, {"state": {"waiting": {}}}],
        }
        metadata = {"creationTimestamp": to_text(T0), **more.pop("metadata", {})}
        return {"metadata": metadata, "status": {**status, **more}}

    gone = [pod(metadata={"deletionTimestamp": to_text(T0)}), pod(phase="Failed"), pod(phase="Succeeded")]
    assert pod_times([pod(phase="Running"), *gone]) == (PodTimes(T0, T0 + 1),)
    assert pod_times([{"metadata": {"creationTimestamp": to_text(T0)}}]) == (PodTimes(T0, None),)


def test_what_reaches_running_pods() -> None:
    template = {
        "spec": {
            "initContainers": [
                {"name": "render", "volumeMounts": [{"name": "rendered"}]},
                {"name": "sidecar", "restartPolicy": "Always", "volumeMounts": [{"name": "beside"}]},
            ],
            "containers": [
                {
                    "envFrom": [{"configMapRef": {"name": "env"}}],
                    "volumeMounts": [
                        {"name": "plain"},
                        {"name": "one-file", "subPath": "f"},
                        {"name": "both"},
                        {"name": "rendered"},
                    ],
                    "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "both", "key": "k"}}}],
                }
            ],
            "volumes": [
                *({"name": n, "configMap": {"name": n}} for n in ("plain", "one-file", "both", "rendered", "beside")),
                {"name": "all", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
            ],
        }
    }
    live = {config.name: config.live for config in named_configs(template)}
    assert live == {
        "env": False,
        "plain": True,
        "one-file": False,
        "both": False,
        "rendered": False,
        "beside": True,
        "projected": True,
    }
