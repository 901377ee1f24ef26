"""What a database held at a point, table by table, and how what was restored differs from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NAMED = 3
"""Differences that a sentence names; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table's rows."""

    rows: int
    checksum: str
    """Sum of a hash of each row's text: the order of rows does not matter. Empty: only counted."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One database."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    """By quoted name with schema."""
    large_objects: int = 0
    encoding: str = "UTF8"

    def as_json(self) -> dict[str, Any]:
        """For the manifest beside the dump."""
        return {
            "tables": {name: {"rows": table.rows, "checksum": table.checksum} for name, table in self.tables.items()},
            "largeObjects": self.large_objects,
            "encoding": self.encoding,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Tally":
        """Read a manifest. KeyError, TypeError or ValueError for one that is none."""
        tables = {name: Table(int(table["rows"]), str(table["checksum"])) for name, table in found["tables"].items()}
        return cls(tables, int(found["largeObjects"]), str(found["encoding"]))

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables.values())


def differences(wanted: Tally, found: Tally) -> Sequence[str]:
    """What is not as it was, one phrase each; tables that came later are none of it."""
    told = []
    for name, table in sorted(wanted.tables.items()):
        there = found.tables.get(name)
        if there is None:
            told.append(f"{name} is missing")
        elif there.rows != table.rows:
            told.append(f"{name} has {there.rows} rows and had {table.rows}")
        elif there.checksum != table.checksum:
            told.append(f"{name} has other values than it had (checksum)")
    if found.large_objects != wanted.large_objects:
        told.append(f"{found.large_objects} large objects are there, and were {wanted.large_objects}")
    return told


def phrase(told: Sequence[str]) -> str:
    """Differences as part of a sentence."""
    rest = len(told) - _NAMED
    return "; ".join(told[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
