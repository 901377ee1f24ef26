"""Takes signals: who is it, may they, of which service, and into its status with it."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from lastgood.domain.model import Key
from lastgood.domain.ports import Caller, ClusterError, SignalBook
from lastgood.domain.signals import Claim, Place, Unclear, merged
from lastgood.domain.triggers import TriggerKind
from lastgood.services.metrics import Metrics
from lastgood.services.table import Table

_log = structlog.get_logger(__name__)

_TRIES = 5
"""Writes of one signal: others write the same status."""

_REMEMBERED = 10.0
"""Seconds for which the API server's word on a token is taken as it was."""

_TOKENS = 256
_REVIEWS = 20.0
"""Unknown tokens a second that are asked about; each is a request to the API server that anybody can cause."""


class Took(StrEnum):
    """What became of a message about one service."""

    RAISED = "Raised"
    RESOLVED = "Resolved"
    UNCHANGED = "Unchanged"
    """It stands already, or there is nothing to resolve."""
    UNCLEAR = "Unclear"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    UNAVAILABLE = "Unavailable"
    """The API server did not take it: send it again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of it, and a sentence on it."""

    took: Took
    message: str
    service: Key | None = None


class Busy(Exception):
    """Too many unknown tokens a second."""


class Signals:
    """The desk where signals are handed in; any replica has one."""

    def __init__(self, book: SignalBook, table: Table, metrics: Metrics) -> None:
        self._book, self._table, self._metrics = book, table, metrics
        self._known: dict[bytes, tuple[float, Caller | None]] = {}
        self._credit, self._credit_at = _REVIEWS, time.monotonic()

    async def who(self, token: str) -> Caller | None:
        """Whose token this is. Raises Busy, and ClusterError when the API server cannot be asked."""
        now = time.monotonic()
        mark = hashlib.sha256(token.encode()).digest()
        at, caller = self._known.get(mark, (0.0, None))
        if at and now - at < _REMEMBERED:
            return caller
        self._credit = min(_REVIEWS, self._credit + (now - self._credit_at) * _REVIEWS)
        self._credit_at = now
        if self._credit < 1:
            raise Busy
        self._credit -= 1
        caller = await self._book.who(token)
        if len(self._known) >= _TOKENS:
            self._known.pop(next(iter(self._known)))
        self._known.pop(mark, None)
        self._known[mark] = (now, caller)
        return caller

    async def take(self, caller: Caller, told: Sequence[tuple[Place, Claim] | Unclear]) -> list[Taken]:
        """Take what was told, one after the other; one that cannot be taken does not stop the others."""
        taken: list[Taken] = []
        allowed: dict[Key, bool] = {}
        for what in told:
            if isinstance(what, Unclear):
                taken.append(Taken(Took.UNCLEAR, str(what)))
                self._metrics.signals.labels("", Took.UNCLEAR.value).inc()
                continue
            place, claim = what
            for one in await self._take(caller, place, claim, allowed):
                taken.append(one)
                self._metrics.signals.labels(claim.type, one.took.value).inc()
        return taken

    async def _take(self, caller: Caller, place: Place, claim: Claim, allowed: dict[Key, bool]) -> list[Taken]:
        if place.service:
            return [await self._one(caller, (place.namespace, place.service), claim, allowed)]
        keys = sorted(self._table.by_target.get((place.namespace, place.deployment), ()))
        taken = [await self._one(caller, key, claim, allowed) for key in keys]
        if not taken or all(one.took is Took.FORBIDDEN for one in taken):
            # The same words for both: who may not signal there is not told what there is.
            sentence = (
                f"no MonitoredService of {place.namespace} that {caller.name} may signal watches Deployment "
                f"{place.deployment}"
            )
            return [Taken(Took.FORBIDDEN if taken else Took.NOT_FOUND, sentence)]
        return taken

    async def _one(self, caller: Caller, key: Key, claim: Claim, allowed: dict[Key, bool]) -> Taken:
        try:
            if key not in allowed:
                # Asked once a message: a hundred alerts of one service are one question.
                allowed[key] = await self._book.may(caller, *key)
            if not allowed[key]:
                sentence = (
                    f"{caller.name} may not create monitoredservices/signals of lastgood.dev in {key[0]}: bind the "
                    "signaller role there"
                )
                return Taken(Took.FORBIDDEN, sentence, key)
            return await self._write(caller, key, claim)
        except Unclear as unclear:
            return Taken(Took.UNCLEAR, str(unclear), key)
        except ClusterError as error:
            _log.warning("signal not taken", service=key, type=claim.type, error=str(error))
            return Taken(Took.UNAVAILABLE, f"the API server did not take it ({error}): send it again", key)

    async def _write(self, caller: Caller, key: Key, claim: Claim) -> Taken:
        attempt = 0
        while True:
            body = await self._book.service(*key)
            if body is None:
                return Taken(Took.NOT_FOUND, f"there is no MonitoredService {key[1]} in {key[0]}", key)
            now = time.time()
            standing = (body.get("status") or {}).get("signals") or ()
            wanted = merged(standing, claim, caller.name, now)
            if wanted is None:
                return Taken(Took.UNCHANGED, "it does not stand" if claim.resolved else "it stands already", key)
            try:
                body = await self._book.write(body, wanted)
                break
            except ClusterError as error:
                attempt += 1
                if error.status != 409 or attempt == _TRIES:
                    raise
            await asyncio.sleep(0.05 * 2**attempt)
        _log.warning("signal", service=key, type=claim.type, id=claim.id, by=caller.name, resolved=claim.resolved)
        if claim.resolved or (claim.type, claim.id) not in {(s.get("type"), s.get("id")) for s in standing}:
            await self._tell(body, caller, claim, now)
        return Taken(Took.RESOLVED if claim.resolved else Took.RAISED, self._follows(key, claim), key)

    def _follows(self, key: Key, claim: Claim) -> str:
        if claim.resolved:
            return f"{claim.type} of {key[1]} no longer stands"
        service = self._table.services.get(key)
        named = service is not None and any(
            trigger.kind is TriggerKind.SIGNAL and trigger.name == claim.type for trigger in service.plan.triggers
        )
        if named:
            return f"{claim.type} of {key[1]} stands, and its rollback policy names it"
        return (
            f"{claim.type} of {key[1]} is noted; nothing follows, since spec.rollback.triggers.signals does not name it"
        )

    async def _tell(self, body: dict[str, object], caller: Caller, claim: Claim, now: float) -> None:
        said = f"{claim.type} ({claim.id}) "
        if claim.resolved:
            kind, reason, message = "Normal", "SignalResolved", said + f"was called over by {caller.name}"
        else:
            kind, reason, message = "Warning", "SignalRaised", said + f"was raised by {caller.name}"
            message += f": {claim.reason}" if claim.reason else ""
        try:
            await self._book.event({"kind": "MonitoredService", **body}, kind, reason, message, now)
        except ClusterError as error:
            # Status has it; a lost Event must not make the sender raise it again.
            _log.warning("event not written", reason=reason, error=str(error))
