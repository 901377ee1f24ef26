"""What has to be written so that an object is as it was declared. Pure: nothing is read or written.

Content (all but metadata and status) becomes exactly what it was: what was added since goes. Labels and annotations are
put back, and those added since stay: they are other people's notes. Server-side apply would be shorter, and leave every
key of a ConfigMap that somebody else has added.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lastgood.domain.backups.declared import controller_of, given_out

RECORDS = frozenset({"backups.lastgood.dev", "restores.lastgood.dev", "rollbacks.lastgood.dev"})
"""Not declarations but deeds: brought back without their status, each would be carried out once more."""
_SCALED = frozenset({"Deployment", "StatefulSet"})
_VERSION = re.compile(r"([a-z0-9][a-z0-9.-]*/)?v[a-z0-9]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
_HELD = frozenset({"apiVersion", "kind", "metadata", "status"})
_FORBIDDEN = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')
_ROOM = 900
"""Characters of a message that tells of many objects; a job's may have 1,024."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object of a backup."""

    resource: str
    """Plural name with its group, such as "configmaps" or "widgets.example.com"."""
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the object."""
        return str(self.body["metadata"]["name"])

    @property
    def shown(self) -> str:
        """As kubectl names it."""
        return f"{self.resource}/{self.name}"


@dataclass(frozen=True, slots=True)
class Write:
    """What to do with an object."""

    do: Literal["create", "patch", "leave", "same"]
    body: Mapping[str, Any] | None = None
    """To create, or a JSON merge patch."""
    why: str = ""
    """With leave."""


def place(wanted: Wanted, namespace: str) -> str | None:
    """Path of the list that an object belongs to, in this namespace whatever it says; None for no such object."""
    version, plural = str(wanted.body.get("apiVersion")), wanted.resource.partition(".")[0]
    if not _VERSION.fullmatch(version) or not _NAME.fullmatch(plural) or not _NAME.fullmatch(wanted.name):
        return None
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{plural}"


def write_of(wanted: Wanted, live: Mapping[str, Any] | None, stopped: Collection[tuple[str, str]]) -> Write:
    """What makes the object what it was.

    ``stopped`` are kind and name of workloads that the Restore has at 0, and starts itself.
    """
    body = {k: v for k, v in wanted.body.items() if k != "status"}
    kind = str(body.get("kind"))
    if live is None:
        if (kind, wanted.name) in stopped:
            return Write("leave", why="it is stopped by this Restore, and gone")
        metadata = {k: v for k, v in body["metadata"].items() if k in {"name", "labels", "annotations"}}
        return Write("create", {**body, "metadata": metadata})
    controller = controller_of(live)
    if controller:
        return Write("leave", why=f"{controller} makes it now")
    if live["metadata"].get("deletionTimestamp"):
        return Write("leave", why="it is being deleted")
    change = _content(body, live, stopped)
    notes = {
        part: kept
        for part in ("labels", "annotations")
        if (kept := _missing(body["metadata"].get(part) or {}, live["metadata"].get(part) or {}))
    }
    if not change and not notes:
        return Write("same")
    # Whoever was faster is seen: what they wrote is read, and this is decided anew.
    return Write("patch", {**change, "metadata": {**notes, "resourceVersion": live["metadata"]["resourceVersion"]}})


def differences(wanted: Wanted, live: Mapping[str, Any] | None, stopped: Collection[tuple[str, str]]) -> list[str]:
    """Where an object is not what it should be now that it was written; empty for nowhere."""
    found = write_of(wanted, live, stopped)
    match found.do:
        case "create":
            return ["it does not exist"]
        case "patch":
            change = {k: v for k, v in (found.body or {}).items() if k != "metadata"}
            notes = {k: v for k, v in (found.body or {})["metadata"].items() if k != "resourceVersion"}
            return [*_paths(change), *(f"metadata.{p}" for p in _paths(notes))]
        case _:
            return []


def _content(body: Mapping[str, Any], live: Mapping[str, Any], stopped: Collection[tuple[str, str]]) -> dict[str, Any]:
    kind = str(body.get("kind"))
    if kind == "PersistentVolumeClaim":
        # Next to nothing of a claim can be changed, and one that has grown since must not shrink.
        return {}
    now = {k: v for k, v in live.items() if k not in _HELD}
    was = {k: v for k, v in body.items() if k not in _HELD}
    spec = was.get("spec")
    if isinstance(spec, Mapping) and isinstance(now.get("spec"), Mapping):
        kept = set(given_out(kind, spec))
        if kind in _SCALED and (kind, body["metadata"]["name"]) in stopped:
            kept.add("replicas")
        was["spec"] = {k: v for k, v in spec.items() if k not in kept}
        now["spec"] = {k: v for k, v in now["spec"].items() if k not in kept}
    return merge_patch(now, was)


def merge_patch(now: Mapping[str, Any], was: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) from one object to another. A null in an object means that it is not there."""
    patch: dict[str, Any] = {key: None for key, value in now.items() if value is not None and was.get(key) is None}
    for key, value in was.items():
        if value is None or now.get(key) == value:
            continue
        inner = now.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            deeper = merge_patch(inner, value)
            if deeper:
                patch[key] = deeper
        else:
            patch[key] = value
    return patch


def _missing(wanted: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in wanted.items() if now.get(k) != v}


def _paths(change: Mapping[str, Any], before: str = "") -> list[str]:
    found: list[str] = []
    for key, value in sorted(change.items()):
        if isinstance(value, Mapping) and value:
            found += _paths(value, f"{before}{key}.")
        else:
            found.append(f"{before}{key}")
    return found


# -- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server says against one object."""

    shown: str
    status: int
    said: str

    @property
    def about_rights(self) -> bool:
        """Whether a right is missing."""
        return self.status == 403 and right_missing(self.said) is not None


def right_missing(said: str) -> tuple[str, str] | None:
    """Verb and resource of a refusal for want of a right; None for any other, such as a quota's."""
    found = _FORBIDDEN.search(said)
    if found is None:
        return None
    verb, plural, group = found.groups()
    return verb, f"{plural}.{group}" if group else plural


def forbidden(refusals: Sequence[Refusal], namespace: str, account: str) -> str:
    """Which rights are missing, and the commands that give them; empty when it is not about rights."""
    rights = {right for r in refusals if r.status == 403 and (right := right_missing(r.said))}
    if not rights:
        return ""
    by_resource: dict[str, list[str]] = {}
    for verb, resource in sorted(rights):
        by_resource.setdefault(resource, []).append(verb)
    told = "; ".join(f"{', '.join(verbs)} {resource}" for resource, verbs in sorted(by_resource.items()))
    # Each object needs the three of them sooner or later: a command for one would be followed by another refusal.
    resources = ",".join(sorted(by_resource))
    give = (
        f"kubectl create role {account}-more -n {namespace} --verb=get,create,patch --resource={resources} && kubectl "
        f"create rolebinding {account}-more -n {namespace} --role={account}-more --serviceaccount={namespace}:{account}"
    )
    return f"ServiceAccount {account} may not {told}. Give it these rights: {give}"


def listed(parts: Sequence[str], room: int = _ROOM) -> str:
    """As many as there is room for, and how many more."""
    told: list[str] = []
    for part in parts:
        if told and sum(map(len, told)) + 2 * len(told) + len(part) > room:
            return f"{', '.join(told)}, and {len(parts) - len(told)} more"
        told.append(part)
    return ", ".join(told)


def careful(resource: str, said: str) -> str:
    """What the API server said, without what it quotes of a Secret."""
    return said.split("Invalid value", maxsplit=1)[0].rstrip(" :") if resource == "secrets" else said
