"""Pages of a restored server, by PostgreSQL's own pg_amcheck: that rows can be read proves nothing of indexes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lastgood.backups.postgres.errors import said
from lastgood.backups.postgres.run import run
from lastgood.backups.postgres.throwaway import Throwaway
from lastgood.backups.postgres.tools import Tools
from lastgood.domain.backups.tally import phrase

_FAULTY = 2
"""pg_amcheck's exit status when it has found something; 1 when it could not look."""
_RELATION = re.compile(r'^((?:heap table|btree index) ".+?")[:,]', re.MULTILINE)
"""Only the name is told: what follows may be long, and says how, not what."""
_ABLE = """
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck'), current_setting('data_checksums')
"""
_ELSEWHERE = """
WITH used AS (SELECT i.indexrelid, c.oid FROM pg_index i, unnest(i.indcollation) AS c(oid)),
     other AS (SELECT c.oid FROM pg_collation c WHERE c.oid IN (SELECT oid FROM used) AND c.collprovider <> 'd'
                  AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
               UNION ALL
               SELECT 'pg_catalog."default"'::regcollation FROM pg_database d WHERE d.datname = current_database()
                  AND d.datcollversion IS DISTINCT FROM pg_database_collation_actual_version(d.oid))
SELECT format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(r.relname, '"', '""'))
FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace JOIN pg_am a ON a.oid = r.relam
WHERE a.amname = 'btree' AND r.oid IN (SELECT indexrelid FROM used JOIN other USING (oid))
"""
"""B-tree indexes in the order of a collation that has another version here than where they were made, as patterns that
fit nothing else: by this version their order looks wrong, and is not."""


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
            able, checksums = await (await connection.execute(_ABLE)).fetchone()
            elsewhere = [row[0] for row in await (await connection.execute(_ELSEWHERE)).fetchall()]
        found.checksums = checksums == "on"
        if able and (client.folder / "pg_amcheck").exists():
            await _database(server, client, name, found, elsewhere)
        else:
            found.unchecked.append(f"pages of {name} were not checked: the image has no amcheck {client.major}")
    return found


async def _database(server: Throwaway, client: Tools, name: str, found: Pages, elsewhere: Sequence[str]) -> None:
    command = [client.path("pg_amcheck"), "--install-missing", "--no-password", "--heapallindexed"]
    done = await run([*command, *(f"--exclude-index={each}" for each in elsewhere), server.conninfo(name)])
    if done.status == _FAULTY:
        named = list(dict.fromkeys(_RELATION.findall(done.output)))
        found.faults += [f"pg_amcheck finds damage in {each}" for each in named or [f"database {name}"]]
    elif done.status != 0:
        found.unchecked.append(f"pages of {name} were not checked: {said(done.error or done.output)}")
    else:
        found.whole.append(name)
        if elsewhere:
            message = f"{len(elsewhere)} indexes of {name} were not checked: their collation has another version here"
            found.unchecked.append(message)
