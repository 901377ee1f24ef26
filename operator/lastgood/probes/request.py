"""HTTP requests that are made once and written many times, for whatever asks over HTTP."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from httpx import URL

from lastgood import __version__
from lastgood.api.probes import Header
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Progress
from lastgood.probes.dial import dial, peer_certificate
from lastgood.probes.httpwire import BODY_LIMIT, HttpConnection
from lastgood.probes.tls import TlsTarget
from lastgood.probes.values import Values, secret_text

ALPN = "http/1.1"
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_OF_THE_HOST = frozenset({"authorization", "cookie", "proxy-authorization", "host"})


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """One header as it is written."""

    name: str
    value: str
    private: bool
    """Whether it is for the spec's own host alone, and not for one that this redirects to."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request ready to be written, and where to."""

    url: URL
    host: str
    port: int
    method: str
    wire: bytes
    tls: TlsTarget | None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are for."""
        return (self.url.scheme, self.host, self.port)


def connecting(
    request: Request, progress: Progress, *, limit: int = BODY_LIMIT
) -> Callable[[str], Awaitable[HttpConnection]]:
    """What connects to one address and writes the request. It raises Failure."""
    head_only = request.method == "HEAD"

    def connect(address: str) -> Awaitable[HttpConnection]:
        def make() -> HttpConnection:
            return HttpConnection(request.wire, progress, address=address, head_only=head_only, limit=limit)

        return dial(make, address, request.port, progress, tls=request.tls)

    return connect


def note_certificate(request: Request, connection: HttpConnection) -> None:
    """Look at the server's certificate where the spec wants that, as long as the connection is open."""
    if request.tls is not None and request.tls.min_days is not None:
        # Now: a closed connection no longer tells.
        connection.certificate = peer_certificate(connection.transport)


def host_and_port(url: URL) -> tuple[str, int]:
    """Take a URL's host and port. Raises ValueError for what no request can be sent to."""
    default = {"http": 80, "https": 443}.get(url.scheme)
    host = url.raw_host.decode("ascii")
    port = url.port or default
    if default is None or port is None or not 0 < port < 65536 or not _HOST.fullmatch(host):
        raise ValueError
    return host, port


def headers_of(specs: Sequence[Header], values: Values) -> list[RequestHeader]:
    """Read the headers of a spec. Raises BadProbe for a value that is missing or cannot be sent."""
    headers = []
    for header in specs:
        secret = header.value_from is not None
        value = (
            secret_text(header.value_from, values) if header.value_from is not None else (header.value or "").strip()
        )
        lower = header.name.lower()
        if lower in _FRAMING:
            msg = f"header {header.name} is set by the operator itself: leave it out"
            raise BadProbe(msg)
        if _CONTROL.search(value):
            msg = f"header {header.name} has a line break or control character in its value: write it in one line"
            raise BadProbe(msg)
        headers.append(RequestHeader(header.name, value, private=secret or lower in _OF_THE_HOST))
    return headers


def wire_of(url: URL, method: str, headers: Sequence[RequestHeader], body: bytes | None, *, keep: bool) -> bytes:
    """Write a request down. The spec's headers come instead of the defaults of the same name."""
    given = {header.name.lower() for header in headers}
    defaults = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": f"lastgood/{__version__}",
        "Accept": "*/*",
        "Connection": "keep-alive" if keep else "close",
    }
    if body is not None or method in {"POST", "PUT", "PATCH"}:
        defaults["Content-Length"] = str(len(body or b""))
    lines = [f"{method} {url.raw_path.decode('ascii')} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in defaults.items() if name.lower() not in given]
    lines += [f"{header.name}: {header.value}" for header in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
