"""What servers answer, as samples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lastgood.api.base import amount
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Gauge, Nothing, Points, Sample, Silence

SOUND, VIOLATED = 0.0, 1.0
"""What an integrity query tells: the number of violations that were seen, so that `target.below: "0"` means none."""

_BOOLEAN = 16
"""OID of PostgreSQL's boolean."""


def bounds(spec: ServiceLevelObjectiveSpec) -> tuple[float, ...]:
    """All that values of this objective are compared with."""
    texts = (spec.target.below, spec.target.above, *(alert.threshold for alert in spec.alerts))
    return tuple(amount(text) for text in texts if text is not None)


def at_least(seconds: float, bounds: Iterable[float]) -> Sample:
    """What a query tells that was given up after ``seconds``.

    It took longer than that. When that is beyond all that it is compared with, the true time would say the same, and
    saying nothing would make an objective blind for the worst that it is there to see.
    """
    if all(seconds > bound for bound in bounds):
        return Points((seconds,))
    return Nothing(Silence.TIMEOUT, "given up before the thresholds were reached: write a longer timeout")


def server_connections(used: int, room: int) -> Sample:
    """Connections of clients as a share of those that ordinary roles can have.

    ``room`` is max_connections without those reserved for superusers and (from PostgreSQL 16) for roles with
    pg_use_reserved_connections; with sessions of these the share can be above 1.
    """
    if room <= 0:
        return Nothing(Silence.NO_LIMIT, "all connections are reserved")
    return Gauge(used / room)


def pool_connections(name: str, databases: Sequence[Mapping[str, str]], pools: Sequence[Mapping[str, str]]) -> Sample:
    """Server connections that clients of pgbouncer hold or wait for, as a share of those that there can be.

    Above 1 exactly while clients want more than there can be. A database has one pool of ``pool_size`` for each user,
    and all of them together may be held to ``max_connections`` (max_db_connections): the worst of these is told. Idle
    connections are free: pgbouncer gives them to another pool.
    """
    try:
        found = next((row for row in databases if row["name"] == name), None)
        if found is None:
            return Nothing(Silence.NO_DATA, f'pgbouncer knows no database "{name}"')
        wanted = [int(row["sv_active"]) + int(row["cl_waiting"]) for row in pools if row["database"] == name]
        size, most = int(found["pool_size"]), int(found["max_connections"])
    except (KeyError, ValueError):
        return Nothing(Silence.NOT_UNDERSTOOD, "this is not the console of a pgbouncer that is known here")
    shares = [max(wanted, default=0) / size] if size > 0 else []
    shares += [sum(wanted) / most] if most > 0 else []
    if not shares:
        return Nothing(Silence.NO_LIMIT, "the pool has neither pool_size nor max_db_connections")
    return Gauge(max(shares))


@dataclass(frozen=True, slots=True)
class Column:
    """A value in PostgreSQL's text form, and its type."""

    type: int
    value: bytes | None


def integrity(rows: Sequence[Sequence[Column]]) -> Sample:
    """Whether data is sound: no row, or one true. Anything else is a violation."""
    match rows:
        case []:
            return Gauge(SOUND)
        case [[Column(type, value)]] if type == _BOOLEAN and value == b"t":
            return Gauge(SOUND)
        case _:
            return Gauge(VIOLATED)


def redis_share(info: Mapping[str, str], used: str, room: str) -> Sample:
    """One field of INFO as a share of another."""
    try:
        most, now = int(info[room]), int(info[used])
    except (KeyError, ValueError):
        return Nothing(Silence.NOT_UNDERSTOOD, f"INFO tells no {used} and {room}")
    if most <= 0:
        return Nothing(Silence.NO_LIMIT, f"{room} is 0: set it, or measure the pods with source.resources")
    return Gauge(now / most)
