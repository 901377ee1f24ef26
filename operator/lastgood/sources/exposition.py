"""Reads the text formats of Prometheus (0.0.4) and OpenMetrics (1.0), and of them only the lines that are wanted.

prometheus-client's parsers go over each line character by character, whether anybody wants it or not: 46 ms for 2,640
series, 69 ms in its OpenMetrics half, in a loop that has everybody's probes to run; and they take quadratic time for
lines made to that end. This one looks at the beginning of each line, and at the whole of those that are wanted with
patterns that never go back. tests/bench/scrape.py measures both.

It is laxer than the formats where nothing depends on it: metadata, order and units are not looked at. Labels stay as
they were written, since they are the same from one scrape to the next: whoever wants to know them looks once.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lastgood.domain.counters import Cumulative, native

SERIES_LIMIT = 50_000
"""Wanted series in one answer."""

_LINE_LIMIT = 64 * 1024
"""Bytes in a wanted line."""

_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_LINE = re.compile(
    rb"[ \t]*+([a-zA-Z_:][a-zA-Z0-9_:]*+)?+[ \t]*+"  # a name, unless it stands quoted among the labels
    rb"(?:(?!\{count:)\{((?:[^\"}]++|" + _TEXT + rb")*+)\})?+[ \t]*+"
    rb"([^ \t]++)"
)
_NAME = re.compile(rb"[a-zA-Z0-9_:]*+")
_QUOTED_NAME = re.compile(rb"[ \t]*+(" + _TEXT + rb")[ \t]*+(?:,|$)")
_LABEL = re.compile(
    rb"[ \t]*+(?:([a-zA-Z_][a-zA-Z0-9_]*+)|(" + _TEXT + rb"))[ \t]*+=[ \t]*+(" + _TEXT + rb")[ \t]*+(?:,|$)"
)
_TYPE = re.compile(rb'# TYPE ("[^"]*"|[^ \t"]++)')
_ESCAPE = re.compile(r'\\([\\n"])')
_FIELD = re.compile(r"(\w++):(\[[^\[\]]*+\]|[^,\[\]{} ]++)")


class NotExposition(Exception):
    """The answer is in none of the formats. Its text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was wanted of one answer."""

    numbers: Mapping[str, Mapping[bytes, float]]
    """Values by the sample's name and its labels as they were written."""
    natives: Mapping[str, Mapping[bytes, Cumulative]]
    """Native histograms by the same."""
    names: frozenset[str]
    """Names that came, be it in a sample or only in a TYPE line: a counter that has counted nothing yet."""


@dataclass(slots=True)
class Parser:
    """Collects the wanted samples of one answer, fed piece by piece."""

    wanted: frozenset[str]
    """Names of samples, and of families whose TYPE lines are to be noted."""
    _numbers: dict[str, dict[bytes, float]] = field(default_factory=dict)
    _natives: dict[str, dict[bytes, Cumulative]] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _beginnings: tuple[bytes, ...] = ()
    _rest: bytes = b""
    _skipping: bool = False
    """Whether the line that has begun is unwanted, and so long that it was let go of already."""
    _series: int = 0
    _last: bytes = b""

    def __post_init__(self) -> None:
        names = [name.encode() for name in self.wanted]
        # A shorter name stands for the longer ones that begin with it; blanks and braces: names that come later.
        short = [name for name in names if not any(name != other and name.startswith(other) for other in names)]
        self._beginnings = (*short, *(b"# TYPE " + name for name in short), b'# TYPE "', b"{", b" ", b"\t")

    def feed(self, piece: bytes) -> None:
        """Go on. Raises NotExposition."""
        lines = piece.split(b"\n")
        if len(lines) > 1:
            lines[0] = b"" if self._skipping else self._rest + lines[0]
            self._skipping = False
            self._rest = lines.pop()
            self._last = next((line for line in reversed(lines[-3:]) if line), self._last)
            self._lines(lines)
        elif not self._skipping:
            self._rest += lines[0]
        if len(self._rest) > _LINE_LIMIT:
            self._too_long(self._rest)
            self._rest, self._skipping = b"", True

    def end(self, *, openmetrics: bool, framed: bool) -> Reading:
        """End. Raises NotExposition when the end is missing.

        ``framed`` tells whether the transport would have noticed that the body was cut short.
        """
        if openmetrics:
            if self._skipping or (self._rest or self._last).strip() != b"# EOF":
                msg = "the answer ends before its end mark"
                raise NotExposition(msg)
        elif not framed and (self._rest or self._skipping):
            msg = "the answer ends in the middle of a line"
            raise NotExposition(msg)
        self._lines([self._rest])
        return Reading(self._numbers, self._natives, frozenset(self._names))

    def _too_long(self, line: bytes) -> None:
        match = _LINE.match(line[:_LINE_LIMIT]) if line.startswith(self._beginnings) else None
        if match and (not match[1] or match[1].decode() in self.wanted):
            msg = "a line is longer than 64 KiB"
            raise NotExposition(msg)

    def _lines(self, lines: Iterable[bytes]) -> None:
        beginnings = self._beginnings
        for line in lines:
            if line.startswith(beginnings):
                self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"# TYPE "):
            self._type(line)
            return
        if not (line := line.strip()) or line.startswith(b"#"):
            return
        match = _LINE.match(line)
        if match is None:
            # What is wrong with a line that nobody wants is nobody's business; its name would have come first.
            begun = _NAME.match(line)
            if line.startswith(b"{") or (begun is not None and begun[0].decode() in self.wanted):
                msg = "a line is no sample"
                raise NotExposition(msg)
            return
        name, labels, value = match[1], match[2] or b"", match[3]
        if name is None:
            quoted = _QUOTED_NAME.match(labels)
            if quoted is None:
                msg = "a sample has no name"
                raise NotExposition(msg)
            decoded, labels = _unquoted(quoted[1]), labels[quoted.end() :]
        else:
            decoded = name.decode()
        if decoded in self.wanted:
            if len(line) > _LINE_LIMIT:
                msg = "a line is longer than 64 KiB"
                raise NotExposition(msg)
            self._sample(decoded, labels, value, line[match.start(3) :])

    def _type(self, line: bytes) -> None:
        match = _TYPE.match(line)
        if match:
            name = match[1].decode(errors="replace").strip('"')
            if name in self.wanted:
                self._names.add(name)

    def _sample(self, name: str, labels: bytes, value: bytes, rest: bytes) -> None:
        self._series += 1
        if self._series > SERIES_LIMIT:
            msg = f"there are more than {SERIES_LIMIT} series of these names"
            raise NotExposition(msg)
        self._names.add(name)
        # The first of several with the same labels counts: they would be two answers to one question.
        if value.startswith(b"{"):
            self._natives.setdefault(name, {}).setdefault(labels, native_histogram(rest.decode(errors="replace")))
        else:
            self._numbers.setdefault(name, {}).setdefault(labels, _number(value))


def _number(text: bytes) -> float:
    try:
        # Python reads 1_000, the formats do not.
        return float(text.replace(b"_", b"x"))
    except ValueError:
        msg = "a value is no number"
        raise NotExposition(msg) from None


def labels_of(written: bytes) -> dict[str, str]:
    """Read labels as they were written between braces. Raises NotExposition."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(written):
        match = _LABEL.match(written, at)
        if match is None:
            if not written[at:].strip(b" \t"):
                break
            msg = "labels cannot be read"
            raise NotExposition(msg)
        labels[match[1].decode() if match[1] else _unquoted(match[2])] = _unquoted(match[3])
        at = match.end()
    return labels


def _unquoted(text: bytes) -> str:
    inner = text[1:-1].decode(errors="replace")
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], inner) if "\\" in inner else inner


def native_histogram(text: str) -> Cumulative:
    """Read a native histogram in the experimental form that prometheus-client's OpenMetrics parser reads too.

    No released client library writes it: natively they come in protobuf alone, which is not asked for here.
    Raises NotExposition.
    """
    fields = dict(_FIELD.findall(text))
    try:
        found = native(
            schema=int(fields["schema"]),
            zero_threshold=float(fields["zero_threshold"]),
            zero_count=float(fields["zero_count"]),
            positive=_bins(fields.get("positive_spans", ""), fields.get("positive_deltas", "")),
            negative=_bins(fields.get("negative_spans", ""), fields.get("negative_deltas", "")),
            sum=float(fields["sum"]),
        )
    except (KeyError, ValueError, OverflowError):
        msg = "a native histogram cannot be read"
        raise NotExposition(msg) from None
    if not all(math.isfinite(count) and count >= 0 for count in found.counts.values()):
        msg = "a native histogram cannot be read"
        raise NotExposition(msg)
    return found


def _bins(spans: str, deltas: str) -> dict[int, float]:
    """Counts by index. Spans are (indexes left out, bins that follow), deltas the change from bin to bin."""
    changes = [int(text) for text in deltas.strip("[]").split(",") if text]
    bins: dict[int, float] = {}
    index, used, count = 0, 0, 0
    for text in spans.strip("[]").split(","):
        if not text:
            continue
        offset, length = (int(part) for part in text.split(":"))
        index += offset
        if length > len(changes) - used:
            raise ValueError
        for change in changes[used : used + length]:
            count += change
            bins[index] = count
            index += 1
        used += length
    return bins
