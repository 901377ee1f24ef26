"""A slot goes only when it is known that nobody will read it."""

from typing import Any

import pytest
from tests.unit.domain.backups.making import POSTGRES, UID, spec

from lastgood.api.backupjob import JobSpec
from lastgood.domain.backups.leaving import Fate, Standing, leave

WAL = {"postgres": {**POSTGRES["postgres"], "method": "wal"}}
RECEIVER = JobSpec.model_validate(
    {
        "task": "receive",
        "namespace": "prod",
        "schedule": "shop",
        "scheduleUid": UID,
        "slot": "lastgood_x",
        "spec": spec(source=WAL).model_dump(mode="json", by_alias=True, exclude_none=True),
    }
)


def there(uid: str = UID, metadata: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    said = spec(**{"source": WAL, **more}).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"metadata": {"name": "shop", "uid": uid, **(metadata or {})}, "spec": said}


def source(**more: Any) -> dict[str, Any]:
    return {"postgres": {**WAL["postgres"], **more}}


CASES: dict[str, tuple[Standing, Fate, str]] = {
    "as it was": (Standing(True, there(), False), Fate.KEEP, "goes on"),
    "wal for its rpo": (Standing(True, there(source=POSTGRES, rpo="1h"), False), Fate.KEEP, "goes on"),
    "no answer": (Standing(), Fate.UNKNOWN, "does not say whether the schedule"),
    "no answer but of the namespace": (Standing(ending=False), Fate.UNKNOWN, "does not say whether the schedule"),
    "nothing about the namespace": (Standing(True, there()), Fate.UNKNOWN, "whether the namespace"),
    "of another version": (
        Standing(True, {"metadata": {"uid": UID}, "spec": {"source": {"tape": {}}}}, False),
        Fate.UNKNOWN,
        "another version",
    ),
    "deleted": (Standing(True, None), Fate.DROP, "was deleted"),
    "deleted and made anew": (Standing(True, there("another"), False), Fate.DROP, "was deleted"),
    "being deleted": (
        Standing(True, there(metadata={"deletionTimestamp": "2025-11-25T12:00:00Z"}), False),
        Fate.DROP,
        "being deleted",
    ),
    "the namespace too": (Standing(ending=True), Fate.DROP, "namespace is being deleted"),
    "dumps instead": (Standing(True, there(source=source(method="logical"))), Fate.DROP, "not wal"),
    "without an rpo": (Standing(True, there(source=POSTGRES), False), Fate.DROP, "not wal"),
    "another source": (
        Standing(True, there(source={"redis": {"url": {"name": "r", "key": "url"}}}), False),
        Fate.DROP,
        "not wal",
    ),
    "another server": (
        Standing(True, there(source=source(dsn={"name": "new", "key": "dsn"})), False),
        Fate.DROP_UNLIMITED,
        "another DSN",
    ),
    "suspended": (Standing(True, there(suspend=True), False), Fate.DROP_UNLIMITED, "suspended"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_the_slot(case: str) -> None:
    standing, fate, words = CASES[case]
    decided = leave(RECEIVER, standing)
    assert decided.fate is fate
    assert words in decided.why
