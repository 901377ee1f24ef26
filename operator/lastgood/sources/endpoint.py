"""The metrics endpoint of a target's pods, scraped once for all objectives that are read from it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from httpx import URL

from lastgood.api.sources import ScrapeSource as ScrapeSpec
from lastgood.domain.measure import Nothing, Silence
from lastgood.domain.ports import ClusterError
from lastgood.domain.sources import PodSeen, Target
from lastgood.probes.base import Progress
from lastgood.probes.request import RequestHeader
from lastgood.probes.values import Values, certificates
from lastgood.sources.base import Quiet, nothing_of
from lastgood.sources.exposition import NotExposition, Parser, Reading
from lastgood.sources.fetch import Web, bearer, check_status, fetch, pieces, prepare, tls_of

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of one pod's answer, as sent and unpacked."""

PARALLEL = 10
"""Pods of one target that are scraped at the same time."""

_PODS_SHARE, _WAIT_SHARE = 0.9, 0.95
"""Of the time for a sample: until pods that have not answered are given up, and until what there is is taken."""

_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=1.0.0;q=0.5,"
    "text/plain;version=0.0.4;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
)
"""Names with dots as they are, as Prometheus 3 asks for them. No protobuf, in which alone histograms can be native."""


@dataclass(slots=True, eq=False)
class Round:
    """One scrape of all pods. It fills while it goes on: who cannot wait longer takes what there is."""

    began: float
    names: frozenset[str]
    pods: Sequence[PodSeen] = ()
    nothing: Nothing | None = None
    """Why no pod was asked."""
    readings: dict[str, Reading] = field(default_factory=dict)
    """By pod uid."""
    silent: dict[str, Nothing] = field(default_factory=dict)
    """Why a pod told nothing, by its uid."""


class Endpoint:
    """One port and path of one target's pods. ``close`` is for who makes endpoints."""

    def __init__(self, spec: ScrapeSpec, values: Values, target: Target, web: Web) -> None:
        """Prepare. Raises BadProbe."""
        self._spec, self._values, self._target, self._web = spec, values, target, web
        self._headers = [
            RequestHeader("Accept", _ACCEPT, private=False),
            RequestHeader("Accept-Encoding", "gzip", private=False),
        ]
        if spec.bearer_token is not None:
            self._headers.append(bearer(spec.bearer_token, values))
        # Held for as long as the endpoint is: a context that nobody holds is made anew each time.
        self._tls = (
            tls_of(spec.tls, values, host="localhost", contexts=web.contexts) if spec.scheme == "https" else None
        )
        prepare(self._url("127.0.0.1"), self._headers, values, web=web, tls=spec.tls)
        self._members: dict[object, tuple[frozenset[str], float]] = {}
        self._oldest = 0.0
        self._round: Round | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, member: object, names: frozenset[str], timeout: float) -> None:
        """Count in who reads these names, within this time."""
        self._members[member] = (names, timeout)

    def leave(self, member: object) -> bool:
        """Count out, and say whether anybody is left."""
        self._members.pop(member, None)
        return bool(self._members)

    def close(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()

    async def read(self, member: object, *, max_age: float) -> Round:
        """Scrape, or take a scrape that is at most ``max_age`` seconds old or under way.

        Comes back within the member's own time, with what there is by then.
        """
        names, timeout = self._members[member]
        loop = asyncio.get_running_loop()
        current, task = self._round, self._task
        if (
            current is None
            or task is None
            or not names <= current.names
            or (task.done() and loop.time() - current.began > max_age)
        ):
            wanted = frozenset().union(*(names for names, _ in self._members.values()))
            current = self._round = Round(loop.time(), wanted)
            longest = max(timeout for _, timeout in self._members.values())
            task = self._task = loop.create_task(self._scrape(current, _PODS_SHARE * longest), name="scrape")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Held no longer than anybody may want it: ten thousand services have much to tell.
            self._oldest = max(self._oldest, max_age) if len(self._members) > 1 else 0.0
            task.add_done_callback(lambda _: loop.call_later(self._oldest, self._forget, current))
        await asyncio.wait({task}, timeout=_WAIT_SHARE * timeout)
        return current

    def _forget(self, past: Round) -> None:
        if self._round is past:
            self._round = None

    async def _scrape(self, current: Round, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                current.pods = await self._target.pods()
        except ClusterError:
            current.nothing = Nothing(Silence.SOURCE_DOWN, "the pods could not be listed")
            return
        except TimeoutError:
            current.nothing = Nothing(Silence.TIMEOUT, "the pods were not listed in time")
            return
        ready = [pod for pod in current.pods if pod.ready and pod.ip]
        if not ready:
            detail = "none of the pods is ready" if current.pods else "there are no pods"
            current.nothing = Nothing(Silence.NO_PODS, detail)
            return
        # With more pods than are asked at a time, each has its share: those that hang leave some for the others.
        left = timeout - (asyncio.get_running_loop().time() - current.began)
        share = max(left, 0.01) / -(-len(ready) // PARALLEL)
        places = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as group:
            for pod in ready:
                group.create_task(self._pod(pod, current, share, places))

    async def _pod(self, pod: PodSeen, current: Round, seconds: float, places: asyncio.Semaphore) -> None:
        async with places:
            progress = Progress(seconds)
            deadline = asyncio.timeout(seconds)
            try:
                async with deadline:
                    current.readings[pod.uid] = await self._ask(pod, current.names, progress)
            except NotExposition as wrong:
                current.silent[pod.uid] = Nothing(Silence.NOT_UNDERSTOOD, str(wrong))
            except Exception as error:  # noqa: BLE001 - one pod must not end the scrape of the others
                current.silent[pod.uid] = nothing_of(progress.timed_out() if deadline.expired() else error)

    async def _ask(self, pod: PodSeen, names: frozenset[str], progress: Progress) -> Reading:
        url = self._url(pod.ip)
        request = prepare(url, self._headers, self._values, web=self._web, tls=self._spec.tls)
        answer = await fetch(request, self._web, progress, limit=BODY_LIMIT)
        check_status(answer.status)
        kind = answer.content_type.split(b";")[0].strip().lower()
        if kind in {b"text/html", b"application/json"} or b"protobuf" in kind:
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is of a type in which no metrics are written")
        parser = Parser(names)
        for piece in pieces(answer, limit=BODY_LIMIT):
            parser.feed(piece)
            # Each piece takes milliseconds; others are to have their turn before the next.
            await asyncio.sleep(0)
        return parser.end(openmetrics=kind == b"application/openmetrics-text", framed=answer.framed)

    def _url(self, ip: str) -> URL:
        host = f"[{ip}]" if ":" in ip else ip
        return URL(f"{self._spec.scheme}://{host}:{self._spec.port}{self._spec.path}")


class Endpoints:
    """Endpoints by what they are, for as long as anybody reads them. Belongs to one event loop."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._known: dict[tuple[object, ...], Endpoint] = {}

    def join(
        self,
        member: object,
        spec: ScrapeSpec,
        values: Values,
        target: Target,
        *,
        names: frozenset[str],
        timeout: float,
    ) -> tuple[Endpoint, Callable[[], None]]:
        """The endpoint of this target, and what lets go of it again. Raises BadProbe."""
        token = bearer(spec.bearer_token, values).value if spec.bearer_token is not None else ""
        ca = certificates(spec.tls.ca, values) if spec.tls is not None and spec.tls.ca is not None else b""
        key = (target.namespace, target.service, target.deployment, spec.model_dump_json(), token, ca)
        endpoint = self._known.get(key)
        if endpoint is None:
            endpoint = self._known[key] = Endpoint(spec, values, target, self._web)
        endpoint.join(member, names, timeout)

        def leave() -> None:
            if not endpoint.leave(member) and self._known.get(key) is endpoint:
                del self._known[key]
                endpoint.close()

        return endpoint, leave
