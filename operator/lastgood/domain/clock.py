"""Time inside the domain: seconds since the epoch, as handed in; text only at the edges."""

import datetime as dt


def to_text(at: float) -> str:
    """RFC 3339 with microseconds: a restart must find the same instant again."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> float:
    """Seconds since the epoch. Raises ValueError for a text that is no RFC 3339 time."""
    return dt.datetime.fromisoformat(text).timestamp()


def shown(seconds: float) -> str:
    """A length of time for a person: "45s", "5m", "1h30m"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", f"{rest}s" if rest else ""]
    return "".join(parts) or "0s"


def at_clock(at: float) -> str:
    """A time of day for a person, UTC."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%SZ")
