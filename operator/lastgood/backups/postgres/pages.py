"""Pages of a restored server, by PostgreSQL's own pg_amcheck: that rows can be read proves nothing of indexes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lastgood.backups.postgres.errors import said
from lastgood.backups.postgres.run import run
from lastgood.backups.postgres.throwaway import Throwaway
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.ports import JobFailed
from lastgood.domain.backups.tally import phrase

_FAULTY = 2
"""pg_amcheck's exit status when it has found something; 1 when it could not look."""
_RELATION = re.compile(r'^((?:heap table|btree index) ".+?")[:,]', re.MULTILINE)
"""Only the name is told: what follows may be long, and says how, not what."""
_ABLE = """
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck'),
       EXISTS (SELECT FROM pg_database d WHERE d.datname = current_database()
               AND d.datcollversion IS DISTINCT FROM pg_database_collation_actual_version(d.oid))
    OR EXISTS (SELECT FROM pg_index i, unnest(i.indcollation) AS used(oid) JOIN pg_collation c ON c.oid = used.oid
               WHERE c.collprovider <> 'd' AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)),
       current_setting('data_checksums')
"""


@dataclass(slots=True)
class Pages:
    """What a look at all databases has found."""

    faults: list[str] = field(default_factory=list)
    """Tables and indexes with pages that do not agree."""
    whole: list[str] = field(default_factory=list)
    """Databases of which all was looked at."""
    unchecked: list[str] = field(default_factory=list)
    """What was not looked at, and why."""
    checksums: bool = False
    """Whether each page that was read was compared with its checksum."""

    def told(self) -> str:
        """What was checked and what was not, as the end of a sentence."""
        parts = [f"pg_amcheck finds tables and b-tree indexes of {', '.join(self.whole)} whole"] if self.whole else []
        parts += [phrase(self.unchecked)] if self.unchecked else []
        return "; ".join([*parts, "page checksums hold" if self.checksums else "there are no page checksums"])


async def checked(server: Throwaway, client: Tools, databases: Sequence[str]) -> Pages:
    """Read every table and b-tree index, and look for each row in each index.

    What cannot be looked at is no fault. The extension that this needs is made in the databases, which are thrown away.
    """
    found = Pages()
    for name in databases:
        async with server.session(name, doing=f"looking at {name}") as connection:
            able, elsewhere, checksums = await (await connection.execute(_ABLE)).fetchone()
        found.checksums = checksums == "on"
        await _database(server, client, name, found, able=able, elsewhere=elsewhere)
    return found


async def _database(server: Throwaway, client: Tools, name: str, found: Pages, *, able: bool, elsewhere: bool) -> None:
    try:
        program = client.path("pg_amcheck")
    except JobFailed:
        able, program = False, ""
    if not able:
        found.unchecked.append(f"pages of {name} were not checked: the image has no amcheck {client.major}")
        return
    # By another version of a collation the order of an index looks wrong, and is not.
    options = ["--no-dependent-indexes"] if elsewhere else ["--heapallindexed"]
    done = await run([program, "--install-missing", "--no-password", *options, server.conninfo(name)])
    if done.status == _FAULTY:
        named = list(dict.fromkeys(_RELATION.findall(done.output)))
        found.faults += [f"pg_amcheck finds damage in {each}" for each in named or [f"database {name}"]]
    elif done.status != 0:
        found.unchecked.append(f"pages of {name} were not checked: {said(done.error or done.output)}")
    elif elsewhere:
        message = f"tables of {name} are whole, its indexes were not checked: it was made with another version of a "
        found.unchecked.append(message + "collation than the image has")
    else:
        found.whole.append(name)
