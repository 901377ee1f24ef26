"""HTTP/1.1 on one connection: writes a request made beforehand, and collects what comes back.

Measured, CPU per probe of a fresh connection at 333 a second in 50 ms ticks, all in one run: a bare protocol that
cuts the answer up by hand 77 µs, this parser (llhttp, through httptools) 86, pyreqwest 113 to 124, h11 155 to 200.
TLS rules pyreqwest out for https (see tls.py), and one way to speak HTTP is better than two.
"""

import asyncio
import ssl
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Phase, Progress
from lastgood.probes.tls import tls_failure

BODY_LIMIT = 1024 * 1024
"""Bytes of a body that are read, unless the caller says otherwise. What follows them is never looked at."""

_HEAD_LIMIT = 64 * 1024
"""Bytes of status line and headers that are accepted."""

_FRAMING_LIMIT = 7 * BODY_LIMIT
"""Bytes received beyond the body's limit: chunk framing and trailers are no body, and could go on without end."""

_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""First bytes of a TLS alert and of a handshake."""

_SWITCHING = 101


class HttpConnection(asyncio.Protocol):
    """One connection and the answer that is being read from it.

    ``request`` is written as soon as the connection is made; ``exchange`` writes another on a kept connection.
    """

    __slots__ = (
        "_body",
        "_done",
        "_failure",
        "_head_only",
        "_headers_complete",
        "_limit",
        "_parser",
        "_progress",
        "_received",
        "_request",
        "_size",
        "_waiter",
        "address",
        "certificate",
        "content_encoding",
        "content_type",
        "framed",
        "location",
        "lost",
        "reusable",
        "started",
        "status",
        "transport",
        "truncated",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        request: bytes,
        progress: Progress,
        *,
        address: str = "",
        head_only: bool = False,
        limit: int = BODY_LIMIT,
    ) -> None:
        self.address = address
        self._limit = limit
        self.certificate: bytes | None = None
        """The server's certificate in DER, where somebody wants to know."""
        self.lost = False
        """Whether the connection has ended."""
        self._begin(request, progress, head_only=head_only)

    def _begin(self, request: bytes, progress: Progress, *, head_only: bool) -> None:
        self._request = request
        self._progress = progress
        self._head_only = head_only
        self._parser: Any = HttpResponseParser(self)
        self._waiter: asyncio.Future[None] = progress.loop.create_future()
        self._body: bytes | bytearray = b""
        self._size = 0
        self._received = 0
        self._headers_complete = False
        self._done = False
        self._failure: tuple[ProbeReason, str] | None = None
        self.status = 0
        self.location: bytes | None = None
        self.content_type = b""
        self.content_encoding = b""
        self.framed = False
        """Whether the headers say how long the body is, so that a body cut short does not pass for a whole one."""
        self.truncated = False
        """Whether the body went on beyond the limit."""
        self.started = False
        """Whether any byte of the answer has come."""
        self.reusable = False
        """Whether another request may be written to this connection."""

    async def answer(self) -> None:
        """Wait until the answer has been read. Raises Failure."""
        try:
            await self._waiter
        finally:
            # The parser holds its protocol: left as a cycle, each probe would be work for the garbage collector.
            self._parser = None
            if not self._done:
                self._done = True
                self.transport.abort()
        if self._failure is not None:
            # Made here: an exception that its connection holds would hold the connection.
            raise Failure(*self._failure)

    async def exchange(self, request: bytes, progress: Progress, *, head_only: bool = False) -> None:
        """Write another request and wait for its answer. Raises Failure; ``started`` tells whether any of it came."""
        self._begin(request, progress, head_only=head_only)
        if self.lost:
            self._fail(ProbeReason.CONNECTION_FAILED, "the kept connection was closed")
        else:
            progress.phase = Phase.ANSWER
            self.transport.write(request)
        await self.answer()

    @property
    def body(self) -> bytes:
        """The body, up to the limit."""
        return bytes(self._body)

    # What asyncio calls.

    def connection_made(self, transport: Any) -> None:
        """Write the request."""
        self.transport = transport
        self._progress.phase = Phase.ANSWER
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._done:
            # Bytes that nobody asked for: whatever they are, the next answer must not begin with them.
            self.reusable = False
            self.transport.abort()
            return
        if not self.started:
            self.started = True
            if data.startswith(_TLS_RECORDS):
                self._fail(ProbeReason.PROTOCOL_ERROR, "the server speaks TLS on this port: write https")
                return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._finish()
        except (HttpParserError, HttpParserCallbackError):
            if self._done:
                # An answer, and then bytes that are none: good as far as it went.
                self.reusable = False
            else:
                self._fail(ProbeReason.PROTOCOL_ERROR, "the answer is not HTTP/1.1")
            return
        if self._done:
            return
        if not self._headers_complete and self._received > _HEAD_LIMIT:
            self._fail(ProbeReason.PROTOCOL_ERROR, "the headers are larger than 64 KiB")
        elif self._received > self._limit + _FRAMING_LIMIT:
            self._fail(ProbeReason.PROTOCOL_ERROR, "the framing around the body goes on without end")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a body that ends with its connection from an answer that was cut off."""
        self.lost = True
        self.reusable = False
        if self._done:
            return
        if self._headers_complete and not self.framed and exc is None:
            self._finish()
        elif self._headers_complete:
            self._fail(ProbeReason.PROTOCOL_ERROR, "the connection was closed in the middle of the body")
        elif self.started:
            self._fail(ProbeReason.PROTOCOL_ERROR, "the connection was closed in the middle of the headers")
        elif exc is None:
            self._fail(ProbeReason.PROTOCOL_ERROR, "the connection was closed without an answer")
        elif isinstance(exc, ssl.SSLError):
            # With TLS 1.3 a server refuses a client only after the client's side of the handshake is over.
            refused = tls_failure(exc)
            self._fail(refused.reason, refused.detail)
        else:
            self._fail(ProbeReason.CONNECTION_FAILED, "the connection was reset before an answer came")

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the few headers that matter."""
        if self._headers_complete or self._done:
            return  # a trailer, or of another answer that nobody asked for
        length = len(name)
        if length == 8:
            if name.lower() == b"location":
                self.location = value
        elif length == 12:
            if name.lower() == b"content-type":
                self.content_type = value
        elif length == 16:
            if name.lower() == b"content-encoding":
                self.content_encoding = value
        elif (length == 14 and name.lower() == b"content-length") or (
            length == 17 and name.lower() == b"transfer-encoding"
        ):
            self.framed = True

    def on_headers_complete(self) -> None:
        """Go on to the body, unless there is none."""
        if self._done:
            self.reusable = False
            return
        status = self._parser.get_status_code()
        if status < 200 and status != _SWITCHING:
            self.location, self.framed = None, False
            self.content_type = self.content_encoding = b""
            return
        self.status = status
        self._headers_complete = True
        if self._head_only or status == _SWITCHING:
            self._finish()
        else:
            self._progress.phase = Phase.BODY

    def on_body(self, data: bytes) -> None:
        """Collect the body up to its limit."""
        if self._done:
            return
        room = self._limit - self._size
        if len(data) > room:
            data = data[:room]
            self.truncated = True
        if not self._size:
            self._body = data
        else:
            # Not a list of pieces: a server may send a byte at a time, and each object has its own overhead.
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += data
        self._size += len(data)
        if self.truncated:
            self._finish()

    def on_message_complete(self) -> None:
        """End, unless this was an interim answer (1xx) before the real one."""
        if self._headers_complete and not self._done:
            self.reusable = not self.lost and self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        self._done = True
        if not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, reason: ProbeReason, detail: str) -> None:
        self._done = True
        # Not as the future's exception: a run that was cancelled meanwhile would leave it unretrieved, in the log.
        self._failure = (reason, detail)
        if not self.lost:
            self.transport.abort()
        if not self._waiter.done():
            self._waiter.set_result(None)
