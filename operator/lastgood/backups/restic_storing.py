"""Storing folders and what commands print, and knowing the snapshots that were made."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lastgood.backups.process import Ended, Listener, piped, run
from lastgood.backups.restic_call import HOST, Call
from lastgood.backups.restic_errors import line_of
from lastgood.backups.restic_listing import Listing
from lastgood.backups.restic_output import Summing, as_listed, instant, precise, tag_arguments
from lastgood.domain.backups.ports import JobFailed, Snapshot

_UNREAD = 3
"""Exit status of a backup that left out what it could not read."""
_ID = 64
"""Characters of a full id."""


async def store(
    call: Call, listing: Listing, folder: Path, tags: Mapping[str, str], exclude: Sequence[str]
) -> tuple[Snapshot, list[str]]:
    """Store a folder; the snapshot, and what could not be read. Raises JobFailed."""
    if not folder.is_dir():
        raise JobFailed("SourceMissing", f"there is no folder {folder}: is the volume mounted?")
    patterns = [f"--exclude={pattern}" for pattern in exclude]

    async def attempt() -> tuple[Summing, str]:
        heard, at = Summing(call.settings.progress), precise(call.settings.now())
        arguments = [*_backup(at, tags), *patterns, "."]

        async def work(listen: Listener) -> Summing:
            def hear(line: str) -> None:
                heard.error(line)
                listen(line)

            ended = await run(
                call.command(*arguments),
                environment=call.environment(),
                cwd=folder,
                on_output=heard.output,
                on_error=hear,
            )
            if ended.status not in {0, _UNREAD} or not heard.summary:
                raise call.failure(ended)
            return heard

        return await call.guarded(work), at

    with listing.unsure():
        heard, at = await call.unlocked(attempt)
        return await _made(call, listing, heard, at, tags), heard.unread


async def store_output(
    call: Call,
    listing: Listing,
    command: Sequence[str],
    file: str,
    tags: Mapping[str, str],
    environment: Mapping[str, str],
) -> Snapshot:
    """Store what a command prints, as one file; only where it exits 0. Raises JobFailed."""

    async def attempt() -> tuple[Summing, str]:
        heard, at = Summing(call.settings.progress), precise(call.settings.now())
        sink = call.command(*_backup(at, tags), "--stdin", "--stdin-filename", file)

        async def work(listen: Listener) -> Summing:
            fed, stored = await piped(
                command,
                sink,
                source_environment=environment,
                sink_environment=call.environment(),
                hold=True,
                on_output=heard.output,
                on_error=listen,
            )
            # The command of a restic that has died ends too, by that; the cause is restic's.
            if stored is not None and "snapshot is empty" in stored.error:
                raise JobFailed("CommandFailed", f"{Path(command[0]).name} printed nothing")
            if stored is not None and (stored.status != 0 or not heard.summary):
                raise call.failure(stored)
            if fed is None or fed.status != 0 or stored is None:
                raise JobFailed("CommandFailed", said(command[0], fed))
            return heard

        return await call.guarded(work), at

    with listing.unsure():
        heard, at = await call.unlocked(attempt)
        return await _made(call, listing, heard, at, tags)


def _backup(at: str, tags: Mapping[str, str]) -> list[str]:
    """With the time given, it need not be asked for: restic tells an id only, older ones the first digits of it."""
    return ["backup", "--json", "--host", HOST, "--time", at, *tag_arguments(tags)]


async def _made(call: Call, listing: Listing, heard: Summing, at: str, tags: Mapping[str, str]) -> Snapshot:
    """The snapshot that a backup made, by its full id."""
    told = str(heard.summary["snapshot_id"])
    full = told if len(told) == _ID else _named(call.location.folder, told)
    if full:
        made = Snapshot(full, instant(f"{at}+00:00"), as_listed(tags))
        listing.added(made)
    else:
        found = [s for s in await listing.read() if s.id.startswith(told)]
        if len(found) != 1:
            raise JobFailed("RepositoryFailed", f"repository {call.location.shown}: snapshot {told} is not there")
        made = found[0]
    return replace(
        made,
        size_bytes=int(heard.summary.get("total_bytes_processed", 0)),
        # What is left after compression is told by newer ones only.
        stored_bytes=int(heard.summary.get("data_added_packed", heard.summary.get("data_added", 0))),
    )


def _named(folder: Path | None, told: str) -> str:
    """The full id of a snapshot in a folder, where its file is named for it; empty where that is not to be seen."""
    if folder is None or not told.isalnum():
        return ""
    found = [file.name for file in (folder / "snapshots").glob(f"{told}*") if len(file.name) == _ID]
    return found[0] if len(found) == 1 else ""


def said(program: str, ended: Ended | None) -> str:
    """What a command that failed said at last."""
    status = ended.how if ended else "ended too early"
    return f"{Path(program).name} failed ({status}): {line_of(ended.error) if ended else ''}".rstrip(": ")
