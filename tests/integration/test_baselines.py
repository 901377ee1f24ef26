"""Baselines in the annotation of a real ControllerRevision, whose data an API server lets nobody change."""

from typing import Any

import pytest
from tests.integration.cluster import Cluster
from tests.unit.domain.build import good
from tests.unit.services.test_baselines import record, service

from lastgood.context import Context
from lastgood.services.baselines import Baselines
from lastgood.services.leadership import Leadership

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there to write."""
    monkeypatch.setattr(Leadership, "fence", lambda _: None)


@pytest.mark.parametrize("text", ["plain", "a && b > c < d", "été ☃ \u2028", '"quoted" \\ \n\t', "1e5"])
async def test_kept_whatever_the_template_holds(cluster: Cluster, context: Context, text: str) -> None:
    snapshot = good("v1").snapshot
    template = {"spec": {"containers": [{"name": "app", "command": ["sh", "-c", text]}], "weight": 1.5, "n": 10**15}}
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": snapshot, "namespace": cluster.namespace, "annotations": {"other": "stays"}},
        "revision": 1,
        "data": {"template": template, "configMaps": {}},
    }
    await context.cluster.create("controllerrevisions", cluster.namespace, body)
    baselines = Baselines(context.cluster)
    for samples in (30, 40):
        # Once more: what was sent back can be sent back again.
        one = service()
        one.key = (cluster.namespace, "api")
        record(one, samples)
        await baselines.save(one, snapshot)

    after = service()
    after.key = one.key
    await baselines.load(after)
    track = after.tracks["latency"]
    assert track.baseline is not None
    assert track.baseline.events == 40
    kept = await context.cluster.get("controllerrevisions", cluster.namespace, snapshot)
    assert kept is not None
    assert kept["data"]["template"] == template
    assert kept["metadata"]["annotations"]["other"] == "stays"
