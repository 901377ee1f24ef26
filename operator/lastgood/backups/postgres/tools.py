"""PostgreSQL's programs, by the major version of the server that they are for."""

import asyncio
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lastgood.backups.postgres.run import run
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.backups.ports import JobFailed

ROOTS = "LASTGOOD_POSTGRES_BIN"
"""Environment variable: folders of programs, colon-separated, such as /usr/lib/postgresql/15/bin."""
_DEBIAN = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one major version."""

    major: int
    folder: Path

    def path(self, name: str) -> str:
        """Where a program is. Raises JobFailed VersionMismatch when this version's folder lacks it."""
        program = self.folder / name
        if not program.exists():
            raise JobFailed(
                PgReason.VERSION_MISMATCH,
                f"{name} of PostgreSQL {self.major} is not in this image: add it to the folders in {ROOTS}",
            )
        return str(program)


def _folders() -> list[Path]:
    given = os.environ.get(ROOTS, "")
    if given:
        return [Path(folder) for folder in given.split(":") if folder]
    return sorted(_DEBIAN.glob("*/bin"))


@lru_cache(maxsize=64)
def _known() -> dict[Path, int]:
    return {}


async def _major(folder: Path) -> int:
    known = _known()
    if folder not in known:
        done = await run([str(folder / "pg_dump"), "--version"])
        found = _VERSION.search(done.output)
        if done.status != 0 or not found:
            return 0
        known[folder] = int(found[1])
    return known[folder]


async def installed() -> dict[int, Tools]:
    """All versions that this image has; the first folder of a version wins."""
    folders = [folder for folder in _folders() if (folder / "pg_dump").exists()]
    majors = await asyncio.gather(*(_major(folder) for folder in folders))
    found: dict[int, Tools] = {}
    for major, folder in zip(majors, folders, strict=True):
        if major:
            found.setdefault(major, Tools(major, folder))
    return found


async def tools(major: int, *, newer: bool = False) -> Tools:
    """The programs for a server of this major version.

    ``newer``: the next newer version will do: pg_dump reads older servers, though what newer ones write holds settings
    that older servers refuse, which is why the own version comes first. Raises JobFailed VersionMismatch.
    """
    found = await installed()
    if major in found:
        return found[major]
    above = sorted(version for version in found if version > major)
    if newer and above:
        return found[above[0]]
    have = ", ".join(str(version) for version in sorted(found)) or "none"
    raise JobFailed(
        PgReason.VERSION_MISMATCH,
        f"the server is PostgreSQL {major}, and this image has programs of: {have}. "
        f"Use an image with PostgreSQL {major}, or add their folder to {ROOTS}",
    )
