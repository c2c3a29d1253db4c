# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""Production: aiohttp's connector (DNS, TLS, pool) and parser, and nothing of aiohttp above them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader

from llmrouter.errors import TransportError

from .body import CONNECTING, FOREIGN, OPENING, READING, Body, Pair, decoded, patience

KEEP_ALIVE = 45.0  # seconds; balancers commonly close idle connections after 60
DNS_TTL = 60  # seconds
MAX_LINE = 16 * 1024  # bytes of a status line
MAX_HEADER = 32 * 1024  # bytes of one header
MAX_HEADERS = 256
JOINED = 64 * 1024  # bytes up to which head and body are one write


class _Handler(ResponseHandler):
    """Tells the reader of a body too: aiohttp's C parser leaves it waiting when a chunk has no size."""

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, *(exc_cause,) if exc_cause else ())
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError(str(exc)))

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Only what was paused: aiohttp's own goes through its parser after every chunk that is read."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)


_HANDLER: type[ResponseHandler] = _Handler


class Answered(NamedTuple):
    """An answer whose head is there. Names of headers are as they came."""

    status: int
    headers: Sequence[Pair]
    body: Body


class _Origin(ClientRequest):
    """Where connections lead; what they are pooled under is asked for with each request, and made once."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


class Door:
    """One origin of an `AiohttpTransport`, for those who have bytes and need no httpx types to carry them."""

    def __init__(self, connector: aiohttp.TCPConnector, origin: _Origin, timeout: aiohttp.ClientTimeout) -> None:
        self._connector = connector
        self._origin = origin
        self._timeout = timeout

    async def ask(self, head: bytes, body: bytes, skip_body: bool = False) -> Answered:
        """Send a request with a head of `head_of`. `skip_body`: the answer has none. Raises TransportError."""
        try:
            connection = await self._connect()
            try:
                return await _exchange(connection, head, body, skip_body)
            except BaseException:
                _drop(connection)
                raise
        except FOREIGN as error:
            raise OPENING.told(error) from error

    async def _connect(self) -> Connection:
        try:
            while True:
                connection = await self._connector.connect(self._origin, [], self._timeout)
                protocol = connection.protocol
                if protocol is not None and not protocol.should_close:
                    return connection
                _drop(connection)  # it said something while idle: what comes next on it is not our answer
        except FOREIGN as error:
            raise CONNECTING.told(error) from error


class AiohttpTransport(httpx.AsyncBaseTransport):
    """httpx's interface over aiohttp's connector and parser, without a session, a task or a copy between."""

    def __init__(self, connect: float, limit: int | None, resolver: AbstractResolver | None = None) -> None:
        self._connector = aiohttp.TCPConnector(
            limit=limit or 0, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=DNS_TTL, resolver=resolver
        )
        self._connector._factory = functools.partial(_HANDLER, loop=asyncio.get_running_loop())
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        self._doors: dict[tuple[str, bytes], Door] = {}

    def door(self, url: httpx.URL) -> Door:
        """The way to the origin of an address, past httpx's types. Raises TransportError."""
        return self._doors.get((url.scheme, url.netloc)) or self._open(url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with OPENING:
            async with asyncio.timeout(patience(request)):
                head = head_of(request.method, request.url, request.headers.raw)
                body = await _content(request)
                status, headers, stream = await self.door(request.url).ask(head, body, request.method == "HEAD")
                return httpx.Response(status, headers=list(headers), stream=stream)

    def _open(self, url: httpx.URL) -> Door:
        if url.scheme not in ("http", "https"):
            raise TransportError(
                "internal", f"cannot speak {url.scheme!r}: a base_url begins with http:// or https://"
            )
        address = yarl.URL(f"{url.scheme}://{url.netloc.decode('ascii')}/", encoded=True)
        origin = _Origin("GET", address, loop=asyncio.get_running_loop())
        return self._doors.setdefault((url.scheme, url.netloc), Door(self._connector, origin, self._timeout))

    @property
    def active(self) -> int:
        """Requests whose connection is not given back."""
        return len(self._connector._acquired)

    async def aclose(self) -> None:
        await self._connector.close()


def head_of(method: str, url: httpx.URL, headers: Sequence[Pair]) -> bytes:
    """The lines of a request before its blank one; further `lines` may follow. Raises TransportError."""
    return lines(headers, b"%s %s HTTP/1.1\r\n" % (method.encode("ascii"), url.raw_path))


def lines(headers: Sequence[Pair], head: bytes = b"") -> bytes:
    """The lines of headers, after those of `head`. Raises TransportError for a line break inside of one."""
    added = b"".join([b"%s: %s\r\n" % pair for pair in headers])
    if added.count(b"\n") != len(headers) or added.count(b"\r") != len(headers):
        raise TransportError("internal", "a header of the request holds a line break")
    return head + added


async def _content(request: httpx.Request) -> bytes:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    return await request.aread()


async def _exchange(connection: Connection, head: bytes, body: bytes, skip_body: bool) -> Answered:
    protocol = connection.protocol
    if protocol is None or (wire := protocol.transport) is None or wire.is_closing():
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        skip_payload=skip_body,
        read_until_eof=True,
        max_line_size=MAX_LINE,
        max_field_size=MAX_HEADER,
        max_headers=MAX_HEADERS,
    )
    if len(body) > JOINED:
        wire.writelines([head, b"\r\n", body])
    else:
        wire.write(b"%s\r\n%s" % (head, body))
    message, payload = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, payload = await protocol.read()
    headers: Sequence[Pair] = message.raw_headers
    if message.compression:
        headers = decoded(headers)
    payload.on_eof(connection.release)
    return Answered(message.code, headers, _Payload(connection, payload))


def _drop(connection: Connection) -> None:
    """Give up the connection with a reset: nothing is flushed, and the other side stops generating."""
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


class _Payload(Body):
    def __init__(self, connection: Connection, payload: StreamReader) -> None:
        self._connection = connection
        self._payload = payload
        self._closed = False

    async def __anext__(self) -> bytes:
        payload = self._payload
        if self._closed or payload.at_eof():
            raise StopAsyncIteration
        try:
            chunk = await payload.readany()
        except FOREIGN as error:
            if self._closed:
                raise StopAsyncIteration from None
            raise READING.told(error) from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._payload.is_eof():  # at its end the connection is back in the pool already
            _drop(self._connection)
            self._payload.set_exception(aiohttp.ClientPayloadError("closed"))
