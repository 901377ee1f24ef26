"""What can be shown is documented."""

import re
from pathlib import Path

import pytest
import yaml

from lastgood.api.validation import validate
from lastgood.domain.outcome import ProbeReason
from lastgood.services.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
REASONS = (ROOT / "docs/reasons.md").read_text()
SOURCE = "\n".join(p.read_text() for p in sorted((ROOT / "operator/lastgood").rglob("*.py")))
PATTERNS = [
    r'Objection\(\s*"(\w+)"',
    r'_fail\(step, "(\w+)"',
    r'Condition\("\w+", "\w+", "(\w+)"',
    r'Problem\(\s*"(\w+)"',
    r'reason="([A-Z]\w+)"',
    r'event\([\w.()]+, "\w+", "([A-Z]\w+)"',
]


def shown() -> list[str]:
    found = {word for pattern in PATTERNS for word in re.findall(pattern, SOURCE)}
    assert len(found) > 40
    return sorted(found | {str(reason) for reason in ProbeReason})


@pytest.mark.parametrize("reason", shown())
def test_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in REASONS


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for family in Metrics().registry.collect():
        assert f"`{family.name}" in text, family.name


def test_every_dependency_is_documented() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs/dependencies.md").read_text()
    for line in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]:
        name = re.split(r"[\[>=;]", line)[0]
        assert name in text, name


def test_manifests_of_the_readme_and_examples_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    files = [p.read_text() for p in sorted((ROOT / "manifests").rglob("*.yaml"))]
    checked = 0
    for text in [*blocks, *files]:
        for document in yaml.safe_load_all(text):
            if document and str(document.get("apiVersion", "")).startswith("lastgood.dev"):
                assert validate(document) == []
                checked += 1
    assert checked >= 6
