"""A throw-away Redis server: no port, no password, its own folder."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lastgood.backups.process import finish, run, started
from lastgood.domain.backups.ports import JobFailed

_SOCKET = "redis.sock"
_POLL_SECONDS = 0.2
_LOAD_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a server holds."""

    keys: int
    expires: int
    """Of those, such that will expire."""


async def loaded(folder: Path, file: str) -> Loaded:
    """Load a dump and count. Raises JobFailed RestoreTestFailed when the server refuses it."""
    settings = {
        "port": "0",
        "unixsocket": _SOCKET,
        "dir": ".",
        "dbfilename": file,
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": "0",
    }
    command = ["redis-server", *(word for key, value in settings.items() for word in (f"--{key}", value))]
    lines: list[str] = []
    async with started(command, environment={"PATH": os.environ.get("PATH", "")}, cwd=folder) as child:
        following = asyncio.create_task(finish(child, lines.append))
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                while not following.done():
                    found = await _count(folder)
                    if found is not None:
                        return found
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise JobFailed("RestoreTestFailed", "a server did not load the dump within an hour") from error
        finally:
            if child.process.returncode is None:
                child.process.kill()
            await asyncio.gather(following, return_exceptions=True)
    if child.process.returncode == -9:
        raise JobFailed("OutOfMemory", "the throw-away server was killed while it loaded: raise job.memory")
    said = next((x for x in reversed(lines) if "#" in x), lines[-1] if lines else "nothing")
    raise JobFailed("RestoreTestFailed", f"a server did not load the dump: {said.partition('# ')[2] or said}"[:500])


async def _count(folder: Path) -> Loaded | None:
    """What it holds; None while it loads."""
    cli = ["redis-cli", "-s", _SOCKET, "INFO", "keyspace"]
    ended = await run(cli, environment={"PATH": os.environ.get("PATH", "")}, cwd=folder)
    if "# Keyspace" not in ended.output:
        return None
    found = re.findall(r"^db\d+:keys=(\d+),expires=(\d+)", ended.output, re.MULTILINE)
    return Loaded(sum(int(keys) for keys, _ in found), sum(int(expires) for _, expires in found))
