import json

import pytest

from lastgood.backups.restic_output import Summing, as_listed, instant, precise, snapshots_of, tag_arguments
from lastgood.domain.backups.ports import JobFailed
from lastgood.domain.backups.texts import moment, size, stamp


def test_snapshots_are_read_oldest_first() -> None:
    listed = [
        {"id": "b", "time": "2026-11-25T18:30:53.277301445Z", "tags": ["schedule=x", "odd"]},
        {"id": "a", "time": "2026-11-25T19:30:52.640123433+01:00", "tags": None},
    ]
    first, second = snapshots_of(json.dumps(listed))
    assert (first.id, second.id) == ("a", "b")
    assert second.tags == {"schedule": "x", "odd": ""}
    assert second.time - first.time == pytest.approx(0.637178, abs=1e-5)
    assert snapshots_of("null") == []
    assert snapshots_of("") == []


def test_times() -> None:
    assert instant("2026-11-25T18:30:53Z") == 1795631453.0
    assert stamp(1795631453.9) == "2026-11-25T18:30:53Z"
    assert moment("2026-11-25T18:30:53Z") == 1795631453.0
    with pytest.raises(ValueError, match="time zone"):
        moment("2026-11-25T18:30:53")


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (412_300_000, "412 MB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize("tags", [{"a": "x,y"}, {"a=b": "x"}, {"a": "x\ny"}])
def test_tags_that_restic_would_split_are_refused(tags: dict[str, str]) -> None:
    with pytest.raises(JobFailed):
        tag_arguments(tags)


def test_files_that_were_gone_are_not_counted_as_unread() -> None:
    said: list[str] = []
    heard = Summing(said.append)
    for code, name in ((2, "/gone"), (13, "/mine"), (13, "/mine")):
        heard.error(json.dumps({"message_type": "error", "error": {"Op": "open", "Err": code}, "item": name}))
    heard.error("{broken")
    heard.output(json.dumps({"message_type": "status", "bytes_done": 412_300_000}))
    heard.output(json.dumps({"message_type": "summary", "snapshot_id": "x"}))
    assert heard.unread == ["/mine"]
    assert said == ["storing, 412 MB"]
    assert heard.summary == {"snapshot_id": "x"}


@pytest.mark.parametrize("at", [1795667249.193548, 1795667249.0, 0.5, 1795667249.1])
def test_a_time_that_restic_is_given_is_the_one_that_it_lists(at: float) -> None:
    # restic lists it in RFC 3339, without the zeros at the end of a fraction.
    listed = precise(at).replace(" ", "T").rstrip("0").rstrip(".") + "Z"
    assert instant(listed) == instant(f"{precise(at)}+00:00")
    assert abs(instant(listed) - at) < 1e-6


def test_tags_are_listed_without_blanks_at_their_ends() -> None:
    given = {"part": "base", "database": " a b ", "none": "", " key": "x=y"}
    assert as_listed(given) == {"part": "base", "database": " a b", "none": "", "key": "x=y"}
