"""``lastgood job`` with a real restic, as a process, without an API server."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.backups.conftest import Pod, tree
from tests.integration.backups.jobs import Job

from lastgood.domain.backups.texts import moment


@pytest.fixture
def job(pod: Pod, files: Path, tmp_path: Path) -> Job:
    shutil.copytree(files, pod.places.source("data"))
    (tmp_path / "out").mkdir()
    return Job(pod, tmp_path / "out")


def ids(pod: Pod, name: str = "primary") -> list[str]:
    repository = pod.volume(name)

    async def listed() -> list[str]:
        return [s.id for s in await repository.snapshots({"schedule": "orders", "part": "data"})]

    return asyncio.run(listed())


def test_a_backup_is_made_copied_and_proven(job: Job, pod: Pod) -> None:
    job.second()
    result = job.run("full")
    assert (result.ok, result.reason, result.backup) == (True, "Done", "orders-1")
    assert result.point is not None
    assert abs(moment(result.point) - time.time()) < 300
    assert result.size_bytes == 4 + 256 * 4000
    assert [(c.repository, c.state, c.snapshots) for c in result.copies] == [
        ("primary", "Present", ids(pod)),
        ("second", "Present", ids(pod, "second")),
    ]
    assert [(r.name, r.state, r.points, r.recoverable_until) for r in result.repositories] == [
        ("primary", "Ready", 1, result.point),
        ("second", "Ready", 1, result.point),
    ]
    assert all(r.size_bytes > 1000 for r in result.repositories)
    assert [(v.how, v.passed) for v in result.verified] == [("Structure", True)]
    for task, how in (("data-sample", "DataSample"), ("restore-test", "RestoreTest")):
        proof = job.run(task, task)
        assert (proof.ok, proof.backup, [v.how for v in proof.verified]) == (True, "orders-1", [how])
    assert "2 files, 1.0 MB" in job.result("restore-test").verified[0].message
    checked = job.run("full-check", "check")
    assert [(v.how, v.repository) for v in checked.verified] == [
        ("FullCheck", "primary"),
        ("RestoreTest", "primary"),
        ("FullCheck", "second"),
        ("RestoreTest", "second"),
    ]


def test_a_retried_pod_takes_up_what_is_done(job: Job, pod: Pod) -> None:
    first = job.run("full")
    again = job.run("full")
    assert (again.ok, again.point, again.copies) == (True, first.point, first.copies)
    assert len(ids(pod)) == 1


def test_a_dead_second_repository_loses_nothing_and_catches_up(job: Job, pod: Pod) -> None:
    job.second()
    job.second("third")
    gone = pod.places.repository("second")
    gone.rmdir()
    result = job.run("full")
    assert result.ok
    assert [(c.repository, c.state, c.reason) for c in result.copies] == [
        ("primary", "Present", ""),
        ("second", "Failed", "VolumeMissing"),
        ("third", "Present", ""),
    ]
    assert [(r.name, r.state, r.reason) for r in result.repositories] == [
        ("primary", "Ready", "Ready"),
        ("second", "Failed", "VolumeMissing"),
        ("third", "Ready", "Ready"),
    ]
    gone.mkdir()
    result = job.run("incremental", "orders-2")
    assert [c.state for c in result.copies] == ["Present"] * 3
    assert [r.points for r in result.repositories] == [2, 2, 2]


def test_a_run_that_is_told_to_end_says_so_and_leaves_nothing(job: Job, pod: Pod) -> None:
    with (pod.places.source("data") / "big").open("wb") as big:
        for _ in range(120):
            big.write(os.urandom(1_000_000))
    process = job.start("full")
    locks = pod.places.repository("primary") / "lastgood" / "orders" / "locks"
    deadline = time.monotonic() + 120
    # The second lock is the backup's: the first was that of the marker.
    data = pod.places.repository("primary") / "lastgood" / "orders" / "data"
    while not (locks.is_dir() and any(locks.iterdir()) and sum(1 for p in data.rglob("*") if p.is_file()) > 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    assert process.returncode == 1, log
    result = job.result()
    assert (result.ok, result.reason) == (False, "Interrupted")
    assert ids(pod) == []
    assert list(locks.iterdir()) == []
    assert not list(pod.places.scratch.glob("work-*"))
    assert job.run("full").ok


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda pod: pod.places.credential("key/current").unlink(), "KeyMissing"),
        (lambda pod: pod.places.repository("primary").rmdir(), "VolumeMissing"),
        (lambda pod: shutil.rmtree(pod.places.source("data")), "SourceMissing"),
    ],
)
def test_what_is_missing_is_said(job: Job, pod: Pod, spoil: Callable[[Pod], object], reason: str) -> None:
    spoil(pod)
    result = job.run("full")
    assert (result.ok, result.reason) == (False, reason)
    assert result.message


def test_damage_is_told_by_the_proofs_for_each_repository(job: Job, pod: Pod) -> None:
    (pod.places.source("data") / "noise").write_bytes(os.urandom(3_000_000))
    job.second()
    assert job.run("full").ok
    folder = pod.places.repository("second") / "lastgood" / "orders" / "data"
    pack = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    pack.chmod(0o600)
    raw = bytearray(pack.read_bytes())
    raw[1000] ^= 1
    pack.write_bytes(raw)
    result = job.run("full-check", "check")
    assert (result.ok, result.reason) == (False, "RepositoryDamaged")
    assert [(v.repository, v.how, v.passed) for v in result.verified] == [
        ("primary", "FullCheck", True),
        ("primary", "RestoreTest", True),
        ("second", "FullCheck", False),
    ]
    assert [(r.name, r.state) for r in result.repositories] == [("primary", "Ready"), ("second", "Failed")]


def test_what_retention_does_not_want_goes_from_each_repository(job: Job, pod: Pod) -> None:
    job.second()
    for number in (1, 2, 3):
        (pod.places.source("data") / f"new-{number}").write_bytes(os.urandom(200_000))
        assert job.run("incremental", f"orders-{number}").ok
    job.spec["retention"] = {"last": 2}
    result = job.run("prune", "prune")
    assert (result.ok, [(r.name, r.points) for r in result.repositories]) == (True, [("primary", 2), ("second", 2)])
    assert len(ids(pod)) == 2
    assert len(ids(pod, "second")) == 2
    again = job.run("incremental", "orders-4")
    assert again.ok
    assert {r.points for r in again.repositories} == {3}


def test_files_come_back_in_place_and_into_a_new_volume(job: Job, pod: Pod, files: Path) -> None:
    made = job.run("full")
    snapshots = made.copies[0].snapshots
    spec = {"schedule": "orders", "to": {"backup": "orders-1"}}
    asked = {"name": "back", "uid": "r-1", "backup": "orders-1", "snapshots": snapshots}
    new = {**asked, "spec": {**spec, "into": {"newVolume": {"claim": "fresh", "size": "1Gi"}}}}
    pod.places.target("fresh").mkdir(parents=True)
    assert job.run("verify", "v", restore=new).ok
    result = job.run("restore", "r", restore=new)
    assert (result.ok, result.message) == (True, "claim fresh holds 2 files, 1.0 MB")
    assert tree(pod.places.target("fresh")) == tree(files)
    live = pod.places.server("data")
    live.mkdir(parents=True)
    (live / "a.txt").write_text("changed\n")
    (live / "later").write_text("made later\n")
    place = {**asked, "spec": {**spec, "into": {"inPlace": True}}}
    # The second time is the retried pod's.
    for _ in range(2):
        result = job.run("restore", "r", restore=place)
        assert result.ok, result.message
        here = tree(live)
        assert {k: v for k, v in here.items() if not k.startswith(".lastgood")} == tree(files)
        assert here[".lastgood-before-back/a.txt"] == b"changed\n"
        assert here[".lastgood-before-back/later"] == b"made later\n"
    assert job.run("validate", "v", restore=place).message == "data: 2 files, 1.0 MB"
    missing = {**place, "snapshots": ["0" * 64]}
    assert job.run("verify", "v", restore=missing).reason == "SnapshotMissing"


def test_a_volume_that_could_not_be_fetched_is_told_to_be_as_it_was(job: Job, pod: Pod) -> None:
    """Its applications are started again then; once entries were moved they are not."""
    assert job.run("full").ok
    live = pod.places.server("data")
    live.mkdir(parents=True)
    (live / "a.txt").write_text("changed\n")
    spec = {"schedule": "orders", "to": {"backup": "orders-1"}, "into": {"inPlace": True}}
    asked = {"name": "back", "uid": "r-1", "backup": "orders-1", "snapshots": ["0" * 64], "spec": spec}
    result = job.run("restore", "r", restore=asked)
    assert (result.ok, result.untouched) == (False, True), result
    assert (live / "a.txt").read_text() == "changed\n"
    begun = live / ".lastgood-before-back"
    begun.mkdir()
    (begun / ".entries").write_text('["a.txt"]')
    result = job.run("restore", "r", restore=asked)
    assert (result.ok, result.untouched) == (False, False), result


def test_a_call_that_is_wrong_is_status_2(job: Job, tmp_path: Path) -> None:
    process = job.start("no-such-task")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "task" in said
