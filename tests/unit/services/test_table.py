"""Of two words about one object the newer stands, whichever comes last."""

from typing import Any

from lastgood.services.table import Table


def rollback(version: int, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": "rb", "uid": "u", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"service": "app", **spec}}


def test_the_answer_to_an_older_write_does_not_cover_an_approval() -> None:
    table = Table()
    table.put_rollback(rollback(9))
    table.put_rollback(rollback(11, approval="Refused"))
    table.put_rollback(rollback(10))
    assert table.rollbacks[("ns", "rb")]["spec"]["approval"] == "Refused"
    table.put_rollback(rollback(12, approval="Refused", reason="later"))
    assert table.rollbacks[("ns", "rb")]["spec"]["reason"] == "later"


def test_a_config_map_is_known_as_long_as_its_content_stands() -> None:
    table, place = Table(), ("ns", "settings")
    assert table.put_config(place, "a", 5, 100.0)
    assert not table.put_config(place, "a", 7, 200.0), "a label changed"
    assert table.configs[place].since == 100.0
    assert not table.put_config(place, "b", 6, 300.0), "an older word came late"
    assert table.put_config(place, "b", 8, 400.0)
    assert (table.configs[place].hash, table.configs[place].since) == ("b", 400.0)
