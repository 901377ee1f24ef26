"""Signals that come from outside: what a message says of which service, and what then stands in its status."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from lastgood.api.base import seconds
from lastgood.api.servicestatus import SIGNALS
from lastgood.api.signals import Alert, PlainSignal, SignalType, Webhook
from lastgood.domain.clock import from_text, to_text
from lastgood.domain.model import Key

STANDS = 86400.0
"""Seconds that an alert stands unless it is told again: its sender may be gone for good."""

_SHORTEST, _LONGEST = 60.0, 7 * 86400.0
_REASON = 256
_WORTH = 0.95
"""A repeated signal is written again when less than this of its time is left."""

_NAMESPACE = ("namespace", "k8s_ns_name")
_POD = ("pod", "k8s_pod_name")
_POD_OF_DEPLOYMENT = re.compile(r"^(?P<deployment>.+)-[a-z0-9]{1,10}-[a-z0-9]{5}$")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TYPES = get_args(SignalType)


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says: this signal stands, or has ended."""

    type: str
    id: str
    at: float
    until: float
    resolved: bool = False
    told_when: bool = False
    """Whether ``at`` is what the sender says: one that stands and is said to have begun later has begun anew."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Of what a message speaks: a service by name, or else the Deployment that one watches."""

    namespace: str
    service: str = ""
    deployment: str = ""


class Unclear(ValueError):
    """A message from which it cannot be told what is meant. Its text says what to write."""


def understood(raw: bytes, path: Key | None, type_: str, now: float) -> Sequence[tuple[Place, Claim] | Unclear]:
    """What a body says. Raises Unclear when it is neither form."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        msg = "the body is no JSON"
        raise Unclear(msg) from None
    if not isinstance(body, dict):
        msg = "the body is no JSON object"
        raise Unclear(msg)
    try:
        if "alerts" not in body:
            if path is None:
                msg = "of which service? POST a plain signal to /v1/signals/NAMESPACE/SERVICE"
                raise Unclear(msg)
            plain = of_plain(PlainSignal.model_validate(body), now)
            return [(_named(Place(path[0], service=path[1])), plain)]
        webhook = Webhook.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"{where}: {first['msg']}"
        raise Unclear(msg) from None
    told: list[tuple[Place, Claim] | Unclear] = []
    for alert in webhook.alerts:
        try:
            told.append((place_of(alert, path), of_alert(alert, default_type=type_, now=now)))
        except Unclear as unclear:
            told.append(unclear)
    return told


def of_plain(body: PlainSignal, now: float) -> Claim:
    """What a plain message says. Raises Unclear when it stands for no time that makes sense."""
    try:
        stands = seconds(body.for_)
    except ValueError:
        stands = 0.0
    if not _SHORTEST <= stands <= _LONGEST:
        msg = 'for: write how long it stands at most, from "1m" to "168h"'
        raise Unclear(msg)
    return Claim(body.type, body.id, now, now + stands, body.status == "resolved", reason=one_line(body.reason))


def of_alert(alert: Alert, *, default_type: str, now: float) -> Claim:
    """What an alert says. Raises Unclear when it names no type of signal, or began at no readable time."""
    type_ = alert.labels.get("lastgood_signal") or default_type
    if type_ not in _TYPES:
        msg = (
            f"no type of signal: give the alert a label lastgood_signal, or the receiver's URL ?type=, one of "
            f"{' or '.join(_TYPES)}"
        )
        raise Unclear(msg)
    try:
        began = from_text(alert.starts_at) if alert.starts_at else now
    except ValueError:
        msg = "startsAt is no RFC 3339 time: write 2026-01-31T12:00:00Z"
        raise Unclear(msg) from None
    # A sender's clock may be ahead; what is said to begin later would wait until then.
    at = min(began, now)
    words = [
        alert.labels.get("alertname", ""),
        alert.annotations.get("summary") or alert.annotations.get("description"),
    ]
    reason = one_line(": ".join(word for word in words if word))
    resolved = alert.status == "resolved"
    return Claim(type_, _identity(alert), at, now + STANDS, resolved, bool(alert.starts_at), reason)


def place_of(alert: Alert, path: Key | None) -> Place:
    """Of what an alert speaks; the URL's path wins. Raises Unclear when neither says it."""
    if path is not None:
        return _named(Place(path[0], service=path[1]))
    labels = alert.labels
    namespace = next((labels[name] for name in _NAMESPACE if labels.get(name)), "")
    if not namespace:
        msg = "no namespace: give the alert a label namespace, or the receiver's URL /NAMESPACE/SERVICE"
        raise Unclear(msg)
    if labels.get("lastgood_service"):
        return _named(Place(namespace, service=labels["lastgood_service"]))
    if labels.get("deployment"):
        return _named(Place(namespace, deployment=labels["deployment"]))
    pod = next((labels[name] for name in _POD if labels.get(name)), "")
    found = _POD_OF_DEPLOYMENT.match(pod)
    if found:
        return _named(Place(namespace, deployment=found["deployment"]))
    msg = (
        "no service: give the alert a label lastgood_service, deployment or pod, or the receiver's URL "
        "/NAMESPACE/SERVICE"
    )
    raise Unclear(msg)


def _named(place: Place) -> Place:
    """The place, if its names can be names: they become part of a path at the API server."""
    for name in (place.namespace, place.service or place.deployment):
        if not _NAME.fullmatch(name):
            msg = "a namespace, service or deployment is a name of lower-case letters, digits, '-' and '.'"
            raise Unclear(msg)
    return place


def merged(standing: Sequence[Mapping[str, Any]], claim: Claim, by: str, now: float) -> list[dict[str, Any]] | None:
    """``status.signals`` with this claim, without those that have ended; None when nothing is to be written.

    One that stands keeps its beginning and who raised it. Raises Unclear when no more may stand.
    """
    left = [dict(s) for s in standing if not _over(s, now)]
    same = [s for s in left if (s.get("type"), s.get("id", "manual")) == (claim.type, claim.id)]
    others = [s for s in left if s not in same]
    if claim.resolved:
        return others if same else None
    if not same and len(others) >= SIGNALS:
        msg = f"{SIGNALS} signals stand already: resolve one of them first"
        raise Unclear(msg)
    new = {
        "type": claim.type,
        "id": claim.id,
        "at": to_text(claim.at),
        "by": by,
        "reason": claim.reason,
        "until": to_text(claim.until),
    }
    if same and not (claim.told_when and claim.at > from_text(same[0]["at"])):
        new |= {"at": same[0]["at"], "by": same[0].get("by") or by}
        if not _tells_more(same[0], claim, now):
            return None
    return sorted([*others, new], key=lambda s: (str(s["at"]), str(s["id"])))


def one_line(text: str) -> str:
    """A text of somebody else's in one line of bounded length, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _REASON else line[: _REASON - 1] + "…"


def _tells_more(old: Mapping[str, Any], claim: Claim, now: float) -> bool:
    """Whether writing is worth it: an alert that is repeated each minute must not become a write each minute."""
    if old.get("reason", "") != claim.reason or not old.get("until"):
        return True
    left, wanted = from_text(old["until"]) - now, claim.until - now
    return not _WORTH * wanted <= left <= wanted + 1


def _over(signal: Mapping[str, Any], now: float) -> bool:
    """Whether it has ended by itself; one whose time cannot be read counts as ended."""
    try:
        from_text(signal["at"])
        return bool(signal.get("until")) and from_text(signal["until"]) <= now
    except (KeyError, ValueError, TypeError):
        return True


def _identity(alert: Alert) -> str:
    if re.fullmatch(r"[0-9a-f]{8,64}", alert.fingerprint):
        return alert.fingerprint
    labels = "\0".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    return hashlib.sha256(labels.encode()).hexdigest()[:16]
