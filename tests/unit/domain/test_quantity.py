"""Quantities, against values that Kubernetes itself gives."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.quantity import quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", "0.1"),
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("128Mi", "134217728"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1e-3", "0.001"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("1G", "1000000000"),
        ("1Gi", "1073741824"),
        ("12k", "12000"),
        ("7u", "0.000007"),
        ("199910087n", "0.199910087"),
        ("0", "0"),
        ("+1", "1"),
        ("-1", "-1"),
        ("0.5Gi", "536870912"),
    ],
)
def test_reads(text: str, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1K", "1ki", "1e", "e3", "1.2.3", "0x10", "NaN", "1Gi\n", "\u0661", "1e9999"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)


@given(st.integers(0, 10**18))
def test_milli_is_exact(number: int) -> None:
    assert quantity(f"{number}m") * 1000 == number
