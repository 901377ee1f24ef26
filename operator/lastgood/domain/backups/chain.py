"""Chains of physical backups: a full one and the increments on it, each on the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One physical backup, as its tags tell it."""

    backup: str
    parent: str
    """The Backup that it is an increment on; empty for a full one."""
    snapshot: str
    time: float
    major: int
    system: str
    """System identifier."""


class Broken(Exception):
    """A chain cannot be followed; the text says where."""


def chain(backup: str, members: Mapping[str, Member]) -> Sequence[Member]:
    """The full backup and all increments up to this one, in the order in which they are combined.

    Raises Broken when one is missing, refers to itself, or is of another major version or another cluster.
    """
    found: list[Member] = []
    wanted = backup
    while wanted:
        member = members.get(wanted)
        if member is None:
            after = f", which {found[-1].backup} builds on," if found else ""
            message = f"{wanted}{after} is missing"
            raise Broken(message)
        if member in found:
            message = f"{wanted} builds on itself"
            raise Broken(message)
        found.append(member)
        wanted = member.parent
    found.reverse()
    first = found[0]
    for member in found[1:]:
        if member.major != first.major:
            message = f"{member.backup} is of PostgreSQL {member.major}, {first.backup} of {first.major}"
            raise Broken(message)
        if member.system != first.system:
            message = f"{member.backup} is of another cluster than {first.backup}"
            raise Broken(message)
    return tuple(found)


def newest_whole(members: Mapping[str, Member]) -> Member | None:
    """The newest backup whose chain is whole; None when a full one is needed first."""
    for member in sorted(members.values(), key=lambda each: each.time, reverse=True):
        try:
            chain(member.backup, members)
        except Broken:
            continue
        return member
    return None
