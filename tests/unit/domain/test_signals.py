"""What a message says, of which service, and what then stands."""

import json
from typing import Any

import pytest

from lastgood.domain.clock import from_text, to_text
from lastgood.domain.signals import STANDS, Claim, Place, Unclear, merged, one_line, understood

NOW = from_text("2026-03-01T12:00:00Z")
HERE = {"namespace": "shop", "lastgood_signal": "SecurityIncident"}


def webhook(labels: dict[str, str], **more: Any) -> bytes:
    one = {"status": "firing", "labels": labels, "startsAt": "2026-03-01T11:59:30.123456789Z", **more}
    return json.dumps({"version": "4", "alerts": [one]}).encode()


def only(raw: bytes, path: tuple[str, str] | None = None, type_: str = "") -> tuple[Place, Claim] | Unclear:
    (told,) = understood(raw, path, type_, NOW)
    return told


PLACES: dict[str, tuple[dict[str, str], Place]] = {
    "service": ({"lastgood_service": "api"}, Place("shop", service="api")),
    "deployment": ({"deployment": "api"}, Place("shop", deployment="api")),
    "pod": ({"pod": "api-v2-7c9f9b5d4-x2x4z"}, Place("shop", deployment="api-v2")),
    "service above deployment": ({"deployment": "other", "lastgood_service": "api"}, Place("shop", service="api")),
    "falco's pod": ({"k8s_pod_name": "api-7c9f9b5d4-x2x4z"}, Place("shop", deployment="api")),
}


@pytest.mark.parametrize("case", PLACES)
def test_of_which_service(case: str) -> None:
    labels, place = PLACES[case]
    told = only(webhook(HERE | labels))
    assert isinstance(told, tuple)
    assert told[0] == place


def test_the_path_says_it_for_all_alerts() -> None:
    told = only(webhook({"namespace": "elsewhere", "deployment": "other"}), ("shop", "api"), "DataIntegrity")
    assert isinstance(told, tuple)
    assert (told[0], told[1].type) == (Place("shop", service="api"), "DataIntegrity")


UNCLEAR: dict[str, tuple[dict[str, str], str]] = {
    "no type": ({"namespace": "shop", "deployment": "api"}, "no type of signal"),
    "no namespace": ({"lastgood_signal": "DataIntegrity", "deployment": "api"}, "no namespace"),
    "no service": (HERE, "no service"),
    "a pod of no Deployment": (HERE | {"pod": "db-0"}, "no service"),
    "a name with a path": (HERE | {"deployment": "../secrets"}, "lower-case"),
    "a namespace with a path": (HERE | {"namespace": "..", "deployment": "api"}, "lower-case"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_alerts(case: str) -> None:
    labels, says = UNCLEAR[case]
    told = only(webhook(labels))
    assert isinstance(told, Unclear)
    assert says in str(told)


def test_one_unclear_alert_hides_no_other() -> None:
    body = json.loads(webhook(HERE | {"deployment": "api"}))
    body["alerts"].insert(0, {"status": "firing", "labels": {}})
    first, second = understood(json.dumps(body).encode(), None, "", NOW)
    assert isinstance(first, Unclear)
    assert isinstance(second, tuple)


def test_an_alert_began_when_it_says_and_never_later_than_now() -> None:
    told = only(webhook(HERE | {"deployment": "api"}))
    assert isinstance(told, tuple)
    assert told[1].at == pytest.approx(NOW - 29.876544)
    ahead = only(webhook(HERE | {"deployment": "api"}, startsAt="2026-03-01T13:00:00+00:00"))
    assert isinstance(ahead, tuple)
    assert ahead[1].at == NOW


def test_alerts_without_a_fingerprint_are_told_apart_by_their_labels() -> None:
    ids = []
    for pod in ("api-7c9f9b5d4-x2x4z", "api-7c9f9b5d4-aaaaa", "api-7c9f9b5d4-x2x4z"):
        told = only(webhook(HERE | {"pod": pod}, fingerprint="no\nhex"))
        assert isinstance(told, tuple)
        ids.append(told[1].id)
    assert ids[0] == ids[2] != ids[1]


def claim(id_: str = "a", at: float = NOW, **more: Any) -> Claim:
    return Claim("SecurityIncident", id_, at, more.pop("until", NOW + STANDS), **more)


def stood(id_: str = "a", at: float = NOW - 60, until: float = NOW + STANDS, **more: Any) -> dict[str, Any]:
    signal = {"type": "SecurityIncident", "id": id_, "at": to_text(at), "by": "falco", "until": to_text(until)}
    return signal | {"reason": "", **more}


def test_the_first_stands_with_who_and_why() -> None:
    assert merged([], claim(reason="why"), "me", NOW) == [
        {
            "type": "SecurityIncident",
            "id": "a",
            "at": to_text(NOW),
            "by": "me",
            "reason": "why",
            "until": to_text(NOW + STANDS),
        }
    ]


def test_a_repeated_one_is_not_written_until_its_time_runs_down() -> None:
    assert merged([stood()], claim(), "other", NOW) is None
    renewed = merged([stood(until=NOW + STANDS / 2)], claim(), "other", NOW)
    assert renewed is not None
    assert (renewed[0]["at"], renewed[0]["by"], renewed[0]["until"]) == (
        to_text(NOW - 60),
        "falco",
        to_text(NOW + STANDS),
    )


def test_a_short_one_that_is_repeated_goes_on() -> None:
    renewed = merged([stood(until=NOW + 60)], claim(until=NOW + 600), "other", NOW)
    assert renewed is not None
    assert renewed[0]["until"] == to_text(NOW + 600)


def test_one_that_began_anew_has_its_new_beginning() -> None:
    anew = merged([stood(at=NOW - 3600)], claim(at=NOW - 5, told_when=True), "other", NOW)
    assert anew is not None
    assert (anew[0]["at"], anew[0]["by"]) == (to_text(NOW - 5), "other")


def test_resolving_one_leaves_the_others_and_drops_what_has_ended() -> None:
    standing = [stood("a"), stood("b"), stood("old", until=NOW - 1)]
    left = merged(standing, claim(resolved=True), "me", NOW)
    assert left is not None
    assert [s["id"] for s in left] == ["b"]
    assert merged([stood("b")], claim(resolved=True), "me", NOW) is None


def test_what_somebody_wrote_by_hand_and_cannot_be_read_is_dropped() -> None:
    left = merged([{"type": "SecurityIncident"}, stood("b", at=NOW, until=NOW + 9)], claim(), "me", NOW)
    assert left is not None
    assert sorted(s["id"] for s in left) == ["a", "b"]


def test_no_more_than_may_stand() -> None:
    with pytest.raises(Unclear, match="16 signals stand already"):
        merged([stood(f"n{n}") for n in range(16)], claim(), "me", NOW)
    assert merged([stood(f"n{n}") for n in range(15)], claim(), "me", NOW) is not None


def test_a_strangers_text_is_one_bounded_line() -> None:
    assert one_line("a\n\x1b[31mb\ud800\u202ec  d") == "a [31mb c d"
    assert len(one_line("x" * 1000)) == 256
