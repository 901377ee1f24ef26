"""What an answer's body must hold, and what it may cost to find out."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood.api.probes import HttpProbe
from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure
from lastgood.probes.expect import Expectation
from lastgood.probes.jsonquery import Document, TooCostly, compile_query


def judge(body: Any, **spec: Any) -> tuple[ProbeReason, str]:
    expectation = Expectation(HttpProbe.model_validate({"url": "http://backend/", **spec}))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        expectation.check(200, data, truncated=False)
    except Failure as failure:
        return failure.reason, failure.detail
    return ProbeReason.OK, ""


BODY = {
    "status": "ok",
    "ready": True,
    "queue": {"depth": 3, "load": 0.5, "owner": None},
    "checks": [{"name": "db", "up": True}, {"name": "cache", "up": True}],
    "größe": "ß",
}


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("$.status", {"equals": "ok"}),
        ("$['status']", {"equals": "ok"}),
        ("$.ready", {"equals": "true"}),
        ("$.queue.depth", {"equals": "3"}),
        ("$.queue.load", {"equals": "0.5"}),
        ("$.queue.owner", {"equals": "null"}),
        ("$.queue", {"equals": '{"depth":3,"load":0.5,"owner":null}'}),
        ("$.checks[*].up", {"equals": "true"}),
        ("$.checks[?@.name == 'db'].up", {"equals": "true"}),
        ("$.checks[?match(@.name, 'd.')].up", {"equals": "true"}),
        ("$.checks[?search(@.name, '^c')].name", {"equals": "cache"}),
        ("$..depth", {"equals": "3"}),
        ("$.größe", {"equals": "ß"}),
        ("$.status", {"matches": "^o"}),
        ("$.queue.depth", {"matches": r"^\d$"}),
        ("$.status", {"exists": True}),
        ("$.queue.owner", {"exists": True}),
        ("$.other", {"exists": False}),
        ("$.status.deeper", {"exists": False}),
    ],
)
def test_assertions_that_hold(path: str, test: dict[str, Any]) -> None:
    assert judge(BODY, json=[{"path": path, **test}]) == (ProbeReason.OK, "")


@pytest.mark.parametrize(
    ("path", "test", "detail"),
    [
        ("$.status", {"equals": "up"}, 'json $.status: not equal to "up"'),
        ("$.queue.depth", {"equals": "3.0"}, 'json $.queue.depth: not equal to "3.0"'),
        ("$.status", {"matches": "^k"}, 'json $.status: does not match "^k"'),
        ("$.other", {"equals": "x"}, "json $.other: selects nothing"),
        ("$.other", {"exists": True}, "json $.other: selects nothing"),
        ("$.status", {"exists": False}, "json $.status: selects something"),
        ("$.checks[*].name", {"equals": "db"}, 'json $.checks[*].name: not equal to "db"'),
        ("$.status", {"equals": "x" * 200}, f'json $.status: not equal to "{"x" * 80}…"'),
    ],
)
def test_assertions_that_fail_name_path_and_expectation(path: str, test: dict[str, Any], detail: str) -> None:
    assert judge(BODY, json=[{"path": path, **test}]) == (ProbeReason.ASSERTION_FAILED, detail)


@pytest.mark.parametrize(
    "body", [b"", b"fine", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b'{"a": 1} and more']
)
def test_what_is_no_json(body: bytes) -> None:
    assert judge(body, json=[{"path": "$.a", "exists": True}]) == (
        ProbeReason.ASSERTION_FAILED,
        "json: the body is not JSON",
    )


def test_a_pattern_in_the_body() -> None:
    assert judge(b"all is well\n", bodyPattern="is w") == (ProbeReason.OK, "")
    assert judge(b"\xff\xfe ok", bodyPattern="ok$") == (ProbeReason.OK, "")
    assert judge(b"down", bodyPattern="^up") == (ProbeReason.ASSERTION_FAILED, 'body: does not match "^up"')


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("$..*..*..*", {"x": [[{"a": i, "b": [i, i]} for i in range(300)] for _ in range(60)]}),
        ("$..[?@..a].b", {"x": [[{"a": i, "b": [i, i]} for i in range(300)] for _ in range(60)]}),
        ("$" + "['x','x']" * 50, json.loads('{"x":' * 60 + "1" + "}" * 60)),
        ("$[?@ == 2]", [1] * 300_000),
        ("$..q", json.loads('{"x":' * 500 + "1" + "}" * 500)),
        ("$[?search(@, '(a+)+$')]", ["a" * 50_000 + "b"] * 20),
        ("$.c[?search($.b, 'x')]", {"b": "a" * 900_000, "c": [1] * 4000}),
        ("$.*.*", {"k" * 900_000: [1] * 40_000}),
    ],
)
def test_no_path_holds_up_the_loop(path: str, document: Any) -> None:
    parsed = Document(json.dumps(document).encode())
    query = compile_query(path)
    started = time.process_time()
    with contextlib.suppress(TooCostly):
        parsed.select(query)
    assert time.process_time() - started < 2


def test_paths_beyond_the_budget_fail_with_advice() -> None:
    reason, detail = judge([[1] * 3000, [1] * 3000], json=[{"path": "$..*", "exists": True}])
    assert reason is ProbeReason.ASSERTION_FAILED
    assert "select less" in detail


names = st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=127), min_size=1, max_size=3)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(names, children, max_size=3),
    max_leaves=10,
)


@given(tree=trees, path=st.lists(names, min_size=1, max_size=4))
def test_the_short_way_for_plain_paths_selects_what_the_library_does(tree: Any, path: list[str]) -> None:
    document = Document(json.dumps(tree).encode())
    plain = compile_query("$" + "".join(f".{name}" for name in path))
    general = compile_query("$" + "".join(f"['{name}']" for name in path))
    assert document.select(plain) == document.select(general)
