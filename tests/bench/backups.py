"""Backups and restores beside PostgreSQL's bare tools, on the same data, in one run; what jobs take of memory.

Jobs are the processes that pods run, on folders of this machine. LASTGOOD_BENCH_GB says how much data (1).
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tests.bench.driver import Row, at_most
from tests.integration.backups.postgres.conftest import Server, folder_of, serving

from lastgood.api.backupjob import JobResult
from lastgood.backups.postgres.tallying import prepare, tally

ROUNDS = 3
_SCALE_PER_GB = 67
"""pgbench's scale that makes 1 GB of tables and indexes."""
_ROWS = 100_000
"""Accounts at scale 1."""


@dataclass(frozen=True)
class Ran:
    """How a process and its children did."""

    seconds: float
    memory: float
    """Most that all of them had at once, bytes of their own or shared by proportion."""


def _proportional(pid: int) -> int:
    """Memory of a process and those that it started, bytes; 0 once they are gone."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
        except (OSError, StopIteration):
            continue
    return total


def _run(command: list[str], **more: Any) -> Ran:
    """Run to the end. Raises CalledProcessError when it did not go well."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **more)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, _proportional(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - begun
    over.set()
    watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, command)
    return Ran(seconds, peak)


class Jobs:
    """One schedule's jobs on a folder of its own, as pods would run them."""

    def __init__(self, folder: Path, server: Server, method: str) -> None:
        self.folder, self._server, self._method = folder, server, method
        for name, text in (("source/dsn", server.dsn()), ("key/current", "bench-passphrase")):
            file = folder / "credentials" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for name in ("repositories/primary", "scratch", "spool"):
            (folder / "volumes" / name).mkdir(parents=True)

    def command(self, task: str, name: str, **more: Any) -> list[str]:
        source = {"postgres": {"dsn": {"name": "db", "key": "dsn"}, "method": self._method}}
        spec = {
            "source": source,
            "repositories": {"primary": {"volume": {"claim": "backups"}}},
            "encryption": {"secretKeyRef": {"name": "key", "key": "passphrase"}},
        }
        told = {
            "task": task,
            "namespace": "bench",
            "schedule": "bench",
            "scheduleUid": "bench-1",
            "spec": spec,
            "slot": "lastgood_bench" if self._method == "wal" else "",
            **more,
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(told))
        places = ("--credentials", str(self.folder / "credentials"), "--volumes", str(self.folder / "volumes"))
        result = ("--result", str(self.folder / f"{name}.result"))
        return [sys.executable, "-m", "lastgood.cli.main", "job", "--spec", str(file), *places, *result]

    def make(self, dsn: str) -> None:
        """Have the repository made by a small backup of another database: that happens once in a schedule's life."""
        file = self.folder / "credentials" / "source" / "dsn"
        own = file.read_text()
        file.write_text(dsn)
        self.run("full", "first")
        file.write_text(own)

    def environment(self, name: str) -> dict[str, str]:
        programs = str(folder_of(self._server.version))
        # In the image all is compiled; here the first job leaves it so, unless it is told not to.
        own = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return {**own, "PYTHONPATH": "operator", "JOB_NAME": name, "LASTGOOD_POSTGRES_BIN": programs}

    def run(self, task: str, name: str, **more: Any) -> tuple[Ran, JobResult]:
        log = (self.folder / f"{name}.log").open("wb")
        try:
            ran = _run(self.command(task, name, **more), env=self.environment(name), stderr=log)
        except subprocess.CalledProcessError:
            sys.stderr.write((self.folder / f"{name}.log").read_text()[-2000:])
            raise
        return ran, JobResult.model_validate_json((self.folder / f"{name}.result").read_text())


@contextmanager
def _filled(version: str, scale: int, **settings: str) -> Iterator[Server]:
    with serving(version, **settings) as server:
        _fill(server, scale)
        yield server


def _fill(server: Server, scale: int) -> None:
    done = server.pgbench("-i", "-q", "-s", str(scale)).wait()
    if done:
        msg = f"pgbench -i ended with {done}"
        raise RuntimeError(msg)
    server.execute("CHECKPOINT")


def _size(server: Server) -> int:
    return int(server.execute("SELECT pg_database_size('shop')")[0][0])


_TEXT = """
CREATE TABLE notes (id bigint PRIMARY KEY, at timestamptz NOT NULL, words text NOT NULL);
INSERT INTO notes SELECT n, now() - n * interval '1 s',
  md5(n::text) || ' ' || md5((n * 7)::text) || ' ' || md5((n * 13)::text) FROM generate_series(1, {rows}) AS n
"""
_TEXT_ROWS = 80_000
"""Rows of text that take as much as pgbench's scale 1."""


@contextmanager
def _texts(scale: int) -> Iterator[Server]:
    """Rows that compress as text does, to less than half. pgbench's are blanks, which compress to nothing."""
    with serving("15") as server:
        for statement in _TEXT.format(rows=_TEXT_ROWS * scale).split(";"):
            server.execute(statement)
        server.execute("CHECKPOINT")
        yield server


async def _sums(dsn: str) -> float:
    """Seconds for the counts and sums of all rows that a restore compares."""
    begun = time.perf_counter()
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await tally(connection, await prepare(connection))
    return time.perf_counter() - begun


def _logical(data: AbstractContextManager[Server], what: str) -> tuple[list[Row], float]:
    """Dumps and their restores, in turn with the bare tools; the most memory that a job took."""
    bare: list[float] = []
    ours: list[float] = []
    back: list[float] = []
    ours_back: list[float] = []
    sums: list[float] = []
    memory = 0.0
    with data as server, tempfile.TemporaryDirectory() as name:
        programs = folder_of("15")
        size = _size(server)
        for number in range(ROUNDS):
            folder = Path(name) / str(number)
            folder.mkdir()
            dump = folder / "bare.dump"
            bare.append(_run([str(programs / "pg_dump"), "-Fc", "-f", str(dump), server.dsn()]).seconds)
            jobs = Jobs(folder, server, "logical")
            jobs.make(server.dsn("postgres"))
            ran, result = jobs.run("full", f"full-{number}")
            ours.append(ran.seconds)
            memory = max(memory, ran.memory)
            server.execute(f"CREATE DATABASE bare_{number}", "postgres")
            restore = [str(programs / "pg_restore"), "--exit-on-error", "-d", server.dsn(f"bare_{number}"), str(dump)]
            back.append(_run(restore).seconds)
            sums.append(asyncio.run(_sums(server.dsn(f"bare_{number}"))))
            asked = {
                "name": "back",
                "uid": "back-1",
                "spec": {"schedule": "bench", "into": {"newDatabase": {"name": f"ours_{number}"}}},
                "backup": result.backup,
                "snapshots": result.copies[0].snapshots,
                "database": f"ours_{number}",
            }
            ran, _ = jobs.run("restore", f"restore-{number}", restore=asked)
            ours_back.append(ran.seconds)
            memory = max(memory, ran.memory)
            for database in (f"bare_{number}", f"ours_{number}"):
                server.execute(f"DROP DATABASE {database}", "postgres")
            dump.unlink()
    dumped = statistics.median(ours) / statistics.median(bare)
    restored, alike = statistics.median(ours_back), statistics.median(back) + statistics.median(sums)
    return [
        Row(f"{what}: size; `pg_dump -Fc` to a file", f"{size / 1e9:.2f} GB; {statistics.median(bare):.1f} s"),
        Row(f"{what}: logical backup into an encrypted repository", f"{statistics.median(ours):.1f} s"),
        at_most(f"{what}: that, compared with `pg_dump -Fc`", dumped, 1.2, "x", ".2f"),
        Row(f"{what}: `pg_restore` of the file", f"{statistics.median(back):.1f} s"),
        Row(f"{what}: `pg_restore`, then the same counts and sums by hand", f"{alike:.1f} s"),
        Row(f"{what}: restore into a new database, rows and checksums compared", f"{restored:.1f} s"),
        at_most(f"{what}: that, compared with `pg_restore`", restored / statistics.median(back), 1.2, "x", ".2f"),
        Row(f"{what}: that, compared with `pg_restore` and the sums", f"{restored / alike:.2f}x"),
    ], memory


def _physical(scale: int) -> tuple[list[Row], float]:
    """A base, a change of one row in a hundred that lie together, and the increment."""
    with serving("18", summarize_wal="on") as server, tempfile.TemporaryDirectory() as name:
        jobs = Jobs(Path(name), server, "physical")
        # Has the repository made, from an empty server.
        jobs.run("full", "first")
        _fill(server, scale)
        full, base = jobs.run("full", "full")
        server.execute(f"UPDATE pgbench_accounts SET abalance = 1 WHERE aid <= {scale * _ROWS // 100}")
        server.execute("CHECKPOINT")
        increment, result = jobs.run("incremental", "incremental")
    what = f"{scale / _SCALE_PER_GB:.2g} GB"
    told = f"{increment.seconds:.1f} s, {result.stored_bytes / 1e6:.1f} MB stored"
    return [
        Row(f"{what}: physical full", f"{full.seconds:.1f} s, {base.stored_bytes / 1e6:.0f} MB stored"),
        Row(f"{what}: increment after a change of 1 %", told),
        at_most(f"{what}: its time, of the full's", increment.seconds / full.seconds * 100, 10, " %", ".1f"),
        at_most(f"{what}: its bytes, of the full's", result.stored_bytes / base.stored_bytes * 100, 10, " %", ".1f"),
    ], max(full.memory, increment.memory)


def _received(server: Server, count: int) -> list[float]:
    """Seconds from each commit until the receiver has said that it has the log on disk so far."""
    took = []
    with (
        psycopg.connect(server.dsn(), autocommit=True) as writer,
        psycopg.connect(server.dsn(), autocommit=True) as eye,
    ):
        writer.execute("CREATE TABLE ticks (n int)")
        for number in range(count):
            writer.execute("INSERT INTO ticks VALUES (%s)", [number])
            row = writer.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            begun = time.perf_counter()
            there = "SELECT bool_or(flush_lsn >= %s::pg_lsn) FROM pg_stat_replication"
            while not (eye.execute(there, row).fetchone() or (None,))[0]:
                if time.perf_counter() - begun > 60:
                    msg = "the receiver is not there, or a minute behind"
                    raise RuntimeError(msg)
                time.sleep(0.005)
            took.append(time.perf_counter() - begun)
    return took


def _wal(scale: int, count: int = 300) -> list[Row]:
    """The receiver behind a server that pgbench writes to."""
    with _filled("15", scale) as server, tempfile.TemporaryDirectory() as name:
        jobs = Jobs(Path(name), server, "wal")
        jobs.run("full", "full")
        with (Path(name) / "receive.log").open("wb") as log:
            command = jobs.command("receive", "receive")
            receiver = subprocess.Popen(command, env=jobs.environment("receive"), stdout=log, stderr=log)
        load = server.pgbench("-c", "4", "-T", "600")
        try:
            took = sorted(_received(server, count))
        finally:
            for process in (load, receiver):
                process.terminate()
                process.wait(timeout=60)
    return [
        Row("commit to the log on the spool's disk, under pgbench, p50", f"{took[len(took) // 2] * 1000:.0f} ms"),
        at_most("the same, p99", took[int(len(took) * 0.99)], 10, " s", ".2f"),
    ]


def run() -> list[Row]:
    """All of it; some minutes."""
    scale = max(1, round(float(os.environ.get("LASTGOOD_BENCH_GB", "1")) * _SCALE_PER_GB))
    texts, telling = _logical(_texts(scale), "text")
    logical, dumping = _logical(_filled("15", scale), "blanks")
    physical, copying = _physical(scale)
    # Of an increment most is what each run costs, whatever the size.
    more, again = _physical(4 * scale)
    wal = _wal(max(1, scale // 10))
    memory = max(telling, dumping, copying, again) / 1e6
    return [
        *texts,
        *logical,
        *physical,
        *more,
        *wal,
        at_most("most memory of a job, all its processes", memory, 300, " MB"),
    ]


if __name__ == "__main__":
    for line in run():
        print(*line)
