"""Where the lab keeps things: a cache that outlives labs, and one folder of state a lab."""

import os
import re
from pathlib import Path

HERE = Path(__file__).parent

NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
"""A lab's name goes into a network namespace, a cgroup, a host name and Unix socket paths, so it is short and plain."""


class LabError(Exception):
    """The lab cannot do what was asked; the message says what and, where known, what to do about it."""


def cache_dir() -> Path:
    """Return the folder for binaries, root file systems and images: safe to delete, dear to make."""
    xdg = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = os.environ.get("LASTGOOD_CACHE") or f"{xdg}/lastgood"
    return Path(base).expanduser().absolute() / "lab"


def home_dir() -> Path:
    """Return the folder that holds one folder a lab: everything that `down` deletes."""
    xdg = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    base = os.environ.get("LASTGOOD_LAB_HOME") or f"{xdg}/lastgood/lab"
    return Path(base).expanduser().absolute()


def state_dir(name: str) -> Path:
    """Return the folder of the lab called `name`."""
    if not NAME.fullmatch(name):
        msg = f"{name!r} is no name for a lab: use 1 to 20 of a-z, 0-9 and -, a letter first"
        raise LabError(msg)
    return home_dir() / name
