import pytest

from lastgood.domain.backups.ownership import Owner
from lastgood.domain.backups.points import chain, held, point, record_tags, unfinished, usable
from lastgood.domain.backups.ports import JobFailed, Snapshot
from lastgood.domain.backups.texts import stamp


def made(
    backup: str, at: float, *, base: str = "", parts: tuple[str, ...] = ("data",), record: bool = True
) -> list[Snapshot]:
    tags = {"schedule": "orders", "backup": backup}
    found = [Snapshot(f"{backup}-{part}", at, {**tags, "part": part}) for part in parts]
    if record:
        found.append(Snapshot(f"{backup}-record", at + 5, record_tags(tags, at=at, base=base)))
    return found


def test_a_backup_without_its_record_is_none() -> None:
    there = [*made("a", 100.0, parts=("x", "y")), *made("b", 200.0, record=False)]
    (only,) = held(there)
    assert (only.backup, only.at, only.ids) == ("a", 100.0, ["a-x", "a-y", "a-record"])


def test_nor_is_a_record_without_its_data() -> None:
    assert held(made("a", 100.0)[1:]) == []


def test_of_two_records_that_a_copy_made_one_counts() -> None:
    there = [*made("a", 100.0), Snapshot("again", 900.0, record_tags({"backup": "a"}, at=100.0, base=""))]
    assert [h.record.id for h in held(there)] == ["a-record"]


def test_a_chain_is_the_base_and_what_lies_between() -> None:
    there = held(
        [
            *made("full", 100.0),
            *made("inc-1", 200.0, base="full"),
            *made("other", 250.0),
            *made("inc-2", 300.0, base="full"),
            *made("inc-3", 400.0, base="full"),
        ]
    )
    by_name = {h.backup: h for h in there}
    assert [h.backup for h in chain(there, by_name["inc-2"]) or ()] == ["full", "inc-1"]
    assert chain(there, by_name["full"]) == []
    found = point(there, by_name["inc-2"])
    assert [s.id for s in found.needs] == ["full-data", "inc-1-data"]
    assert [s.id for s in found.snapshots] == ["inc-2-data"]


def test_without_its_base_nothing_can_be_restored() -> None:
    there = held([*made("inc", 200.0, base="gone"), *made("full", 100.0)])
    assert [h.backup for h in usable(there)] == ["full"]
    with pytest.raises(JobFailed) as caught:
        point(there, there[1])
    assert caught.value.reason == "ChainBroken"


def test_what_is_left_of_failed_runs_is_found_and_nothing_else() -> None:
    owner = Owner("shop", "orders", "u-1")
    there = [
        *made("done", 100.0),
        *made("failed", 100.0, record=False),
        *made("under-way", 900.0, record=False),
        Snapshot("marker", 1.0, owner.tags()),
        Snapshot("a-persons", 1.0, {}),
    ]
    assert unfinished(there, 500.0) == ["failed-data"]


def test_tags_of_a_record() -> None:
    assert record_tags({"backup": "a"}, at=1795631453.0, base="full") == {
        "backup": "a",
        "part": "record",
        "point": stamp(1795631453.0),
        "base": "full",
    }
