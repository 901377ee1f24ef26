"""The engine of a schedule's source."""

import importlib
from collections.abc import Callable

from lastgood.api.backupjob import JobSpec
from lastgood.api.backupschedule import VolumeSource
from lastgood.domain.backups.ports import Engine, JobFailed, KubeApi, Places


def engine_for(spec: JobSpec, places: Places, api: KubeApi | None, now: Callable[[], float]) -> Engine:
    """The engine; each is imported only where it is used. Raises JobFailed when a credential is missing."""
    source = spec.spec.source
    if source.postgres is not None:
        engine: Engine = importlib.import_module("lastgood.backups.postgres").engines(spec, places)
        return engine
    if source.redis is not None:
        from lastgood.backups.redis import RedisEngine  # noqa: PLC0415

        return RedisEngine(source.redis, places, now)
    if source.volume is not None:
        from lastgood.backups.volume import VolumeEngine  # noqa: PLC0415

        return VolumeEngine(source.volume, places, now)
    if spec.restore is not None and (claim := spec.restore.spec.new_claim):
        # Logs and declared objects are stored as files, and go into a claim as such, without any right.
        from lastgood.backups.volume import VolumeEngine  # noqa: PLC0415

        return VolumeEngine(VolumeSource(claims=[claim]), places, now)
    if api is None:
        raise JobFailed("ClusterUnreachable", "logs and declared objects are read from the API server: there is none")
    if source.logs is not None:
        from lastgood.backups.logs import LogsEngine  # noqa: PLC0415

        return LogsEngine(source.logs, spec.namespace, api, now)
    if source.config is not None:
        from lastgood.backups.config import ConfigEngine  # noqa: PLC0415

        return ConfigEngine(source.config, spec.namespace, api, now)
    raise JobFailed("SourceUnknown", "the schedule names no source")
