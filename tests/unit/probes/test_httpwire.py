"""The wire protocol by itself: any bytes, cut anywhere."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood.domain.outcome import ProbeReason
from lastgood.probes.base import Failure, Progress
from lastgood.probes.httpwire import HttpConnection

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2;x=y\r\nne\r\n0\r\nX: trailer\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nfine",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nfine",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfineHTTP/1.1 500 No\r\nLocation: /y\r\n\r\n",
]
Seen = tuple[int, bytes] | tuple[ProbeReason, str]


class Transport:
    """Takes what is written, and tells the protocol when it is closed."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.protocol.connection_lost(None)


def read(*chunks: bytes) -> Seen:
    """Feed these, then the end of the connection; what came of it."""

    async def run() -> Seen:
        connection = HttpConnection(b"GET", Progress(1.0))
        transport: Any = Transport(connection)
        connection.connection_made(transport)
        for chunk in chunks:
            connection.data_received(chunk)
        if not connection.lost:
            connection.connection_lost(None)
        try:
            await connection.answer()
        except Failure as failure:
            return failure.reason, failure.detail
        return connection.status, connection.body

    return asyncio.run(run())


@pytest.mark.parametrize("data", ANSWERS)
@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_it_does_not_matter_where_an_answer_is_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges) if start < end]
    assert read(*chunks) == (200, b"fine")


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", *ANSWERS]),
)
def test_any_bytes_end_in_an_answer_or_a_reason(chunks: list[bytes], head: bytes) -> None:
    first, second = read(*([head] if head else []), *chunks)
    assert isinstance(first, int) or first in {ProbeReason.PROTOCOL_ERROR, ProbeReason.CONNECTION_FAILED}
    assert isinstance(second, str | bytes)
