"""Chains of increments, and what a database held."""

import pytest

from lastgood.domain.backups.chain import Broken, Member, chain, newest_whole
from lastgood.domain.backups.tally import Table, Tally, differences, phrase


def members(*pairs: tuple[str, str], major: int = 18, system: str = "1") -> dict[str, Member]:
    return {
        name: Member(name, parent, f"s-{name}", float(number), major, system)
        for number, (name, parent) in enumerate(pairs)
    }


ALL = members(("full", ""), ("i1", "full"), ("i2", "i1"), ("i3", "i2"))


def test_a_chain_is_in_the_order_of_combining() -> None:
    assert [each.backup for each in chain("i2", ALL)] == ["full", "i1", "i2"]
    assert [each.backup for each in chain("full", ALL)] == ["full"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({name: each for name, each in ALL.items() if name != "i1"}, "i1, which i2 builds on, is missing"),
        ({name: each for name, each in ALL.items() if name != "i3"}, "i3 is missing"),
        (ALL | members(("full", "i3")), "i3 builds on itself"),
        (ALL | members(("full", ""), major=17), "i1 is of PostgreSQL 18, full of 17"),
        (ALL | members(("full", ""), system="2"), "i1 is of another cluster than full"),
    ],
    ids=["member", "itself", "circle", "major", "cluster"],
)
def test_a_broken_chain_says_where(found: dict[str, Member], message: str) -> None:
    with pytest.raises(Broken, match=message):
        chain("i3", found)


def test_the_next_increment_builds_on_the_newest_that_is_whole() -> None:
    assert newest_whole(ALL) == ALL["i3"]
    assert newest_whole({name: each for name, each in ALL.items() if name != "i2"}) == ALL["i1"]
    assert newest_whole({"i3": ALL["i3"]}) is None
    assert newest_whole({}) is None


HELD = Tally({"a": Table(2, "7"), "b": Table(0, "0"), "c": Table(1, "3")}, large_objects=1)


def test_a_manifest_comes_back_as_it_was() -> None:
    assert Tally.from_json(HELD.as_json()) == HELD
    assert HELD.rows == 3


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (HELD, []),
        (Tally({**HELD.tables, "later": Table(9, "9")}, 1), []),
        (Tally({"a": Table(2, "8"), "b": Table(1, "0")}, 0), [
            "a has other values than it had (checksum)",
            "b has 1 rows and had 0",
            "c is missing",
            "0 large objects are there, and were 1",
        ]),
    ],
    ids=["equal", "later", "different"],
)  # fmt: skip
def test_differences_are_told(found: Tally, told: list[str]) -> None:
    assert differences(HELD, found) == told


def test_a_sentence_names_three_and_counts_the_rest() -> None:
    assert phrase(["a", "b", "c"]) == "a; b; c"
    assert phrase(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
