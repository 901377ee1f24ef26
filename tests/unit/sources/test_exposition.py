"""The corpus: what endpoints send, and what is made of it."""

import contextlib
import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from lastgood.domain.counters import Cumulative, spread
from lastgood.sources.exposition import NotExposition, Parser, Reading, labels_of, native_histogram

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(
    text: str | bytes, *wanted: str, openmetrics: bool = False, framed: bool = True, piece: int = 1 << 18
) -> Reading:
    data = text.encode() if isinstance(text, str) else text
    parser = Parser(frozenset(wanted))
    for start in range(0, len(data), piece):
        parser.feed(data[start : start + piece])
    return parser.end(openmetrics=openmetrics, framed=framed)


def series(reading: Reading) -> Series:
    return {
        (name, tuple(sorted(labels_of(written).items()))): value
        for name, numbers in reading.numbers.items()
        for written, value in numbers.items()
    }


GOOD: list[tuple[str, str, Series]] = [
    ("bare", "x 1\n", {("x", ()): 1}),
    ("empty braces", "x{} 1\n", {("x", ()): 1}),
    ("one label", 'x{a="1"} 2\n', {("x", (("a", "1"),)): 2}),
    ("comma at the end", 'x{a="1",} 2\n', {("x", (("a", "1"),)): 2}),
    ("blanks wherever they may be", ' \tx { a = "1" , b = "2" } \t 2  \n', {("x", (("a", "1"), ("b", "2"))): 2}),
    ("escapes", r'x{a="q\"b\\s\nn"} 1' + "\n", {("x", (("a", 'q"b\\s\nn'),)): 1}),
    ("an escape that is none", r'x{a="\t"} 1' + "\n", {("x", (("a", r"\t"),)): 1}),
    ("braces, hashes and commas in a value", 'x{a="}{#,="} 1\n', {("x", (("a", "}{#,="),)): 1}),
    ("UTF-8", 'x{a="größe"} 1\n', {("x", (("a", "größe"),)): 1}),
    ("a timestamp", 'x{a="1"} 2 1712000000000\n', {("x", (("a", "1"),)): 2}),
    ("an exemplar", 'x{a="1"} 2 # {trace_id="abc} 9"} 0.5 1712000000.1\n', {("x", (("a", "1"),)): 2}),
    ("numbers of all forms", "x 1.5e-3\n", {("x", ()): 0.0015}),
    ("infinity", "x +Inf\n", {("x", ()): math.inf}),
    ("no final line feed", "x 1", {("x", ()): 1}),
    ("carriage returns", "x 1\r\n", {("x", ()): 1}),
    ("twice the same", "x 1\nx 2\n", {("x", ()): 1}),
    ("a type that is wrong", '# TYPE x gauge\nx_total{a="1"} 3\n', {("x_total", (("a", "1"),)): 3}),
    ("a type after its samples", "x 1\n# TYPE x gauge\n", {("x", ()): 1}),
    ("comments, help and nothing", "# HELP x y\n# x 5\n#\n\n# TYPE x counter\nx 1\n", {("x", ()): 1}),
    ("longer names with the same beginning", "x_other 5\nxx 5\nx 1\n", {("x", ()): 1}),
    ("nonsense that nobody wants", 'y{a="unterminated 5\nz\ny nonsense\nx 1\n', {("x", ()): 1}),
    ("a quoted name", '{"x",a="1"} 1\n', {("x", (("a", "1"),)): 1}),
    ("a quoted name alone", '{"x"} 1\n', {("x", ()): 1}),
    ("a quoted name of another", '{"a.b",a="1"} 1\nx 1\n', {("x", ()): 1}),
    ("a quoted label", 'x{"a.b"="1"} 1\n', {("x", (("a.b", "1"),)): 1}),
    ("created series are another name", "x_total 1\nx_created 1.7e9\n", {("x_total", ()): 1}),
    ("nothing at all", "", {}),
]


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
@pytest.mark.parametrize(("text", "expected"), [pytest.param(text, want, id=name) for name, text, want in GOOD])
def test_what_is_good(text: str, expected: Series, piece: int) -> None:
    assert series(read(text, "x", "x_total", piece=piece)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x\n", "no sample"),
        ('x{a="1"}\n', "no sample"),
        ("x one\n", "no number"),
        ("x 1_000\n", "no number"),
        ('x{a="unterminated} 1\n', "native"),
        ('{a="1"} 1\n', "no name"),
        ("x {count:1}\n", "native"),
        ('x{a="' + "v" * 70_000 + '"} 1\n', "64 KiB"),
    ],
)
@pytest.mark.parametrize("piece", [997, 1 << 18])
def test_what_is_not(text: str, says: str, piece: int) -> None:
    with pytest.raises(NotExposition, match=says):
        read(text, "x", piece=piece)


def test_labels_that_cannot_be_read() -> None:
    for written in (b"a", b"a=1", b'a="1" b="2"', b'1a="1"', b',a="1"'):
        with pytest.raises(NotExposition):
            labels_of(written)


def test_nan_is_a_number() -> None:
    assert math.isnan(read("x NaN\n", "x").numbers["x"][b""])


@pytest.mark.parametrize(
    ("text", "openmetrics", "framed", "good"),
    [
        ("x 1\n# EOF\n", True, False, True),
        ("x 1\n# EOF", True, False, True),
        ("x 1\n", True, True, False),
        ("x 1\n# EOF\nx_more 1\n", True, True, False),
        ("", True, True, False),
        ("x 1\n", False, False, True),
        ("x 12", False, False, False),
        ("x 12", False, True, True),
        ("y " + "1" * 100_000, False, False, False),
    ],
)
@pytest.mark.parametrize("piece", [1, 1 << 18])
def test_an_answer_that_was_cut_short(text: str, openmetrics: bool, framed: bool, good: bool, piece: int) -> None:
    try:
        read(text, "x", openmetrics=openmetrics, framed=framed, piece=piece if len(text) < 100 else 1 << 12)
    except NotExposition:
        assert not good
    else:
        assert good


def test_huge_lines_that_nobody_wants_cost_nothing() -> None:
    huge = b"# HELP x " + b"h" * (4 << 20) + b'\ny{a="' + b"v" * (4 << 20) + b'"} 1\nx 1\n'
    assert series(read(huge, "x")) == {("x", ()): 1}


def test_a_type_line_tells_that_the_metric_exists() -> None:
    assert read("# TYPE x counter\n# TYPE y counter\n", "x").names == {"x"}
    assert read('# TYPE "x.y" counter\n', "x.y").names == {"x.y"}
    assert read("# TYPE xx counter\n", "x").names == set()


def test_too_many_series() -> None:
    text = b"".join(b'x{a="%d"} 1\n' % number for number in range(50_001))
    with pytest.raises(NotExposition, match="more than 50000"):
        read(text, "x")
    assert read(text, "y").numbers == {}


OPENMETRICS = """\
# TYPE http_requests counter
# UNIT http_requests requests
# HELP http_requests Requests.
http_requests_total{code="200",path="/a \\"b\\" \\\\ \\n"} 5 1712000000.123 # {trace_id="KOO5S4vxi0o"} 0.67
http_requests_created{code="200",path="/a \\"b\\" \\\\ \\n"} 1712000000.0 1712000000.123
http_requests_total{code="500",path="/"} 1
# TYPE lat_seconds histogram
# UNIT lat_seconds seconds
lat_seconds_bucket{le="0.1"} 8 # {} 0.054
lat_seconds_bucket{le="+Inf"} 11 # {trace_id="oHg5SJYRHA0"} 9.8 1712000000.1
lat_seconds_count 11
lat_seconds_sum 32.4
lat_seconds_created 1712000000.0
# TYPE temp gauge
temp{room="x"} -3.5e1
temp{room="y"} NaN
# TYPE build info
build_info{version="1"} 1
# EOF
"""


def test_the_same_as_prometheus_client_reads() -> None:
    """But for units, as the parser wants them to be in the name."""
    text = OPENMETRICS.replace("# UNIT http_requests requests\n", "")
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics_families(text)
        for sample in family.samples
    }
    ours = series(read(OPENMETRICS, *{name for name, _ in theirs}, openmetrics=True))
    assert repr(sorted(ours.items())) == repr(sorted((key, float(value)) for key, value in theirs.items()))


names = st.sampled_from(["x", "x_total", "y"])
labels = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(lambda name: name != "__name__"),
    st.text(st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]) | st.sampled_from('\n \\"'), max_size=8),
    max_size=3,
)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@given(st.lists(st.tuples(names, labels, st.floats(allow_nan=False)), max_size=8), st.integers(1, 50))
def test_whatever_is_written_is_read(samples: list[tuple[str, dict[str, str], float]], piece: int) -> None:
    lines, expected = [], dict[tuple[str, tuple[tuple[str, str], ...]], float]()
    for name, pairs, value in samples:
        written = ",".join(f'{label}="{escaped(text)}"' for label, text in pairs.items())
        lines.append(f"{name}{{{written}}} {value!r}")
        if name != "y":
            expected.setdefault((name, tuple(sorted(pairs.items()))), value)
    assert series(read("\n".join(lines) + "\n", "x", "x_total", piece=piece)) == expected


@given(st.binary(max_size=200), st.integers(1, 50))
def test_no_bytes_raise_anything_else(data: bytes, piece: int) -> None:
    for text in (data, b"x{" + data, b"{" + data, b'x{a="' + data, b"x " + data, b"x {count:" + data):
        try:
            series(read(text, "x", piece=piece))
        except NotExposition:
            continue


@pytest.mark.parametrize(
    "line",
    [
        b'x{a="' + b"\\" * 60_000 + b'"} 1\n',
        b'x{a="' + b'\\"' * 30_000 + b'"} 1\n',
        b"x{" + b'a="b",' * 10_000,
        b"x{" + b'"' * 60_000,
        b"x" + b"{" * 60_000,
        b"x" + b" " * 60_000,
        b"{" + b'"a"' * 20_000,
        b"x {" + b"a:[" * 20_000,
        b"x {" + b"positive_spans:" * 4_000,
    ],
)
def test_lines_made_to_take_long_do_not(line: bytes) -> None:
    started = time.process_time()
    for _ in range(5):
        with contextlib.suppress(NotExposition):
            series(read(line + b"\n", "x"))
    assert time.process_time() - started < 1


NATIVE = (
    'x{path="/"} {count:24,sum:100.5,schema:0,zero_threshold:0.001,zero_count:4,positive_spans:[0:2,1:2],'
    "negative_spans:[0:2,1:2],positive_deltas:[2,1,-2,3],negative_deltas:[2,1,-2,3]}"
)


def test_a_native_histogram_is_what_prometheus_client_says_it_is() -> None:
    (family,) = openmetrics_families(f"# TYPE x histogram\n{NATIVE}\n# EOF\n")
    theirs = family.samples[0].native_histogram
    assert theirs is not None
    ours = read(NATIVE + "\n", "x").natives["x"][b'path="/"']
    assert (ours.total, ours.sum) == (theirs.count_value, theirs.sum_value)
    assert {at: n for at, n in spread(ours).bins.items() if at > 0.001 and n} == {1.0: 2, 2.0: 3, 8.0: 1, 16.0: 4}


@pytest.mark.parametrize(
    "change",
    [
        ("schema:0", "schema:99"),
        ("schema:0", "schema:-53"),
        ("0:2,1:2", "0:2,1:200000000"),
        ("0:2,1:2", "900000:2,1:2"),
        ("[2,1,-2,3]", "[2,1,-9,3]"),
        ("zero_count:4", "zero_count:NaN"),
        ("sum:100.5,", ""),
    ],
)
def test_a_native_histogram_that_is_none(change: tuple[str, str]) -> None:
    with pytest.raises(NotExposition, match="native"):
        native_histogram(NATIVE.replace(*change))


def test_an_empty_native_histogram() -> None:
    told = native_histogram("{count:0,sum:0,schema:3,zero_threshold:2.938735877055719e-39,zero_count:0}")
    assert isinstance(told, Cumulative)
    assert told.total == 0


def test_the_older_format_reads_the_same_too() -> None:
    lines = [f'x{{a="{number}",b="{random.random()}"}} {number}' for number in range(500)]
    text = "# TYPE x gauge\n" + "\n".join(lines) + "\n"
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_families(text)
        for sample in family.samples
    }
    assert series(read(text, "x")) == theirs
