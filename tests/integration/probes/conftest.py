"""A PostgreSQL and a Redis of the tests' own, from Debian's packages postgresql-15 and redis-server."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import uvloop
from tests.unit.probes.certs import Authority

PASSWORD = "c4n4ry-p4ss"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the operator may run on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Running:
    """A server and where it is."""

    port: int
    directory: Path
    process: "subprocess.Popen[bytes]"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def binary(name: str) -> str:
    """A server's program. Debian keeps PostgreSQL's out of the PATH."""
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / name).exists():
            return str(directory / name)
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install postgresql-15 redis-server")
    return found


def wait_for(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"server did not start: {log.read_text()}")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: list[str], port: int, directory: Path, ready: Callable[[], bool], user: str = ""
) -> Iterator[Running]:
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, user=user or None)
    try:
        wait_for(ready, process, log)
        yield Running(port, directory, process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make("lastgood integration authority")


@pytest.fixture(scope="session")
def postgres(authority: Authority) -> Iterator[Running]:
    """PostgreSQL with TLS, user app (password) with database shop, user nobody who may not come in."""
    # initdb refuses root, which tests in a container often are.
    user = "postgres" if os.geteuid() == 0 else ""
    with tempfile.TemporaryDirectory(prefix="lastgood-pg-") as name:
        directory, data, port = Path(name), Path(name) / "data", free_port()
        if user:
            account = pwd.getpwnam(user)
            os.chown(directory, account.pw_uid, account.pw_gid)
        subprocess.run(
            [
                binary("initdb"),
                "-D",
                str(data),
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
                "--locale=C",
                "-E",
                "UTF8",
            ],
            check=True,
            capture_output=True,
            user=user or None,
            cwd=directory,
        )
        (data / "server.pem").write_bytes(authority.sign("db.test"))
        (data / "server.pem").chmod(0o600)
        (data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\n"
            "hostssl shop tls 127.0.0.1/32 scram-sha-256\n"
            "host all app,missing 127.0.0.1/32 scram-sha-256\n"
            "host all all 127.0.0.1/32 reject\n"
        )
        if user:
            for file in ("server.pem", "pg_hba.conf"):
                os.chown(data / file, account.pw_uid, account.pw_gid)
        settings = {
            "port": str(port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": "server.pem",
            "ssl_key_file": "server.pem",
            "max_connections": "20",
        }
        command = [binary("postgres"), "-D", str(data), *(f"--{key}={value}" for key, value in settings.items())]
        admin = f"host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=1"

        def ready() -> bool:
            try:
                psycopg.connect(admin).close()
            except psycopg.OperationalError:
                return False
            return True

        with running(command, port, directory, ready, user) as server:
            with psycopg.connect(admin, autocommit=True) as connection:
                for role in ("app", "tls", "nobody"):
                    connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'".encode())
                connection.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
                connection.execute("CREATE DATABASE shop OWNER app")
            yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Running]:
    """Redis with a password, the user probe who may PING, and the user mute who may not."""
    with tempfile.TemporaryDirectory(prefix="lastgood-redis-") as name:
        directory, port = Path(name), free_port()
        (directory / "redis.conf").write_text(
            f'port {port}\nbind 127.0.0.1\ndir {directory}\nsave ""\nrequirepass {PASSWORD}\n'
            f"user probe on >{PASSWORD} +ping +select\nuser mute on >{PASSWORD} -@all\n"
        )
        command = [binary("redis-server"), str(directory / "redis.conf")]
        with running(command, port, directory, lambda: accepts(port)) as server:
            yield server


@pytest.fixture(scope="session")
def open_redis(authority: Authority) -> Iterator[tuple[Running, int]]:
    """Redis without a password, and the port on which it speaks TLS."""
    with tempfile.TemporaryDirectory(prefix="lastgood-redis-") as name:
        directory, port, tls = Path(name), free_port(), free_port()
        (directory / "server.pem").write_bytes(authority.sign("cache.test"))
        (directory / "redis.conf").write_text(
            f'port {port}\nbind 127.0.0.1\ndir {directory}\nsave ""\ntls-port {tls}\ntls-auth-clients no\n'
            f"tls-cert-file {directory}/server.pem\ntls-key-file {directory}/server.pem\nenable-debug-command yes\n"
        )
        command = [binary("redis-server"), str(directory / "redis.conf")]
        with running(command, port, directory, lambda: accepts(port) and accepts(tls)) as server:
            yield server, tls
