"""CPU of one HTTP+JSON probe on a fresh connection, scheduling and verdict included, beside a bare protocol."""

import asyncio
import json
import time
from typing import Any

import uvloop
from tests.bench.driver import Row, Target, at_most

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.probes import Probe
from lastgood.cli.run import calm_collector
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.status import plan_of
from lastgood.history.memory import Memory
from lastgood.probes.factory import Probes
from lastgood.services.controller import Controller
from lastgood.services.fleet import TICK, Slot
from lastgood.services.metrics import Metrics
from lastgood.services.minutes import Minutes
from lastgood.services.table import Service, Table

RATE = 333


def _spec(url: str) -> dict[str, Any]:
    http = {"url": url, "json": [{"path": "$.status", "equals": "ok"}]}
    return {"targetRef": {"name": "x"}, "probes": [{"name": "health", "interval": "30s", "http": http}]}


def _controller(probes: Probes, url: str, count: int, interval: float) -> Controller:
    table = Table()
    metrics = Metrics()
    controller = Controller(
        cluster=None,  # type: ignore[arg-type]
        table=table,
        factory=probes,
        metrics=metrics,
        sources=None,  # type: ignore[arg-type]
        minutes=Minutes(Memory(), metrics),
    )
    raw = _spec(url)
    spec = MonitoredServiceSpec.model_validate(raw)
    for number in range(count):
        key = ("bench", f"s{number}")
        service = Service(key=key, uid=str(number), generation=1, plan=plan_of(spec), spec=b"", status={}, loaded=True)
        table.put_service(service)
        probe = probes.prepare(Probe.model_validate(raw["probes"][0]), {})
        controller.fleet.put(key, [Slot(key=key, name="health", kind="http", probe=probe, interval=interval)])
    return controller


async def _fleet(url: str, seconds: float, count: int, interval: float) -> tuple[float, float]:
    probes = Probes(AddressPolicy.of(allow_loopback=True))
    controller = _controller(probes, url, count, interval)
    reasons = controller._metrics.probes["http"].reasons
    task = asyncio.create_task(controller.fleet.run())
    await asyncio.sleep(min(interval, 3) + 1)
    cpu, clock, before = time.process_time(), time.monotonic(), reasons[ProbeReason.OK]
    await asyncio.sleep(seconds)
    cpu, clock, done = time.process_time() - cpu, time.monotonic() - clock, reasons[ProbeReason.OK] - before
    assert set(reasons) == {ProbeReason.OK}, reasons
    task.cancel()
    return cpu / done * 1e6, done / clock


class _Bare(asyncio.Protocol):
    def __init__(self, done: asyncio.Future[bytes]) -> None:
        self.done, self.data = done, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(self.data)


async def _bare_once(port: int) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    await loop.create_connection(lambda: _Bare(done), "127.0.0.1", port)
    head, _, body = (await done).partition(b"\r\n\r\n")
    assert head[9:12] == b"200"
    assert json.loads(body)["status"] == "ok"


async def _bare(port: int, seconds: float) -> float:
    """The same rate in the same ticks, with nothing but a protocol."""
    tasks: set[asyncio.Task[None]] = set()
    cpu, began, started = time.process_time(), time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while started < passed * RATE:
            started += 1
            task = asyncio.create_task(_bare_once(port))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(TICK)
    await asyncio.gather(*tasks)
    return (time.process_time() - cpu) / started * 1e6


async def _bare_saturated(port: int, seconds: float) -> float:
    done = 0
    cpu, began = time.process_time(), time.monotonic()

    async def worker() -> None:
        nonlocal done
        while time.monotonic() - began < seconds:
            await _bare_once(port)
            done += 1

    await asyncio.gather(*(worker() for _ in range(64)))
    return (time.process_time() - cpu) / done * 1e6


async def _saturated(url: str, seconds: float) -> float:
    """As many as one core makes: 64 workers that probe and judge one after the other."""
    probes = Probes(AddressPolicy.of(allow_loopback=True))
    controller = _controller(probes, url, 64, 3600)
    slots = [slot for slots in controller.fleet._slots.values() for slot in slots]
    done = 0
    cpu, began = time.process_time(), time.monotonic()

    async def worker(slot: Slot) -> None:
        nonlocal done
        while time.monotonic() - began < seconds:
            outcome = await slot.probe.run()
            controller.evidence.outcome(slot.key, slot.name, slot.kind, outcome)
            done += 1

    await asyncio.gather(*(worker(slot) for slot in slots))
    return (time.process_time() - cpu) / done * 1e6


def run(rounds: int = 7, seconds: float = 4) -> list[Row]:
    """Rows of figure and value; medians over rounds that alternate."""
    ours, bare, full, bare_full = [], [], [], []
    # As the operator does; the bare protocol has the same of it.
    calm_collector()
    with Target() as target:
        url = f"http://127.0.0.1:{target.ok}/health"
        for _ in range(rounds):
            ours.append(uvloop.run(_fleet(url, seconds, RATE * 3, 3.0))[0])
            bare.append(uvloop.run(_bare(target.ok, seconds)))
            full.append(uvloop.run(_saturated(url, seconds / 2)))
            bare_full.append(uvloop.run(_bare_saturated(target.ok, seconds / 2)))
    middle = rounds // 2
    ratio = sorted(a / b for a, b in zip(ours, bare, strict=True))[middle]
    # By the core's own time: what else runs on the machine takes from a clock on the wall.
    speed = 1e6 / sorted(full)[middle]
    return [
        at_most(f"CPU a probe at {RATE}/s, scheduling and verdict included", sorted(ours)[middle], 150, " µs"),
        Row("the same by a bare asyncio + uvloop protocol that checks the same JSON", f"{sorted(bare)[middle]:.0f} µs"),
        at_most("ratio of the two, round by round", ratio, 1.5, "", ".2f"),
        at_most("CPU a probe, saturated, verdict included", sorted(full)[middle], 100, " µs"),
        Row("probes in a second of one core, saturated", f"{speed:.0f}", "≥ 8000", speed >= 8000),
        Row("CPU of the bare protocol, saturated", f"{sorted(bare_full)[middle]:.0f} µs"),
    ]
