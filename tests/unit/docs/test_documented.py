"""What can be shown is documented."""

import argparse
import inspect
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lastgood.api.validation import validate
from lastgood.domain.backups.pgreasons import PgReason
from lastgood.domain.history import HistoryReason
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
    r'JobFailed\(\s*"([A-Z]\w+)"',
    r'_Meaning\(\s*"([A-Z]\w+)"',
    # Of Restores.
    r'\bfail\(\s*case, "?\w+"?, "(\w+)"',
    r'\bwait\(\s*case, "?\w+"?, "(\w+)"',
    r'NoPoint\(\s*"(\w+)"',
    r'Next\(\s*Do\.\w+, "?\w+"?, "([A-Z]\w+)"',
    r'_about\(restore, w, "\w+", "(\w+)"',
    r'return "(Job\w+|Pod\w+|OutOfMemory)",',
    r'event\([\w.()]+, "\w+", "([A-Z]\w+)"',
]


def shown() -> list[str]:
    found = {word for pattern in PATTERNS for word in re.findall(pattern, SOURCE)}
    assert len(found) > 40
    return sorted(found | {str(reason) for reason in (*ProbeReason, *HistoryReason, *PgReason)})


@pytest.mark.parametrize("reason", shown())
def test_reason_is_documented(reason: str) -> None:
    assert f"`{reason}`" in REASONS


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for family in text_string_to_metric_families(Metrics().page().decode()):
        # When a counter began is told by the library for each.
        assert family.name.endswith("_created") or f"`{family.name}" in text, family.name


def test_every_dependency_is_documented() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs/dependencies.md").read_text()
    for line in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]:
        name = re.split(r"[\[>=;]", line)[0]
        assert name in text, name


def test_manifests_of_the_readme_and_examples_are_valid() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    blocks = [b for page in pages for b in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    files = [p.read_text() for p in sorted((ROOT / "manifests").rglob("*.yaml"))]
    checked = 0
    for text in [*blocks, *files]:
        for document in yaml.safe_load_all(text):
            if document and str(document.get("apiVersion", "")).startswith("lastgood.dev"):
                assert validate(document) == []
                checked += 1
    assert checked >= 6


def flags() -> list[str]:
    from lastgood.cli.main import _parser

    parsers = [_parser()]
    found: set[str] = set()
    while parsers:
        for action in parsers.pop()._actions:
            found |= {word for word in action.option_strings if word.startswith("--") and word != "--help"}
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    assert len(found) > 10
    return sorted(found)


@pytest.mark.parametrize("flag", flags())
def test_flag_is_documented(flag: str) -> None:
    assert re.search(rf"`[^`]*{flag}\b", (ROOT / "docs/cli.md").read_text())


def test_reasons_made_of_a_kind_are_documented() -> None:
    suffixes = set(re.findall(r'Problem\(\s*f"\{kind\}(\w+)"', SOURCE))
    assert suffixes
    for suffix in suffixes:
        for kind in ("Secret", "ConfigMap"):
            assert f"`{kind}{suffix}`" in REASONS


def test_guards_are_documented_in_the_order_in_which_they_are_asked() -> None:
    from lastgood.domain.guards import CHAIN

    table = REASONS.split("In the order in which they are asked:")[1].split("##")[0]
    told = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    asked = [word for guard in CHAIN for word in re.findall(r'Objection\(\s*"(\w+)"', inspect.getsource(guard))]
    assert told == list(dict.fromkeys(asked))


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
