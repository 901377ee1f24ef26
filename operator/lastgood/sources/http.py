"""A number, or the share that one is of another, that an application tells in a JSON answer."""

import math
import re
from typing import Any

from lastgood.api.base import amount
from lastgood.api.sources import JsonSource
from lastgood.domain.measure import Gauge, Sample, Silence
from lastgood.probes.base import Progress, shown
from lastgood.probes.jsonquery import Document, Query, TooCostly, compile_query
from lastgood.probes.values import Values
from lastgood.sources.base import Quiet, TimedSource
from lastgood.sources.fetch import Web, check_status, extra_headers, fetch, pieces, prepare, url_of

_LONGEST = 64
"""Characters of a text that may be a number."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class HttpSource(TimedSource):
    """Asks one URL for one number, or for two of the same moment."""

    def __init__(self, spec: JsonSource, values: Values, *, timeout: float, web: Web) -> None:
        """Prepare. Raises BadProbe."""
        url, host, port = url_of(spec.url)
        super().__init__(timeout=timeout, host=f"{host}:{port}")
        self._web = web
        self._part = (compile_query(spec.path), shown(spec.path))
        self._whole = (compile_query(spec.of), shown(spec.of)) if spec.of is not None else None
        self._request = prepare(url, extra_headers(spec.headers, values), values, web=web, tls=spec.tls)

    async def look(self, progress: Progress) -> Sample:
        """Ask."""
        answer = await fetch(self._request, self._web, progress)
        check_status(answer.status)
        try:
            document = Document(b"".join(pieces(answer)))
        except (ValueError, RecursionError):
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is not JSON") from None
        part = _number(document, *self._part)
        if self._whole is None:
            return Gauge(part)
        whole = _number(document, *self._whole)
        if not whole:
            raise Quiet(Silence.NO_DATA, f"{self._whole[1]} is 0: there is nothing yet to have a share of")
        share = part / whole
        if not math.isfinite(share):
            raise Quiet(Silence.NOT_UNDERSTOOD, f"{self._part[1]} of {self._whole[1]} is no share")
        return Gauge(share)


def _number(document: Document, query: Query, path: str) -> float:
    try:
        found = document.select(query)
    except TooCostly:
        raise Quiet(Silence.NOT_UNDERSTOOD, f"{path} takes too long on this answer: select less") from None
    if not found:
        raise Quiet(Silence.NO_DATA, f"{path} selects nothing")
    if len(found) > 1:
        raise Quiet(Silence.NOT_UNDERSTOOD, f"{path} selects several values: write one that selects one")
    return _finite(found[0], path)


def _finite(value: Any, path: str) -> float:
    if value is None:
        raise Quiet(Silence.NO_DATA, f"{path} is null")
    number = math.nan
    if isinstance(value, str):
        number = _read(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
    if not math.isfinite(number):
        detail = f'{path} is no number, nor a text that begins as one and ends in a unit, such as "97.5%"'
        raise Quiet(Silence.NOT_UNDERSTOOD, detail)
    return number


def _read(text: str) -> float:
    """A number with or without a unit, in base units; NaN when it is none."""
    if len(text) > _LONGEST:
        return math.nan
    if _NUMBER.fullmatch(text):
        return float(text)
    sign, bare = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    try:
        return sign * amount(bare.replace(" ", ""))
    except ValueError:
        return math.nan
