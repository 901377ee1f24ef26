"""Tests that stop the API server or replace its kinds, on a control plane that nobody else uses."""

from collections.abc import Callable, Iterator

import pytest
from tests.integration.controlplane import namespaces, own_lab
from tests.lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with own_lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def namespace_for(lab: Lab) -> Iterator[Callable[[], str]]:
    with namespaces(lab) as make:
        yield make
