# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""Production: aiohttp's connector (DNS, TLS, pool) and parser, and nothing of aiohttp above them."""

from __future__ import annotations

import asyncio
import functools

import aiohttp
import httpx
import yarl
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader

from llmrouter.errors import TransportError

from .body import CONNECTING, OPENING, READING, Body, decoded, patience

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


_HANDLER: type[ResponseHandler] = _Handler


class AiohttpTransport(httpx.AsyncBaseTransport):
    """httpx's interface over aiohttp's connector and parser, without a session, a task or a copy between."""

    def __init__(self, connect: float, limit: int | None) -> None:
        self._connector = aiohttp.TCPConnector(
            limit=limit or 0, keepalive_timeout=KEEP_ALIVE, ttl_dns_cache=DNS_TTL
        )
        self._connector._factory = functools.partial(_HANDLER, loop=asyncio.get_running_loop())
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        self._origins: dict[tuple[str, bytes], ClientRequest] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limit = patience(request)
        with OPENING:
            if limit is None:
                return await self._answered(request)
            async with asyncio.timeout(limit):
                return await self._answered(request)

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        head = _head(request)
        body = await _content(request)
        connection = await self._connect(request.url)
        try:
            return await _exchange(connection, request.method, head, body)
        except BaseException:
            _drop(connection)
            raise

    async def _connect(self, url: httpx.URL) -> Connection:
        origin = self._origins.get((url.scheme, url.netloc)) or self._origin(url)
        with CONNECTING:
            while True:
                connection = await self._connector.connect(origin, [], self._timeout)
                if connection.protocol is not None and not connection.protocol.should_close:
                    return connection
                _drop(connection)  # it said something while idle: what comes next on it is not our answer

    def _origin(self, url: httpx.URL) -> ClientRequest:
        if url.scheme not in ("http", "https"):
            raise TransportError(
                "internal", f"cannot speak {url.scheme!r}: a base_url begins with http:// or https://"
            )
        address = yarl.URL(f"{url.scheme}://{url.netloc.decode('ascii')}/", encoded=True)
        origin = ClientRequest("GET", address, loop=asyncio.get_running_loop())
        return self._origins.setdefault((url.scheme, url.netloc), origin)

    @property
    def active(self) -> int:
        """Requests whose connection is not given back."""
        return len(self._connector._acquired)

    async def aclose(self) -> None:
        await self._connector.close()


def _head(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise TransportError("internal", "a header of the request holds a line break")
    return head + b"\r\n\r\n"


async def _content(request: httpx.Request) -> bytes:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    return await request.aread()


async def _exchange(connection: Connection, method: str, head: bytes, body: bytes) -> httpx.Response:
    protocol, wire = connection.protocol, connection.transport
    if protocol is None or wire is None or wire.is_closing():
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        skip_payload=method == "HEAD",
        read_until_eof=True,
        max_line_size=MAX_LINE,
        max_field_size=MAX_HEADER,
        max_headers=MAX_HEADERS,
    )
    wire.writelines([head, body]) if len(body) > JOINED else wire.write(head + body)
    message, payload = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, payload = await protocol.read()
    headers = list(message.raw_headers)
    if message.compression:
        headers = decoded(headers)
    payload.on_eof(connection.release)
    return httpx.Response(message.code, headers=headers, stream=_Payload(connection, payload))


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
        try:
            with READING:
                chunk = b"" if self._closed else await self._payload.readany()
        except TransportError:
            if not self._closed:
                raise
            chunk = b""
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
