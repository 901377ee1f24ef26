"""Copying snapshots from one repository to another."""

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lastgood.backups.process import Ended, Listener, piped, run
from lastgood.backups.restic_call import HOST, Call, Settings
from lastgood.backups.restic_errors import meaning
from lastgood.backups.restic_output import instant, snapshots_of, tag_arguments
from lastgood.domain.backups.ports import JobFailed


async def copy(source: Call, target: Call, snapshots: Sequence[str], settings: Settings) -> None:
    """Copy these snapshots, as far as the target does not have them. Raises JobFailed."""
    if source.location.url == target.location.url:
        message = f"repositories {source.location.name} and {target.location.name} are in one place: move one"
        raise JobFailed("RepositoryShared", message)
    if not snapshots:
        return
    await source.reachable()
    await target.reachable()
    if source.location.goes_with(target.location):
        await target.unlocked(lambda: _directly(source, target, snapshots, settings))
        return
    for snapshot in snapshots:
        await _relayed(source, target, snapshot, settings)


async def _directly(source: Call, target: Call, snapshots: Sequence[str], settings: Settings) -> None:
    options = () if source.location.options == target.location.options else source.location.options
    arguments = ["copy", "--from-repo", source.location.url, *options, *snapshots]
    environment = {
        **source.location.environment,
        **target.environment(),
        "RESTIC_FROM_PASSWORD_FILE": str(settings.key),
    }

    async def work(listen: Listener) -> Ended:
        return await run(target.command(*arguments), environment=environment, on_error=listen)

    ended = await target.guarded(work, source)
    if ended.status != 0:
        # restic opens the source first, and names no repository when one of the two is locked or damaged.
        shown = f"{target.location.shown}, copied from {source.location.name}"
        raise meaning(ended.error, shown, (*source.location.secrets, *target.location.secrets))


async def _relayed(source: Call, target: Call, snapshot: str, settings: Settings) -> None:
    """Read it out and store it again, with the same tags, path and time.

    One restic knows one set of S3 credentials and one ssh; two of them speak to two servers. The target cuts the data
    by its own chunker, each time alike, so that it too takes up what has changed only.
    """
    listed = await source.once("snapshots", "--json", "--no-lock", snapshot)
    found = snapshots_of(listed.output)
    if not found:
        raise JobFailed("SnapshotMissing", f"repository {source.location.shown}: snapshot {snapshot} is not there")
    when = json.loads(listed.output)[0]["time"]
    there = snapshots_of((await target.once("snapshots", "--json", "--no-lock")).output)
    # restic takes a time to the second.
    if any(s.tags == found[0].tags and int(s.time) == int(found[0].time) for s in there):
        return
    files = await _files(source, snapshot)
    store = ["backup", "--json", "--host", HOST, "--time", _to_the_second(when), *tag_arguments(found[0].tags)]
    with tempfile.TemporaryDirectory(prefix="lastgood-relay-", dir=settings.scratch) as name:
        if len(files) == 1 and files[0].count("/") == 1:
            await target.unlocked(lambda: _streamed(source, target, snapshot, files[0], store))
            return
        await source.locking("restore", snapshot, "--target", name, "--verify")
        await target.locking(*store, ".", cwd=Path(name))


async def _streamed(source: Call, target: Call, snapshot: str, file: str, store: Sequence[str]) -> None:
    async def work(listen: Listener) -> None:
        fed, stored = await piped(
            source.command("dump", snapshot, file),
            target.command(*store, "--stdin", "--stdin-filename", file.lstrip("/")),
            source_environment=source.environment(),
            sink_environment=target.environment(),
            hold=True,
            on_error=listen,
        )
        if stored is not None and stored.status != 0:
            raise target.failure(stored)
        if stored is None or (fed is not None and fed.status != 0):
            raise source.failure(fed or Ended(1, "", ""))

    await target.guarded(work, source)


async def _files(source: Call, snapshot: str) -> list[str]:
    """Paths of all that is no folder; one more than one is enough to know."""
    found: list[str] = []

    def hear(line: str) -> None:
        each = json.loads(line)
        if each.get("struct_type") == "node" and (each["type"] != "dir") and len(found) < 2:
            found.append(str(each["path"]))

    await source.locking("ls", "--json", snapshot, on_output=hear)
    return found


def _to_the_second(time: str) -> str:
    """As ``--time`` takes it, in the time zone of the process: ``TZ`` is set for that."""
    return datetime.fromtimestamp(int(instant(time)), UTC).strftime("%Y-%m-%d %H:%M:%S")
