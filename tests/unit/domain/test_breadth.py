"""Many that break together are one cause; what broke long ago is not."""

import pytest
from tests.unit.domain.build import T0

from lastgood.domain.breadth import FEWEST, TOGETHER_SECONDS, mass_breach

LONG_AGO = [T0 - 9999] * 50


@pytest.mark.parametrize(
    ("failing", "healthy", "told"),
    [
        pytest.param([T0] * 5, 5, "5 of 10 services began to fail within 2m", id="half of them"),
        pytest.param([T0] * 5, 6, "", id="less than half"),
        pytest.param([T0] * (FEWEST - 1), 0, "", id="too few to be more than a coincidence"),
        pytest.param([*LONG_AGO, *[T0] * 5], 5, "5 of 10", id="old ones do not count"),
        pytest.param([*LONG_AGO, *[T0] * 4], 0, "", id="old ones make no mass"),
        pytest.param(
            [*[T0 - TOGETHER_SECONDS] * 2, T0, *[T0 + TOGETHER_SECONDS] * 2],
            1,
            "5 of 6",
            id="a little before and after",
        ),
        pytest.param([*[T0] * 4, T0 + TOGETHER_SECONDS + 1], 0, "", id="too long after"),
        pytest.param([], 0, "", id="nobody"),
    ],
)
def test_mass_breach(failing: list[float], healthy: int, told: str) -> None:
    found = mass_breach(T0, failing, [], healthy)
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_who_comes_back_last_is_not_the_only_one_that_broke() -> None:
    assert mass_breach(T0, [T0], [T0 + 1] * 5, 6).startswith("6 of 7")
    assert not mass_breach(T0, [T0], [T0 - 9999] * 5, 6), "they broke at another time"
    assert not mass_breach(T0, [T0], [T0 + 1] * 5, 60), "they were few"
