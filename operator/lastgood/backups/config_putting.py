"""Declared objects brought back: first all of them as a dry run, then for real, then compared."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lastgood.domain.backups.ports import ClusterAnswer, JobFailed, KubeApi
from lastgood.domain.backups.putting import (
    Refusal,
    Wanted,
    careful,
    differences,
    forbidden,
    listed,
    place,
    write_of,
)

_ATTEMPTS = 4
"""How often an object is read and decided anew when somebody else was faster."""
_FASTER = frozenset({404, 409})
_UNANSWERED = frozenset({0, 401, 429, 500, 502, 503, 504})
"""Not about this object: the next would fare no better, and what became of this one is not known."""


@dataclass(slots=True)
class Tally:
    """What became of the objects."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: int = 0
    left: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Objects that were not as they are now."""
        return len(self.created) + len(self.changed)

    def told(self, verbs: tuple[str, str]) -> str:
        """In words; ``verbs`` for what was missing and for what was different."""
        parts = [
            f"{len(self.created)} {verbs[0]}" if self.created else "",
            f"{len(self.changed)} {verbs[1]}" if self.changed else "",
            f"{self.same} as in the backup already" if self.same else "",
        ]
        left = f"; left alone: {listed(self.left, 300)}" if self.left else ""
        return (", ".join(p for p in parts if p) or "none to write") + left


class Putting:
    """Writes objects of one namespace with the rights of one ServiceAccount."""

    def __init__(
        self, api: KubeApi, namespace: str, account: str, stopped: Collection[tuple[str, str]], left: Sequence[str] = ()
    ) -> None:
        self._api, self._namespace, self._account, self._stopped = api, namespace, account, stopped
        self._left = left

    async def rehearse(self, objects: Sequence[Wanted]) -> Tally:
        """Have the API server say of each whether it would take it. JobFailed unless it takes them all."""
        tally = Tally(left=list(self._left))
        for wanted in objects:
            try:
                await self._one(wanted, tally, dry_run=True)
            except ClusterAnswer as error:
                raise JobFailed(error.reason, f"nothing was changed: {error.message}") from error
        if tally.refused:
            reason, why = self._why(tally.refused)
            told = f"{len(tally.refused)} of {many(len(objects))} would be refused"
            raise JobFailed(reason, f"nothing was changed: {told}. {why}")
        return tally

    async def put(self, objects: Sequence[Wanted]) -> Tally:
        """Write what is not as it was. One that is refused keeps none of the others back. JobFailed says which."""
        tally, tried = Tally(left=list(self._left)), 0
        stopped: ClusterAnswer | None = None
        for wanted in objects:
            try:
                await self._one(wanted, tally, dry_run=False)
            except ClusterAnswer as error:
                stopped = error
                break
            tried += 1
        if not tally.refused and stopped is None:
            return tally
        whole = f"{tally.same + tally.written} of {many(len(objects))}"
        told = f"{whole} are as in the backup ({tally.written} of them were written)"
        if tally.refused:
            told += f"; these are not: {self._why(tally.refused)[1]}"
        if stopped is not None:
            rest = listed([w.shown for w in objects[tried + 1 :]], 300)
            told += f"; then {stopped.message}: what became of {objects[tried].shown} is not known"
            told += f", not tried: {rest}" if rest else ""
        raise JobFailed("PartlyRestored", told, untouched=stopped is None and tally.written == 0)

    async def compare(self, objects: Sequence[Wanted]) -> str:
        """Read them all back. JobFailed ValidationFailed names those that are not as they were, and where."""
        wrong = []
        for wanted in objects:
            path = place(wanted, self._namespace)
            live = await self._live(f"{path}/{wanted.name}") if path else None
            found = [p for p in differences(wanted, live, self._stopped) if p != "spec.replicas"]
            if found:
                wrong.append(f"{wanted.shown} ({listed(found, 100)})")
        if wrong:
            told = f"{len(wrong)} of {many(len(objects))} are not as in the backup: {listed(wrong, 700)}"
            raise JobFailed("ValidationFailed", f"{told}; is something else writing them, such as a GitOps controller?")
        return f"{many(len(objects))} read back: as in the backup"

    async def _live(self, path: str) -> Any:
        try:
            return await self._api.get(path)
        except ClusterAnswer as error:
            if error.status == 404:
                return None
            raise

    async def _one(self, wanted: Wanted, tally: Tally, *, dry_run: bool) -> None:
        """One object; a refusal of it is noted. Raises ClusterAnswer when the server cannot be asked."""
        path = place(wanted, self._namespace)
        if path is None:
            tally.refused.append(Refusal(wanted.shown, 400, "it is no object: its apiVersion or its name cannot be"))
            return
        try:
            did = await self._written(path, wanted, tally, dry_run=dry_run)
        except ClusterAnswer as error:
            if error.status in _UNANSWERED:
                raise
            tally.refused.append(Refusal(wanted.shown, error.status, careful(wanted.resource, error.said)))
            return
        match did:
            case "create":
                tally.created.append(wanted.shown)
            case "patch":
                tally.changed.append(wanted.shown)
            case "same":
                tally.same += 1
            case "leave":
                pass

    async def _written(
        self, path: str, wanted: Wanted, tally: Tally, *, dry_run: bool
    ) -> Literal["create", "patch", "leave", "same"]:
        for attempt in range(_ATTEMPTS):
            write = write_of(wanted, await self._live(f"{path}/{wanted.name}"), self._stopped)
            if write.do == "leave":
                tally.left.append(f"{wanted.shown} ({write.why})")
            if write.body is None:
                return write.do
            try:
                if write.do == "create":
                    await self._api.create(path, write.body, dry_run=dry_run)
                else:
                    await self._api.patch(f"{path}/{wanted.name}", write.body, dry_run=dry_run)
            except ClusterAnswer as error:
                if error.status not in _FASTER or attempt + 1 == _ATTEMPTS:
                    raise
            else:
                return write.do
        raise AssertionError

    def _why(self, refused: Sequence[Refusal]) -> tuple[str, str]:
        """Reason and sentences for what was refused: first the rights that are missing, then each of the others."""
        rights = forbidden(refused, self._namespace, self._account)
        others = [f"{r.shown}: {r.said}{_hint(r)}" for r in refused if not (rights and r.about_rights)]
        told = listed(others, max(200, 850 - len(rights)))
        return ("ClusterForbidden" if rights else "ClusterRefused"), ". ".join(t for t in (rights, told) if t)


def many(count: int) -> str:
    """So many objects."""
    return f"{count} object{'' if count == 1 else 's'}"


def _hint(refusal: Refusal) -> str:
    if "immutable" in refusal.said:
        return " (delete it first: it is then made anew)"
    if refusal.status == 404:
        return " (its kind is not served: install it first)"
    return ""
