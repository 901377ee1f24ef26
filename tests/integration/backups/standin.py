"""A small repository on real restic, for engines' tests: what it does is what the port says, and no more."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lastgood.domain.backups.ports import JobFailed, Repository, Snapshot


def failed(reason: str, text: str) -> JobFailed:
    return JobFailed(reason, text)


class Restic:
    def __init__(self, folder: Path, name: str = "primary") -> None:
        self.name, self.folder = name, folder
        self.sizes: dict[str, int] = {}
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "RESTIC_REPOSITORY": str(folder / "repo"),
            "RESTIC_PASSWORD": "test",
            "RESTIC_CACHE_DIR": str(folder / "cache"),
        }

    async def run(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            "restic", *arguments, env=self.environment, cwd=cwd, stdin=-3, stdout=-1, stderr=-1
        )
        output, errors = await process.communicate()
        if check and process.returncode:
            raise failed("RepositoryFailed", errors.decode()[-500:])
        return process.returncode or 0, output.decode(), errors.decode()

    async def ensure(self, like: Repository | None = None) -> None:
        await self.run("init", "--repository-version", "2")

    @staticmethod
    def tagged(tags: Mapping[str, str]) -> list[str]:
        return [f"--tag={key}={value}" for key, value in tags.items()]

    async def made(self, output: str, size: int | None = None) -> Snapshot:
        summary = json.loads(output.splitlines()[-1])
        self.sizes[summary["snapshot_id"][:8]] = summary["total_bytes_processed"]
        found = [each for each in await self.snapshots({}) if each.id.startswith(summary["snapshot_id"])]
        return Snapshot(
            found[0].id, found[0].time, found[0].tags, summary["total_bytes_processed"], summary["data_added"]
        )

    async def store(self, folder: Path, *, tags: Mapping[str, str], exclude: Sequence[str] = ()) -> Snapshot:
        excluded = [f"--exclude={each}" for each in exclude]
        _, output, _ = await self.run("backup", "--json", "--host=h", *self.tagged(tags), *excluded, ".", cwd=folder)
        return await self.made(output)

    async def store_output(
        self, command: Sequence[str], *, file: str, tags: Mapping[str, str], environment: Mapping[str, str]
    ) -> Snapshot:
        restic = ["restic", "backup", "--json", "--host=h", "--stdin", f"--stdin-filename={file}", *self.tagged(tags)]
        source = await asyncio.create_subprocess_exec(*command, env=dict(environment), stdin=-3, stdout=-1, stderr=-1)
        sink = await asyncio.create_subprocess_exec(*restic, env=self.environment, stdin=-1, stdout=-1, stderr=-1)
        assert source.stdout
        assert source.stderr
        assert sink.stdin
        saying = asyncio.create_task(source.stderr.read())
        ending = asyncio.create_task(self._outcome(sink))
        try:
            while chunk := await source.stdout.read(1 << 18):
                sink.stdin.write(chunk)
                await sink.stdin.drain()
            if await source.wait() != 0:
                raise failed("CommandFailed", (await saying).decode()[-2000:])
            sink.stdin.close()
            code, output, errors = await ending
            if code:
                raise failed("RepositoryFailed", errors[-500:])
            return await self.made(output)
        finally:
            for process in (source, sink):
                if process.returncode is None:
                    process.kill()
            await source.stdout.read()
            await source.wait()
            await asyncio.wait([ending, saying])

    @staticmethod
    async def _outcome(sink: asyncio.subprocess.Process) -> tuple[int, str, str]:
        assert sink.stdout
        assert sink.stderr
        output, errors = await asyncio.gather(sink.stdout.read(), sink.stderr.read())
        return await sink.wait(), output.decode(), errors.decode()

    async def snapshots(self, tags: Mapping[str, str]) -> Sequence[Snapshot]:
        _, output, _ = await self.run("snapshots", "--json", "--no-lock")
        found = []
        for each in json.loads(output or "[]") or []:
            own = dict(tag.split("=", 1) for tag in each.get("tags", []))
            if all(own.get(key) == value for key, value in tags.items()):
                time = datetime.fromisoformat(each["time"][:26].rstrip("Z")).replace(tzinfo=UTC).timestamp()
                found.append(Snapshot(each["id"], time, own, self.sizes.get(each["id"][:8], 0)))
        return sorted(found, key=lambda each: each.time)

    async def fetch(self, snapshot: str, into: Path, *, include: Sequence[str] = ()) -> None:
        included = [f"--include={each}" for each in include]
        await self.run("restore", snapshot, "--target", str(into), "--verify", *included)

    async def read(self, snapshot: str, file: str, into: Sequence[str], *, environment: Mapping[str, str]) -> None:
        with tempfile.TemporaryFile() as errors:
            source = await asyncio.create_subprocess_exec(
                "restic", "dump", snapshot, f"/{file}", env=self.environment, stdin=-3, stdout=-1, stderr=-1
            )
            sink = await asyncio.create_subprocess_exec(
                *into, env=dict(environment), stdin=-1, stdout=errors, stderr=errors
            )
            assert source.stdout
            assert sink.stdin
            try:
                while chunk := await source.stdout.read(1 << 18):
                    sink.stdin.write(chunk)
                    await sink.stdin.drain()
                sink.stdin.close()
            except (BrokenPipeError, ConnectionResetError):
                source.kill()
                await source.stdout.read()
            code, fed = await sink.wait(), await source.wait()
            if code or fed:
                errors.seek(0)
                raise failed("CommandFailed", errors.read().decode()[-2000:])

    async def copy_to(self, other: Repository, snapshots: Sequence[str]) -> None:
        raise NotImplementedError

    async def forget(self, snapshots: Sequence[str]) -> None:
        await self.run("forget", *snapshots)

    async def prune(self) -> None:
        await self.run("prune")

    async def check(self, *, share: float = 0.0) -> None:
        await self.run("check")

    async def size(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "repo").rglob("*") if path.is_file())


def emptied(folder: Path) -> Path:
    """A working folder, as a job's pod gives it to an engine."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
