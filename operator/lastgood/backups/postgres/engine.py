"""Engines of the methods, as jobs call them."""

from collections.abc import Mapping
from pathlib import Path

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import JobSpec, RestoreJob
from lastgood.backups.postgres.drill import test_dumps
from lastgood.backups.postgres.logical import Dumps
from lastgood.backups.postgres.physical import PhysicalBackups
from lastgood.backups.postgres.receiver import Receiver
from lastgood.backups.postgres.rehearsal import test_base
from lastgood.backups.postgres.restoring import LogicalRestore
from lastgood.backups.postgres.server import Server
from lastgood.backups.postgres.spool import Spool
from lastgood.backups.postgres.volume import VolumeRestore
from lastgood.backups.postgres.wal import WalBackups
from lastgood.domain.backups.ports import Places, Point, Repository


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


class _Whole:
    """What wal and physical share: they restore a whole server onto its own volume."""

    def __init__(self, spec: JobSpec, server: Server, places: Places) -> None:
        self._server = server
        self._restore = VolumeRestore(server, places)
        self._assertions = spec.spec.verification.restore_test.assertions

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """Start what was stored in the pod, led through its log, and look for what the backup left in it."""
        return await test_base(work, repository, point, self._server.database, self._assertions)

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See that chain and log are whole in this repository."""
        return await self._restore.verify(work, repository, restore)

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """Put the server's data onto its volume, what is there kept beside it."""
        return await self._restore.restore(work, repository, restore)

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """Start the restored server in the pod and run the assertions."""
        return await self._restore.validate(work, restore)


class Wal(_Whole):
    """pg_basebackup and pg_receivewal."""

    def __init__(self, spec: JobSpec, server: Server, places: Places) -> None:
        super().__init__(spec, server, places)
        self._backups = WalBackups(server, spec.slot, places.spool)
        self._receiver = Receiver(server, spec.slot, Spool(places.spool))

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Make a new base."""
        return await self._backups.full(work, repository, tags)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Seal, check and ship what was received."""
        return await self._backups.incremental(work, repository, tags)

    async def receive(self, work: Path, repository: Repository) -> None:  # noqa: ARG002
        """Receive until cancelled."""
        await self._receiver.run()

    async def release(self, *, unlimited_only: bool) -> str:
        """Drop the slot."""
        return await self._receiver.release(unlimited_only=unlimited_only)


class Physical(_Whole):
    """pg_basebackup and its increments."""

    def __init__(self, spec: JobSpec, server: Server, places: Places) -> None:
        super().__init__(spec, server, places)
        self._backups = PhysicalBackups(server)

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Copy the server."""
        return await self._backups.full(work, repository, tags)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """Copy what has changed since the newest copy whose chain is whole."""
        return await self._backups.incremental(work, repository, tags)
