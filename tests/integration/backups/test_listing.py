"""What a repository is said to hold, beside what it holds: read once, and right after each change all the same."""

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.backups.conftest import TAGS, Pod
from tests.integration.backups.jobs import SCHEDULE, Job

from lastgood.api.backup import BackupStatus, Copy
from lastgood.api.backupjob import JobSpec
from lastgood.backups.restic import Restic
from lastgood.backups.restic_listing import KEPT_SECONDS
from lastgood.domain.backups.points import record_tags
from lastgood.domain.backups.ports import Engine, JobFailed, Snapshot
from lastgood.services.jobs.prune import prune
from lastgood.services.jobs.tools import Parts

HERE = {"PATH": os.environ["PATH"]}


class Calls:
    """The calls of restic: it is put before the program, and writes down which command was given."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "calls"
        self.folder = folder / "counting"
        self.folder.mkdir()
        real = shutil.which("restic")
        script = self.folder / "restic"
        script.write_text(
            "#!/bin/sh\n"
            'for word; do case "$skip$word" in -r|-o) skip=x ;; x*) skip= ;; -*) ;; *) break ;; esac; done\n'
            f'echo "$word" >> {self._log}\nexec {real} "$@"\n'
        )
        script.chmod(0o755)

    @property
    def program(self) -> str:
        return str(self.folder / "restic")

    def taken(self) -> list[str]:
        """Since the last time."""
        if not self._log.exists():
            return []
        found = self._log.read_text().split()
        self._log.unlink()
        return found


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


async def both(repository: Restic) -> tuple[Sequence[Snapshot], Sequence[Snapshot]]:
    """What is said, and what is there."""
    return await repository.snapshots({}), await repository.snapshots({}, fresh=True)


async def test_what_is_stored_and_forgotten_shows_without_a_call(pod: Pod, files: Path, calls: Calls) -> None:
    repository = pod.volume(program=calls.program)
    await repository.ensure()
    assert calls.taken() == ["snapshots", "init", "backup", "snapshots"]
    made = await repository.store(files, tags={**TAGS, "part": "files", "blank": " at its end ", "none": ""})
    piped = await repository.store_output(["echo", "x"], file="x", tags=TAGS, environment=HERE)
    said = await repository.snapshots({})
    assert calls.taken() == ["backup", "backup"]
    assert said == await repository.snapshots({}, fresh=True)
    assert [s.id for s in said][-2:] == [made.id, piped.id]
    assert replace(made, size_bytes=0, stored_bytes=0) == said[-2]
    await repository.forget([made.id])
    said, there = await both(repository)
    assert said == there
    assert made not in said
    assert calls.taken() == ["snapshots", "forget", "snapshots"]


async def test_where_no_file_names_it_the_listing_does(pod: Pod, files: Path, calls: Calls) -> None:
    """A server's repository, with a restic that tells the first digits of an id."""
    await pod.volume().ensure()
    here = pod.volume(program=calls.program)
    remote = Restic(replace(here.call.location, folder=None), here.call.settings)
    made = await remote.store(files, tags=TAGS)
    said = await remote.snapshots(TAGS)
    assert calls.taken() in (["backup", "snapshots"], ["backup"])
    assert [s.id for s in said] == [made.id]
    assert len(made.id) == 64
    assert said == await here.snapshots(TAGS)


async def test_a_copy_shows_at_once(pod: Pod, files: Path) -> None:
    primary, second = pod.volume(), pod.volume("second")
    await primary.ensure()
    await second.ensure(primary)
    made = await primary.store(files, tags=TAGS)
    assert await second.snapshots(TAGS) == []
    await primary.copy_to(second, [made.id])
    said, there = await both(second)
    assert said == there
    assert [(s.time, s.tags) for s in said if s.tags == TAGS] == [(made.time, made.tags)]


async def test_what_another_process_did_shows_on_demand_and_soon(pod: Pod, files: Path) -> None:
    ahead = 0.0
    repository = pod.volume(now=lambda: time.time() + ahead)
    await repository.ensure()
    other = await pod.volume().store(files, tags=TAGS)
    assert await repository.snapshots(TAGS) == []
    ahead = KEPT_SECONDS + 1
    assert [s.id for s in await repository.snapshots(TAGS)] == [other.id]
    await pod.volume().forget([other.id])
    assert [s.id for s in await repository.snapshots(TAGS)] == [other.id]
    assert await repository.snapshots(TAGS, fresh=True) == []
    assert await repository.snapshots(TAGS) == [], "what was read afresh is what is kept"
    # A clock that was put back says nothing of an age.
    again = await pod.volume().store(files, tags=TAGS)
    ahead = -3600.0
    assert [s.id for s in await repository.snapshots(TAGS)] == [again.id]


async def test_what_failed_leaves_nobody_sure(pod: Pod, calls: Calls) -> None:
    repository = pod.volume(program=calls.program)
    await repository.ensure()
    calls.taken()
    with pytest.raises(JobFailed):
        await repository.store_output(["false"], file="x", tags=TAGS, environment=HERE)
    assert await repository.snapshots(TAGS) == []
    assert calls.taken() == ["backup", "unlock", "snapshots"]


async def test_to_open_it_is_to_look(pod: Pod) -> None:
    repository = pod.volume()
    await repository.ensure()
    key = pod.places.credential("key/current")
    right = key.read_text()
    key.write_text("another\n")
    with pytest.raises(JobFailed) as caught:
        await repository.ensure()
    assert caught.value.reason == "WrongKey"
    key.write_text(right)
    await pod.volume().ensure()
    assert repository.call.location.folder is not None
    shutil.rmtree(repository.call.location.folder)
    await repository.ensure()
    said, there = await both(repository)
    assert said == there
    assert [s.tags["part"] for s in said] == ["owner"]


def test_an_hourly_job_asks_once_what_there_is(
    pod: Pod, files: Path, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(files, pod.places.source("data"))
    (tmp_path / "out").mkdir()
    job = Job(pod, tmp_path / "out")
    assert job.run("full").ok
    monkeypatch.setenv("PATH", str(calls.folder), prepend=os.pathsep)
    assert job.run("incremental", "orders-2").ok
    # The data, and the record that makes it complete.
    assert calls.taken() == ["snapshots", "backup", "check", "backup"]
    job.second()
    result = job.run("incremental", "orders-3")
    assert [(c.repository, c.state) for c in result.copies] == [("primary", "Present"), ("second", "Present")]
    copying = ["snapshots", "init", "backup", "snapshots", *["copy"] * 6, "snapshots"]
    assert calls.taken() == ["snapshots", "backup", "check", "backup", *copying]


def succeeded(name: str) -> BackupStatus:
    return BackupStatus(phase="Succeeded", job=name, copies=[Copy(repository="primary", state="Present")])


async def nothing() -> None:
    pass


class Told:
    """Backups as the API server has them."""

    def __init__(self) -> None:
        self.statuses: dict[str, BackupStatus] = {}
        self.meanwhile: Callable[[], Awaitable[None]] = nothing
        """Another job's work, as they are listed."""
        self.written = False
        """By another, each time after it was read."""

    async def names(self, schedule: str) -> Sequence[str]:
        await self.meanwhile()
        return list(self.statuses)

    async def read(self, name: str) -> BackupStatus | None:
        found = self.statuses.get(name)
        if found is not None and self.written:
            self.statuses[name] = found.model_copy(update={"progress": f"{found.progress}x"})
        return found

    async def tell(self, name: str, status: BackupStatus) -> None:
        self.statuses[name] = status

    async def begin(self, name: str, status: BackupStatus) -> None:
        self.statuses[name] = status

    async def remove(self, name: str) -> bool:
        return self.statuses.pop(name, None) is not None


class Overtaken(Restic):
    """While it is pruned, another job completes a backup."""

    meanwhile: Callable[[], Awaitable[None]] = staticmethod(nothing)

    async def prune(self) -> None:
        await super().prune()
        await self.meanwhile()


def pruning(pod: Pod, repository: Restic, told: Told) -> Parts:
    spec = JobSpec.model_validate(
        {"task": "prune", "namespace": "shop", "schedule": "orders", "scheduleUid": "u-1", "spec": SCHEDULE}
    )

    def no_engine() -> Engine:
        raise AssertionError

    return Parts(spec, "prune", pod.places, {"primary": lambda: repository}, no_engine, told, time.time)


@pytest.mark.parametrize("when", ["while it prunes", "while it lists Backups"])
async def test_a_backup_that_another_job_completes_stays(pod: Pod, files: Path, when: str) -> None:
    primary, told = pod.volume(), Told()
    await primary.ensure()
    repository = Overtaken(primary.call.location, primary.call.settings)
    told.statuses["orders-1"] = succeeded("orders-1")

    async def meanwhile() -> None:
        # By a Restic of its own, as another pod has.
        tags = {**TAGS, "backup": "orders-2"}
        await pod.volume().store(files, tags=tags)
        await pod.volume().store(files, tags=record_tags(tags, at=time.time(), base=""))
        told.statuses["orders-2"] = succeeded("orders-2")

    if when == "while it prunes":
        repository.meanwhile = meanwhile
    else:
        told.meanwhile = meanwhile
    result = await prune(pruning(pod, repository, told))
    assert (result.ok, result.removed) == (True, ["orders-1"]), "that one is nowhere"
    assert list(told.statuses) == ["orders-2"]
    (copy,) = told.statuses["orders-2"].copies
    data = [s.id for s in await primary.snapshots({"backup": "orders-2"}, fresh=True) if s.tags.get("part") != "record"]
    assert (copy.repository, copy.state, copy.snapshots) == ("primary", "Present", data)


async def test_a_backup_that_another_job_writes_is_left_alone(pod: Pod) -> None:
    repository, told = pod.volume(), Told()
    await repository.ensure()
    told.statuses["orders-1"] = succeeded("orders-1")
    told.written = True
    assert (await prune(pruning(pod, repository, told))).removed == []
    told.written = False
    assert (await prune(pruning(pod, repository, told))).removed == ["orders-1"]
