"""What is watched. ``on.event`` only: no annotation, no finalizer, no write is made by watching."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from lastgood.api import GROUP, VERSION
from lastgood.context import Context
from lastgood.domain.backups.names import SCHEDULE_LABEL
from lastgood.domain.ports import ClusterError

FIRST_SECONDS = 10.0
"""For how long the watches wait for what was read first to be judged: of changes they tell only then."""


def registry(context: Context) -> kopf.OperatorRegistry:
    """Handlers that feed this context's table."""
    handlers = kopf.OperatorRegistry()
    intake = context.intake

    @kopf.on.event(GROUP, VERSION, "monitoredservices", registry=handlers)
    async def service(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        intake.service(dict(body), deleted=type == "DELETED")

    @kopf.on.event(GROUP, VERSION, "rollbacks", registry=handlers)
    async def rollback(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.rollback(dict(body), deleted=type == "DELETED")

    @kopf.on.event(GROUP, VERSION, "servicelevelobjectives", registry=handlers)
    async def objective(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.objective(dict(body), deleted=type == "DELETED")

    @kopf.on.event("apps", "v1", "deployments", registry=handlers)
    async def deployment(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.deployment(dict(body), deleted=type == "DELETED")

    @kopf.on.event("", "v1", "configmaps", registry=handlers)
    async def config_map(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.config_map(dict(body), deleted=type == "DELETED")

    if context.options.backup_image:
        _backups(handlers, context)

    @kopf.on.login(registry=handlers, retries=None)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        access, configuration = context.access, context.access.configuration
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            token=access.token(),
            default_namespace=access.namespace,
        )

    return handlers


def _backups(handlers: kopf.OperatorRegistry, context: Context) -> None:
    """Handlers for schedules, their Backups, and the objects that they are made into."""
    intake = context.backup_intake
    ours = {SCHEDULE_LABEL: kopf.PRESENT}

    @kopf.on.event(GROUP, VERSION, "backupschedules", registry=handlers)
    async def schedule(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.schedule(dict(body), deleted=type == "DELETED")

    @kopf.on.event(GROUP, VERSION, "restores", registry=handlers)
    async def restore(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        context.intake.restore(dict(body), deleted=type == "DELETED")

    @kopf.on.event(GROUP, VERSION, "backups", registry=handlers)
    async def backup(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.backup(dict(body), deleted=type == "DELETED")

    @kopf.on.event("batch", "v1", "jobs", labels=ours, registry=handlers)
    async def job(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.child("jobs", dict(body), deleted=type == "DELETED")

    @kopf.on.event("batch", "v1", "cronjobs", labels=ours, registry=handlers)
    async def cron_job(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.child("cronjobs", dict(body), deleted=type == "DELETED")

    @kopf.on.event("apps", "v1", "deployments", labels=ours, registry=handlers)
    async def receiver(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.child("deployments", dict(body), deleted=type == "DELETED")

    @kopf.on.event("", "v1", "configmaps", labels=ours, registry=handlers)
    async def told(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002
        intake.child("configmaps", dict(body), deleted=type == "DELETED")


class _NoDiffs(kopf.DiffBaseStorage):
    """Kopf compares each object with what it handled last, at a copy of it each time, for handlers that we have not."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Nor is there progress of handlers to keep, in annotations least of all."""

    def fetch(self, **_: Any) -> None:
        """Nothing was kept."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is."""
        return essence


def settings() -> kopf.OperatorSettings:
    """Settings that hold at ten thousand objects."""
    chosen = kopf.OperatorSettings()
    # Without a limit each object has a task of its own; with one, a worker that waits for more of the same object
    # keeps the next object waiting: no longer than it takes to see that there is no more.
    chosen.queueing.worker_limit = 200
    chosen.queueing.idle_timeout = 0.01
    chosen.queueing.exit_timeout = 0.5
    # Kopf's own Events would repeat each log line; ours are written on transitions only.
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage, chosen.persistence.progress_storage = _NoDiffs(), _NoProgress()
    # Watching the list of all CRDs and namespaces would need cluster-wide rights that nothing else here needs.
    chosen.scanning.disabled = True
    # Ten thousand objects in one list are 150 MB that Python never gives back, and half a second of standing still;
    # in pages of 500 what waits to be told of still comes to 60 MB more than in these.
    chosen.watching.chunk_size = 100
    # A watch that went silent is noticed by its end; shorter than the API server's own half hour.
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.networking.error_backoffs = (0.5, 1, 2, 3, 5)
    return chosen


async def served(context: Context) -> bool:
    """Whether the API server answers and serves our kinds."""
    try:
        kinds = ["monitoredservices", "rollbacks", "servicelevelobjectives"]
        for kind in [*kinds, *(("backupschedules", "backups", "restores") if context.options.backup_image else ())]:
            for namespace in context.options.namespaces[:1] or ("",):
                await context.cluster.probe_kind(kind, namespace)
    except ClusterError:
        return False
    return True


async def _first(context: Context) -> None:
    """Have what there is on the schedule, before the watches take the processor to tell the same again."""
    if context.options.backup_image:
        # Before the services that list them.
        await context.backup_intake.first_look(context.cluster)
    await context.intake.first_look(context.cluster)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_SECONDS):
            await context.controller.queue.idle()


async def watch(context: Context, namespaces: Sequence[str], stop: asyncio.Event, began: Callable[[], None]) -> None:
    """Watch until ``stop`` is set.

    Kopf looks once for what there is to watch. So wait for the CRDs first, and for the API server.
    """
    while not stop.is_set() and not await served(context):  # noqa: ASYNC110 - the API server tells nobody that it is back
        await asyncio.sleep(1)
    stopped = asyncio.create_task(stop.wait())
    first = asyncio.create_task(_first(context))
    await asyncio.wait((stopped, first), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    first.cancel()
    if stop.is_set():
        return
    began()
    await kopf.operator(
        registry=registry(context),
        settings=settings(),
        standalone=True,
        # Kopf would ask for the user's name, and a pod's user has none; with standalone=True nobody reads it.
        identity=Identity("lastgood"),
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
    )
