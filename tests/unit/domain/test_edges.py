"""Where the domain meets the outside: status, addresses, times, the Deployment as the API server gives it."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0, breaching, failing, good, mark, passing, seen

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.servicestatus import MonitoredServiceStatus
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.clock import at_clock, from_text, shown, to_text
from lastgood.domain.decide import Condition
from lastgood.domain.health import Health, ProbeState, State
from lastgood.domain.model import Memory, Plan
from lastgood.domain.observed import sketch, target_seen
from lastgood.domain.revision import ConfigSeen
from lastgood.domain.status import from_status, merge_conditions, plan_of, set_aside, to_status, unseen

FULL = breaching(
    T0 - 300.123456,
    probes={"http": failing(T0 - 300.123456), "tcp": passing(T0 - 900)},
    ledger=(
        good(
            "v1",
            replica_set_uid="rs",
            pod_template_hash="pth",
            images=("shop@sha256:1",),
            configs=(ConfigSeen("ConfigMap", "app", "h"), ConfigSeen("Secret", "db", "f")),
        ),
        good("v0", version=""),
    ),
    marks=(mark("a", ended=None, outcome=""), mark("b", outcome="Failed")),
)


def test_status_brings_back_all_but_what_only_this_process_saw() -> None:
    restored = from_status(to_status(FULL))
    assert restored == replace(
        FULL,
        probes={
            "http": ProbeState(State.FAILING, T0 - 300.123456, "UnexpectedStatus", proven=True),
            "tcp": ProbeState(State.PASSING, T0 - 900, proven=True),
        },
        complete_since=None,
        watched=False,
    )


def test_status_of_status_is_the_same_status() -> None:
    assert to_status(from_status(to_status(FULL))) == to_status(FULL)


def test_an_empty_status_is_an_empty_memory_and_back() -> None:
    assert from_status({}) == Memory()
    assert from_status(to_status(Memory())) == Memory()


def test_every_field_of_status_is_one_of_the_schema() -> None:
    MonitoredServiceStatus.model_validate(to_status(FULL))
    known = {field.alias for field in MonitoredServiceStatus.model_fields.values()}
    assert set(to_status(FULL)) <= known


def test_what_nobody_saw_does_not_count_as_failing() -> None:
    restored = from_status(to_status(FULL), unobserved=40)
    assert restored.health == Health("False", T0 - 260.123456)
    assert restored.probes["http"].since == T0 - 260.123456
    assert restored.probes["tcp"].since == T0 - 900
    healthy = from_status(to_status(replace(FULL, health=Health("True", T0))), unobserved=40)
    assert healthy.health == Health("True", T0)


def test_a_process_that_stood_still_counts_that_time_for_no_failure() -> None:
    after = unseen(FULL, 40)
    assert after.health == Health("False", FULL.health.since + 40)
    assert after.probes["http"].since == FULL.probes["http"].since + 40
    assert after.probes["tcp"] == FULL.probes["tcp"]
    assert replace(after, probes=FULL.probes, health=FULL.health) == FULL
    healthy = replace(FULL, health=Health("True", T0))
    assert unseen(healthy, 40).health == Health("True", T0)


def test_the_last_good_one_is_shown_by_its_version() -> None:
    assert to_status(FULL)["lastGood"] == "v1"
    assert to_status(Memory())["lastGood"] == ""


def _spec(**changes: Any) -> MonitoredServiceSpec:
    base = {"targetRef": {"name": "backend"}, "probes": [{"name": "tcp", "tcp": {"host": "backend", "port": 1}}]}
    return MonitoredServiceSpec.model_validate({**base, **changes})


def test_the_plan_of_the_shortest_spec_only_watches() -> None:
    assert plan_of(_spec()) == Plan(
        target="backend",
        suspend=False,
        soak=600,
        keep=5,
        depends_on=(),
        policy="Disabled",
        failing_for=300,
        cooldown=600,
        limit=3,
        limit_window=86400,
        restore_config_maps=True,
        copy_secrets=False,
        override_gitops=False,
        rollout_timeout=600,
        validation_timeout=300,
    )


def test_the_plan_has_each_field_of_the_spec() -> None:
    spec = _spec(
        suspend=True,
        dependsOn=[{"name": "db"}, {"name": "cache"}],
        stability={"soak": "1m", "keep": 2, "secrets": "Copy"},
        rollback={
            "policy": "Manual",
            "triggers": {"healthFailing": {"for": "90s"}},
            "cooldown": "1h30m",
            "limit": {"count": 7, "window": "2h"},
            "configMaps": "Ignore",
            "gitOps": "Override",
            "rolloutTimeout": "20s",
            "validationTimeout": "10s",
        },
    )
    assert plan_of(spec) == Plan(
        "backend", True, 60, 2, ("db", "cache"), "Manual", 90, 5400, 7, 7200, False, True, True, 20, 10
    )


def test_a_rollback_section_without_a_policy_acts() -> None:
    assert plan_of(_spec(rollback={})).policy == "Automatic"


def test_conditions_move_their_time_only_when_the_status_flips() -> None:
    first = merge_conditions(
        [], [Condition("Ready", "True", "Accepted", "a"), Condition("Healthy", "True", "P", "")], 1, T0
    )
    again = merge_conditions(
        first, [Condition("Ready", "True", "Other", "b"), Condition("Healthy", "False", "F", "")], 2, T0 + 60
    )
    assert [
        (c["type"], c["reason"], c["message"], c["observedGeneration"], c["lastTransitionTime"]) for c in again
    ] == [
        ("Ready", "Other", "b", 2, to_text(T0)),
        ("Healthy", "F", "", 2, to_text(T0 + 60)),
    ]


def test_conditions_of_others_stay() -> None:
    other = {"type": "Theirs", "status": "True", "reason": "X", "message": "", "lastTransitionTime": to_text(1)}
    merged = merge_conditions([other], [Condition("Ready", "True", "Accepted", "")], 1, T0)
    assert [c["type"] for c in merged] == ["Ready", "Theirs"]
    assert merged[1] == other


@pytest.mark.parametrize("at", [0.0, 1.5, T0, T0 + 0.123456, T0 + 0.999999])
def test_a_time_comes_back_as_it_was(at: float) -> None:
    assert from_text(to_text(at)) == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-15T08:00:00Z", T0),
        ("2027-01-15T08:00:00.000000Z", T0),
        ("2027-01-15T10:00:00+02:00", T0),
        ("2027-01-15T08:00:00.5Z", T0 + 0.5),
    ],
)
def test_times_as_others_write_them(text: str, at: float) -> None:
    assert from_text(text) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2027-13-01T00:00:00Z"])
def test_what_is_no_time_raises(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which words it has is the standard library's business
        from_text(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (0.4, "0s"),
        (45, "45s"),
        (59.6, "1m"),
        (300, "5m"),
        (90, "1m30s"),
        (3600, "1h"),
        (5400, "1h30m"),
        (3661, "1h1m1s"),
        (86400, "24h"),
    ],
)
def test_lengths_for_a_person(seconds: float, text: str) -> None:
    assert shown(seconds) == text


def test_a_time_of_day_for_a_person() -> None:
    assert (to_text(T0), at_clock(T0)) == ("2027-01-15T08:00:00.000000Z", "08:00:00Z")


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("169.254.169.254", id="cloud metadata"),
        pytest.param("169.254.170.2", id="container credentials"),
        pytest.param("fd00:ec2::254", id="cloud metadata over v6"),
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.255.255.254", id="the far end of loopback"),
        pytest.param("::1", id="loopback v6"),
        pytest.param("0:0:0:0:0:0:0:1", id="loopback v6 written out"),
        pytest.param("0.0.0.0", id="this host"),
        pytest.param("0.1.2.3", id="this network"),
        pytest.param("::", id="unspecified v6"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("ff02::1", id="multicast v6"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("fe80::1", id="link-local v6"),
        pytest.param("fe80::1%eth0", id="link-local with a zone"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:a9fe:a9fe", id="mapped metadata in hexadecimal"),
        pytest.param("::ffff:0.0.0.0", id="mapped this host"),
        pytest.param("::127.0.0.1", id="compatible loopback"),
        pytest.param("2002:7f00:1::", id="6to4 loopback"),
        pytest.param("2002:a9fe:a9fe::1", id="6to4 metadata"),
        pytest.param("64:ff9b::127.0.0.1", id="NAT64 loopback"),
        pytest.param("64:ff9b::a9fe:a9fe", id="NAT64 metadata"),
    ],
)
def test_refuses(address: str) -> None:
    assert AddressPolicy().refuses(address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.7",
        "192.168.1.1",
        "172.16.0.1",
        "93.184.216.34",
        "fd00::7",
        "2001:db8::1",
        "::ffff:10.0.0.7",
        "2002:0a00:0007::",
        "64:ff9b::10.0.0.7",
    ],
)
def test_lets_through(address: str) -> None:
    assert not AddressPolicy().refuses(address)


@pytest.mark.parametrize("text", ["", "backend", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "127.0.0.1:80"])
def test_what_is_no_address_raises_and_so_reaches_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        AddressPolicy().refuses(text)


def test_an_installation_denies_more_and_may_allow_loopback_alone() -> None:
    policy = AddressPolicy.of(["10.0.0.0/8", "fd00::/8", "192.168.1.9/24"], allow_loopback=True)
    assert [policy.refuses(a) for a in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "192.168.1.1")] == [True] * 4
    assert [policy.refuses(a) for a in ("127.0.0.1", "::1", "192.168.2.1")] == [False] * 3
    assert policy.refuses("169.254.169.254")
    assert AddressPolicy.of().refuses("127.0.0.1")


def test_a_network_that_is_none_raises() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        AddressPolicy.of(["ten"])


def _deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u",
            "generation": 4,
            "annotations": {"deployment.kubernetes.io/revision": "7", "lastgood.dev/rollback": "rb"},
        },
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [{"image": "shop:1", "envFrom": [{"configMapRef": {"name": "app"}}]}]}},
        },
        "status": {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status},
    }


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        pytest.param({}, True, id="complete"),
        pytest.param({"observedGeneration": 3}, False, id="not observed"),
        pytest.param({"updatedReplicas": 1}, False, id="not all updated"),
        pytest.param({"availableReplicas": 1}, False, id="not all available"),
        pytest.param({"replicas": 3}, False, id="an old one is left"),
        pytest.param({"availableReplicas": None}, False, id="none available"),
    ],
)
def test_complete(status: dict[str, Any], complete: bool) -> None:
    assert sketch(_deployment(**status)).complete is complete


def test_no_replicas_are_not_complete() -> None:
    body = _deployment(replicas=0, updatedReplicas=0, availableReplicas=0)
    body["spec"]["replicas"] = 0
    assert not sketch(body).complete


def test_a_sketch_holds_what_the_controller_says() -> None:
    done = {"type": "Progressing", "reason": "NewReplicaSetAvailable", "lastUpdateTime": "2027-01-15T08:00:00Z"}
    found = sketch(_deployment(conditions=[done]))
    assert (found.revision, found.version, found.rolled_back_by, found.completed_at) == (7, "1", "rb", T0)
    assert found.named == (ConfigSeen("ConfigMap", "app"),)
    assert sketch(_deployment(conditions=[{**done, "reason": "ReplicaSetUpdated"}])).completed_at is None


def test_config_maps_make_the_key_only_where_they_are_compared() -> None:
    drawn = sketch(_deployment())
    one, two = (ConfigSeen("ConfigMap", "app", h) for h in ("1", "2"))
    keys = [target_seen(drawn, [c], compare_configs=True).key for c in (one, two)]
    assert keys[0] != keys[1]
    blind = [target_seen(drawn, [c], compare_configs=False) for c in (one, two)]
    assert blind[0].key == blind[1].key
    assert blind[0].configs == (one,)
    assert seen("v1").complete


def test_what_probes_said_before_they_were_stopped_says_nothing_of_later() -> None:
    after = set_aside(FULL, T0)
    assert {p.state for p in after.probes.values()} == {State.UNKNOWN}
    assert after.health == Health("Unknown", T0)
    assert set_aside(after, T0 + 99) == after


def test_what_a_probe_asks_is_remembered_so_that_an_edit_while_nobody_looked_is_seen() -> None:
    probes = {"http": passing(T0)._replace(definition="abc")}
    restored = from_status(to_status(replace(FULL, probes=probes)))
    assert (restored.probes["http"].definition, restored.probes["http"].proven) == ("abc", True)
