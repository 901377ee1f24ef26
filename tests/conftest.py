"""What holds for all tests: in which order they begin, and that none fails for being slow."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long examples take to draw says something of the machine, which others may be busy on.
settings.register_profile("lastgood", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lastgood")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """In random order, but the long ones first: a run in several processes would end waiting for one of them."""
    yield
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
