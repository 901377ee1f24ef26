"""Each number of the monitoring procedures stands in a preset, and no preset has a number of its own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastgood.api.base import AMOUNT, DURATION
from lastgood.api.kinds import KINDS
from lastgood.api.validation import validate

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "manifests/presets"
CHAPTERS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "numbers.yaml").read_text())
LINES = [(chapter["chapter"], line) for chapter in CHAPTERS for line in chapter["lines"]]
OBJECTS = [
    (place.name, document)
    for place in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(place.read_text())
]
NAMED = {body["metadata"]["name"]: (place, body) for place, body in OBJECTS}
PAGE = (ROOT / "docs/thresholds.md").read_text()


def leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and text of each value; items of lists by what names them."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from leaves(child, f"{path}.{name}")
    elif isinstance(node, list):
        for index, item in enumerate(node):
            named = item if isinstance(item, dict) else {}
            key = next((named[k] for k in ("name", "severity", "type", "path") if k in named), index)
            yield from leaves(item, f"{path}[{key}]")
    else:
        yield path, str(node).lower() if isinstance(node, bool) else str(node)


HELD = {f"{name} {path} = {text}" for name, (_, body) in NAMED.items() for path, text in leaves(body["spec"], "spec")}
TOLD = {field for _, line in LINES for field in line.get("fields", [])}


def _is_a_number(held: str) -> bool:
    """Amounts, durations and whatever a trigger says; ports and addresses are those of the example."""
    where, _, value = held.partition(" = ")
    if where.endswith((".port", ".objective")):
        return False
    return bool(re.match(AMOUNT, value) or re.match(DURATION, value)) or ".triggers." in where


def test_names_of_presets_are_unique_and_each_file_has_one() -> None:
    assert len(NAMED) == len(OBJECTS) == 39
    assert {place for place, _ in OBJECTS} == {
        "backend-api.yaml",
        "backup.yaml",
        "frontend.yaml",
        "postgresql.yaml",
        "redis.yaml",
        "system-resources.yaml",
        "development-agent.yaml",
        "rag-agent.yaml",
        "compliance-agent.yaml",
        "qa-agent.yaml",
    }


def test_each_line_stands_in_a_preset() -> None:
    assert sorted(TOLD - HELD) == []


def test_no_preset_has_a_number_of_its_own() -> None:
    assert sorted(held for held in HELD if _is_a_number(held) and held not in TOLD) == []


_ONE, _HOURLY = {"minute": "1m", "second": "1s"}, {"Hourly": "1h"}


def numbers(line: str) -> set[str]:
    """The numbers of a line as a manifest writes them: "5 consecutive minutes" is 5m, "1-minute" 1m."""
    line = re.sub(r"`[^`]*`", "", line)
    found = {f"{n}%" for n in re.findall(r"(\d+)%", line)}
    found |= {n + unit[0] for n, unit in re.findall(r"(\d+)[ -](?:consecutive )?(second|minute|hour)s?", line)}
    found |= {short for word, short in _ONE.items() if re.search(rf"every {word}\b", line)}
    found |= {short for word, short in _HOURLY.items() if word in line}
    found |= set(re.findall(r"(?<![\d-])\b(\d+)\b(?![%\d-])(?! ?(?:consecutive |second|minute|hour))", line))
    return found


@pytest.mark.parametrize(("chapter", "line"), LINES, ids=[f"{c}: {entry['line']}" for c, entry in LINES])
def test_the_fields_of_a_line_have_its_numbers_and_no_others(chapter: str, line: dict[str, Any]) -> None:
    fields = line.get("fields", [])
    assert bool(fields) != bool(line.get("why"))
    held = {f.partition(" = ")[2] for f in fields if _is_a_number(f) and ".signals" not in f}
    # Where any violation at all is meant, the line has no number and the preset has 0.
    assert held - ({"0"} if "identified" in line["line"] else set()) == numbers(line["line"])


@pytest.mark.parametrize("body", [b for _, b in OBJECTS], ids=list(NAMED))
def test_every_preset_is_valid(body: dict[str, Any]) -> None:
    assert validate(body) == []
    (model,) = [kind.model for kind in KINDS if kind.name == body["kind"]]
    model.model_validate(body)


def test_what_a_service_names_is_there() -> None:
    for _, body in OBJECTS:
        if body["kind"] == "MonitoredService":
            for name in body["spec"].get("objectives", []):
                assert NAMED[name["name"]][1]["kind"] == "ServiceLevelObjective"
            for name in body["spec"].get("dependsOn", []):
                assert NAMED[name["name"]][1]["kind"] == "MonitoredService"


def test_triggers_name_objectives_of_the_right_kind() -> None:
    for _, body in OBJECTS:
        triggers = body["spec"].get("rollback", {}).get("triggers", {})
        for trigger, kinds in (("errorRate", {"ratio"}), ("degradation", {"quantile", "average"})):
            if trigger in triggers:
                indicator = NAMED[triggers[trigger]["objective"]][1]["spec"]["indicator"]
                assert set(indicator) <= kinds


def rows() -> set[tuple[str, str, str]]:
    """Line, file and field of each row of the page."""
    table = re.findall(r"^\| (.+?) \| \[`(.+?)`\]\(.+?\) \| `(.+?)` \|", PAGE, re.MULTILINE)
    return {(line, place, field) for line, place, field in table}


def test_the_page_maps_each_line() -> None:
    told = {
        (line["line"], NAMED[field.split(" ")[0]][0], field) for _, line in LINES for field in line.get("fields", [])
    }
    assert rows() == told
    for chapter, line in LINES:
        assert f"## {chapter}\n" in PAGE
        if "why" in line:
            assert f"| {line['line']} | | {line['why']} |" in PAGE


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter["chapter"] for chapter in CHAPTERS])
def test_the_page_names_tests_that_there_are(chapter: dict[str, Any]) -> None:
    _, _, section = PAGE.partition(f"## {chapter['chapter']}\n")
    told = section.partition("| line |")[0]
    assert re.findall(r"\[`(\w+)`\]\(\.\./([\w/.]+)\)", told) == [
        tuple(reversed(test.split("::"))) for test in chapter["tests"]
    ]
    for test in chapter["tests"]:
        place, name = test.split("::")
        assert f"def {name}(" in (ROOT / place).read_text()
