"""An hour in a blob: what goes in comes out, and broken blobs are said to be broken."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood.history.pack import HOUR, pack, unpack

_NUMBERS = st.floats(allow_nan=False)
_CELLS = st.dictionaries(st.integers(0, 59), st.tuples(_NUMBERS, _NUMBERS, st.none() | _NUMBERS))


@given(_CELLS)
def test_round_trip(cells: dict[int, tuple[float, float, float | None]]) -> None:
    given_ = {HOUR * 7 + minute: cell for minute, cell in cells.items()}
    assert unpack(7, pack(7, given_)) == given_


def test_an_hour_is_small() -> None:
    quiet = {minute: (0.0, 600.0 + minute % 7, None) for minute in range(60)}
    assert len(pack(0, quiet)) < 120


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x02abc", b"\x01abc", pack(0, {0: (1, 2, math.pi)})[:-1]])
def test_broken(blob: bytes) -> None:
    with pytest.raises(ValueError, match="packed hour|form of hours"):
        unpack(0, blob)
