"""Instant queries at any server with the HTTP API of Prometheus."""

import base64
import json
import math
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from lastgood.api.objective import Indicator
from lastgood.api.sources import PrometheusSource as PrometheusSpec
from lastgood.api.sources import Series
from lastgood.domain.measure import Counts, Gauge, Sample, Silence
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Progress
from lastgood.probes.request import Request, RequestHeader
from lastgood.probes.values import Values, secret_text
from lastgood.sources.base import Quiet, TimedSource
from lastgood.sources.fetch import Web, bearer, check_status, extra_headers, fetch, pieces, prepare, url_of
from lastgood.sources.selection import code_in

_OURS = frozenset({"bad_data", "execution", "not_found", "not_acceptable"})
"""Kinds of error that speak of the query; those of the API that are not here or there are not shown."""

_THEIRS = frozenset({"timeout", "canceled", "internal", "unavailable", "too_many_requests"})

_STALE = 3.0
"""Intervals after which an answer is of another time."""

_SKEW = 10.0
"""Seconds by which clocks may differ."""

_DENIED = frozenset({401, 403, 407})


class PrometheusSource(TimedSource):
    """Asks one query; or two, which give events a second: bad or good ones, and all."""

    def __init__(
        self,
        spec: PrometheusSpec,
        indicator: Indicator,
        values: Values,
        *,
        interval: float,
        timeout: float,
        web: Web,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare. Raises BadProbe."""
        _, host, port = url_of(spec.url)
        super().__init__(timeout=timeout, host=f"{host}:{port}")
        self._web, self._interval, self._clock = web, interval, clock
        ratio = indicator.ratio
        self._good = ratio is not None and ratio.bad is None
        if ratio is not None:
            named = {"good" if self._good else "bad": ratio.bad or ratio.good, "total": ratio.total}
        else:
            named = {"value": indicator.value.series if indicator.value is not None else None}
        headers = _headers(spec, values)
        self._requests = {
            name: _request(spec, series, headers, values, web=web, timeout=timeout) for name, series in named.items()
        }

    async def look(self, progress: Progress) -> Sample:
        """Ask the one query, or one after the other."""
        answers = [await self._ask(name, request, progress) for name, request in self._requests.items()]
        numbers = [sum(value for _, value in points) for points in answers]
        if len(numbers) == 1:
            return Gauge(numbers[0])
        # Asked at two moments, one may be ahead of the other.
        total = max(numbers[1], 0.0)
        part = min(max(numbers[0], 0.0), total)
        bad = total - part if self._good else part
        codes: dict[int, float] = {}
        for code, value in answers[1]:
            if code is not None and value > 0:
                codes[code] = codes.get(code, 0) + value * self._interval
        return Counts(bad=bad * self._interval, total=total * self._interval, codes=codes or None)

    async def _ask(self, name: str, request: Request, progress: Progress) -> list[tuple[int | None, float]]:
        answer = await fetch(request, self._web, progress)
        if answer.status in _DENIED:
            check_status(answer.status)
        try:
            document = _json(b"".join(pieces(answer)))
        except (ValueError, RecursionError):
            check_status(answer.status)
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is not JSON") from None
        _check(document, answer.status)
        return self._numbers(name, document["data"])

    def _numbers(self, name: str, data: dict[str, Any]) -> list[tuple[int | None, float]]:
        """Values, each with the HTTP status code that its series is labelled with. Their sum is finite."""
        try:
            points = _points(data)
        except (KeyError, TypeError, ValueError, IndexError):
            raise Quiet(Silence.NOT_UNDERSTOOD, f"the query for {name} gives no number: ask for one") from None
        if not points:
            detail = f'the query for {name} gave no series: add "or vector(0)" where none means zero'
            raise Quiet(Silence.NO_DATA, detail)
        if min(at for at, _, _ in points) < self._clock() - max(_STALE * self._interval, _SKEW):
            raise Quiet(Silence.NO_DATA, f"the answer to the query for {name} is old, or the clocks differ")
        if not math.isfinite(sum(value for _, value, _ in points)):
            raise Quiet(Silence.NO_DATA, f"the query for {name} gave no finite number")
        return [(code, value) for _, value, code in points]


def _request(
    spec: PrometheusSpec,
    series: Series | None,
    headers: list[RequestHeader],
    values: Values,
    *,
    web: Web,
    timeout: float,
) -> Request:
    if series is None or series.query is None:
        msg = "an indicator from Prometheus names its queries: write indicator.value, or indicator.ratio, with query"
        raise BadProbe(msg)
    url, _, _ = url_of(spec.url)
    path, _, query = url.raw_path.partition(b"?")
    target = url.copy_with(
        raw_path=path.rstrip(b"/") + b"/api/v1/query" + (b"?" + query if query else b""), fragment=None
    )
    # Thanos leaves out what it cannot reach unless it is told not to; the others do not know the word.
    form = {"query": series.query, "timeout": f"{max(1, round(timeout * 1000))}ms", "partial_response": "false"}
    return prepare(target, headers, values, web=web, tls=spec.tls, form=urlencode(form).encode())


def _headers(spec: PrometheusSpec, values: Values) -> list[RequestHeader]:
    headers = extra_headers(spec.headers, values)
    given = {header.name.lower() for header in headers}
    if spec.bearer_token is not None:
        own = bearer(spec.bearer_token, values)
    elif spec.basic_auth is not None:
        password = secret_text(spec.basic_auth.password, values)
        pair = base64.b64encode(f"{spec.basic_auth.username}:{password}".encode()).decode("ascii")
        own = RequestHeader("Authorization", f"Basic {pair}", private=True)
    else:
        own = None
    if own is not None:
        if "authorization" in given:
            msg = "header Authorization stands beside bearerToken or basicAuth: write one of them"
            raise BadProbe(msg)
        headers.append(own)
    if "content-type" not in given:
        headers.append(RequestHeader("Content-Type", "application/x-www-form-urlencoded", private=False))
    return headers


def _json(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        msg = "no object"
        raise ValueError(msg)  # noqa: TRY004 - to the caller it is an answer like any that is no JSON
    return document


def _check(document: dict[str, Any], status: int) -> None:
    """Raise Quiet unless this is a whole answer. Of the server's words only those of a known list are repeated."""
    kind = document.get("errorType")
    if document.get("status") == "error" and isinstance(kind, str):
        if kind in _OURS:
            raise Quiet(Silence.NOT_UNDERSTOOD, f"the server does not take the query: {kind}")
        if kind in _THEIRS:
            raise Quiet(Silence.SOURCE_DOWN, f"the server failed: {kind}")
    check_status(status)
    if document.get("status") != "success" or not isinstance(document.get("data"), dict):
        raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is none of the API of Prometheus")
    warnings = document.get("warnings") or []
    # What begins so is said about the query; the rest says that some of the data could not be had.
    missing = not isinstance(warnings, list) or any(not str(text).startswith("PromQL") for text in warnings)
    if document.get("isPartial") or missing:
        raise Quiet(Silence.SOURCE_DOWN, "the server has only a part of the data")


def _points(data: dict[str, Any]) -> list[tuple[float, float, int | None]]:
    """Times, values and status codes. Raises KeyError, TypeError, ValueError or IndexError for anything but numbers."""
    if data["resultType"] == "scalar":
        at, value = data["result"]
        return [(float(at), float(value), None)]
    if data["resultType"] != "vector":
        raise ValueError
    found = []
    for series in data["result"]:
        at, value = series["value"]
        labels = series.get("metric")
        found.append((float(at), float(value), code_in(labels) if isinstance(labels, dict) else None))
    return found
