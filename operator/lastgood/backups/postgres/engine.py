"""Engines of the methods, as jobs call them."""

from collections.abc import Mapping
from pathlib import Path

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import JobSpec, RestoreJob
from lastgood.backups.postgres.drill import test_dumps
from lastgood.backups.postgres.logical import Dumps
from lastgood.backups.postgres.restoring import LogicalRestore
from lastgood.backups.postgres.server import Server
from lastgood.domain.backups.ports import Point, Repository


class Logical:
    """pg_dump and pg_restore."""

    def __init__(self, spec: JobSpec, server: Server, target: Server) -> None:
        """``target``: the server as who restores may reach it."""
        source = spec.spec.source.postgres
        assert source  # noqa: S101
        self._server = server
        self._dumps = Dumps(server, source.databases, with_globals=source.globals)
        self._restore = LogicalRestore(target)
        self._assertions = spec.spec.verification.restore_test.assertions

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Dump all databases that are asked for."""
        return await self._dumps.point(work, repository, tags)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Dump all again: pg_dump has no increments, and the repository keeps only what has changed."""
        return await self._dumps.point(work, repository, tags)

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """Restore into a server in the pod, compare rows and checksums with those at the point."""
        return await test_dumps(work, repository, point, self._server.database, self._assertions)

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that the point is whole in this repository."""
        return await self._restore.verify(work, repository, restore)

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """Put the data where it is wanted."""
        return await self._restore.restore(work, repository, restore)

    async def validate(self, work: Path, restore: RestoreJob) -> str:  # noqa: ARG002
        """Run the assertions on what was restored."""
        return await self._restore.validate(restore)

    async def swap(self, work: Path, restore: RestoreJob) -> str:  # noqa: ARG002
        """Give the restored database the name."""
        return await self._restore.swap(restore)
