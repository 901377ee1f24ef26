"""When a revision counts as seen to be good, and where the target stands with respect to the ledger."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.build import T0, failing, good, green, mark, passing, plan, seen

from lastgood.domain.arrival import ConfigChange, PodTimes, Rollout
from lastgood.domain.health import Health
from lastgood.domain.ledger import MIN_PASSES, Soak, candidate, newest_other, soak, track, with_good
from lastgood.domain.model import Current, Memory, TargetSeen
from lastgood.domain.revision import ConfigSeen


def follow(memory: Memory, *steps: tuple[float, TargetSeen | None]) -> Memory:
    for at, target in steps:
        memory = track(memory, target, at)
    return memory


def test_a_first_look_takes_the_controllers_word_for_when_the_rollout_ended() -> None:
    memory = track(Memory(), seen("v1", completed_at=T0 - 500), T0)
    assert memory.current == Current("v1", T0, 1, "v1")
    assert (memory.complete_since, memory.watched) == (T0 - 500, True)


def test_a_time_of_the_controller_in_the_future_is_now() -> None:
    assert track(Memory(), seen("v1", completed_at=T0 + 500), T0).complete_since == T0


def test_pods_that_flap_begin_completeness_anew_though_the_controller_says_nothing_of_it() -> None:
    """The Progressing condition keeps its old time when a pod goes and comes back."""
    old = T0 - 5000
    memory = follow(
        Memory(),
        (T0, seen("v1", completed_at=old)),
        (T0 + 10, seen("v1", completed_at=old, complete=False)),
        (T0 + 20, seen("v1", completed_at=old)),
    )
    assert memory.complete_since == T0 + 20


def test_a_look_that_changes_nothing_changes_nothing() -> None:
    once = track(Memory(), seen("v1"), T0)
    assert track(once, seen("v1"), T0 + 99) == once


def test_a_new_revision_is_not_complete_since_the_old_one_was() -> None:
    memory = follow(Memory(), (T0, seen("v1")), (T0 + 60, seen("v2")))
    assert (memory.current, memory.complete_since) == (Current("v2", T0 + 60, 2, "v2"), T0 + 60)


def test_a_target_that_went_is_not_complete_and_its_revision_is_remembered() -> None:
    memory = follow(Memory(), (T0, seen("v1")), (T0 + 60, None))
    assert (memory.current, memory.complete_since) == (Current("v1", T0, 1, "v1"), None)


def test_a_new_number_of_the_same_revision_is_no_new_revision() -> None:
    memory = follow(Memory(), (T0, seen("v1")), (T0 + 60, seen("v1", revision=3)))
    assert memory.current == Current("v1", T0, 3, "v1")


@pytest.mark.parametrize(
    ("ledger", "steps", "left"),
    [
        pytest.param((), ("v1", "v2"), None, id="nothing good to leave"),
        pytest.param(("v1",), ("v1",), None, id="on the good one"),
        pytest.param(("v1",), ("v1", "v2"), T0 + 10, id="left it"),
        pytest.param(("v1",), ("v1", "v2", "v3"), T0 + 10, id="left it for two bad ones: the first leaving counts"),
        pytest.param(("v1",), ("v1", "v2", "v1"), None, id="came back"),
        pytest.param(("v1",), ("v1", "v2", "v1", "v2"), T0 + 30, id="left it again: the second leaving counts"),
        pytest.param(("v2", "v1"), ("v2", "v1"), None, id="back to an older good one is no leaving"),
        pytest.param(("v2", "v1"), ("v2", "v1", "v3"), T0 + 20, id="from an older good one"),
    ],
)
def test_left_good_at(ledger: tuple[str, ...], steps: tuple[str, ...], left: float | None) -> None:
    memory = Memory(ledger=tuple(good(key) for key in ledger))
    memory = follow(memory, *((T0 + 10 * n, seen(key)) for n, key in enumerate(steps)))
    assert memory.left_good_at == left


_ROLLOUT = "the rollout to complete"
_GREEN = "every probe to be green"
_TIME = "the soak time to pass"


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        pytest.param(Memory(), Soak(False, None, _ROLLOUT), id="nothing seen"),
        pytest.param(green(complete_since=None), Soak(False, None, _ROLLOUT), id="rollout under way"),
        pytest.param(green(health=Health("False", T0)), Soak(False, None, _GREEN), id="failing"),
        pytest.param(green(health=Health("Unknown", T0)), Soak(False, None, _GREEN), id="unknown is not green"),
        pytest.param(green(probes={"http": failing(T0)}), Soak(False, None, _GREEN), id="a probe fails"),
        pytest.param(green(T0 - 600), Soak(True, T0), id="soaked to the second"),
        pytest.param(green(T0 - 599), Soak(False, T0 + 1, _TIME), id="a second short"),
        pytest.param(green(T0 - 900, complete_since=T0 - 10), Soak(False, T0 + 590, _TIME), id="complete last"),
        pytest.param(green(T0 - 900, health=Health("True", T0 - 10)), Soak(False, T0 + 590, _TIME), id="green last"),
        pytest.param(
            green(T0 - 900, current=Current("v1", T0 - 10)), Soak(False, T0 + 590, _TIME), id="the revision came last"
        ),
        pytest.param(
            green(probes={"http": passing(T0 - 600, runs=MIN_PASSES - 1)}),
            Soak(False, T0, "2 passes in a row of every probe"),
            id="one pass of this process is too few",
        ),
        pytest.param(
            green(probes={"a": passing(T0 - 600), "b": passing(T0 - 600, runs=1)}),
            Soak(False, T0, "2 passes in a row of every probe"),
            id="of every probe",
        ),
    ],
)
def test_soak(memory: Memory, expected: Soak) -> None:
    assert soak(plan(soak=600), memory, seen("v1"), None, T0) == expected


def test_a_soak_of_no_length_still_wants_two_passes() -> None:
    memory = green(T0, probes={"http": passing(T0, runs=1)})
    assert not soak(plan(soak=0), memory, seen("v1"), None, T0 + 1).done
    assert soak(plan(soak=0), replace(memory, probes={"http": passing(T0, runs=2)}), seen("v1"), None, T0 + 1).done


def test_passes_of_the_revision_before_do_not_count_for_this_one() -> None:
    """A soak of a second is over before a probe that runs each second, or is late, has asked the new pods."""
    memory = green(T0 - 600, current=Current("v3", T0 - 3, 3, "v3"), complete_since=T0 - 2)
    before = replace(memory, probes={"http": passing(T0 - 600, last=T0 - 2.5)})
    waiting = soak(plan(soak=1), before, seen("v3"), None, T0)
    assert waiting == Soak(done=False, until=T0 + 1, waiting_for="a pass of every probe since the rollout completed")
    slower = replace(before, probes={**before.probes, "web": passing(T0 - 600, last=T0 - 1)})
    assert not soak(plan(soak=1), slower, seen("v3"), None, T0).done
    after = replace(memory, probes={"http": passing(T0 - 600, last=T0 - 1.5)})
    assert soak(plan(soak=1), after, seen("v3"), None, T0).done


def test_good_then_two_bad_ones_leads_back_to_the_good_one() -> None:
    memory = Memory(ledger=(good("v1"),))
    memory = follow(memory, (T0, seen("v1")), (T0 + 10, seen("v2")), (T0 + 20, seen("v3")))
    target = newest_other(memory, "v3")
    assert target is not None
    assert target.key == "v1"


@pytest.mark.parametrize(
    ("ledger", "running", "expected"),
    [
        pytest.param((), "v1", None, id="empty"),
        pytest.param(("v1",), "v1", None, id="only the running one"),
        pytest.param(("v2", "v1"), "v2", "v1", id="the one before"),
        pytest.param(("v2", "v1"), "v1", "v2", id="the newest, though the running one is older"),
        pytest.param(("v2", "v1"), "v3", "v2", id="the newest"),
    ],
)
def test_newest_other(ledger: tuple[str, ...], running: str, expected: str | None) -> None:
    found = newest_other(Memory(ledger=tuple(good(key) for key in ledger)), running)
    assert (found.key if found else None) == expected


def test_with_good_puts_the_newest_first_and_drops_what_falls_out() -> None:
    memory = Memory(ledger=(good("v2"), good("v1")), left_good_at=T0)
    after, dropped = with_good(memory, good("v3"), 2)
    assert [g.key for g in after.ledger] == ["v3", "v2"]
    assert dropped == (good("v1"),)
    assert after.left_good_at is None


def test_with_good_drops_all_that_a_smaller_keep_leaves_out() -> None:
    memory = Memory(ledger=tuple(good(f"v{n}") for n in (4, 3, 2, 1)))
    after, dropped = with_good(memory, good("v5"), 2)
    assert [g.key for g in after.ledger] == ["v5", "v4"]
    assert [g.key for g in dropped] == ["v3", "v2", "v1"]


def test_with_good_of_a_revision_that_came_back_moves_it_to_the_front_once() -> None:
    memory = Memory(ledger=(good("v2"), good("v1")))
    after, dropped = with_good(memory, good("v1", good_since=T0), 5)
    assert [(g.key, g.good_since) for g in after.ledger] == [("v1", T0), ("v2", good("v2").good_since)]
    assert dropped == ()


def test_with_good_hands_back_the_snapshot_that_a_newer_one_replaces() -> None:
    old = good("v1")
    after, dropped = with_good(Memory(ledger=(old,)), good("v1", snapshot="s-new"), 5)
    assert [g.snapshot for g in after.ledger] == ["s-new"]
    assert dropped == (old,)


def test_what_soaked_is_no_longer_held_to_be_bad_but_its_rollback_still_counts() -> None:
    memory = Memory(marks=(mark("a", "v2"), mark("b", "v3")))
    after = with_good(memory, good("v2"), 5)[0]
    assert after.marks == (mark("a", ""), mark("b", "v3"))


def test_a_good_revision_is_called_by_its_version_or_else_its_number() -> None:
    assert (good("v1").label, good("v1", version="").label) == ("v1", "revision 1")
    assert (Current("k", T0, 4).label, Current("k", T0, 4, "v4").label) == ("revision 4", "v4")


_SETTINGS = (ConfigSeen("ConfigMap", "settings", "h2", live=True),)


@pytest.mark.parametrize(
    ("change", "named", "rollout", "expected"),
    [
        pytest.param({}, (ConfigSeen("Secret", "s"),), None, Soak(True, T0), id="Secrets are no part of it"),
        pytest.param({"restore_config_maps": False}, _SETTINGS, None, Soak(True, T0), id="nor ConfigMaps when ignored"),
        pytest.param({}, _SETTINGS, None, Soak(False, T0 + 1, "a look at its pods", look=True), id="not looked yet"),
        pytest.param({}, _SETTINGS, Rollout((), ()), Soak(True, T0), id="looked: all there"),
        pytest.param(
            {},
            _SETTINGS,
            Rollout((ConfigChange("settings", T0 - 60, live=True),), (PodTimes(T0 - 999, T0 - 998),)),
            Soak(False, T0 + 60, "the kubelet to bring ConfigMap settings to the pods"),
            id="looked: a mounted one is on its way",
        ),
        pytest.param(
            {},
            _SETTINGS,
            Rollout((ConfigChange("settings", T0 - 900, live=False),), (PodTimes(T0 - 999, T0 - 998),)),
            Soak(
                False,
                None,
                "pods started after ConfigMap settings changed: running ones do not get it (kubectl rollout restart)",
                look=True,
            ),
            id="looked: running pods never get it",
        ),
    ],
)
def test_a_soak_ends_when_the_pods_have_their_config_maps(
    change: dict[str, Any], named: tuple[ConfigSeen, ...], rollout: Rollout | None, expected: Soak
) -> None:
    assert soak(plan(**change), green(T0 - 600), seen("v1", configs=named), rollout, T0) == expected


def test_a_pod_may_be_as_old_as_a_good_revision_with_the_same_template() -> None:
    """A ConfigMap that was deleted and made anew looks as if no pod had started without it."""
    rollout = Rollout((ConfigChange("settings", T0 - 60, live=False, as_created=True),), (PodTimes(T0 - 999, None),))
    target = seen("v1", configs=_SETTINGS)
    assert soak(plan(), green(T0 - 600), target, rollout, T0).done
    before = replace(good("v0"), template_hash=target.template_hash)
    assert not soak(plan(), green(T0 - 600, ledger=(before,)), target, rollout, T0).done


def test_only_what_may_become_the_last_good_one_is_a_candidate() -> None:
    memory, target = green(T0 - 600), seen("v1")
    assert candidate(plan(), memory, target, None, T0) == Soak(True, T0)
    assert candidate(plan(suspend=True), memory, target, None, T0) is None
    assert candidate(plan(), replace(memory, current=None), target, None, T0) is None
    assert candidate(plan(), replace(memory, ledger=(good("v1"),)), target, None, T0) is None
    assert candidate(plan(), replace(memory, ledger=(good("v0"), good("v1"))), target, None, T0) is not None
    assert candidate(plan(), replace(memory, marks=(mark(outcome=""),)), target, None, T0) is None


def test_a_release_is_as_old_as_the_api_server_says_and_not_as_our_watch() -> None:
    """Else a probe that fails before a slow watch tells of the release would clear the release of it."""
    memory = follow(Memory(ledger=(good("v1"),)), (T0, seen("v1")), (T0 + 60, seen("v2", changed_at=T0 + 57)))
    assert memory.current is not None
    assert (memory.current.since, memory.left_good_at) == (T0 + 57, T0 + 57)
    ahead = track(memory, seen("v3", changed_at=T0 + 999), T0 + 70)
    assert ahead.current is not None
    assert ahead.current.since == T0 + 70, "a clock that is ahead is not believed"


def test_at_the_first_look_of_a_process_its_own_time_counts() -> None:
    """Failures that it remembers were moved by the gap, and must not come to lie after a release in the gap."""
    restored = Memory(ledger=(good("v1"),), current=Current("v1", T0, 1, "v1"))
    assert track(restored, seen("v2", changed_at=T0 + 50), T0 + 90).left_good_at == T0 + 90


def test_a_target_that_rests_and_comes_back_has_its_time_noted_once() -> None:
    memory = follow(Memory(), (T0, seen("v1")), (T0 + 10, seen("v1", replicas=0)), (T0 + 20, seen("v1", paused=True)))
    assert (memory.resting, memory.resumed_at) == (True, None)
    memory = follow(memory, (T0 + 30, seen("v1")), (T0 + 40, seen("v1")))
    assert (memory.resting, memory.resumed_at) == (False, T0 + 30)
