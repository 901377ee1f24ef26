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
