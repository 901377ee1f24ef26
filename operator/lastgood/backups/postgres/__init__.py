"""PostgreSQL: dumps, base backups, write-ahead log and increments, by PostgreSQL's own tools."""

from lastgood.api.backupjob import JobSpec
from lastgood.backups.postgres.engine import Logical, Physical, Wal
from lastgood.backups.postgres.server import Server
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import Engine, JobFailed, Places

__all__ = ["engines", "method"]


def method(spec: JobSpec) -> str:
    """The method in use: where none is named, wal for a schedule that declares an RPO, else logical."""
    source = spec.spec.source.postgres
    assert source  # noqa: S101
    return source.method or ("wal" if spec.spec.rpo else "logical")


def engines(spec: JobSpec, paths: Places) -> Engine:
    """The engine of a schedule's method. Raises JobFailed BadDsn when its credentials are missing or unusable."""
    dsn, target, ca = (paths.credential(f"source/{name}") for name in ("dsn", "restore-dsn", "ca.crt"))
    try:
        text = dsn.read_text()
        other = target.read_text() if target.exists() else text
    except OSError:
        raise JobFailed(PgReason.BAD_DSN, "the DSN's Secret is not mounted: name an existing key") from None
    authority = ca if ca.exists() else None
    server = Server(text, scratch=paths.scratch, ca=authority)
    match method(spec):
        case "wal":
            return Wal(spec, server, paths)
        case "physical":
            return Physical(spec, server, paths)
        case _:
            to = server if other == text else Server(other, scratch=paths.scratch, ca=authority)
            return Logical(spec, server, to)
