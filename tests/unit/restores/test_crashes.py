"""The operator is killed after each of its writes, and another takes over: the restore ends as if nothing had been."""

from typing import Any

import pytest
from tests.unit.restores.api import (
    Api,
    all_well,
    claim,
    complete,
    drive,
    fails,
    restore,
    source,
    stage,
    stateful,
    steps,
    well,
)

HALF = {"restore"}


def watched(api: Api, mode: str) -> None:
    """Fail as soon as the shop is scaled up on data that is not whole."""

    def check() -> None:
        jobs = {j["metadata"]["labels"]["lastgood.dev/task"]: j for j in api.all("jobs")}
        ended = {t for t, j in jobs.items() if (j.get("status") or {}).get("conditions")}
        begun = "restore" in jobs and mode == "inPlace"
        half = begun and "validate" not in ended
        if mode == "swap" and "swap" in jobs and "swap" not in ended:
            half = True
        assert not (half and api.has("deployments", "shop")["spec"]["replicas"]), "the shop runs on half a database"

    api.check = check


def staged(mode: str) -> Api:
    if mode == "server":
        api = stage(source=source("wal"))
        for backup in api.all("backups"):
            backup["status"] |= {"method": "wal", "earliest": backup["status"]["point"]}
        api.put("statefulsets", stateful())
        api.put("persistentvolumeclaims", claim())
        server = {"statefulSet": "pg", "claim": "data-pg-0"}
        api.put("restores", restore(server=server, into={"inPlace": True}))
        api.tick(all_well)
        watched(api, "inPlace")
        return api
    api = stage()
    api.put("restores", restore(into={mode: True}))
    watched(api, mode)
    return api


async def undisturbed(mode: str) -> Api:
    api = staged(mode)
    await drive(api)
    return api


@pytest.mark.parametrize("mode", ["swap", "inPlace", "server"])
async def test_killed_after_each_write(mode: str) -> None:
    writes = (await undisturbed(mode)).writes
    assert len(writes) > 15
    for place in range(1, len(writes) + 1):
        api = staged(mode)
        api.die_after = place
        await drive(api)
        status = api.has("restores", "back")["status"]
        told = f"killed after write {place}, {writes[place - 1]}: {status}"
        assert status["phase"] == "Succeeded", told
        assert set(steps(api).values()) == {"Done"}, told
        assert api.has("deployments", "shop")["spec"]["replicas"] == 2, told
        assert api.has("deployments", "shop")["metadata"]["annotations"] == {"a": "b"}, told
        assert not api.has("restores", "back")["metadata"].get("finalizers"), told
        if mode == "server":
            assert api.has("statefulsets", "pg")["spec"]["replicas"] == 1, told
        # Nothing is made twice, and nothing is scaled twice.
        for verb, kind in (("create", "jobs"), ("patch", "deployments"), ("patch", "statefulsets")):
            made = [w for w in api.writes if w[:2] == (verb, kind)]
            assert len(made) == len([w for w in writes if w[:2] == (verb, kind)]), told


@pytest.mark.parametrize(
    ("mode", "task", "starts"),
    [
        ("swap", "verify", True),
        ("swap", "safety", True),
        ("swap", "restore", True),
        ("swap", "validate", True),
        ("swap", "swap", True),
        ("inPlace", "safety", True),
        ("inPlace", "restore", False),
        ("inPlace", "validate", False),
    ],
)
async def test_killed_after_each_write_of_a_restore_that_fails(mode: str, task: str, *, starts: bool) -> None:
    def job(name: str) -> Any:
        return fails(name) if name == task else all_well(name)

    calm = staged(mode)
    await drive(calm, job)
    expected = calm.has("restores", "back")["status"]
    assert complete(calm)["reason"] == "Unreachable"
    assert calm.has("deployments", "shop")["spec"]["replicas"] == (2 if starts else 0)
    for place in range(1, len(calm.writes) + 1):
        api = staged(mode)
        api.die_after = place
        await drive(api, job)
        status = api.has("restores", "back")["status"]
        assert (status["phase"], status["wayBack"]) == ("Failed", expected["wayBack"]), place
        assert steps(api) == steps(calm)
        assert api.has("deployments", "shop")["spec"]["replicas"] == (2 if starts else 0), place
        assert not api.has("restores", "back")["metadata"].get("finalizers")


async def test_nothing_more_is_written_once_it_has_ended_or_waits() -> None:
    api = await undisturbed("swap")
    count = len(api.writes)
    await drive(api)
    assert len(api.writes) == count
    waiting = stage()
    waiting.put("restores", restore(needsApproval=True))
    await drive(waiting)
    count = len(waiting.writes)
    for _ in range(3):
        await drive(waiting)
    assert len(waiting.writes) == count
    assert waiting.has("restores", "back")["status"]["phase"] == "AwaitingApproval"


@pytest.mark.parametrize("mode", ["swap", "inPlace"])
async def test_deleted_after_each_write(mode: str) -> None:
    """Nothing is left at 0 in silence, and nothing runs on half a database."""
    writes = (await undisturbed(mode)).writes
    for place in range(1, len(writes) + 1):
        api = staged(mode)
        api.die_after = place
        await _until_killed(api)
        if ("restores", "back") not in api.objects:
            continue
        body = api.has("restores", "back")
        if not body["metadata"].get("finalizers"):
            assert api.has("deployments", "shop")["spec"]["replicas"] == 2, place
            continue
        body["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        await drive(api)
        assert ("restores", "back") not in api.objects, f"held after write {place}"
        replicas = api.has("deployments", "shop")["spec"]["replicas"]
        begun = any(j["metadata"]["labels"]["lastgood.dev/task"] == "restore" for j in api.all("jobs"))
        if replicas == 0:
            assert any(reason == "LeftStopped" for _, reason, _ in api.events), place
            assert begun
        elif mode == "inPlace" and begun:
            assert all((j.get("status") or {}).get("conditions") for j in api.all("jobs"))


async def _until_killed(api: Api) -> None:
    from tests.unit.restores.api import Killed, Process

    process = Process(api)
    for _ in range(60):
        try:
            await process.look()
        except Killed:
            api.die_after = 0
            return
        api.tick(all_well)


async def test_deleted_where_the_workload_may_not_be_written() -> None:
    """The finalizer goes whatever comes of the scaling: it must not hold up a namespace."""
    api = staged("swap")
    api.die_after = next(n for n, w in enumerate((await undisturbed("swap")).writes, 1) if w[1] == "deployments")
    await _until_killed(api)
    api.has("restores", "back")["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    del api.objects["deployments", "shop"]
    await drive(api)
    assert ("restores", "back") not in api.objects


async def test_somebody_scales_the_shop_up_meanwhile() -> None:
    api = staged("inPlace")
    api.check = lambda: None
    scaled = []

    def job(task: str) -> Any:
        if task == "restore" and not scaled:
            scaled.append(task)
            api.has("deployments", "shop")["spec"]["replicas"] = 5
            return None
        return all_well(task)

    await drive(api, job)
    assert [r for _, r, _ in api.events].count("StoppedAgain") == 1
    assert api.has("deployments", "shop")["spec"]["replicas"] == 2, "what was before, not what was in between"
    assert well("x")["ok"]
