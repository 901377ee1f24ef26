from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of steps are taken here, each with a line in the log."""
    with capture_logs():
        yield
