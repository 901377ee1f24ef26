"""What makes a probe the same one."""

from typing import Any

from lastgood.api.probes import Probe
from lastgood.services.preparation import definition


def probe(**more: Any) -> Probe:
    return Probe.model_validate({"name": "p", "http": {"url": "http://app/health"}, **more})


def test_how_often_and_how_long_is_no_other_probe() -> None:
    same = probe(interval="7s", timeout="1s", failureThreshold=9, successThreshold=2, connection="Keep")
    assert definition(same) == definition(probe())


def test_what_is_asked_and_expected_is() -> None:
    other = {definition(probe(http={"url": "http://app/health", **more})) for more in (
        {"method": "POST"}, {"statusCodes": ["204"]}, {"bodyPattern": "ok"}, {"json": [{"path": "$.a", "exists": True}]},
    )}  # fmt: skip
    assert len(other | {definition(probe())}) == 5
