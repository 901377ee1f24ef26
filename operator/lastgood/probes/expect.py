"""What an HTTP answer must be: compiled when the probe is made, so that a run only compares."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lastgood.api.probes import HttpProbe, JsonAssertion
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, shown
from lastgood.probes.jsonquery import Document, TooCostly, as_text, compile_pattern, compile_query

_Check = Callable[[Document], str | None]
"""One assertion: None when it holds, otherwise what is wrong, without the value that came."""


class Expectation:
    """Status codes, JSON assertions and a body pattern."""

    def __init__(self, spec: HttpProbe) -> None:
        """Compile. Raises BadProbe for a path or pattern that is none."""
        self._statuses = _statuses(tuple(spec.status_codes))
        self._wanted = ", ".join(spec.status_codes)
        self._checks = [_check(assertion) for assertion in spec.json_]
        self._pattern = compile_pattern(spec.body_pattern) if spec.body_pattern is not None else None
        self._pattern_text = spec.body_pattern or ""

    def check(self, status: int, body: bytes, *, truncated: bool) -> None:
        """Raise Failure unless the answer is as expected."""
        if status not in self._statuses:
            raise Failure(ProbeReason.UNEXPECTED_STATUS, f"got {status}, expected {self._wanted}")
        if self._checks:
            self._check_json(body, truncated=truncated)
        if self._pattern is not None and not self._pattern.search(body.decode(errors="replace")):
            raise Failure(ProbeReason.ASSERTION_FAILED, f"body: does not match {shown(self._pattern_text)}")

    def _check_json(self, body: bytes, *, truncated: bool) -> None:
        if truncated:
            raise Failure(ProbeReason.ASSERTION_FAILED, "json: the body is larger than 1 MiB")
        try:
            document = Document(body)
        except (ValueError, RecursionError):
            raise Failure(ProbeReason.ASSERTION_FAILED, "json: the body is not JSON") from None
        try:
            for check in self._checks:
                wrong = check(document)
                if wrong is not None:
                    raise Failure(ProbeReason.ASSERTION_FAILED, wrong)
        except TooCostly:
            msg = "json: the body is too large or too deep for these paths: write paths that select less"
            raise Failure(ProbeReason.ASSERTION_FAILED, msg) from None


@lru_cache
def _statuses(texts: tuple[str, ...]) -> frozenset[int]:
    # One set for all probes that ask for the same: a hundred numbers take four kilobytes.
    accepted: set[int] = set()
    for text in texts:
        if text.endswith("xx"):
            start = int(text[0]) * 100
            accepted.update(range(start, start + 100))
            continue
        low, _, high = text.partition("-")
        accepted.update(range(int(low), int(high or low) + 1))
    if not accepted:
        msg = 'statusCodes accepts nothing: write ranges from low to high, such as "200-299"'
        raise BadProbe(msg)
    return frozenset(accepted)


def _check(assertion: JsonAssertion) -> _Check:
    """Make one assertion. Of several selected values all must hold; selecting none fails."""
    query = compile_query(assertion.path)
    where = f"json {_cut(assertion.path)}"
    if assertion.exists is not None:
        wanted = assertion.exists
        missing = f"{where}: {'selects nothing' if wanted else 'selects something'}"
        return lambda document: None if bool(document.select(query)) is wanted else missing
    test: Callable[[Any], bool]
    if assertion.equals is not None:
        expected = assertion.equals
        test, wrong = (lambda value: as_text(value) == expected), f"{where}: not equal to {shown(expected)}"
    elif assertion.matches is not None:
        pattern = compile_pattern(assertion.matches)
        test = lambda value: bool(pattern.search(as_text(value)))  # noqa: E731 - one of two bodies for one name
        wrong = f"{where}: does not match {shown(assertion.matches)}"
    else:
        msg = f"{where} has no test: write equals, matches or exists"
        raise BadProbe(msg)

    def check(document: Document) -> str | None:
        values = document.select(query)
        if not values:
            return f"{where}: selects nothing"
        return None if all(test(value) for value in values) else wrong

    return check


def _cut(path: str) -> str:
    return shown(path)[1:-1]
