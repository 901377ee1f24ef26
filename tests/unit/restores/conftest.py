from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from lastgood.services import events


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Thousands of steps are taken here, each with a line in the log; the stories that they tell are not waited for."""
    monkeypatch.setattr(events, "PAUSE", 0.0)
    with capture_logs():
        yield
