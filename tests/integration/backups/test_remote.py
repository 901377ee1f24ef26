"""Repositories in S3 and over sftp: versitygw and sshd on loopback."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.backups.conftest import TAGS, Pod, tree
from tests.integration.backups.servers import ACCESS, SECRET, Bucket, Host, s3, ssh
from tests.integration.probes.conftest import free_port
from tests.unit.probes.certs import Authority

from lastgood.api.repositories import Repository as Declared
from lastgood.backups.restic import Restic
from lastgood.backups.restic_call import Call
from lastgood.backups.restic_location import Location
from lastgood.domain.backups.ports import JobFailed

HERE = {"PATH": os.environ["PATH"]}


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    (tmp_path / "s3").mkdir()
    with s3(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "ssh").mkdir()
    with ssh(tmp_path / "ssh") as server:
        yield server


def with_keys(pod: Pod, name: str = "primary", access: str = ACCESS, secret: str = SECRET) -> None:
    pod.credential(f"repositories/{name}/access-key-id", access + "\n")
    pod.credential(f"repositories/{name}/secret-access-key", secret + "\n")


def with_ssh(pod: Pod, host: Host, name: str = "primary") -> None:
    pod.credential(f"repositories/{name}/private-key", host.key).chmod(0o600)
    pod.credential(f"repositories/{name}/known-hosts", host.known_hosts)


def remote(pod: Pod, body: dict[str, Any], name: str = "primary", **more: object) -> Restic:
    return pod.restic(name, Declared.model_validate(body), **more)


async def failure(work: Any) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await work
    assert SECRET not in caught.value.message
    return caught.value


async def round_trip(repository: Restic, files: Path, out: Path) -> str:
    await repository.ensure()
    made = await repository.store(files, tags=TAGS)
    await repository.fetch(made.id, out)
    assert tree(out) == tree(files)
    await repository.check(share=1.0)
    assert await repository.size() > 1000
    return made.id


async def test_a_bucket_keeps_files(pod: Pod, bucket: Bucket, files: Path, tmp_path: Path) -> None:
    with_keys(pod)
    await round_trip(remote(pod, bucket.declared(prefix="deep/er")), files, tmp_path / "out")
    assert (bucket.folder / "backups" / "deep" / "er" / "shop" / "orders" / "config").is_file()


async def test_a_bucket_over_tls_is_trusted_by_its_authority_alone(pod: Pod, files: Path, tmp_path: Path) -> None:
    authority = Authority.make("lastgood integration authority")
    (tmp_path / "tls").mkdir()
    with s3(tmp_path / "tls", authority) as bucket:
        with_keys(pod)
        ca = {"ca": {"configMapKeyRef": {"name": "c", "key": "ca.crt"}}}
        pod.credential("repositories/primary/ca.crt", authority.pem.decode())
        await round_trip(remote(pod, bucket.declared(**ca)), files, tmp_path / "out")
        assert (await failure(remote(pod, bucket.declared()).ensure())).reason == "CertificateUntrusted"


@pytest.mark.parametrize(("access", "secret"), [(ACCESS, "wrong"), ("nobody", SECRET)])
async def test_wrong_credentials_of_a_bucket(pod: Pod, bucket: Bucket, access: str, secret: str) -> None:
    with_keys(pod, access=access, secret=secret)
    assert (await failure(remote(pod, bucket.declared()).ensure())).reason == "AccessDenied"
    assert list((bucket.folder / "backups").iterdir()) == []


async def test_a_bucket_that_is_not_there_is_not_made(pod: Pod, bucket: Bucket) -> None:
    """A slip of the pen would else be a repository of its own."""
    with_keys(pod)
    assert (await failure(remote(pod, bucket.declared("bakcups")).ensure())).reason == "NoBucket"
    assert [p.name for p in bucket.folder.iterdir() if not p.name.startswith(".")] == ["backups"]


async def test_a_bucket_in_another_region(pod: Pod, bucket: Bucket) -> None:
    with_keys(pod)
    assert (await failure(remote(pod, bucket.declared(region="eu-test-1")).ensure())).reason == "BadRequest"


async def test_a_server_that_is_not_there_is_said_at_once(pod: Pod, bucket: Bucket) -> None:
    with_keys(pod)
    bucket.port = free_port()
    began = time.monotonic()
    assert (await failure(remote(pod, bucket.declared()).ensure())).reason == "Unreachable"
    assert time.monotonic() - began < 30


async def test_a_bucket_that_stops_in_the_middle_leaves_what_was_there(pod: Pod, files: Path, tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    with_keys(pod)
    with s3(tmp_path / "s3") as bucket:
        repository = remote(pod, bucket.declared())
        await repository.ensure()
        kept = await repository.store(files, tags=TAGS)
        slow = ["sh", "-c", "head -c 40000000 /dev/urandom; sleep 2; head -c 40000000 /dev/urandom"]
        data = bucket.folder / "backups" / "shop" / "orders" / "data"
        before = sum(1 for p in data.rglob("*") if p.is_file())
        task = asyncio.create_task(
            repository.store_output(slow, file="dump", tags={**TAGS, "backup": "b-2"}, environment=HERE)
        )
        deadline = time.monotonic() + 120
        while sum(1 for p in data.rglob("*") if p.is_file()) == before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        os.kill(bucket.pid, 9)
        error = await failure(task)
        assert error.reason == "Unreachable"
    with_port = tmp_path / "again"
    with_port.mkdir()
    (with_port / "data").symlink_to(tmp_path / "s3" / "data")
    with s3(with_port) as bucket:
        repository = remote(pod, bucket.declared())
        assert [s.id for s in await repository.snapshots({"schedule": "orders", "type": "full"})] == [kept.id]
        await repository.fetch(kept.id, tmp_path / "out")
        assert tree(tmp_path / "out") == tree(files)
        await repository.check()


async def test_a_bucket_that_stops_while_a_file_is_read_is_told_of(pod: Pod, bucket: Bucket, tmp_path: Path) -> None:
    """restic alone would try for a quarter of an hour."""
    with_keys(pod)
    repository = remote(pod, bucket.declared())
    await repository.ensure()
    source = ["head", "-c", "60000000", "/dev/urandom"]
    made = await repository.store_output(source, file="dump", tags=TAGS, environment=HERE)
    read, whole = tmp_path / "read", tmp_path / "whole"
    script = 'head -c 100000 > "$1"; sleep 2; cat > /dev/null; touch "$2"'
    sink = ["sh", "-c", script, "sh", str(read), str(whole)]
    task = asyncio.create_task(repository.read(made.id, "dump", sink, environment=HERE))
    deadline = time.monotonic() + 60
    while not read.exists() or not read.stat().st_size:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    os.kill(bucket.pid, 9)
    async with asyncio.timeout(120):
        error = await failure(task)
    assert error.reason == "Unreachable"
    assert not whole.exists()


async def test_two_buckets_with_credentials_of_their_own(pod: Pod, files: Path, tmp_path: Path) -> None:
    """One restic knows one set: this goes through two."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with s3(tmp_path / "one") as one, s3(tmp_path / "two", access="other") as two:
        with_keys(pod)
        with_keys(pod, "second", access="other")
        first = remote(pod, one.declared())
        second = remote(pod, two.declared(), "second")
        assert not first.call.location.goes_with(second.call.location)
        await first.ensure()
        await second.ensure(first)
        folder = await first.store(files, tags=TAGS)
        dump = await first.store_output(["seq", "100000"], file="dump", tags={**TAGS, "part": "dump"}, environment=HERE)
        for _ in range(2):
            await first.copy_to(second, [folder.id, dump.id])
        # Made within a second of each other, they come in any order.
        there = sorted(await second.snapshots({"backup": "b-1"}), key=lambda s: "part" in s.tags)
        assert [(s.tags, int(s.time)) for s in there] == [(s.tags, int(s.time)) for s in (folder, dump)]
        await second.fetch(there[0].id, tmp_path / "out")
        assert tree(tmp_path / "out") == tree(files)
        await second.read(there[1].id, "dump", ["sh", "-c", f"cat > {tmp_path}/dump"], environment=HERE)
        assert (tmp_path / "dump").read_text().splitlines()[-1] == "100000"


async def test_a_volume_is_copied_to_a_bucket_and_to_a_host(
    pod: Pod, bucket: Bucket, host: Host, files: Path, tmp_path: Path
) -> None:
    with_keys(pod, "second")
    with_ssh(pod, host, "third")
    primary = pod.volume()
    await primary.ensure()
    made = await primary.store(files, tags=TAGS)
    for name, body in (("second", bucket.declared()), ("third", host.declared())):
        other = remote(pod, body, name)
        await other.ensure(primary)
        await primary.copy_to(other, [made.id])
        (copied,) = await other.snapshots({"backup": "b-1"})
        await other.fetch(copied.id, tmp_path / name)
        assert tree(tmp_path / name) == tree(files)


async def test_a_host_keeps_files(pod: Pod, host: Host, files: Path, tmp_path: Path) -> None:
    with_ssh(pod, host)
    await round_trip(remote(pod, host.declared()), files, tmp_path / "out")
    assert (host.folder / "kept" / "shop" / "orders" / "config").is_file()


async def test_a_host_with_another_key_and_a_key_that_the_host_does_not_know(
    pod: Pod, host: Host, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with_ssh(pod, host)
    with ssh(tmp_path / "other") as other:
        known = pod.places.credential("repositories/primary/known-hosts")
        known.write_text(f"[127.0.0.1]:{host.port} {' '.join(other.known_hosts.split()[1:])}\n")
        assert (await failure(remote(pod, host.declared()).ensure())).reason == "HostKeyUnknown"
        known.write_text("")
        assert (await failure(remote(pod, host.declared()).ensure())).reason == "HostKeyUnknown"
        with_ssh(pod, host)
        pod.places.credential("repositories/primary/private-key").write_text(other.key)
        assert (await failure(remote(pod, host.declared()).ensure())).reason == "AccessDenied"
    pod.places.credential("repositories/primary/private-key").write_text("no key\n")
    assert (await failure(remote(pod, host.declared()).ensure())).reason in {"KeyUnusable", "AccessDenied"}


@pytest.mark.parametrize(
    ("says", "status", "reason"),
    [
        ("Host key verification failed.", 255, "HostKeyUnknown"),
        ("root@host: Permission denied (publickey).", 255, "AccessDenied"),
        ("something new", 255, "RepositoryFailed"),
        ("Permission denied, and yet it went on", 0, "RepositoryFailed"),
    ],
)
async def test_an_ssh_whose_words_restic_did_not_pass_on_is_asked_itself(
    pod: Pod, tmp_path: Path, says: str, status: int, reason: str
) -> None:
    """Played by two scripts: whether the real restic is gone before it has passed them on is a matter of luck."""
    scripts = {
        "restic": "echo 'Fatal: unable to open repository at sftp://x: unable to start the sftp session, error: EOF' >&2\nexit 1",
        "ssh": f"echo '{says}' >&2\nexit {status}",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    location = Location("primary", "sftp://x", "primary (root at x)", ssh=(str(tmp_path / "ssh"),))
    failed = await failure(Call(location, pod.settings(program=str(tmp_path / "restic"))).once("snapshots"))
    assert failed.reason == reason
