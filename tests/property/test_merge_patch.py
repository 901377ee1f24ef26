"""A merge patch, applied as RFC 7396 says, leads from what is to what was, whatever both are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.backups.putting import merge_patch

_LEAVES = (
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x"]) | st.lists(st.integers(0, 2), max_size=2)
)
_KEYS = st.sampled_from("abc")
_VALUES = st.recursive(_LEAVES, lambda inner: st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8)
OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=3)


def applied(now: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    after = dict(now) if isinstance(now, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = applied(after.get(key), value)
    return after


def without_nulls(value: Any) -> Any:
    """As the API server keeps it: what is null in an object is not there."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


@given(OBJECTS, OBJECTS)
def test_it_leads_from_the_one_to_the_other(now: dict[str, Any], was: dict[str, Any]) -> None:
    assert without_nulls(applied(now, merge_patch(now, was))) == without_nulls(was)


@given(OBJECTS)
def test_nothing_is_written_where_nothing_differs(now: dict[str, Any]) -> None:
    assert merge_patch(now, now) == {}
