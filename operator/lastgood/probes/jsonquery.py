"""JSONPath on what a server sent: compiled once, and bounded in what it may cost.

Path and document both come from people that the operator need not trust, and one loop runs everybody's probes.
``$..*..*`` on a megabyte would hold it for minutes, and the library's ``match`` and ``search`` use Python's
backtracking ``re``. So every step counts against a budget, and patterns are RE2's.
"""

import codecs
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

import re2
from jsonpath import JSONPathEnvironment, JSONPathMatch
from jsonpath.exceptions import JSONPathError
from jsonpath.function_extensions import ExpressionType, FilterFunction

from lastgood.domain.ports import BadProbe
from lastgood.probes.base import shown

Query = Callable[[Any], list[Any]]
"""The values that a path selects in a document, in order."""

_BUDGET = 5_000
"""Steps that all queries on one document may take together: about 50 ms at worst."""

_TEXT_A_STEP = 2_000
"""Characters that a pattern is tried on for the price of one step."""

_PATTERN_LIMIT = 1_024
"""Longest pattern that a document may bring along, as specs are limited."""

_PLAIN = re.compile(r"\$((?:\.[A-Za-z_][A-Za-z0-9_]*)+)")
"""Paths of names alone, which are most: they need no machinery."""


class TooCostly(Exception):
    """The queries on a document took more steps than they may, or it is nested too deeply."""


def compile_pattern(pattern: str) -> Any:
    """Compile an RE2 pattern. Raises BadProbe when it is none."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error:
        msg = f"pattern {shown(pattern)} is no RE2 pattern: see github.com/google/re2/wiki/Syntax"
        raise BadProbe(msg) from None


class _Meter:
    """Counts steps. One for all: queries on a document run to their end without an await, one after the other."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _BUDGET

    def take(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooCostly


_meter = _Meter()


class _Node(JSONPathMatch):
    """A node that counts, and that does not write down its path: with long keys that alone would cost seconds."""

    __slots__ = ()

    def new_child(self, obj: object, key: int | str) -> "_Node":  # noqa: ARG002 - the key is of the path
        _meter.take()
        return _Node(filter_context=self._filter_context, obj=obj, parent=self, parts=(), path="", root=self.root)


class _Pattern(FilterFunction):
    """``match`` and ``search`` of RFC 9535 by RE2, in linear time."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 - the library's own declaration
    return_type = ExpressionType.LOGICAL

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._last: tuple[str, Any] = ("", compile_pattern(""))

    def __call__(self, text: object, pattern: object) -> bool:
        """Whether ``text`` holds, or as a whole is, what ``pattern`` says; false for anything but texts."""
        if not isinstance(text, str) or not isinstance(pattern, str) or len(pattern) > _PATTERN_LIMIT:
            return False
        _meter.take(len(text) // _TEXT_A_STEP)
        if pattern != self._last[0]:
            _meter.take(10)
            try:
                self._last = (pattern, compile_pattern(pattern))
            except BadProbe:
                return False
        compiled = self._last[1]
        return bool(compiled.fullmatch(text) if self._whole else compiled.search(text))


class _Environment(JSONPathEnvironment):
    match_class = _Node
    # A document nested deeper than this fails the query; Python's own stack would end not much later.
    max_recursion_depth = 64

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        keep = {name: self.function_extensions[name] for name in ("length", "count", "value")}
        self.function_extensions = keep | {"match": _Pattern(whole=True), "search": _Pattern(whole=False)}

    def is_truthy(self, obj: object) -> bool:
        # Called for each child that a filter looks at, most of which never become a node.
        _meter.take()
        return super().is_truthy(obj)


_environment = _Environment(strict=True)


def _refuse(constant: str) -> Any:
    # Python reads NaN and Infinity, which are no JSON.
    raise ValueError(constant)


_decoder = json.JSONDecoder(parse_constant=_refuse)
"""Made once: json.loads makes one for each call that says how."""


class Document:
    """A parsed JSON document and the budget of the queries on it."""

    __slots__ = ("_root",)

    def __init__(self, body: bytes) -> None:
        """Parse. Raises ValueError or RecursionError when it is no JSON."""
        self._root = _decoder.decode(body.removeprefix(codecs.BOM_UTF8).decode())
        _meter.left = _BUDGET

    def select(self, query: Query) -> list[Any]:
        """Select values. Raises TooCostly."""
        try:
            return query(self._root)
        except (JSONPathError, RecursionError):
            raise TooCostly from None


def compile_query(path: str) -> Query:
    """Make a query of a JSONPath. Raises BadProbe when it is none."""
    plain = _PLAIN.fullmatch(path)
    if plain:
        names = plain[1][1:].split(".")
        return lambda document: _walk(document, names)
    try:
        compiled = _environment.compile(path)
    except (JSONPathError, RecursionError):
        msg = f'json path {shown(path)} is no JSONPath (RFC 9535): write one such as "$.checks[0].status"'
        raise BadProbe(msg) from None

    def query(document: Any) -> list[Any]:
        if isinstance(document, str):
            # The library would take it for JSON that is yet to be parsed.
            return [document] if path == "$" else []
        # The library's async half, because its other half makes nodes of a fixed class, which do not count.
        return _drive(compiled.findall_async(document))

    return query


def _drive(query: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    """Run a coroutine that waits for nothing."""
    try:
        query.send(None)
    except StopIteration as end:
        return list(end.value)
    query.close()
    raise TooCostly


def _walk(document: Any, names: list[str]) -> list[Any]:
    for name in names:
        if type(document) is not dict or name not in document:
            return []
        document = document[name]
    return [document]


def as_text(value: Any) -> str:
    """Write a value as the specs write it: texts bare, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
