"""Receives write-ahead log as it is written, for as long as it is let."""

import asyncio
from pathlib import Path

from lastgood.backups.postgres.errors import translated
from lastgood.backups.postgres.run import environment
from lastgood.backups.postgres.server import Server
from lastgood.backups.postgres.slot import released
from lastgood.backups.postgres.spool import Spool
from lastgood.backups.postgres.tools import Tools, tools
from lastgood.backups.process import finish, started
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

_LONGEST_PAUSE = 30.0
_LOOK_SECONDS = 0.5
_TELL_SECONDS = 10.0
_STEADY_SECONDS = 60.0
"""Having received for so long, the next failure is a first one."""


def receiving(client: Tools, server: Server, slot: str, folder: Path, *more: str) -> list[str]:
    """The command that receives into a folder."""
    return [
        client.path("pg_receivewal"),
        f"--dbname={server.conninfo()}",
        f"--directory={folder}",
        f"--slot={slot}",
        "--synchronous",  # on disk before the server hears of it
        "--no-loop",
        "--status-interval=1",
        "--no-password",
        *more,
    ]


class Receiver:
    """pg_receivewal, started again whatever ends it."""

    def __init__(self, server: Server, slot: str, spool: Spool) -> None:
        self._server, self._slot, self._spool = server, slot, spool

    async def run(self) -> None:
        """Receive until cancelled. Raises JobFailed only for a server that no program here fits."""
        pause = 1.0
        while True:
            folder = self._spool.current()
            if folder is None:
                await self._spool.tell("Waiting", message="for the first base backup, which makes the slot")
                await asyncio.sleep(1)
                continue
            began = asyncio.get_running_loop().time()
            try:
                client = await tools((await self._server.facts()).major)
                failed = await self._once(client, folder)
            except JobFailed as error:
                if error.reason == PgReason.VERSION_MISMATCH:
                    await self._spool.tell("Failed", error.reason, error.message)
                    raise
                failed = error
            if failed is None:
                pause = 1.0
                continue
            await self._spool.tell("Failed", failed.reason, failed.message)
            if asyncio.get_running_loop().time() - began > _STEADY_SECONDS:
                pause = 1.0
            await self._idle(pause, folder)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def release(self, *, unlimited_only: bool) -> str:
        """Drop the slot, after the end of ``run``. Raises JobFailed."""
        async with self._server.session(doing="dropping the slot") as connection:
            return await released(connection, self._slot, unlimited_only=unlimited_only)

    async def _idle(self, seconds: float, folder: Path) -> None:
        """Wait, unless a new base gives another folder: then it goes on at once."""
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until and self._spool.current() == folder:  # noqa: ASYNC110
            await asyncio.sleep(min(_LOOK_SECONDS, seconds))

    async def _once(self, client: Tools, folder: Path) -> JobFailed | None:
        """Run it until it ends, or until there is another folder to receive into: then None."""
        async with started(
            receiving(client, self._server, self._slot, folder),
            environment=environment(),
            stdout=asyncio.subprocess.DEVNULL,
        ) as child:
            ending = asyncio.ensure_future(finish(child, None))
            told = 0.0
            try:
                while not ending.done():
                    if self._spool.current() != folder:
                        return None
                    now = asyncio.get_running_loop().time()
                    if now - told > _TELL_SECONDS:
                        await self._spool.tell("Receiving")
                        told = now
                    await asyncio.wait([ending], timeout=_LOOK_SECONDS)
            finally:
                ending.cancel()
                await asyncio.wait([ending])
            return translated(child.error, doing="pg_receivewal")
