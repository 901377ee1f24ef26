"""Everything that is made once: adapters, table, controller. The only place that constructs adapters."""

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from lastgood.domain.addresses import AddressPolicy
from lastgood.kube.cluster import KubeCluster, KubeLease
from lastgood.kube.config import Access, load
from lastgood.probes.factory import Probes
from lastgood.services.controller import Controller
from lastgood.services.intake import Intake
from lastgood.services.leadership import Leadership
from lastgood.services.metrics import Metrics
from lastgood.services.table import Table


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespaces: tuple[str, ...] = ()
    """Watched namespaces; empty for all."""
    lease_namespace: str = ""
    """Where the Lease lives; empty for the operator's own namespace."""
    lease_name: str = "lastgood"
    listen: str = "0.0.0.0:8080"
    deny_cidrs: tuple[str, ...] = ()
    allow_loopback: bool = False
    storm_limit: int = 5
    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """One running operator."""

    options: Options
    access: Access
    cluster: KubeCluster
    table: Table
    probes: Probes
    controller: Controller
    intake: Intake
    leadership: Leadership
    metrics: Metrics

    async def aclose(self) -> None:
        """Close connections."""
        await self.probes.aclose()
        await self.cluster.aclose()


def identity() -> str:
    """Who holds the Lease: the pod's name, and something that a restart in the same pod does not share."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


async def make(options: Options) -> Context:
    """Put an operator together. Raises ValueError for options that make no sense."""
    access = await load(options.kubeconfig, options.context)
    metrics, table, me = Metrics(), Table(), identity()
    holder: list[Leadership] = []
    cluster = KubeCluster(
        configuration=access.configuration,
        # Looked up late: the Lease is written through the cluster that it guards.
        fence=lambda: holder[0].fence(),  # noqa: PLW0108
        count=metrics.count_write,
        namespaces=options.namespaces,
        identity=me,
    )
    probes = Probes(policy=AddressPolicy.of(options.deny_cidrs, allow_loopback=options.allow_loopback))
    controller = Controller(
        cluster=cluster, table=table, factory=probes, metrics=metrics, storm_limit=options.storm_limit
    )
    store = KubeLease(cluster, options.lease_namespace or access.namespace, options.lease_name)
    leadership = Leadership(store, me, on_gain=controller.lead, on_loss=controller.follow, on_return=controller.resume)
    holder.append(leadership)
    intake = Intake(table, controller, metrics)
    return Context(options, access, cluster, table, probes, controller, intake, leadership, metrics)


def namespaces(text: Sequence[str]) -> tuple[str, ...]:
    """Names out of repeated or comma-separated options."""
    return tuple(n for part in text for n in part.split(",") if n)
