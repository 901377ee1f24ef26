"""Two Restores of one shop, looked at in any order, by processes that die at any write, with jobs that end in any way."""

import asyncio
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.unit.restores.api import Api, Killed, Process, all_well, drive, fails, restore, stage

from lastgood.domain.restores.advance import Do, advance
from lastgood.domain.restores.observed import backups_seen, restore_seen, schedule_seen
from lastgood.domain.restores.state import World
from lastgood.services.restores.world import RestoreWorld
from lastgood.services.table import Table

DIES: Any = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}, "ok": False}
MODES = st.sampled_from(["swap", "inPlace"])
ENDS = st.dictionaries(
    st.sampled_from(["verify", "safety", "restore", "validate", "swap"]), st.sampled_from(["fails", "dies"]), max_size=1
)


def job_of(ends: dict[str, str]) -> Any:
    def job(task: str) -> Any:
        how = ends.get(task, "well")
        return {"fails": lambda: fails(task), "dies": lambda: DIES, "well": lambda: all_well(task)}[how]()

    return job


def watch(api: Api, modes: dict[str, str]) -> None:
    """What must hold after every write."""

    def check() -> None:
        seen = [restore_seen(r) for r in api.all("restores")]
        assert sum(r.holds for r in seen) <= 1, "two Restores of one target at once"
        replicas = api.has("deployments", "shop")["spec"]["replicas"]
        whole = True
        for job in sorted(api.all("jobs"), key=lambda j: int(j["metadata"]["resourceVersion"])):
            task, owner = job["metadata"]["labels"]["lastgood.dev/task"], job["metadata"]["ownerReferences"][0]["name"]
            complete = {c["type"] for c in (job.get("status") or {}).get("conditions") or ()} == {"Complete"}
            if modes[owner] == "inPlace" and task == "restore":
                whole = False
            if complete and task == {"inPlace": "validate", "swap": "swap"}[modes[owner]]:
                whole = True
        assert whole or not replicas, "the shop runs on half a database"

    api.check = check


@settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    modes=st.tuples(MODES, MODES),
    ends=ENDS,
    deaths=st.lists(st.integers(1, 60), max_size=3),
    order=st.lists(st.sampled_from(["first", "second", "tick"]), max_size=40),
)
def test_never_two_and_never_half(
    modes: tuple[str, str], ends: dict[str, str], deaths: list[int], order: list[str]
) -> None:
    async def story() -> None:
        api = stage()
        for name, mode in zip(("first", "second"), modes, strict=True):
            api.put("restores", restore(name, into={mode: True}))
        watch(api, {"first": modes[0], "second": modes[1]})
        remaining = sorted(set(deaths))
        process = Process(api)
        for turn in order:
            api.die_after = next((d for d in remaining if d > len(api.writes)), 0)
            if turn == "tick":
                api.tick(job_of(ends))
                continue
            try:
                await process.look(turn)
            except Killed:
                process = Process(api)
        api.die_after = 0
        await drive(api, job_of(ends), "first", "second", turns=120)
        phases = [api.has("restores", n)["status"]["phase"] for n in ("first", "second")]
        if not ends or not _reached(ends, modes):
            assert phases == ["Succeeded", "Succeeded"]
        assert all(phase in {"Succeeded", "Failed"} for phase in phases), "each ends"
        count = len(api.writes)
        await drive(api, job_of(ends), "first", "second")
        assert len(api.writes) == count, "idle once its actions are observed"

    with capture_logs():
        asyncio.run(story())


def _reached(ends: dict[str, str], modes: tuple[str, str]) -> bool:
    return set(ends) != {"swap"} or "swap" in modes


@settings(deadline=None, max_examples=25)
@given(modes=MODES, steps=st.integers(0, 12))
def test_the_same_follows_from_the_same(modes: str, steps: int) -> None:
    async def story() -> None:
        api = stage()
        api.put("restores", restore(into={modes: True}))
        process = Process(api)
        for _ in range(steps):
            await process.look()
            api.tick(all_well)
        body = api.has("restores", "back")
        case = await RestoreWorld(api, Table()).look(restore_seen(body), body)  # type: ignore[arg-type]
        asked = {
            "restore": case.restore,
            "schedule": case.schedule,
            "backups": case.backups,
            "world": case.world,
            "now": case.now,
        }
        assert advance(**asked) == advance(**asked)  # type: ignore[arg-type]

    with capture_logs():
        asyncio.run(story())


def test_nothing_known_changes_nothing() -> None:
    api = stage()
    seen = restore_seen(api.put("restores", restore()))
    todo = advance(restore=seen, schedule=None, backups={}, world=World(), now=0)
    assert (todo.do, todo.reason) == (Do.FAIL, "ScheduleNotFound")
    there = schedule_seen(api.has("backupschedules", "db"))
    todo = advance(restore=seen, schedule=there, backups=backups_seen([]), world=World(), now=0)
    assert (todo.do, todo.reason, todo.way_back) == (Do.FAIL, "TargetNotFound", "nothing was changed")
