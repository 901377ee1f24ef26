"""Sizes and times as people and Kubernetes read them."""

from datetime import UTC, datetime

_KILO = 1000.0


def size(count: int) -> str:
    """Bytes, rounded, such as "412 MB"."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < _KILO:
            break
        amount, unit = amount / _KILO, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def stamp(at: float) -> str:
    """A time as Kubernetes writes it, in whole seconds."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """Seconds since the epoch of a time in RFC 3339. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        msg = f'"{text}" names no time zone: write it such as 2025-01-31T02:00:00Z'
        raise ValueError(msg)
    return found.timestamp()
