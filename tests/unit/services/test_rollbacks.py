"""A Rollback carried on against an API server of a few lines, each request a turn: what stands before what."""

import asyncio
import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from tests.unit.domain.build import plan

from lastgood.domain.model import Good, Memory
from lastgood.domain.observed import sketch, target_seen
from lastgood.domain.ports import ClusterError, Object
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.revisions import Revisions
from lastgood.services.rollbacks.executor import Rollbacks
from lastgood.services.table import Service, Table

pytestmark = pytest.mark.looptime
TURN = 0.01
"""Seconds that each request takes, of virtual time."""


class Api:
    """Objects by kind and name. ``during`` is called at the beginning of each write, with its verb and kind."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.log: list[str] = []
        self.during: Callable[[str, Any], None] = lambda _verb, _body: None
        self._version = 100

    def put(self, kind: str, body: Object) -> Object:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.objects[kind, body["metadata"]["name"]] = body
        return copy.deepcopy(body)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        await asyncio.sleep(TURN)
        return copy.deepcopy(self.objects.get((kind, name)))

    async def list_objects(self, kind: str, namespace: str, selector: str = "") -> Sequence[Object]:
        await asyncio.sleep(TURN)
        return [copy.deepcopy(body) for (of, _), body in self.objects.items() if of == kind]

    async def create(self, kind: str, namespace: str, body: Object) -> Object:
        await asyncio.sleep(TURN)
        self.log.append(f"create {kind}")
        if (kind, body["metadata"]["name"]) in self.objects:
            raise ClusterError(409, "is there")
        return self.put(kind, copy.deepcopy(body))

    async def merge_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        self.during(f"status {kind}", status)
        await asyncio.sleep(TURN)
        done = [s["name"] for s in status["steps"] if s["state"] != "Pending"]
        self.log.append(f"status {done[-1]}")
        body = self.objects[kind, name]
        for field, value in status.items():
            old = body.setdefault("status", {}).get(field)
            body["status"][field] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return self.put(kind, body)

    async def json_patch(
        self, kind: str, namespace: str, name: str, patch: Sequence[Object], *, dry_run: bool = False
    ) -> Object:
        self.during("dry-run" if dry_run else "patch", patch)
        await asyncio.sleep(TURN)
        self.log.append("dry-run" if dry_run else "patch")
        body = copy.deepcopy(self.objects[kind, name])
        if (
            next(o["value"] for o in patch if o["path"].endswith("resourceVersion"))
            != body["metadata"]["resourceVersion"]
        ):
            raise ClusterError(422, "the test failed")
        body["spec"]["template"] = next(o["value"] for o in patch if o["path"] == "/spec/template")
        for operation in patch:
            if "/annotations/" in operation["path"]:
                where = body["metadata"].setdefault("annotations", {})
                where[operation["path"].rpartition("/")[2].replace("~1", "/")] = operation["value"]
        body["metadata"]["generation"] += 1
        return body if dry_run else self.put(kind, body)

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        await asyncio.sleep(TURN)


def deployment(version: str) -> Object:
    pod = {"containers": [{"name": "app", "image": f"app:{version}"}]}
    return {
        "metadata": {"name": "app", "namespace": "shop", "uid": "d", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {"metadata": {"labels": {"app": "app"}}, "spec": pod},
        },
        "status": {},
    }


class World:
    """v1 is good and kept, v2 runs and is bad, a Rollback to v1 is written."""

    def __init__(self) -> None:
        self.api, self.table, metrics = Api(), Table(), Metrics()
        cluster: Any = self.api
        revisions = Revisions(cluster, self.table)
        self.events = Events(cluster)
        self.rollbacks = Rollbacks(cluster, self.table, revisions, metrics, self.events)
        self.service = Service(("shop", "app"), "s", 1, plan(target="app", restore_config_maps=False), b"", {})
        self.table.put_service(self.service)
        self.revisions = revisions

    async def prepare(self) -> Object:
        self.api.put("deployments", deployment("v1"))
        seen, body = await self.revisions.see_fresh(self.service)
        assert seen is not None
        assert body is not None
        name = await self.revisions.snapshot(self.service, seen, body, purpose="good")
        good = Good(
            key=seen.key,
            template_hash=seen.template_hash,
            revision=1,
            good_since=0.0,
            snapshot=name,
            version="v1",
        )
        self.service.memory = Memory(ledger=(good,))
        self.api.put("deployments", deployment("v2"))
        bad = target_seen(sketch(self.api.objects["deployments", "app"]), (), compare_configs=False)
        trigger = {"badKey": bad.key, "targetKey": good.key}
        rollback = {
            "metadata": {"name": "back", "namespace": "shop", "uid": "r", "generation": 1},
            "spec": {"service": "app", "to": {"lastGood": True}, "trigger": trigger},
        }
        self.api.log.clear()
        return self.api.put("rollbacks", rollback)

    @property
    def image(self) -> str:
        template = self.api.objects["deployments", "app"]["spec"]["template"]
        return str(template["spec"]["containers"][0]["image"])

    @property
    def failed(self) -> str:
        status = self.api.objects["rollbacks", "back"].get("status") or {}
        return str(status["conditions"][0]["reason"]) if status.get("phase") == "Failed" else ""


async def test_all_is_documented_and_rehearsed_before_the_one_patch() -> None:
    world = World()
    body = await world.prepare()

    await world.rollbacks.carry_on(body, world.service)

    log = world.api.log
    assert world.image == "app:v1"
    assert log.count("patch") == 1
    for before in ("create controllerrevisions", "status Identified", "status Prepared", "dry-run"):
        assert log.index(before) < log.index("patch"), log
    # The running state is kept before it is said to be.
    assert log.index("create controllerrevisions") < log.index("status Prepared")
    assert log.index("patch") < log.index("status Executed")


@pytest.mark.parametrize("step", ["Identified", "Prepared"])
async def test_a_release_while_a_step_is_written_is_left_alone(step: str) -> None:
    world = World()
    body = await world.prepare()

    def release(verb: str, status: Any) -> None:
        if verb == "status rollbacks" and [s["name"] for s in status["steps"] if s["state"] == "Done"][-1:] == [step]:
            world.api.put("deployments", deployment("v3"))

    world.api.during = release
    await world.rollbacks.carry_on(body, world.service)
    assert world.image == "app:v3"
    assert world.failed == "Superseded"


async def test_a_release_in_the_last_moment_is_left_alone() -> None:
    world = World()
    body = await world.prepare()

    def release(verb: str, _: Any) -> None:
        if verb == "patch" and world.image == "app:v2":
            world.api.put("deployments", deployment("v3"))

    world.api.during = release
    await world.rollbacks.carry_on(body, world.service)
    assert world.image == "app:v3"
    assert world.failed == "Superseded"


async def test_a_change_of_no_account_is_rehearsed_anew_and_patched_once() -> None:
    world = World()
    body = await world.prepare()
    touched: list[str] = []

    def touch(verb: str, _: Any) -> None:
        if verb == "dry-run" and not touched:
            touched.append(verb)
            world.api.put("deployments", {**deployment("v2"), "status": {"replicas": 1}})

    world.api.during = touch
    await world.rollbacks.carry_on(body, world.service)
    assert world.image == "app:v1"
    assert world.api.log.count("patch") == 1
    assert world.api.log.count("dry-run") == 2


async def test_nothing_is_put_back_when_the_service_could_not_be_told() -> None:
    world = World()
    body = await world.prepare()

    async def fails() -> None:
        await asyncio.sleep(3 * TURN)
        raise ClusterError(500, "no")

    telling = asyncio.ensure_future(fails())
    with pytest.raises(ClusterError):
        await world.rollbacks.carry_on(body, world.service, telling)
    assert world.image == "app:v2"
    assert "patch" not in world.api.log


async def test_what_was_found_whole_is_used_and_not_what_somebody_made_of_it_since() -> None:
    """The API server takes no change of a ControllerRevision's data: it was deleted, and another has its name."""
    world = World()
    body = await world.prepare()
    snapshot = world.service.memory.ledger[0].snapshot

    def alter(verb: str, status: Any) -> None:
        if verb == "status rollbacks" and status["steps"][1]["state"] == "Pending":
            world.api.objects["controllerrevisions", snapshot]["data"]["template"]["spec"]["containers"] = []

    world.api.during = alter
    await world.rollbacks.carry_on(body, world.service)
    assert world.image == "app:v1"


async def test_one_that_was_altered_before_the_next_pass_is_not_used() -> None:
    world = World()
    body = await world.prepare()
    body["spec"]["needsApproval"] = world.api.objects["rollbacks", "back"]["spec"]["needsApproval"] = True
    await world.rollbacks.carry_on(body, world.service)
    snapshot = world.service.memory.ledger[0].snapshot
    world.api.objects["controllerrevisions", snapshot]["data"]["template"]["spec"]["containers"] = []
    world.api.objects["rollbacks", "back"]["spec"]["approval"] = "Approved"
    await world.rollbacks.carry_on(copy.deepcopy(world.api.objects["rollbacks", "back"]), world.service)
    assert world.image == "app:v2"
    assert world.failed == "ConfigGone"


async def test_waits_for_a_person_without_asking_what_would_be_patched() -> None:
    world = World()
    body = await world.prepare()
    body["spec"]["needsApproval"] = world.api.objects["rollbacks", "back"]["spec"]["needsApproval"] = True
    after, _ = await world.rollbacks.carry_on(body, world.service)
    assert after["status"]["phase"] == "AwaitingApproval"
    assert "dry-run" not in world.api.log
    world.api.objects["rollbacks", "back"]["spec"]["approval"] = "Approved"
    await world.rollbacks.carry_on(copy.deepcopy(world.api.objects["rollbacks", "back"]), world.service)
    assert world.image == "app:v1"
    assert world.api.log.index("dry-run") < world.api.log.index("patch")


async def test_restarted_at_any_turn_it_patches_once() -> None:
    for turns in range(12):
        world = World()
        body = await world.prepare()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((turns + 0.5) * TURN):
                await world.rollbacks.carry_on(body, world.service)
        again = copy.deepcopy(world.api.objects["rollbacks", "back"])
        await world.rollbacks.carry_on(again, world.service)
        assert world.image == "app:v1"
        assert world.api.log.count("patch") == 1, (turns, world.api.log)


async def at_once_begun(world: World, body: Object) -> Object:
    """A Rollback that is written while its first look is taken, and carried on with what that saw."""
    facts = await world.rollbacks.first_look(body, world.service)
    assert "create controllerrevisions" in world.api.log
    after, _ = await world.rollbacks.carry_on(body, world.service, None, facts)
    return after


async def test_one_write_tells_of_what_was_ready_when_it_began() -> None:
    world = World()
    told: list[tuple[str, str]] = []
    world.events.tell = lambda _regarding, _kind, reason, message: told.append((reason, message))  # type: ignore[method-assign]
    after = await at_once_begun(world, await world.prepare())

    assert world.image == "app:v1"
    assert "status Identified" not in world.api.log
    assert world.api.log.index("status Prepared") < world.api.log.index("patch")
    assert [reason for reason, _ in told] == ["Identified", "Prepared", "Executed"]
    status = after["status"]
    assert [(step["name"], step["state"]) for step in status["steps"][:3]] == [
        ("Identified", "Done"),
        ("Prepared", "Done"),
        ("Executed", "Done"),
    ]
    assert status["steps"][0]["message"] == "v1 (revision 1) was seen to be good"
    assert status["from"]["snapshot"] in status["steps"][1]["message"]
    assert status["from"]["templateHash"]
    assert status["to"]["snapshot"] == world.service.memory.ledger[0].snapshot
    assert status["startedAt"]
    assert "app:v1" in str(status["diff"])
    kept = world.api.objects["controllerrevisions", status["from"]["snapshot"]]
    assert kept["data"]["template"]["spec"]["containers"][0]["image"] == "app:v2"


async def test_begun_at_once_and_restarted_at_any_turn_it_patches_once() -> None:
    for turns in range(9):
        world = World()
        body = await world.prepare()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout((turns + 0.5) * TURN):
                await at_once_begun(world, body)
        again = copy.deepcopy(world.api.objects["rollbacks", "back"])
        await world.rollbacks.carry_on(again, world.service)
        assert world.image == "app:v1"
        assert world.api.log.count("patch") == 1, (turns, world.api.log)


async def test_begun_at_once_a_release_meanwhile_is_left_alone() -> None:
    for verb in ("status rollbacks", "dry-run", "patch"):
        world = World()
        body = await world.prepare()

        def release(seen: str, _: Any, world: World = world, verb: str = verb) -> None:
            if seen == verb and world.image == "app:v2":
                world.api.put("deployments", deployment("v3"))

        world.api.during = release
        await at_once_begun(world, body)
        assert world.image == "app:v3"
        assert world.failed == "Superseded"


@pytest.mark.parametrize(
    "changed", [{"needsApproval": True}, {"trigger": {"badKey": "of-another-revision", "targetKey": "x"}}]
)
async def test_what_waits_or_no_longer_applies_keeps_nothing_at_the_first_look(changed: Object) -> None:
    world = World()
    body = await world.prepare()
    facts = await world.rollbacks.first_look({**body, "spec": {**body["spec"], **changed}}, world.service)
    assert facts.snapshot == ("", "")
    assert world.api.log == []
