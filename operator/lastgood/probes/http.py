"""One HTTP request, its redirects, and whether the answer is good."""

from collections.abc import Sequence

from httpx import URL, InvalidURL

from lastgood.api.probes import HttpProbe as HttpSpec
from lastgood.api.probes import Tls
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, Progress, TimedProbe
from lastgood.probes.dial import first
from lastgood.probes.expect import Expectation
from lastgood.probes.httpwire import HttpConnection
from lastgood.probes.request import ALPN, Request, connecting, headers_of, host_and_port, note_certificate, wire_of
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import Expiry, TlsContexts, TlsTarget
from lastgood.probes.values import Values

_REDIRECTS = 5
_REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
_BECOMES_GET = frozenset({301, 302, 303})
_TWICE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again when a kept connection turns out to be dead (RFC 9110, 9.2.2)."""

_OF_THE_BODY = frozenset({"content-type", "content-encoding"})


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
        self._headers = headers_of(spec.headers, values)
        self._expected = Expectation(spec)
        self._expiry = Expiry()
        try:
            url = URL(spec.url)
            host, port = host_and_port(url)
        except (InvalidURL, ValueError):
            msg = 'url is no absolute http or https URL: write one such as "http://backend:8000/health"'
            raise BadProbe(msg) from None
        super().__init__(timeout=timeout, host=host)
        tls = contexts.target(spec.tls, values, host=host, alpn=ALPN) if url.scheme == "https" else None
        wire = wire_of(url, spec.method, self._headers, self._body, keep=keep)
        self._request = Request(url, host, port, spec.method, wire, tls)
        # Held, because a context that nobody holds is made anew, at 20 ms with the system's authorities.
        elsewhere = Tls(ca=spec.tls.ca, insecure_skip_verify=spec.tls.insecure_skip_verify) if spec.tls else None
        self._elsewhere = contexts.target(elsewhere, values, host=host, alpn=ALPN).context if self._follow else None

    async def ask(self, progress: Progress) -> None:
        """Send the request, follow redirects where asked to, and judge the last answer."""
        answer = await self._send(self._request, progress)
        certificate = answer.certificate
        if self._follow:
            answer = await self._last(answer, progress)
        progress.code = answer.status
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

    async def _send(self, request: Request, progress: Progress) -> HttpConnection:
        addresses = self._resolver.known(request.host) or await self._resolver.addresses(request.host)
        if self._keep and request is self._request:
            return await self._send_kept(request, addresses, progress)
        connection = await first(addresses, connecting(request, progress), progress)
        note_certificate(request, connection)
        await connection.answer()
        connection.transport.close()
        return connection

    async def _send_kept(self, request: Request, addresses: Sequence[str], progress: Progress) -> HttpConnection:
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
            connection = await first(addresses, connecting(request, progress), progress)
            note_certificate(request, connection)
            await connection.answer()
        self._put_back(connection)
        return connection

    def _put_back(self, connection: HttpConnection) -> None:
        if connection.reusable and self._kept is None and not self._closed:
            self._kept = connection
        else:
            connection.transport.close()

    def _redirected(self, request: Request, status: int, location: bytes) -> Request:
        """Make the request that a redirect asks for. Credentials and body stay with the spec's own origin."""
        try:
            url = request.url.join(location.decode("latin-1"))
            host, port = host_and_port(url)
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
        return Request(url, host, port, method, wire_of(url, method, headers, body, keep=False), tls)
