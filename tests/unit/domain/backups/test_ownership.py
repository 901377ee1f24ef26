from dataclasses import replace

import pytest

from lastgood.domain.backups.ownership import LEFT_SECONDS, Claim, Owner, claim
from lastgood.domain.backups.ports import JobFailed, Snapshot

ME = Owner("shop", "orders", "u-1", "c-1")
NOW = 1_000_000.0


def marker(owner: Owner, time: float = NOW - 100, name: str = "m") -> Snapshot:
    return Snapshot(f"{name}-{owner.uid}", time, owner.tags())


def test_an_empty_one_is_taken() -> None:
    assert claim(ME, [], NOW) == Claim(write=True)


def test_ones_own_stays() -> None:
    assert claim(ME, [marker(ME)], NOW) == Claim(write=False)
    assert claim(ME, [marker(ME, 1.0, "a"), marker(ME, 2.0, "b")], NOW) == Claim(write=False, remove=("b-u-1",))


def test_of_two_that_came_at_once_the_first_has_it() -> None:
    other = replace(ME, schedule="bills", uid="u-2")
    both = [marker(ME, 10.0), marker(other, 11.0)]
    assert claim(ME, both, NOW) == Claim(write=False)
    with pytest.raises(JobFailed) as caught:
        claim(other, both, NOW)
    assert caught.value.reason == "RepositoryShared"
    assert "shop/orders" in caught.value.message


def test_made_anew_in_the_same_cluster_it_takes_over() -> None:
    anew = replace(ME, uid="u-9")
    assert claim(anew, [marker(ME)], NOW) == Claim(write=True, remove=("m-u-1",))
    # Cut off between the two: the marker is there, the old one too.
    assert claim(anew, [marker(ME), marker(anew)], NOW) == Claim(write=False, remove=("m-u-1",))


@pytest.mark.parametrize("cluster", ["c-2", ""])
def test_the_same_name_elsewhere_is_a_twin_until_it_has_been_still_for_a_day(cluster: str) -> None:
    twin = replace(ME, uid="u-9", cluster=cluster)
    backup = Snapshot("s", NOW - 10, {"schedule": "orders", "uid": "u-1"})
    with pytest.raises(JobFailed, match="24 hours"):
        claim(twin, [marker(ME, 1.0), backup], NOW)
    assert claim(twin, [marker(ME, 1.0), backup], NOW - 10 + LEFT_SECONDS).write


def test_a_persons_own_snapshots_are_left_alone() -> None:
    with pytest.raises(JobFailed, match="no schedule's"):
        claim(ME, [Snapshot("s", 1.0, {})], NOW)
    assert claim(ME, [Snapshot("s", 1.0, {"schedule": "orders"})], NOW) == Claim(write=True)
