import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from tests.unit.probes.certs import Authority


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops: the operator runs on uvloop where it exists, and they differ in what they raise."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make("lastgood test authority")


@pytest.fixture
def tls_dir(tmp_path: Path) -> Path:
    return tmp_path
