"""What holds for all tests: in which order they begin."""

from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """In random order, but the long ones first: a run in several processes would end waiting for one of them."""
    yield
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
