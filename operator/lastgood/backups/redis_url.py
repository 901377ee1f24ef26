"""A Redis URL as redis-cli takes it: no part of it that is secret is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lastgood.domain.backups.ports import JobFailed


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis server is."""

    host: str
    port: int
    tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def environment(self) -> Mapping[str, str]:
        """What redis-cli reads from its environment."""
        return {"REDISCLI_AUTH": self.password} if self.password else {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may hold."""
        return (self.password,) if self.password else ()

    def arguments(self, ca: Path | None) -> list[str]:
        """Arguments of redis-cli."""
        arguments = ["-h", self.host, "-p", str(self.port)]
        if self.user:
            arguments += ["--user", self.user]
        if self.tls:
            arguments += ["--tls", "--sni", self.host, *(["--cacert", str(ca)] if ca is not None else [])]
        return arguments


def address(text: str) -> Address:
    """The parts of a URL. Raises JobFailed BadUrl, without any part of it."""
    wanted = 'write it as "redis://[user:password@]host:port", or "rediss://…" for TLS'
    try:
        parts = urlsplit(text.strip())
        port = parts.port or 6379
    except ValueError as error:
        raise JobFailed("BadUrl", f"source/url is no URL: {wanted}") from error
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise JobFailed("BadUrl", f"source/url is no URL of Redis: {wanted}")
    return Address(
        parts.hostname, port, parts.scheme == "rediss", unquote(parts.username or ""), unquote(parts.password or "")
    )
