"""Changing the passphrase of a repository: the new key is added and tried before the old one goes."""

import json
from pathlib import Path

from lastgood.backups.restic_call import Call
from lastgood.domain.backups.ports import JobFailed


async def rotate(call: Call, key: Path, previous: Path, *, opens: bool) -> None:
    """Leave the repository with ``key`` and without ``previous``; done before, it changes nothing.

    ``opens``: ``key`` was seen to open it just now. Raises JobFailed WrongKey when neither opens it. An end at any
    moment leaves at least one that does.
    """
    if _same(key, previous):
        return
    opens = opens or await _opens(call, key)
    old = await _id_of(call, previous) if previous.is_file() else ""
    if not opens:
        if not old:
            message = f"repository {call.location.shown}: neither the passphrase nor the previous one opens it"
            raise JobFailed("WrongKey", message)
        await call.locking("key", "add", f"--new-password-file={key}", key=previous)
        if not await _opens(call, key):
            raise JobFailed("WrongKey", f"repository {call.location.shown}: the new key was added and does not open it")
    if old:
        await call.locking("key", "remove", old, key=key)


def _same(key: Path, previous: Path) -> bool:
    try:
        return key.read_bytes().strip() == previous.read_bytes().strip()
    except OSError:
        return False


async def _opens(call: Call, key: Path) -> bool:
    try:
        await call.once("cat", "config", "--no-lock", key=key)
    except JobFailed as error:
        if error.reason == "WrongKey":
            return False
        raise
    return True


async def _id_of(call: Call, key: Path) -> str:
    """The key that this passphrase opens; empty for none."""
    try:
        ended = await call.once("key", "list", "--json", "--no-lock", key=key)
    except JobFailed as error:
        if error.reason in {"WrongKey", "KeyUnreadable"}:
            return ""
        raise
    return next((str(k["id"]) for k in json.loads(ended.output) if k.get("current")), "")
