"""Manifests and timed outcomes in; conditions, good revisions and the steps of rollbacks out.

Everything from the manifests inwards is the real thing: spec to plan, Deployment and ConfigMaps to revision keys,
outcomes to health, decisions, and each Rollback through all that `advance` wants. Only the cluster is pretended.
`UPDATE_GOLDEN=1` writes the outputs anew; read the difference before it is committed.
"""

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.validation import validate
from lastgood.domain.arrival import Rollout
from lastgood.domain.clock import shown
from lastgood.domain.decide import RecordGood, StartRollback, decide, mark_ended, mark_started
from lastgood.domain.health import ProbeState, Thresholds, combine, observe
from lastgood.domain.ledger import with_good
from lastgood.domain.model import Good, Memory, Plan, Surroundings, TargetSeen
from lastgood.domain.observed import sketch, target_seen
from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.revision import MISSING, ROLLBACK_ANNOTATION, config_hash
from lastgood.domain.rollback import Do, RollbackSeen, advance, outcome_of
from lastgood.domain.status import from_status, plan_of, to_status

HERE = Path(__file__).parent / "manifests"
START = 1_800_000_000.0
TICK = 10
OUTCOMES = {
    "pass": Outcome(ProbeReason.OK),
    "fail": Outcome(ProbeReason.UNEXPECTED_STATUS, "expected 2xx, got 500"),
    "unknown": Outcome(ProbeReason.DNS_UNAVAILABLE, "no name server answered"),
}
_ENDS = {Do.FAIL: "Failed", Do.REFUSE: "Refused"}


@dataclass
class Story:
    """A cluster that does at once what it is told, and Lastgood over it."""

    name: str
    plan: Plan
    probes: dict[str, Thresholds]
    deployment: dict[str, Any]
    config_maps: dict[str, dict[str, Any]]
    memory: Memory = field(default_factory=Memory)
    now: float = START
    approval: str = ""
    failing: tuple[str, ...] = ()
    snapshots: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    rollback: RollbackSeen | None = None
    said: dict[str, tuple[str, str]] = field(default_factory=dict)

    def seen(self) -> TargetSeen:
        drawn = sketch(self.deployment)
        configs = [
            replace(c, hash=config_hash(self.config_maps[c.name]) if c.name in self.config_maps else MISSING)
            for c in drawn.named
            if c.kind == "ConfigMap"
        ]
        return target_seen(drawn, configs, compare_configs=self.plan.restore_config_maps)

    def change(self, chapter: dict[str, Any]) -> None:
        """What people and their pipelines do at the beginning of a chapter."""
        template = self.deployment["spec"]["template"]
        if "image" in chapter:
            template["spec"]["containers"][0]["image"] = chapter["image"]
            self._rolled()
        for name, data in chapter.get("config", {}).items():
            self.config_maps[name] = {"data": data}
        if "paused" in chapter:
            self.deployment["spec"]["paused"] = chapter["paused"]
        self.deployment["metadata"]["labels"].update(chapter.get("labels", {}))
        self.approval = chapter.get("approval", self.approval)
        self.failing = tuple(chapter.get("failing", self.failing))
        if "restart" in chapter:
            self.memory = from_status(to_status(self.memory), unobserved=chapter["restart"])
            self.now += chapter["restart"]

    def _rolled(self) -> None:
        notes = self.deployment["metadata"]["annotations"]
        notes["deployment.kubernetes.io/revision"] = str(int(notes["deployment.kubernetes.io/revision"]) + 1)

    def tick(self, outcome: Outcome) -> Iterator[tuple[str, Any]]:
        """Ten seconds: every probe once, then what follows from it."""
        self.now += TICK
        probes = {
            name: observe(self.memory.probes.get(name) or ProbeState(), outcome, self.now, thresholds)
            for name, thresholds in self.probes.items()
        }
        health = combine(self.memory.health, probes, self.now)
        self.memory = replace(self.memory, probes=probes, health=health)
        yield from self._decided()
        yield from self._carried_on()

    def _decided(self) -> Iterator[tuple[str, Any]]:
        waiting = (self.rollback.name,) if self.rollback and self.rollback.phase == "AwaitingApproval" else ()
        # Its pods are made anew with each change, so they always have their ConfigMaps.
        around = Surroundings(failing_dependencies=self.failing, awaiting_approval=waiting, rollout=Rollout((), ()))
        seen = self.seen()
        decision = decide(service=self.name, plan=self.plan, memory=self.memory, seen=seen, around=around, now=self.now)
        self.memory = decision.memory
        for condition in decision.conditions:
            word = (f"{condition.status} {condition.reason}", condition.message)
            if self.said.get(condition.type, ("", ""))[0] != word[0]:
                self.said[condition.type] = word
                yield condition.type, ": ".join(filter(None, word))
        for action in decision.actions:
            match action:
                case RecordGood():
                    yield "good", self._record(seen)
                case StartRollback():
                    self.memory = mark_started(self.memory, action, self.now)
                    self.rollback = RollbackSeen(
                        name=action.name,
                        uid=f"uid of {action.name}",
                        service=self.name,
                        bad_key=action.bad_key,
                        target_key=action.target.key,
                        needs_approval=action.needs_approval,
                        dry_run=action.dry_run,
                        from_template_hash=seen.template_hash,
                    )
                    yield "rollback", f"{action.name}: {action.message}"

    def _record(self, seen: TargetSeen) -> str:
        self.snapshots[seen.key] = copy.deepcopy((self.deployment["spec"]["template"], self.config_maps))
        good = Good(seen.key, seen.template_hash, seen.revision, self.now, f"snapshot {seen.key}", seen.version)
        self.memory, _ = with_good(self.memory, good, self.plan.keep)
        return good.label

    def _carried_on(self) -> Iterator[tuple[str, Any]]:
        while self.rollback is not None:
            rollback = replace(self.rollback, approval=self.approval)
            step = advance(
                rollback=rollback, plan=self.plan, memory=self.memory, seen=self.seen(), missing=(), now=self.now
            )
            if step.do in {Do.WAIT, Do.AWAIT_APPROVAL}:
                if step.do is Do.AWAIT_APPROVAL and rollback.phase != "AwaitingApproval":
                    self.rollback = replace(rollback, phase="AwaitingApproval")
                    yield "step", step.message
                return
            yield "step", ": ".join(filter(None, [str(step.do), step.reason, step.message]))
            rollback = replace(rollback, phase="Running", done=rollback.done | {step.step})
            if step.do is Do.EXECUTE:
                assert step.target is not None
                self._restore(step.target.key, rollback.uid)
                rollback = replace(rollback, executed_at=self.now)
            end = "DryRun" if step.do is Do.REHEARSE else "Succeeded" if step.do is Do.DOCUMENT else _ENDS.get(step.do)
            self.rollback = rollback
            if end is not None:
                outcome = outcome_of(end, step.reason, rollback.done - {step.step})
                self.memory = mark_ended(self.memory, rollback.name, outcome, self.now)
                self.rollback = None
                yield "ended", outcome

    def _restore(self, key: str, uid: str) -> None:
        template, config_maps = copy.deepcopy(self.snapshots[key])
        self.deployment["spec"]["template"] = template
        self.deployment["metadata"]["annotations"][ROLLBACK_ANNOTATION] = uid
        if self.plan.restore_config_maps:
            self.config_maps = config_maps
        self._rolled()


def tell(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        by_kind.setdefault(document.get("kind", "Story"), []).append(document)
    (service,), (deployment,), (story,) = (by_kind[k] for k in ("MonitoredService", "Deployment", "Story"))
    assert validate(service) == []
    spec = MonitoredServiceSpec.model_validate(service["spec"])
    world = Story(
        name=service["metadata"]["name"],
        plan=plan_of(spec),
        probes={p.name: Thresholds(p.failure_threshold, p.success_threshold) for p in spec.probes},
        deployment=deployment,
        config_maps={c["metadata"]["name"]: {"data": c["data"]} for c in by_kind.get("ConfigMap", [])},
    )
    told = []
    for chapter in story["story"]:
        world.change(chapter)
        for _ in range(chapter["for"] // TICK):
            told += [
                {"at": shown(world.now - START), kind: what} for kind, what in world.tick(OUTCOMES[chapter["probes"]])
            ]
    return told


@pytest.mark.parametrize("name", sorted(p.stem for p in (HERE / "input").glob("*.yaml")))
def test_manifests(name: str) -> None:
    documents = list(yaml.safe_load_all((HERE / "input" / f"{name}.yaml").read_text(encoding="utf-8")))
    told = tell(documents)
    place = HERE / "output" / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        place.write_text(yaml.safe_dump(told, sort_keys=False, width=120, allow_unicode=True), encoding="utf-8")
    assert told == yaml.safe_load(place.read_text(encoding="utf-8"))


def test_every_input_has_an_output_and_no_output_is_left_over() -> None:
    inputs, outputs = ({p.name for p in (HERE / folder).glob("*.yaml")} for folder in ("input", "output"))
    assert inputs
    assert inputs == outputs
