"""YAML in, YAML out: a MonitoredService, what happens by the second, and what Lastgood says and does.

`UPDATE_GOLDEN=1` writes the outputs anew; read the difference before it is committed.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.core.world import FAIL, PASS, UNKNOWN, World, target

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.domain.model import Surroundings
from lastgood.domain.status import plan_of

HERE = Path(__file__).parent
OUTCOMES = {"pass": PASS, "fail": FAIL, "unknown": UNKNOWN}
START = 1_000_000.0


def tell(story: dict[str, Any]) -> list[dict[str, Any]]:
    world = World(plan=plan_of(MonitoredServiceSpec.model_validate(story["spec"])), now=START)
    told: list[dict[str, Any]] = []
    said: dict[str, tuple[str, str]] = {}
    for chapter in story["story"]:
        if "release" in chapter:
            world.seen = target(chapter["release"], **chapter.get("with", {}))
        if "failing" in chapter:
            world.around = Surroundings(failing_dependencies=tuple(chapter["failing"]))
        if chapter.get("restart"):
            world.restart()
        for _ in range(int(chapter["for"]) // 10):
            world.now += 10
            world.outcome(OUTCOMES[chapter["probes"]])
            started, recorded = len(world.started), len(world.recorded)
            decision = world.step()
            at = int(world.now - START)
            told += [{"at": at, "good": key} for key in world.recorded[recorded:]]
            told += [{"at": at, "rollback": a.message, "name": a.name} for _, a in world.started[started:]]
            if len(world.started) > started and chapter.get("ends"):
                world.finish(chapter["ends"])
            for condition in decision.conditions:
                word = (condition.status, condition.reason)
                if said.get(condition.type) != word:
                    said[condition.type] = word
                    told.append({"at": at, condition.type: " ".join(word)})
    return told


@pytest.mark.parametrize("name", sorted(p.stem for p in (HERE / "input").glob("*.yaml")))
def test_story(name: str) -> None:
    story = yaml.safe_load((HERE / "input" / f"{name}.yaml").read_text())
    told = tell(story)
    place = HERE / "output" / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        place.write_text(yaml.safe_dump(told, sort_keys=False, width=120))
    assert yaml.safe_load(place.read_text()) == told


def test_spec_defaults_are_those_of_the_procedures() -> None:
    plan = plan_of(
        MonitoredServiceSpec.model_validate(
            {"targetRef": {"name": "x"}, "probes": [{"name": "p", "tcp": {"host": "h", "port": 1}}]}
        )
    )
    assert (plan.failing_for, plan.policy) == (300, "Disabled")
    assert replace(plan, policy="Automatic").soak == 600
