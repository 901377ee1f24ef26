"""Redis with a real server, a real restic, and a throw-away server that loads what was stored."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.backups.conftest import TAGS, Pod
from tests.integration.probes.conftest import PASSWORD, Running, accepts, binary, free_port, running
from tests.unit.probes.certs import Authority

from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import RedisSource
from lastgood.backups.redis import RedisEngine, check
from lastgood.backups.redis_url import address
from lastgood.backups.restic import Restic
from lastgood.domain.backups.ports import JobFailed, Point

SOURCE = RedisSource.model_validate({"url": {"name": "redis", "key": "url"}})


@contextmanager
def server(folder: Path, *more: str) -> Iterator[Running]:
    port = free_port()
    command = [binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *more]
    with running(command, port, folder, lambda: accepts(port)) as started:
        yield started


def cli(port: int, *words: str, password: str = PASSWORD) -> str:
    environment = {**os.environ, "REDISCLI_AUTH": password} if password else dict(os.environ)
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *words], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def redis() -> Iterator[Running]:
    with (
        tempfile.TemporaryDirectory(prefix="lastgood-redis-") as name,
        server(Path(name), "--save", "", "--requirepass", PASSWORD) as started,
    ):
        cli(started.port, "eval", "for n = 0, 199 do redis.call('set', 'key-' .. n, string.rep('x', n)) end", "0")
        cli(started.port, "-n", "3", "set", "other", "1")
        yield started


@pytest.fixture
async def repository(pod: Pod) -> Restic:
    repository = pod.volume()
    await repository.ensure()
    return repository


def engine(pod: Pod, url: str, source: RedisSource = SOURCE) -> RedisEngine:
    pod.credential("source/url", url + "\n")
    return RedisEngine(source, pod.places, time.time)


def work(pod: Pod, name: str = "work") -> Path:
    folder = pod.places.scratch / name
    folder.mkdir()
    return folder


def until_gone(port: int) -> None:
    deadline = time.monotonic() + 60
    while cli(port, "exists", "passing") == "1":
        assert time.monotonic() < deadline
        time.sleep(0.5)


async def failure(coroutine: Any) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await coroutine
    assert PASSWORD not in caught.value.message
    return caught.value


async def test_a_dump_is_stored_and_a_server_that_loads_it_holds_as_many(
    pod: Pod, redis: Running, repository: Restic
) -> None:
    cli(redis.port, "set", "passing", "1", "px", "15000")
    made = await engine(pod, f"redis://:{PASSWORD}@127.0.0.1:{redis.port}").full(work(pod), repository, TAGS)
    assert (made.method, made.server_version[:1]) == ("redis", "7")
    assert made.contents == ["202 keys"]
    (snapshot,) = await repository.snapshots({"part": "redis"})
    assert made.copies[0].snapshots == [snapshot.id]
    until_gone(redis.port)
    proof = await engine(pod, "redis://unused").test(work(pod, "t"), repository, Point("b-1", 0.0, [snapshot]))
    assert proof.passed
    assert "201 keys, 1 had expired" in proof.message


async def test_each_failure_has_its_reason(pod: Pod, redis: Running, repository: Restic) -> None:
    where = f"127.0.0.1:{redis.port}"
    for number, (url, reason) in enumerate(
        [
            (f"redis://:wrong@{where}", "WrongPassword"),
            (f"redis://{where}", "WrongPassword"),
            (f"redis://127.0.0.1:{free_port()}", "Unreachable"),
            (f"http://{where}", "BadUrl"),
        ]
    ):
        error = await failure(engine(pod, url).full(work(pod, f"w{number}"), repository, TAGS))
        assert error.reason == reason, error.message
    pod.places.credential("source/url").unlink()
    error = await failure(RedisEngine(SOURCE, pod.places, time.time).full(work(pod, "w9"), repository, TAGS))
    assert error.reason == "CredentialMissing"
    cli(redis.port, "ACL", "SETUSER", "few", "on", f">{PASSWORD}", "+info")
    error = await failure(engine(pod, f"redis://few:{PASSWORD}@{where}").full(work(pod, "w8"), repository, TAGS))
    assert error.reason == "NotAllowed"
    assert await repository.snapshots({"part": "redis"}) == []


async def test_over_tls_with_an_authority_of_its_own(pod: Pod, repository: Restic) -> None:
    authority, port = Authority.make("lastgood integration authority"), free_port()
    with tempfile.TemporaryDirectory(prefix="lastgood-redis-") as name:
        pem = Path(name) / "server.pem"
        pem.write_bytes(authority.sign("localhost"))
        tls = ["--tls-port", str(port), "--tls-cert-file", str(pem), "--tls-key-file", str(pem)]
        with server(Path(name), "--save", "", "--tls-auth-clients", "no", *tls) as plain:
            cli(plain.port, "set", "a", "1", password="")
            source = RedisSource.model_validate(
                {"url": {"name": "r", "key": "u"}, "ca": {"configMapKeyRef": {"name": "c", "key": "ca.crt"}}}
            )
            pod.credential("source/ca.crt", authority.pem.decode())
            made = await engine(pod, f"rediss://localhost:{port}", source).full(work(pod), repository, TAGS)
            assert made.contents == ["1 keys"]
            error = await failure(engine(pod, f"rediss://localhost:{port}").full(work(pod, "w"), repository, TAGS))
            assert error.reason == "TlsFailed"


async def test_a_dump_that_is_not_whole_is_not_stored_and_one_with_too_few_keys_fails_its_test(
    pod: Pod, redis: Running, repository: Restic
) -> None:
    target = engine(pod, f"redis://:{PASSWORD}@127.0.0.1:{redis.port}")
    await target.full(work(pod), repository, TAGS)
    dump = pod.places.scratch / "work" / "dump.rdb"
    half = work(pod, "half")
    (half / "dump.rdb").write_bytes(dump.read_bytes()[: dump.stat().st_size // 2])
    assert (await failure(check(half / "dump.rdb"))).reason == "DumpDamaged"
    bad = await repository.store(half, tags={**TAGS, "part": "redis", "keys": "202"})
    error = await failure(target.test(work(pod, "t1"), repository, Point("b", 0.0, [bad])))
    assert error.reason == "RestoreTestFailed"
    few = await repository.store(dump.parent, tags={**TAGS, "part": "redis", "keys": "999"})
    error = await failure(target.test(work(pod, "t2"), repository, Point("b", 0.0, [few])))
    assert (error.reason, "999 were stored" in error.message) == ("RestoreTestFailed", True)


def asked(snapshots: list[str], into: dict[str, Any] | None = None) -> RestoreJob:
    spec = {"schedule": "orders", "to": {"latest": True}, "server": {"statefulSet": "redis", "claim": "data-redis-0"}}
    body = {"name": "back", "uid": "r-1", "spec": {**spec, "into": into or {"inPlace": True}}, "snapshots": snapshots}
    return RestoreJob.model_validate_json(json.dumps(body))


@pytest.mark.parametrize("appendonly", ["no", "yes"])
async def test_a_stopped_server_starts_with_what_was_stored(
    pod: Pod, redis: Running, repository: Restic, appendonly: str
) -> None:
    target = engine(pod, f"redis://:{PASSWORD}@127.0.0.1:{redis.port}")
    made = await target.full(work(pod), repository, TAGS)
    volume = pod.places.server("data-redis-0")
    volume.mkdir(parents=True)
    settings = ["--appendonly", appendonly, "--appendfilename", "shop.aof", "--save", "60 1"]
    with server(volume, *settings) as before:
        cli(before.port, "set", "wrong", "1", password="")
        cli(before.port, "save", password="")
    for number in range(2):
        said = await target.restore(work(pod, f"r{number}"), repository, asked(made.copies[0].snapshots))
    assert ("appendonly" in said) == (appendonly == "yes")
    assert "201 keys" in await target.validate(work(pod, "v"), asked([]))
    with server(volume, *settings) as after:
        assert cli(after.port, "get", "key-7", password="") == "xxxxxxx"
        assert cli(after.port, "get", "wrong", password="") == ""
        assert cli(after.port, "-n", "3", "get", "other", password="") == "1"
        cli(after.port, "set", "more", "1", password="")
    with server(volume, *settings) as again:
        assert cli(again.port, "get", "more", password="") == "1"
        assert cli(again.port, "get", "key-7", password="") == "xxxxxxx"
    assert (volume / "dump.rdb.before-back").exists()


async def test_only_a_servers_volume_can_take_a_dump(pod: Pod, repository: Restic) -> None:
    target = engine(pod, "redis://unused")
    error = await failure(target.restore(work(pod), repository, asked(["x"], {"swap": True})))
    assert error.reason == "NotSupported"
    assert (await failure(target.restore(work(pod, "w"), repository, asked(["x"])))).reason == "VolumeMissing"


def test_a_url_is_read_and_never_shown() -> None:
    found = address("rediss://us%40er:p%2Fw@h:7000/2")
    assert (found.host, found.port, found.tls, found.user, found.password) == ("h", 7000, True, "us@er", "p/w")
    assert found.environment == {"REDISCLI_AUTH": "p/w"}
    assert "p/w" not in f"{found!r}{found.arguments(None)}"
    for bad in ("redis://", "redis://h:99999999", "h:6379", ""):
        with pytest.raises(JobFailed) as caught:
            address(bad)
        assert caught.value.reason == "BadUrl"
