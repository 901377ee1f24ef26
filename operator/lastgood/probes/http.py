"""One HTTP request, its redirects, and whether the answer is good."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from httpx import URL, InvalidURL

from lastgood import __version__
from lastgood.api.probes import HttpProbe as HttpSpec
from lastgood.api.probes import Tls
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, Progress, TimedProbe
from lastgood.probes.dial import dial, first, peer_certificate
from lastgood.probes.expect import Expectation
from lastgood.probes.httpwire import HttpConnection
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import Expiry, TlsContexts, TlsTarget
from lastgood.probes.values import Values, secret_text

_REDIRECTS = 5
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_BECOMES_GET = frozenset({301, 302, 303})
_TWICE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again when a kept connection turns out to be dead (RFC 9110, 9.2.2)."""

_ALPN = "http/1.1"
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_OF_THE_BODY = frozenset({"content-type", "content-encoding"})
_OF_THE_HOST = frozenset({"authorization", "cookie", "proxy-authorization", "host"})


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    value: str
    private: bool
    """Whether it is for the spec's own host alone, and not for one that this redirects to."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A request ready to be written, and where to."""

    url: URL
    host: str
    port: int
    method: str
    wire: bytes
    tls: TlsTarget | None

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.url.scheme, self.host, self.port)


class HttpProbe(TimedProbe):
    """Asks one URL. What does not change from run to run is made here, once."""

    def __init__(
        self, spec: HttpSpec, values: Values, *, timeout: float, keep: bool, resolver: Resolver, contexts: TlsContexts
    ) -> None:
        """Prepare. Raises BadProbe."""
        self._follow = spec.follow_redirects
        self._body = spec.body.encode() if spec.body is not None else None
        self._keep = keep
        self._closed = False
        self._kept: HttpConnection | None = None
        self._resolver = resolver
        self._headers = _headers(spec, values)
        self._expected = Expectation(spec)
        self._expiry = Expiry()
        try:
            url = URL(spec.url)
            host, port = _host_and_port(url)
        except (InvalidURL, ValueError):
            msg = 'url is no absolute http or https URL: write one such as "http://backend:8000/health"'
            raise BadProbe(msg) from None
        super().__init__(timeout=timeout, host=host)
        tls = contexts.target(spec.tls, values, host=host, alpn=_ALPN) if url.scheme == "https" else None
        wire = _wire(url, spec.method, self._headers, self._body, keep=keep)
        self._request = _Request(url, host, port, spec.method, wire, tls)
        # Held, because a context that nobody holds is made anew, at 20 ms with the system's authorities.
        elsewhere = Tls(ca=spec.tls.ca, insecure_skip_verify=spec.tls.insecure_skip_verify) if spec.tls else None
        self._elsewhere = contexts.target(elsewhere, values, host=host, alpn=_ALPN).context if self._follow else None

    async def ask(self, progress: Progress) -> None:
        """Send the request, follow redirects where asked to, and judge the last answer."""
        answer = await self._send(self._request, progress)
        certificate = answer.certificate
        if self._follow:
            answer = await self._last(answer, progress)
        self._expected.check(answer.status, answer.body, truncated=answer.truncated)
        if self._request.tls is not None and self._request.tls.min_days is not None:
            self._expiry.check(certificate, self._request.tls.min_days)

    async def aclose(self) -> None:
        """Close the kept connection."""
        self._closed = True
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.transport.abort()

    async def _last(self, answer: HttpConnection, progress: Progress) -> HttpConnection:
        """Follow redirects to an answer that is none."""
        request = self._request
        for _ in range(_REDIRECTS):
            if answer.status not in _REDIRECT_STATUS or answer.location is None:
                return answer
            request = self._redirected(request, answer.status, answer.location)
            answer = await self._send(request, progress)
        if answer.status in _REDIRECT_STATUS and answer.location is not None:
            raise Failure(ProbeReason.TOO_MANY_REDIRECTS, f"more than {_REDIRECTS} redirects")
        return answer

    async def _send(self, request: _Request, progress: Progress) -> HttpConnection:
        addresses = self._resolver.known(request.host) or await self._resolver.addresses(request.host)
        if self._keep and request is self._request:
            return await self._send_kept(request, addresses, progress)
        connection = await first(addresses, _connecting(request, progress), progress)
        _note_certificate(request, connection)
        await connection.answer()
        connection.transport.close()
        return connection

    async def _send_kept(self, request: _Request, addresses: Sequence[str], progress: Progress) -> HttpConnection:
        # Taken while in use: a run that is cancelled, or overlaps, never leaves a connection with half an answer.
        connection, self._kept = self._kept, None
        if connection is not None and connection.address not in addresses:
            connection.transport.abort()
            connection = None
        if connection is not None:
            try:
                await connection.exchange(request.wire, progress, head_only=request.method == "HEAD")
            except Failure:
                # Closed by the server between two probes, which is its right.
                if not connection.lost or connection.started or request.method not in _TWICE:
                    raise
                connection = None
        if connection is None:
            connection = await first(addresses, _connecting(request, progress), progress)
            _note_certificate(request, connection)
            await connection.answer()
        self._put_back(connection)
        return connection

    def _put_back(self, connection: HttpConnection) -> None:
        if connection.reusable and self._kept is None and not self._closed:
            self._kept = connection
        else:
            connection.transport.close()

    def _redirected(self, request: _Request, status: int, location: bytes) -> _Request:
        """Make the request that a redirect asks for. Credentials and body stay with the spec's own origin."""
        try:
            url = request.url.join(location.decode("latin-1"))
            host, port = _host_and_port(url)
        except (InvalidURL, ValueError):
            raise Failure(ProbeReason.PROTOCOL_ERROR, "redirected to what is no http or https URL") from None
        method = "GET" if status in _BECOMES_GET and request.method != "HEAD" else request.method
        own = (url.scheme, host, port) == self._request.origin
        tls = None
        if url.scheme == "https":
            if own:
                tls = self._request.tls
            elif self._elsewhere is not None:
                tls = TlsTarget(self._elsewhere, host.rstrip("."))
        body = self._body if own and method == self._request.method else None
        headers = [
            header
            for header in self._headers
            if (own or not header.private) and (body is not None or header.name.lower() not in _OF_THE_BODY)
        ]
        return _Request(url, host, port, method, _wire(url, method, headers, body, keep=False), tls)


def _connecting(request: _Request, progress: Progress) -> Callable[[str], Awaitable[HttpConnection]]:
    head_only = request.method == "HEAD"

    def connect(address: str) -> Awaitable[HttpConnection]:
        def make() -> HttpConnection:
            return HttpConnection(request.wire, progress, address=address, head_only=head_only)

        return dial(make, address, request.port, progress, tls=request.tls)

    return connect


def _note_certificate(request: _Request, connection: HttpConnection) -> None:
    if request.tls is not None and request.tls.min_days is not None:
        # Now: a closed connection no longer tells.
        connection.certificate = peer_certificate(connection.transport)


def _host_and_port(url: URL) -> tuple[str, int]:
    """Take a URL's host and port. Raises ValueError for what no request can be sent to."""
    default = {"http": 80, "https": 443}.get(url.scheme)
    host = url.raw_host.decode("ascii")
    port = url.port or default
    if default is None or port is None or not 0 < port < 65536 or not _HOST.fullmatch(host):
        raise ValueError
    return host, port


def _headers(spec: HttpSpec, values: Values) -> list[_Header]:
    headers = []
    for header in spec.headers:
        secret = header.value_from is not None
        value = (
            secret_text(header.value_from, values) if header.value_from is not None else (header.value or "").strip()
        )
        lower = header.name.lower()
        if lower in _FRAMING:
            msg = f"header {header.name} is set by the probe itself: leave it out"
            raise BadProbe(msg)
        if _CONTROL.search(value):
            msg = f"header {header.name} has a line break or control character in its value: write it in one line"
            raise BadProbe(msg)
        headers.append(_Header(header.name, value, private=secret or lower in _OF_THE_HOST))
    return headers


def _wire(url: URL, method: str, headers: Sequence[_Header], body: bytes | None, *, keep: bool) -> bytes:
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
