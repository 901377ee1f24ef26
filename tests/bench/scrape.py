"""What scraping 2,000 series costs, beside the parsers alone: CPU of this process, medians of one run."""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from tests.bench.driver import Row

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.measure import Counts, Spread
from lastgood.domain.sources import PodSeen, Target
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts
from lastgood.sources.exposition import Parser
from lastgood.sources.http_sources import HttpSources

ROUNDS = 30
_BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
_PATHS, _OTHERS = 100, 300


def page(*, openmetrics: bool) -> str:
    """2,000 series: a histogram of 1,400, a counter of 300, and 300 that no objective looks at."""
    lines = ["# HELP latency_seconds How long requests take.", "# TYPE latency_seconds histogram"]
    for path in range(_PATHS):
        labels = f'method="GET",path="/api/v1/items/{path}"'
        lines += [f'latency_seconds_bucket{{{labels},le="{le}"}} {path + n}.0' for n, le in enumerate(_BOUNDS)]
        count = path + len(_BOUNDS) - 1
        lines += [f"latency_seconds_count{{{labels}}} {count}.0", f"latency_seconds_sum{{{labels}}} {path / 7}"]
    lines += ["# HELP requests Requests.", f"# TYPE requests{'' if openmetrics else '_total'} counter"]
    for path in range(_PATHS):
        lines += [f'requests_total{{code="{c}",path="/api/v1/items/{path}"}} {path}.0' for c in (200, 404, 500)]
    for number in range(_OTHERS):
        lines += [f"# TYPE other_{number} gauge", f'other_{number}{{pool="p"}} {number / 3}']
    return "\n".join([*lines, *(["# EOF"] if openmetrics else [])]) + "\n"


def _serve(ready: Any, body: bytes) -> None:
    async def main() -> None:
        wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n" % len(body)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(wire + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


@contextmanager
def _endpoint(body: bytes) -> Iterator[int]:
    """In a process of its own, so that what it costs is not counted."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, body), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _objective(indicator: dict[str, Any], port: int) -> ServiceLevelObjectiveSpec:
    return ServiceLevelObjectiveSpec.model_validate(
        {"source": {"scrape": {"port": port}}, "indicator": indicator, "target": {"below": "1"}}
    )


def _alone(work: Callable[[], object]) -> float:
    work()
    costs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        costs.append(time.process_time() - began)
    return statistics.median(costs)


async def _scraped(indicators: list[dict[str, Any]], port: int) -> float:
    """Seconds of CPU for one scrape and all that is made of it."""

    async def pods() -> list[PodSeen]:
        return [PodSeen("p", "u", "127.0.0.1")]

    resolver = Resolver(AddressPolicy.of(allow_loopback=True))
    factory, target = HttpSources(resolver, TlsContexts()), Target("n", "s", "d", pods)
    sources = [factory.prepare(_objective(indicator, port), {}, target) for indicator in indicators]
    costs = []
    for number in range(ROUNDS + 2):
        began = time.process_time()
        for source in sources:
            assert source is not None
            if source is sources[0]:
                # A new scrape each time, which the others then share.
                source._max_age = -1.0  # type: ignore[attr-defined]
            told = await source.sample()
            assert not number or isinstance(told, Counts | Spread), told
        costs.append(time.process_time() - began)
    for source in sources:
        assert source is not None
        await source.aclose()
    await resolver.aclose()
    return statistics.median(costs[2:])


def run() -> Iterator[Row]:
    """Figures, and their ratios."""
    text, openmetrics = page(openmetrics=False), page(openmetrics=True)
    body = text.encode()
    names = frozenset({"latency_seconds_bucket", "latency_seconds_sum", "latency_seconds_count", "requests_total"})

    def ours() -> object:
        parser = Parser(names)
        parser.feed(body)
        return parser.end(openmetrics=False, framed=True)

    parsers = {
        "prometheus-client's parser alone": _alone(lambda: list(text_families(text))),
        "prometheus-client's OpenMetrics parser alone": _alone(lambda: list(openmetrics_families(openmetrics))),
        "own parser alone, 1,700 series wanted": _alone(ours),
    }
    ratio = {"ratio": {"bad": {"metric": "requests", "labels": {"code": "5.."}}, "total": {"metric": "requests"}}}
    quantile = {"quantile": {"of": "95%", "series": {"metric": "latency_seconds"}}}
    with _endpoint(body) as port:
        scrapes = {
            "scrape for a ratio of 300 series": uvloop.run(_scraped([ratio], port)),
            "scrape for a quantile of 1,400 series": uvloop.run(_scraped([quantile], port)),
            "scrape for both, shared": uvloop.run(_scraped([ratio, quantile], port)),
        }
    for what, cost in parsers.items():
        yield Row(what, f"{cost * 1000:.1f} ms")
    first, _, own = parsers.values()
    for what, cost in scrapes.items():
        yield Row(
            what,
            f"{cost * 1000:.1f} ms, {cost / first:.2f} of prometheus-client's parser, {cost / own:.2f} of the own",
            "≤ 1.5 of the parser",
            cost / first <= 1.5,
        )
