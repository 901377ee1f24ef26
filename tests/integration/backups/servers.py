"""An S3 server and an SSH server of the tests' own, on loopback."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.probes.conftest import accepts, free_port, running
from tests.lab.go_build import build
from tests.unit.probes.certs import Authority

ACCESS, SECRET = "access-c4n4ry", "secret-c4n4ry-s3"


@dataclass
class Bucket:
    """versitygw over a folder."""

    port: int
    folder: Path
    pid: int
    scheme: str = "http"

    def declared(self, bucket: str = "backups", **more: Any) -> dict[str, Any]:
        keys = {"accessKeyId": {"name": "s3", "key": "id"}, "secretAccessKey": {"name": "s3", "key": "key"}}
        return {"s3": {"endpoint": f"{self.scheme}://localhost:{self.port}", "bucket": bucket, **keys, **more}}


@contextmanager
def s3(folder: Path, authority: Authority | None = None, access: str = ACCESS) -> Iterator[Bucket]:
    """An S3 server with one bucket, "backups"."""
    program, port = build("versitygw") / "versitygw", free_port()
    (folder / "data" / "backups").mkdir(parents=True, exist_ok=True)
    command = [str(program), "--access", access, "--secret", SECRET, "--port", f"127.0.0.1:{port}"]
    if authority is not None:
        pem = folder / "server.pem"
        pem.write_bytes(authority.sign("localhost"))
        command += ["--cert", str(pem), "--key", str(pem)]
    command += ["posix", str(folder / "data")]
    with running(command, port, folder, lambda: accepts(port)) as server:
        yield Bucket(port, folder / "data", server.process.pid, "https" if authority else "http")


@dataclass(frozen=True)
class Host:
    """An SSH server that takes one key."""

    port: int
    key: str
    known_hosts: str
    folder: Path
    user: str

    def declared(self, path: str | None = None) -> dict[str, Any]:
        ref = {"name": "ssh", "key": "k"}
        place = {"host": "127.0.0.1", "port": self.port, "user": self.user, "path": path or str(self.folder / "kept")}
        return {"sftp": {**place, "privateKey": ref, "knownHosts": ref}}


@contextmanager
def ssh(folder: Path) -> Iterator[Host]:
    """sshd from Debian, which serves sftp alone."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        pytest.fail("sshd is missing: sh hack/servers.sh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    user, port = pwd.getpwuid(os.geteuid()).pw_name, free_port()
    shutil.copy(folder / "user.pub", folder / "authorized")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n"
        "PermitRootLogin prohibit-password\n"
    )
    # It wants the folder that its own service would have made.
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with running([program, "-D", "-e", "-f", str(folder / "sshd_config")], port, folder, lambda: accepts(port)):
        kind, public, *_ = (folder / "host.pub").read_text().split()
        known = f"[127.0.0.1]:{port} {kind} {public}\n"
        yield Host(port, (folder / "user").read_text(), known, folder, user)
