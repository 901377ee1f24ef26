"""A real Prometheus, built by the lab, that scrapes an application of the tests' own every second."""

import base64
import http.client
import json
import os
import signal
import ssl
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server
from tests.integration.probes.conftest import free_port, running
from tests.lab.go_build import build
from tests.unit.probes.certs import Authority

USER, PASSWORD = "admin", "test"
_HASHED = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
"""The password by bcrypt, as in Prometheus' own documentation of basic authentication."""


@dataclass(frozen=True)
class Application:
    """What is scraped."""

    port: int
    requests: Counter


@dataclass(frozen=True)
class Prometheus:
    """What is asked."""

    port: int
    authority: Authority
    pid: int

    def stand_still(self, still: bool) -> None:
        """Answer nobody, or go on."""
        os.kill(self.pid, signal.SIGSTOP if still else signal.SIGCONT)

    def query(self, query: str) -> list[object]:
        url = f"http://127.0.0.1:{self.port}/api/v1/query?query={quote(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            result: list[object] = json.load(answer)["data"]["result"]
            return result


def _ready(port: int, *, tls: bool) -> bool:
    """Whether it says so itself: before, it answers everything with 503."""
    connection: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    if tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    try:
        connection.request("GET", "/-/ready", headers={"Authorization": f"Basic {token}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session")
def application() -> Iterator[Application]:
    registry = CollectorRegistry()
    requests = Counter("http_requests", "Requests.", ["code"], registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield Application(server.server_port, requests)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def prometheus(application: Application) -> Iterator[Prometheus]:
    """Open to all, over HTTP."""
    yield from _prometheus("", application)


@pytest.fixture(scope="session")
def guarded(application: Application) -> Iterator[Prometheus]:
    """With TLS and a password."""
    web = (
        f"tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  {USER}: {_HASHED}\n"
    )
    yield from _prometheus(web, application)


def _prometheus(web: str, application: Application) -> Iterator[Prometheus]:
    authority = Authority.make("lastgood integration authority")
    program = build("prometheus") / "prometheus"
    with tempfile.TemporaryDirectory(prefix="lastgood-prometheus-") as name:
        directory, port = Path(name), free_port()
        targets = json.dumps([{"targets": [f"127.0.0.1:{application.port}"]}])
        (directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"scrape_configs: [{{job_name: app, static_configs: {targets}}}]\n"
        )
        (directory / "web.yml").write_text(web)
        pem = authority.sign("prometheus.test")
        for file in ("server.crt", "server.key"):
            (directory / file).write_bytes(pem)
        command = [
            str(program),
            f"--config.file={directory}/prometheus.yml",
            f"--web.config.file={directory}/web.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(command, port, directory, lambda: _ready(port, tls=bool(web))) as server:
            yield Prometheus(port, authority, server.process.pid)
