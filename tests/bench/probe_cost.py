"""CPU time of one HTTP probe with a JSON assertion, on a fresh connection each time.

Beside it, driven the same way in the same run: a bare protocol that cuts the answer up by hand and has no deadline, no
redirects, no limits, no reasons; and a coroutine that does nothing, for what the driver itself costs. The server is a
process of its own on another core. Rounds alternate, and medians are shown: the machine may be busy with other things.

    python tests/bench/probe_cost.py [--rounds 5] [--seconds 4] [--rate 333] [--tick 0.05] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.factory import Probes

BODY = b'{"status":"ok","checks":{"db":"up","cache":"up"},"version":"1.2.3"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
SERVER_CORE, CLIENT_CORE = 1, 0
Run = Callable[[], Awaitable[Any]]


def pin(core: int) -> None:
    """Stay on one core, where there are several."""
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[core % len(available)]})


class Answering(asyncio.Protocol):
    """The server: one answer, then it hangs up."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)
            self.transport.close()


async def serve() -> None:
    listener = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=4096)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Bare(asyncio.Protocol):
    """The least that asks and reads."""

    __slots__ = ("answer", "data", "request", "transport")

    def __init__(self, request: bytes, answer: "asyncio.Future[bytes]") -> None:
        self.request, self.answer, self.data = request, answer, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(self.data)


def bare(port: int) -> Run:
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port

    async def run() -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        await loop.create_connection(lambda: Bare(request, answer), "127.0.0.1", port)
        head, _, body = (await answer).partition(b"\r\n\r\n")
        assert head[9:12] == b"200"
        assert json.loads(body)["status"] == "ok"

    return run


def lastgood(probes: Probes, port: int) -> Run:
    spec = ProbeSpec.model_validate(
        {
            "name": "health",
            "http": {"url": f"http://127.0.0.1:{port}/health", "json": [{"path": "$.status", "equals": "ok"}]},
        }
    )
    probe = probes.prepare(spec, {})

    async def run() -> None:
        outcome = await probe.run()
        assert outcome.reason is ProbeReason.OK, outcome

    return run


async def nothing() -> None:
    """Cost what the driver costs."""


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def ticks(run: Run, *, seconds: float, rate: float, tick: float) -> float:
    """CPU microseconds a probe, with ``rate`` probes a second started in ticks."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[Any]] = set()
    count, owed, started, before = 0, 0.0, loop.time(), cpu()
    for number in range(int(seconds / tick)):
        await asyncio.sleep(max(0.0, started + number * tick - loop.time()))
        owed += rate * tick
        while owed >= 1:
            owed -= 1
            count += 1
            task = loop.create_task(run())  # type: ignore[arg-type]
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return (cpu() - before) / count * 1e6


async def saturated(run: Run, *, seconds: float, together: int = 64) -> tuple[float, float]:
    """CPU microseconds a probe, and probes a second, as fast as one core goes."""
    count, started, before = 0, time.perf_counter(), cpu()

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() - started < seconds:
            await run()
            count += 1

    await asyncio.gather(*(worker() for _ in range(together)))
    return (cpu() - before) / count * 1e6, count / (time.perf_counter() - started)


async def measure(port: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    probes = Probes(AddressPolicy.of(allow_loopback=True))
    kinds: dict[str, Run] = {"driver alone": nothing, "bare protocol": bare(port), "lastgood": lastgood(probes, port)}
    figures: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for run in kinds.values():
        await saturated(run, seconds=0.3)
    for _ in range(options.rounds):
        for kind, run in kinds.items():
            ticked = await ticks(run, seconds=options.seconds, rate=options.rate, tick=options.tick)
            # Doing nothing is too quick for a loop that waits for the clock: it is measured in ticks only.
            full, rate = (0.0, 0.0) if run is nothing else await saturated(run, seconds=options.seconds / 2)
            figures[kind].append((ticked, full, rate))
    await probes.aclose()
    names = ("ticks_cpu_us", "saturated_cpu_us", "saturated_per_second")
    # The rate is what this machine gave meanwhile; a core of its own gives a second over saturated_cpu_us.
    return {
        kind: dict(zip(names, (round(statistics.median(column), 1) for column in zip(*rows, strict=True)), strict=True))
        for kind, rows in figures.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=333.0)
    parser.add_argument("--tick", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        pin(SERVER_CORE)
        uvloop.run(serve())
        return
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    try:
        pin(CLIENT_CORE)
        assert server.stdout is not None
        figures = uvloop.run(measure(int(server.stdout.readline()), options))
    finally:
        server.terminate()
        server.wait()
    ratio = {
        key: round(figures["lastgood"][key] / figures["bare protocol"][key], 2)
        for key in ("ticks_cpu_us", "saturated_cpu_us")
    }
    print(
        f"{options.rate:g} probes a second in ticks of {options.tick * 1000:g} ms, medians of {options.rounds} rounds"
    )
    print(f"{'':16}{'ticks, µs CPU':>16}{'saturated, µs':>16}{'saturated, 1/s':>16}")
    for kind, row in figures.items():
        cells = [row["ticks_cpu_us"], row["saturated_cpu_us"], row["saturated_per_second"]]
        print(f"{kind:16}" + "".join(f"{cell:16.1f}" if cell else f"{'-':>16}" for cell in cells))
    print(f"{'ratio to bare':16}{ratio['ticks_cpu_us']:16.2f}{ratio['saturated_cpu_us']:16.2f}")
    report = {"rate": options.rate, "tick_seconds": options.tick, "figures": figures, "ratio": ratio}
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
