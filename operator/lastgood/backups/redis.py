"""Redis: a snapshot as a replica gets it, tried by loading it, and put into a stopped server's volume."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import RedisSource
from lastgood.backups.folders import status_of
from lastgood.backups.process import Ended, run
from lastgood.backups.redis_place import place
from lastgood.backups.redis_server import loaded
from lastgood.backups.redis_url import Address, address
from lastgood.domain.backups.ports import JobFailed, Places, Point, Repository, before_writing
from lastgood.domain.backups.texts import size, stamp

PART = "redis"
FILE = "dump.rdb"
_MEANINGS = {
    "WrongPassword": r"WRONGPASS|NOAUTH|AUTH failed|invalid password|invalid username",
    "NotAllowed": r"NOPERM|no permissions",
    "TlsFailed": r"certificate verify failed|SSL_connect|unable to get local issuer",
    "DiskFull": r"No space left on device",
    "Unreachable": r"Connection refused|could not connect|Name or service not known|timed out|I/O Error|reset by peer"
    r"|Server closed|name resolution|No route to host|EOF",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What ``redis-check-rdb`` counted."""

    keys: int
    expired: int
    """Of those, such that a server does not load any more."""


class RedisEngine:
    """See the ports `Engine`, `Tester` and `Restorer`."""

    def __init__(self, source: RedisSource, places: Places, now: Callable[[], float]) -> None:
        self._places = places
        self._now = now
        ca = places.credential("source/ca.crt") if source.ca is not None else None
        self._ca = ca

    def _address(self) -> Address:
        try:
            text = self._places.credential("source/url").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise JobFailed("CredentialMissing", "source/url cannot be read: is its Secret there?") from error
        return address(text)

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port. The dump lies in ``work`` until it is stored: it is looked at before."""
        server = self._address()
        info = await self._info(server)
        at = self._now()
        dump = work / FILE
        await self._cli(server, "--rdb", str(dump))
        checked = await check(dump)
        made = await repository.store(work, tags={**tags, "part": PART, "keys": str(checked.keys)})
        status = status_of("redis", at, [made], [f"{checked.keys} keys"])
        return status.model_copy(update={"server_version": info})

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port: another full, which costs what has changed."""
        return await self.full(work, repository, tags)

    async def _info(self, server: Address) -> str:
        """The server's version; it also tells a wrong password from what comes later."""
        ended = await self._cli(server, "INFO", "server")
        found = re.search(r"^redis_version:(\S+)", ended.output, re.MULTILINE)
        if found is None:
            raise failed(ended, server)
        return found[1].strip()

    async def _cli(self, server: Address, *arguments: str) -> Ended:
        environment = {"PATH": os.environ.get("PATH", ""), **server.environment}
        ended = await run(["redis-cli", *server.arguments(self._ca), *arguments], environment=environment)
        if ended.status != 0 or re.match(r"(NOAUTH|WRONGPASS|NOPERM|ERR) ", ended.output):
            raise failed(ended, server)
        return ended

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """See the port: a throw-away server loads it, and holds as many keys as were stored."""
        (snapshot,) = point.snapshots
        await repository.fetch(snapshot.id, work)
        try:
            checked = await check(work / FILE)
        except JobFailed as error:
            raise JobFailed("RestoreTestFailed", error.message) from error
        stored = snapshot.tags.get("keys", str(checked.keys))
        if stored != str(checked.keys):
            raise JobFailed("RestoreTestFailed", f"the dump holds {checked.keys} keys, and {stored} were stored")
        count = await loaded(work, FILE)
        # Keys go on expiring between the two counts.
        if not checked.keys - checked.expired - count.expires <= count.keys <= checked.keys:
            message = f"a server that loaded the dump holds {count.keys} keys of {checked.keys - checked.expired}"
            raise JobFailed("RestoreTestFailed", message)
        weight = (work / FILE).stat().st_size
        message = f"a throw-away server loaded {size(weight)}: {count.keys} keys"
        message += f", {checked.keys - count.keys} had expired" if checked.keys > count.keys else ""
        return Verified(how="RestoreTest", passed=True, at=stamp(0), message=message)

    def _volume(self, restore: RestoreJob) -> Path:
        server = restore.spec.server
        if server is None:
            message = "a dump is loaded when the server starts: name its StatefulSet and claim in spec.server"
            raise JobFailed("NotSupported", message)
        root = self._places.server(server.claim)
        if not root.is_dir():
            raise JobFailed("VolumeMissing", f"claim {server.claim} is not mounted in the job's pod")
        return root / server.sub_path.strip("/") if server.sub_path else root

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port: into the data folder of a server that is stopped."""
        if restore.spec.into is not None and restore.spec.into.in_place is not True:
            raise JobFailed("NotSupported", "a dump of Redis goes into its server's volume: write inPlace")
        with before_writing():
            root = self._volume(restore)
            if len(restore.snapshots) != 1:
                raise JobFailed("SnapshotMissing", f"backup {restore.backup} must be one snapshot")
            await repository.fetch(restore.snapshots[0], work)
            checked = await check(work / FILE)
        return place(work / FILE, root, restore.name) + f"; it holds {checked.keys} keys"

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """See the port: what lies in the volume can be loaded. The server itself is looked at by probes."""
        del work
        server = restore.spec.server
        if server is None or not self._places.server(server.claim).is_dir():
            return "the dump was read whole when it was laid down; the server has yet to start with it"
        checked = await check(self._volume(restore) / FILE)
        return f"the dump in the server's volume is whole: {checked.keys} keys"


def failed(ended: Ended, server: Address) -> JobFailed:
    """What a redis-cli that failed meant."""
    text = ended.error if ended.status != 0 or not ended.output else f"{ended.output}\n{ended.error}"
    for secret in server.secrets:
        text = text.replace(secret, "…")
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("sending", "SYNC sent"))
    ]
    for reason, words in _MEANINGS.items():
        if (line := next((x for x in lines if re.search(words, x, re.IGNORECASE)), None)) is not None:
            return JobFailed(reason, f"redis at {server.host}:{server.port}: {line[:300]}")
    return JobFailed("DumpFailed", f"redis at {server.host}:{server.port}: {lines[-1][:300] if lines else 'no dump'}")


async def check(dump: Path) -> Checked:
    """Read a whole dump. Raises JobFailed DumpDamaged."""
    if not dump.is_file():
        raise JobFailed("DumpDamaged", f"there is no {dump.name}")
    ended = await run(["redis-check-rdb", str(dump)], environment={"PATH": os.environ.get("PATH", "")})
    keys = re.search(r"\[info\] (\d+) keys read", ended.output)
    gone = re.search(r"\[info\] (\d+) already expired", ended.output)
    if ended.status != 0 or keys is None or gone is None:
        wrong = re.search(r"--- RDB ERROR DETECTED ---\n(.*)", ended.output)
        raise JobFailed("DumpDamaged", f"redis-check-rdb: {wrong[1] if wrong else f'exit status {ended.status}'}")
    return Checked(int(keys[1]), int(gone[1]))
