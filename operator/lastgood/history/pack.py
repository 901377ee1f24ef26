"""Sixty minutes of one series in one blob: a row by itself would cost more for its key than for what it says."""

import struct
import zlib
from collections.abc import Iterable

HOUR = 60
Cells = dict[int, tuple[float, float, float | None]]
"""Minute to bad, total and value."""

_FORM = b"\x01"
_MASKS = struct.Struct("<QQ")


def pack(hour: int, cells: Cells) -> bytes:
    """The minutes of an hour: two masks (which minutes, which with a value), then the columns, deflated."""
    first = hour * HOUR
    order = sorted(cells)
    there = with_value = 0
    columns: tuple[list[float], list[float], list[float]] = ([], [], [])
    for minute in order:
        bad, total, value = cells[minute]
        there |= 1 << (minute - first)
        columns[0].append(bad)
        columns[1].append(total)
        if value is not None:
            with_value |= 1 << (minute - first)
            columns[2].append(value)
    numbers = [number for column in columns for number in column]
    return _FORM + zlib.compress(_MASKS.pack(there, with_value) + struct.pack(f"<{len(numbers)}d", *numbers), 1)


def unpack(hour: int, blob: bytes) -> Cells:
    """What was packed. Raises ValueError for what was not."""
    try:
        if blob[:1] != _FORM:
            msg = "not a form of hours that is known"
            raise ValueError(msg)
        body = zlib.decompress(blob[1:])
        there, with_value = _MASKS.unpack_from(body)
        count, valued = there.bit_count(), with_value.bit_count()
        numbers = struct.unpack_from(f"<{2 * count + valued}d", body, _MASKS.size)
    except (zlib.error, struct.error) as error:
        msg = f"a packed hour cannot be read: {error}"
        raise ValueError(msg) from error
    values = iter(numbers[2 * count :])
    minutes = (n for n in range(HOUR) if there >> n & 1)
    return {
        hour * HOUR + n: (numbers[i], numbers[count + i], next(values) if with_value >> n & 1 else None)
        for i, n in enumerate(minutes)
    }


def summed(cells: Cells) -> tuple[float, float, int]:
    """Bad and total of all minutes, and how many those are."""
    return sum(bad for bad, _, _ in cells.values()), sum(total for _, total, _ in cells.values()), len(cells)


def grouped(rows: Iterable[tuple[int, int, float, float, float | None]]) -> dict[int, Cells]:
    """(series, minute, bad, total, value) by series."""
    found: dict[int, Cells] = {}
    for series, minute, bad, total, value in rows:
        found.setdefault(series, {})[minute] = (bad, total, value)
    return found
