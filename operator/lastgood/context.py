"""Everything that is made once: adapters, table, controller. The only place that constructs adapters."""

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kubernetes.aio.config import ConfigException

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.backups.pods import Options as BackupOptions
from lastgood.domain.history import HistoryState
from lastgood.domain.ports import NotLeader
from lastgood.history.fallback import Fallback
from lastgood.history.memory import Memory
from lastgood.history.postgres import Postgres
from lastgood.history.sqlite import Sqlite
from lastgood.kube.cluster import KubeCluster
from lastgood.kube.config import Access, load
from lastgood.kube.lease import KubeLease
from lastgood.kube.signals import KubeSignals
from lastgood.kube.stats import ClusterStats
from lastgood.probes.factory import Probes
from lastgood.services.backups.controller import BackupController
from lastgood.services.backups.intake import BackupIntake
from lastgood.services.controller import Controller
from lastgood.services.intake import Intake
from lastgood.services.leadership import Leadership
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.signals import Signals
from lastgood.services.table import Table
from lastgood.sources.factory import Sources


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
    history: str = ""
    """File of the embedded store; empty for none."""
    history_bytes: int = 0
    """Room that the file may take; 0 for any."""
    history_dsn: str = field(default="", repr=False)
    """Connection string of a PostgreSQL that keeps the history instead."""
    signals_listen: str = ""
    """Address of the signals endpoint; empty for none."""
    signals_certificate: tuple[Path, Path] | None = None
    """Its certificate chain and key; None serves plain HTTP."""
    backup_image: str = ""
    """Image of the jobs of BackupSchedules; empty leaves schedules alone."""
    backup_roles: str = "lastgood"
    """Prefix of the ClusterRoles that are bound to the jobs' ServiceAccounts."""
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
    stats: ClusterStats
    controller: Controller
    intake: Intake
    backups: BackupController
    backup_intake: BackupIntake
    leadership: Leadership
    metrics: Metrics
    signals: Signals

    async def aclose(self) -> None:
        """Close connections."""
        await self.controller.objectives.minutes.aclose()
        await self.stats.aclose()
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
    stats = ClusterStats(cluster)
    jobs = BackupOptions(options.backup_image, options.backup_roles)
    controller = Controller(
        cluster=cluster,
        table=table,
        factory=probes,
        metrics=metrics,
        sources=Sources(resolver=probes.resolver, contexts=probes.contexts, stats=stats),
        minutes=_minutes(options, metrics),
        storm_limit=options.storm_limit,
        jobs=jobs,
    )
    table.backups.enabled = bool(options.backup_image)
    backups = BackupController(
        cluster=cluster,
        table=table.backups,
        metrics=metrics,
        options=jobs,
        look=controller.queue.add,
    )

    async def lead(unobserved: float) -> None:
        await controller.lead(unobserved)
        if options.backup_image:
            await backups.lead()

    async def follow() -> None:
        await controller.follow()
        await backups.follow()

    async def resume() -> None:
        await controller.resume()
        await backups.resume()

    store = KubeLease(cluster, options.lease_namespace or access.namespace, options.lease_name)
    leadership = Leadership(store, me, on_gain=lead, on_loss=follow, on_return=resume)
    holder.append(leadership)
    intake = Intake(table, controller, metrics)
    signals = Signals(KubeSignals(cluster), table, metrics)
    return Context(
        options=options,
        access=access,
        cluster=cluster,
        table=table,
        probes=probes,
        stats=stats,
        controller=controller,
        intake=intake,
        backups=backups,
        backup_intake=BackupIntake(table.backups, backups),
        leadership=leadership,
        metrics=metrics,
        signals=signals,
    )


def _nobody_writes() -> None:
    raise NotLeader


async def reading(kubeconfig: str | None, context: str | None) -> tuple[KubeCluster, str]:
    """A cluster to read from, and the namespace meant where none is named. The caller closes it.

    Raises ValueError where no cluster is named anywhere, and OSError for a file that cannot be read.
    """
    try:
        access = await load(kubeconfig, context)
    except ConfigException as error:
        raise ValueError(str(error)) from None
    cluster = KubeCluster(configuration=access.configuration, fence=_nobody_writes, count=lambda *_: None)
    return cluster, access.namespace


def _minutes(options: Options, metrics: Metrics) -> Minutes:
    """The history that was asked for; what there is no store for stays in memory, as long as the process lives."""
    if not options.history_dsn and not options.history:
        return Minutes(Memory(), metrics)
    holder: list[Minutes] = []

    def said(state: HistoryState) -> None:
        holder[0].said(state)

    store = (
        Postgres(options.history_dsn)
        if options.history_dsn
        else Sqlite(Path(options.history), said=said, max_bytes=options.history_bytes)
    )
    fallback = Fallback(store, said=said)
    holder.append(Minutes(fallback, metrics, state=fallback.state))
    return holder[0]


def namespaces(text: Sequence[str]) -> tuple[str, ...]:
    """Names out of repeated or comma-separated options."""
    return tuple(n for part in text for n in part.split(",") if n)
