"""HTTP for sources: the probes' own requests, connections, address policy and TLS. Redirects are never followed."""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from httpx import URL, InvalidURL

from lastgood.api.probes import Header, Tls, ValueFrom
from lastgood.domain.measure import Silence
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Progress
from lastgood.probes.dial import first
from lastgood.probes.httpwire import BODY_LIMIT, HttpConnection
from lastgood.probes.request import ALPN, Request, RequestHeader, connecting, headers_of, host_and_port, wire_of
from lastgood.probes.resolver import Resolver
from lastgood.probes.tls import TlsContexts, TlsTarget
from lastgood.probes.values import Values, secret_text
from lastgood.sources.base import Quiet

_PIECE = 256 * 1024
"""Bytes of a body that are unpacked or parsed at once: a few milliseconds, after which others get their turn."""

_TRANSIENT = frozenset({408, 425, 429})
_NO_TOKEN = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Web:
    """What all HTTP sources share with the probes."""

    resolver: Resolver
    contexts: TlsContexts


def url_of(text: str) -> tuple[URL, str, int]:
    """Read a URL, its host and its port. Raises BadProbe."""
    try:
        url = URL(text)
        return (url, *host_and_port(url))
    except (InvalidURL, ValueError):
        msg = 'url is no absolute http or https URL: write one such as "http://prometheus.monitoring:9090"'
        raise BadProbe(msg) from None


def bearer(source: ValueFrom, values: Values) -> RequestHeader:
    """Authorization by token. Raises BadProbe when it is missing or cannot be sent."""
    token = secret_text(source, values)
    if not token or _NO_TOKEN.search(token):
        ref = source.secret_key_ref
        msg = f'key "{ref.key}" of Secret "{ref.name}" holds no token: write it in one line, without blanks'
        raise BadProbe(msg)
    return RequestHeader("Authorization", f"Bearer {token}", private=True)


def extra_headers(headers: Sequence[Header], values: Values) -> list[RequestHeader]:
    """Headers of the spec. Raises BadProbe."""
    return headers_of(headers, values)


def tls_of(spec: Tls | None, values: Values, *, host: str, contexts: TlsContexts) -> TlsTarget:
    """How to connect over TLS. Raises BadProbe."""
    if spec is not None and spec.min_days_to_expiry is not None:
        msg = "minDaysToExpiry is looked at by probes only: leave it out here, and write an http probe with it"
        raise BadProbe(msg)
    return contexts.target(spec, values, host=host, alpn=ALPN)


def prepare(
    url: URL,
    headers: Sequence[RequestHeader],
    values: Values,
    *,
    web: Web,
    tls: Tls | None = None,
    form: bytes | None = None,
) -> Request:
    """Make a request: a GET, or a POST of a form. Raises BadProbe."""
    host, port = host_and_port(url)
    if tls is not None and url.scheme != "https":
        msg = 'tls is only looked at for https: write a url that begins with "https://" or leave tls out'
        raise BadProbe(msg)
    target = tls_of(tls, values, host=host, contexts=web.contexts) if url.scheme == "https" else None
    method = "GET" if form is None else "POST"
    return Request(url, host, port, method, wire_of(url, method, headers, form, keep=False), target)


async def fetch(request: Request, web: Web, progress: Progress, *, limit: int = BODY_LIMIT) -> HttpConnection:
    """Send a request and read its answer, whatever its status. Raises Failure, and Quiet for too large a body."""
    addresses = web.resolver.known(request.host) or await web.resolver.addresses(request.host)
    connection = await first(addresses, connecting(request, progress, limit=limit), progress)
    await connection.answer()
    connection.transport.close()
    if connection.truncated:
        raise Quiet(Silence.NOT_UNDERSTOOD, f"the answer is larger than {limit >> 20} MiB")
    return connection


def check_status(status: int) -> None:
    """Raise Quiet unless the answer is a good one."""
    if 200 <= status < 300:
        return
    if status in {401, 403, 407}:
        raise Quiet(Silence.DENIED, f"the server answered with status {status}")
    if status >= 500 or status in _TRANSIENT:
        raise Quiet(Silence.SOURCE_DOWN, f"the server answered with status {status}")
    if 300 <= status < 400:
        raise Quiet(Silence.NOT_UNDERSTOOD, f"the server redirects (status {status}): write where it leads to")
    raise Quiet(Silence.NOT_UNDERSTOOD, f"the server answered with status {status}")


def pieces(connection: HttpConnection, *, limit: int = BODY_LIMIT) -> Iterator[bytes]:
    """Give the body piece by piece, unpacked. Raises Quiet for what cannot be, or is larger than ``limit``."""
    body = connection.body
    encoding = connection.content_encoding.strip().lower()
    if encoding in {b"", b"identity"}:
        for start in range(0, len(body), _PIECE):
            yield body[start : start + _PIECE]
        return
    if encoding not in {b"gzip", b"x-gzip"}:
        raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is encoded in a way that was not asked for")
    unpacker = zlib.decompressobj(wbits=31)
    size = 0
    rest = body
    while not unpacker.eof:
        try:
            piece = unpacker.decompress(rest, _PIECE)
        except zlib.error:
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer is no gzip") from None
        rest = unpacker.unconsumed_tail
        size += len(piece)
        if size > limit:
            raise Quiet(Silence.NOT_UNDERSTOOD, f"the answer is larger than {limit >> 20} MiB")
        if not piece and not rest and not unpacker.eof:
            raise Quiet(Silence.NOT_UNDERSTOOD, "the answer ends in the middle of gzip")
        yield piece
