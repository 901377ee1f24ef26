"""The port over a real restic, in folders."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.backups.conftest import OWNER, TAGS, Pod, tree

from lastgood.backups.restic import Restic
from lastgood.domain.backups.ports import JobFailed

HERE = {"PATH": os.environ["PATH"]}


async def failure(work: object) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await work  # type: ignore[misc]
    return caught.value


def locks(repository: Restic) -> list[str]:
    folder = repository.call.location.folder
    assert folder is not None
    # One that is being written is none yet.
    return [p.name for p in (folder / "locks").iterdir() if "-tmp-" not in p.name]


async def points(repository: Restic) -> list[str]:
    return [s.id for s in await repository.snapshots({"backup": "b-1"})]


async def test_a_folder_comes_back_as_it_was(pod: Pod, files: Path, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    made = await repository.store(files, tags={**TAGS, "part": "files"}, exclude=["*.tmp"])
    assert made.size_bytes == 4 + 256 * 4000
    assert 0 < made.stored_bytes < made.size_bytes + 5000
    assert made.tags == {**TAGS, "part": "files"}
    assert abs(made.time - time.time()) < 60
    assert [s.id for s in await repository.snapshots({"part": "files"})] == [made.id]
    assert await repository.snapshots({"part": "files", "backup": "other"}) == []
    await repository.fetch(made.id, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(files)
    await repository.fetch(made.id, tmp_path / "part", include=["/deep"])
    assert list(tree(tmp_path / "part")) == ["deep/b.bin"]
    assert await repository.size() > 1000
    await repository.check()
    await repository.check(share=1.0)


async def test_ensure_again_changes_nothing(pod: Pod) -> None:
    repository = pod.volume()
    await repository.ensure()
    before = await repository.snapshots({})
    await repository.ensure()
    await pod.volume().ensure()
    assert await repository.snapshots({}) == before
    assert locks(repository) == []


async def test_what_a_command_prints_is_one_file_and_is_fed_to_another(pod: Pod, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    made = await repository.store_output(
        ["sh", "-c", "seq 100000; echo $WHO"], file="dump", tags=TAGS, environment={**HERE, "WHO": "me"}
    )
    out = tmp_path / "out"
    await repository.read(made.id, "dump", ["sh", "-c", 'cat > "$OUT"'], environment={**HERE, "OUT": str(out)})
    assert out.read_text() == "".join(f"{n}\n" for n in range(1, 100001)) + "me\n"
    error = await failure(repository.read(made.id, "dump", ["sh", "-c", "cat >/dev/null; exit 4"], environment=HERE))
    assert (error.reason, "exit status 4" in error.message) == ("CommandFailed", True)
    # A command that has had enough has not failed.
    await repository.read(made.id, "dump", ["head", "-n", "1"], environment=HERE)
    assert (await failure(repository.read(made.id, "none", ["cat"], environment=HERE))).reason == "RepositoryFailed"


async def test_the_beginning_of_a_file_is_kept_and_no_lock_is_left(pod: Pod, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    made = await repository.store_output(["seq", "1000000"], file="dump", tags=TAGS, environment=HERE)
    head = tmp_path / "head"
    await repository.head(made.id, "dump", head, size_bytes=1000)
    assert head.read_text() == "".join(f"{n}\n" for n in range(1, 400))[:1000]
    await repository.head(made.id, "dump", head, size_bytes=10_000_000)
    assert head.read_text() == "".join(f"{n}\n" for n in range(1, 1000001))
    assert locks(repository) == []
    error = await failure(repository.head(made.id, "dump", tmp_path / "none" / "head", size_bytes=10))
    assert error.reason == "CommandFailed"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("seq 300000; echo the disk is gone >&2; exit 3", "sh failed (exit status 3): the disk is gone"),
        ("seq 300000; kill -9 $$", "sh failed (killed by signal 9)"),
        ("exit 1", "sh failed (exit status 1)"),
        ("exit 0", "sh printed nothing"),
    ],
)
async def test_a_command_that_dies_half_way_leaves_no_snapshot(pod: Pod, script: str, words: str) -> None:
    repository = pod.volume()
    await repository.ensure()
    error = await failure(
        repository.store_output(["sh", "-c", script], file="dump", tags=TAGS, environment=HERE),
    )
    assert (error.reason, error.message) == ("CommandFailed", words)
    assert await points(repository) == []
    assert locks(repository) == []


async def test_the_lock_of_a_restic_that_could_not_take_it_back_goes_with_the_command_that_died(
    pod: Pod, tmp_path: Path
) -> None:
    """As one does that is told to end in the moment in which it writes its lock."""
    repository = pod.volume()
    await repository.ensure()
    killing = tmp_path / "restic"
    killing.write_text(
        f"""#!{sys.executable}
import os, pathlib, signal, subprocess, sys
restic = [{shutil.which("restic")!r}, *sys.argv[1:]]
if "backup" not in restic:
    os.execv(restic[0], restic)
child = subprocess.Popen(restic)
def die(*_):
    child.kill()
    os.waitpid(child.pid, 0)
    pathlib.Path({str(tmp_path / "killed")!r}).touch()
    os._exit(130)
signal.signal(signal.SIGINT, die)
sys.exit(child.wait())
"""
    )
    killing.chmod(0o755)
    repository = pod.volume(program=str(killing))
    mark = tmp_path / "locked"
    watched = repository.call.location.folder
    script = f'until [ -n "$(ls {watched}/locks)" ]; do sleep 0.05; done; touch {mark}; exit 1'
    error = await failure(
        repository.store_output(["sh", "-c", script], file="dump", tags=TAGS, environment=HERE),
    )
    assert error.reason == "CommandFailed"
    assert mark.exists()
    assert (tmp_path / "killed").exists()
    assert locks(repository) == []


async def test_a_reader_that_fails_leaves_no_lock_of_the_restic_that_it_read_from(pod: Pod) -> None:
    """Which is ended by that, and by no signal that it heeds."""
    repository = pod.volume()
    await repository.ensure()
    made = await repository.store_output(["seq", "300000"], file="dump", tags=TAGS, environment=HERE)
    error = await failure(repository.read(made.id, "dump", ["sh", "-c", "head -c 1; exit 4"], environment=HERE))
    assert (error.reason, "exit status 4" in error.message) == ("CommandFailed", True)
    assert locks(repository) == []


async def test_a_run_that_is_cancelled_leaves_no_snapshot_no_lock_and_no_process(pod: Pod, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    mark = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {mark}; seq 300000; sleep 600"]
    task = asyncio.create_task(repository.store_output(command, file="dump", tags=TAGS, environment=HERE))
    await until(lambda: mark.exists() and bool(mark.read_text()) and locks(repository) != [])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await points(repository) == []
    assert locks(repository) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_a_missing_program_is_said(pod: Pod) -> None:
    repository = pod.volume()
    await repository.ensure()
    error = await failure(repository.store_output(["pg_dump_99"], file="d", tags=TAGS, environment=HERE))
    assert (error.reason, error.message) == ("ToolMissing", "there is no program pg_dump_99 in the job's image")


async def test_the_wrong_key_and_none_are_told_apart(pod: Pod) -> None:
    await pod.volume().ensure()
    key = pod.places.credential("key/current")
    key.write_text("another\n")
    error = await failure(pod.volume().ensure())
    assert error.reason == "WrongKey"
    assert "another" not in error.message
    key.write_text("\n")
    assert (await failure(pod.volume().ensure())).reason == "KeyMissing"
    key.unlink()
    assert (await failure(pod.volume().ensure())).reason == "KeyMissing"


async def test_no_repository_is_made_where_no_volume_is_mounted(pod: Pod) -> None:
    from lastgood.api.repositories import Repository as Declared

    with pytest.raises(JobFailed) as caught:
        pod.restic("primary", Declared.model_validate({"volume": {"claim": "c"}}))
    assert caught.value.reason == "VolumeMissing"


async def test_what_is_gone_is_no_damage(pod: Pod) -> None:
    repository = pod.volume()
    await repository.ensure()
    folder = repository.call.location.folder
    assert folder is not None
    shutil.rmtree(folder)
    assert (await failure(repository.snapshots({}, fresh=True))).reason == "NoRepository"
    assert (await failure(repository.snapshots({}))).reason == "NoRepository"


async def test_keys_are_changed_and_the_old_one_goes(pod: Pod, files: Path, tmp_path: Path) -> None:
    await pod.volume().ensure()
    made = await pod.volume().store(files, tags=TAGS)
    old = pod.credential("key/previous", "c4n4ry-p4ssphrase\n")
    pod.places.credential("key/current").write_text("a-new-one\n")
    # A task that changes nothing may come first.
    early = pod.volume(previous=old)
    await early.fetch(made.id, tmp_path / "early")
    await early.check()
    assert tree(tmp_path / "early") == tree(files)
    assert (await failure(pod.volume().snapshots({}))).reason == "WrongKey"
    changing = pod.volume(previous=old)
    await changing.ensure()
    await pod.volume().fetch(made.id, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(files)
    assert (await failure(pod.volume(key=old).snapshots({}))).reason == "WrongKey"
    await changing.ensure()
    pod.places.credential("key/current").write_text("a-third\n")
    assert (await failure(changing.ensure())).reason == "WrongKey"


async def test_a_rotation_that_was_cut_off_is_finished(pod: Pod) -> None:
    first = pod.volume()
    await first.ensure()
    old = pod.credential("key/previous", "c4n4ry-p4ssphrase\n")
    new = pod.places.credential("key/current")
    new.write_text("a-new-one\n")
    await first.call.once("key", "add", f"--new-password-file={new}", key=old)
    await pod.volume(previous=old).ensure()
    assert (await failure(pod.volume(key=old).snapshots({}))).reason == "WrongKey"
    await pod.volume().snapshots({})


async def test_a_repository_of_another_schedule_is_refused(pod: Pod, files: Path) -> None:
    await pod.volume().ensure()
    other = replace(OWNER, schedule="bills", uid="u-2")
    error = await failure(pod.volume(owner=other).ensure())
    assert error.reason == "RepositoryShared"
    assert "shop/orders" in error.message
    # Made anew under its own name, it goes on with what is there.
    await pod.volume(owner=replace(OWNER, uid="u-3")).ensure()
    markers = await pod.volume().snapshots({"part": "owner"})
    assert [m.tags["uid"] for m in markers] == ["u-3"]


async def test_a_persons_own_repository_is_refused(pod: Pod, files: Path) -> None:
    repository = pod.volume()
    repository.call.location.folder.mkdir(parents=True)  # type: ignore[union-attr]
    await repository.call.once("init")
    await repository.call.once("backup", ".", cwd=files)
    assert (await failure(repository.ensure())).reason == "RepositoryShared"


HOLDER = """
import subprocess, sys, os
read, write = os.pipe()
child = subprocess.Popen(sys.argv[1:], stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os.write(write, b"x" * 1000)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(pod: Pod) -> Iterator["list[subprocess.Popen[str]]"]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


async def hold(repository: Restic, started: "list[subprocess.Popen[str]]") -> int:
    """A restic that is at work on the repository; its process."""
    command = repository.call.command("backup", "--stdin", "--stdin-filename", "held")
    process = subprocess.Popen(  # noqa: ASYNC220 - it is a moment
        [sys.executable, "-c", HOLDER, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=repository.call.environment(),
    )
    started.append(process)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    await until(lambda: locks(repository) != [])
    return child


async def until(done: object) -> None:
    deadline = time.monotonic() + 20
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_lock_of_a_run_that_was_killed_is_removed(pod: Pod, files: Path, holder: list) -> None:  # type: ignore[type-arg]
    repository = pod.volume(lock_seconds=10.0)
    await repository.ensure()
    child = await hold(repository, holder)
    os.kill(child, signal.SIGKILL)
    holder[0].kill()
    holder[0].wait()
    made = await repository.store(files, tags=TAGS)
    await repository.forget([made.id])
    await repository.prune()
    assert locks(repository) == []


async def test_a_lock_of_one_that_lives_is_kept_and_waited_for(pod: Pod, files: Path, holder: list) -> None:  # type: ignore[type-arg]
    repository = pod.volume()
    await repository.ensure()
    child = await hold(repository, holder)
    held = locks(repository)
    error = await failure(repository.prune())
    assert error.reason == "RepositoryLocked"
    assert f"PID {child}" in error.message
    assert locks(repository) == held
    # Backups do not hinder each other, nor does a check.
    await repository.store(files, tags=TAGS)
    await repository.check(share=1.0)
    assert locks(repository) == held
    waiting = asyncio.create_task(pod.volume(lock_seconds=30.0).prune())
    await until(lambda: "waiting for a lock of primary" in pod.said)
    os.kill(child, signal.SIGINT)
    await waiting


async def test_what_another_did_under_its_lock_is_seen(pod: Pod, files: Path, holder: list) -> None:  # type: ignore[type-arg]
    repository = pod.volume(lock_seconds=30.0)
    await repository.ensure()
    mine = await repository.store(files, tags=TAGS)
    child = await hold(repository, holder)
    going = asyncio.create_task(repository.forget([mine.id]))
    await until(lambda: "waiting for a lock of primary" in pod.said)
    other = await pod.volume().store(files, tags=TAGS)
    os.kill(child, signal.SIGINT)
    await going
    assert await points(repository) == [other.id]


def damage(repository: Restic, *, remove: bool = False) -> None:
    """Spoil the largest pack: that of data."""
    folder = repository.call.location.folder
    assert folder is not None
    pack = max((p for p in (folder / "data").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    pack.chmod(0o600)
    if remove:
        pack.unlink()
        return
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 1
    pack.write_bytes(raw)


async def test_a_damaged_pack_is_found_by_reading(pod: Pod, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "noise").write_bytes(os.urandom(3_000_000))
    made = await repository.store(tmp_path / "src", tags=TAGS)
    damage(repository)
    await repository.check()
    error = await failure(repository.check(share=1.0))
    assert error.reason == "RepositoryDamaged"
    assert "Pack ID does not match" in error.message
    error = await failure(repository.fetch(made.id, tmp_path / "out"))
    assert error.reason == "RepositoryDamaged"


async def test_a_missing_pack_is_found_by_the_structure(pod: Pod, tmp_path: Path) -> None:
    repository = pod.volume()
    await repository.ensure()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "noise").write_bytes(os.urandom(3_000_000))
    await repository.store(tmp_path / "src", tags=TAGS)
    damage(repository, remove=True)
    error = await failure(repository.check())
    assert error.reason == "RepositoryDamaged"
    assert "does not exist" in error.message


async def test_a_missing_pack_is_told_at_once_by_who_reads_it(pod: Pod, tmp_path: Path) -> None:
    """restic alone would look for it for a quarter of an hour."""
    repository = pod.volume()
    await repository.ensure()
    noise = ["head", "-c", "3000000", "/dev/urandom"]
    made = await repository.store_output(noise, file="dump", tags=TAGS, environment=HERE)
    damage(repository, remove=True)
    async with asyncio.timeout(60):
        for work in (
            repository.read(made.id, "dump", ["cat"], environment=HERE),
            repository.fetch(made.id, tmp_path / "out"),
        ):
            error = await failure(work)
            assert (error.reason, "no such file" in error.message) == ("RepositoryDamaged", True)
    assert locks(repository) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "volumes" / "repositories" / "primary"
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_volume_is_said_at_once_and_harms_nothing(
    pod: Pod, small: Path, files: Path, tmp_path: Path
) -> None:
    repository = pod.volume()
    await repository.ensure()
    kept = await repository.store(files, tags=TAGS)
    began = time.monotonic()
    error = await failure(
        repository.store_output(
            ["head", "-c", "40000000", "/dev/urandom"], file="dump", tags={**TAGS, "backup": "b-2"}, environment=HERE
        )
    )
    assert error.reason == "DiskFull"
    assert time.monotonic() - began < 30
    assert await repository.snapshots({"backup": "b-2"}) == []
    await repository.fetch(kept.id, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(files)


async def test_what_cannot_be_read_fails_the_backup(pod: Pod, files: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may be another user")
    (files / "secret").write_text("x")
    (files / "secret").chmod(0)
    repository = pod.volume()
    await repository.ensure()
    give_away(pod.places.volumes, pod.places.credentials)
    for part in (files, *files.parents):
        if part != Path("/tmp") and part != Path("/"):
            part.chmod(0o755)
    as_user = replace_program(repository)
    error = await failure(as_user.store(files, tags=TAGS))
    assert error.reason == "SourceUnreadable"
    assert "secret" in error.message
    assert await points(repository) == []


def give_away(*folders: Path) -> None:
    """To the user of a job's pod."""
    subprocess.run(["chown", "-R", "65532:65532", *map(str, folders)], check=True)


def replace_program(repository: Restic) -> Restic:
    """The same repository, as the user of a job's pod."""
    folder = repository.call.settings.scratch / "bin"
    folder.mkdir()
    script = folder / "restic"
    script.write_text('#!/bin/sh\nexec setpriv --reuid 65532 --regid 65532 --clear-groups restic "$@"\n')
    script.chmod(0o755)
    return Restic(repository.call.location, replace(repository.call.settings, program=str(script)))


async def test_copies_have_the_tags_and_the_chunks_of_the_first(pod: Pod, files: Path, tmp_path: Path) -> None:
    primary, second = pod.volume(), pod.volume("second")
    await primary.ensure()
    await second.ensure(primary)
    made = await primary.store(files, tags=TAGS)
    await primary.copy_to(second, [made.id])
    await primary.copy_to(second, [made.id])
    (copied,) = await second.snapshots({"backup": "b-1"})
    assert (copied.tags, copied.time) == (made.tags, made.time)
    again = await second.store(files, tags={**TAGS, "backup": "b-2"})
    assert again.stored_bytes < 2000, "the same data is cut at the same places"
    await second.fetch(copied.id, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(files)
    await second.check(share=1.0)


async def test_a_dead_second_repository_says_so_and_the_first_stays(pod: Pod, files: Path) -> None:
    primary, second = pod.volume(), pod.volume("second")
    await primary.ensure()
    await second.ensure(primary)
    made = await primary.store(files, tags=TAGS)
    assert second.call.location.folder is not None
    shutil.rmtree(second.call.location.folder)
    error = await failure(primary.copy_to(second, [made.id]))
    assert error.reason == "NoRepository"
    assert await points(primary) == [made.id]


async def test_no_secret_is_in_an_argument(pod: Pod) -> None:
    repository = pod.volume()
    assert "c4n4ry" not in " ".join([*repository.call.command("backup"), *repository.call.environment().values()])
