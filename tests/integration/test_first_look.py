"""What a process reads at once at its start, and what it drops of it, against a real API server without watches."""

import pytest
from tests.integration import manifests
from tests.integration.cluster import Cluster

from lastgood.context import Context

pytestmark = pytest.mark.integration


async def test_services_find_their_targets_and_only_these_are_kept(cluster: Cluster, context: Context) -> None:
    cluster.put(manifests.deployment("app"), manifests.deployment("other"), manifests.service("app"))
    cluster.put(manifests.rollback("back", "elsewhere"))

    await context.intake.first_look(context.cluster)

    assert set(context.table.services) == {(cluster.namespace, "app")}
    assert set(context.table.deployments) == {(cluster.namespace, "app")}
    assert set(context.table.rollbacks) == {(cluster.namespace, "back")}


async def test_what_the_watch_tells_again_is_no_news_and_a_change_is(cluster: Cluster, context: Context) -> None:
    cluster.put(manifests.deployment("app"), manifests.service("app"))
    await context.intake.first_look(context.cluster)
    place = (cluster.namespace, "app")
    known = context.table.deployments[place]

    body = cluster.get("Deployment", "app")
    assert body is not None
    if body["metadata"]["resourceVersion"] == str(known.resource_version):
        context.intake.deployment(body, deleted=False)
        assert context.table.deployments[place] is known
    cluster.patch("Deployment", "app", {"spec": {"replicas": 3}})
    body = cluster.get("Deployment", "app")
    assert body is not None
    context.intake.deployment(body, deleted=False)
    assert context.table.deployments[place].replicas == 3


async def test_what_went_before_the_watches_began_is_dropped(cluster: Cluster, context: Context) -> None:
    cluster.put(manifests.deployment("app"), manifests.service("app"), manifests.service("left"))
    cluster.put(manifests.deployment("left"))
    await context.intake.first_look(context.cluster)
    cluster.delete("Deployment", "app")
    cluster.delete("MonitoredService", "app")

    # There is no Rollback and no ServiceLevelObjective: of these the API server's list is null.
    await context.intake.prune(context.cluster)

    assert set(context.table.services) == {(cluster.namespace, "left")}
    assert set(context.table.deployments) == {(cluster.namespace, "left")}
