"""A number that an application tells in a JSON answer."""

import math
import re
from typing import Any

from lastgood.api.base import amount
from lastgood.api.objective import JsonSource
from lastgood.domain.measure import Gauge, Sample, Silence
from lastgood.probes.base import Progress, shown
from lastgood.probes.jsonquery import Document, TooCostly, compile_query
from lastgood.probes.values import Values
from lastgood.sources.base import Quiet, TimedSource
from lastgood.sources.fetch import Web, check_status, extra_headers, fetch, pieces, prepare, url_of

_LONGEST = 64
"""Characters of a text that may be a number."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class HttpSource(TimedSource):
    """Asks one URL for one number."""

    def __init__(self, spec: JsonSource, values: Values, *, timeout: float, web: Web) -> None:
        """Prepare. Raises BadProbe."""
        url, host, port = url_of(spec.url)
        super().__init__(timeout=timeout, host=f"{host}:{port}")
        self._web = web
        self._query = compile_query(spec.path)
        self._path = shown(spec.path)
        self._request = prepare(url, extra_headers(spec.headers, values), values, web=web, tls=spec.tls)

    async def look(self, progress: Progress) -> Sample:
        """Ask."""
        answer = await fetch(self._request, self._web, progress)
        check_status(answer.status)
        try:
            document = Document(b"".join(pieces(answer)))
        except (ValueError, RecursionError):
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is not JSON") from None
        try:
            found = document.select(self._query)
        except TooCostly:
            raise Quiet(Silence.NOT_UNDERSTOOD, f"{self._path} takes too long on this answer: select less") from None
        if not found:
            raise Quiet(Silence.NO_DATA, f"{self._path} selects nothing")
        if len(found) > 1:
            raise Quiet(Silence.NOT_UNDERSTOOD, f"{self._path} selects several values: write one that selects one")
        return Gauge(self._number(found[0]))

    def _number(self, value: Any) -> float:
        if value is None:
            raise Quiet(Silence.NO_DATA, f"{self._path} is null")
        number = math.nan
        if isinstance(value, str):
            number = _read(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.nan
        if not math.isfinite(number):
            detail = f'{self._path} is no number, nor a text that begins as one and ends in a unit, such as "97.5%"'
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
