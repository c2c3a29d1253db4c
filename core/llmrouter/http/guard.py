# ruff: noqa: TID251 (this package is the one place that knows the HTTP clients)
"""For tests and recordings: any httpx transport, kept away from the cancels of its callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from llmrouter.errors import TransportError

from .body import OPENING, READING, Body, decoded, patience

QUEUED = 16  # chunks read ahead


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that never sees a foreign cancel: each request runs in a task of its own."""

    def __init__(self, inner: httpx.AsyncBaseTransport, connect: float | None) -> None:
        self.inner = inner
        self._connect = connect
        self._exchanges: dict[asyncio.Task[None], _Exchange] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limit = patience(request)
        exchange = _Exchange(self.inner)
        timeout = {"connect": self._connect, "pool": limit, "read": None, "write": None}
        request.extensions = {**request.extensions, "timeout": timeout, "trace": exchange.trace}
        task = exchange.task = asyncio.create_task(exchange.run(request))
        self._exchanges[task] = exchange
        task.add_done_callback(self._exchanges.pop)
        try:
            with OPENING:
                async with asyncio.timeout(limit):
                    response = await exchange.head
        except BaseException:
            exchange.close()
            raise
        headers = response.headers.raw
        if "content-encoding" in response.headers:
            headers = decoded(headers)
        return httpx.Response(response.status_code, headers=headers, stream=exchange)

    @property
    def active(self) -> int:
        """Requests whose connection is not given back."""
        return len(self._exchanges)

    async def aclose(self) -> None:
        for exchange in self._exchanges.values():
            exchange.close()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        await self.inner.aclose()


class _Unclosed(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()


def _open(response: httpx.Response) -> httpx.Response:
    """The same answer, to be read without being closed at its end: a cancel must not meet httpcore closing."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return httpx.Response(response.status_code, headers=response.headers, stream=_Unclosed(response.stream))


class _Abandoned(Exception):
    """Raised inside httpcore's own event, before a byte of the request is sent."""


class _Exchange(Body):
    """One request of a guarded transport: its task, and the queue that its bytes come out of.

    httpcore keeps its books only if it is cancelled at most once, not before it holds a connection and not
    while it closes. A caller who leaves earlier is told to it by an exception from the trace event.
    """

    task: asyncio.Task[None]

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.head: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes | TransportError] = asyncio.Queue(QUEUED)
        self._may_cancel = False
        self._closed = False

    async def trace(self, event: str, info: object) -> None:
        if not event.endswith("send_request_headers.started"):
            return
        if self._closed:
            raise _Abandoned
        self._may_cancel = True

    async def run(self, request: httpx.Request) -> None:
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            if not self.head.done():
                self.head.set_exception(error)
            return
        await self._pump(response)

    async def _pump(self, response: httpx.Response) -> None:
        end: bytes | TransportError = b""
        self._may_cancel = True
        try:
            if not self.head.done():
                self.head.set_result(response)
            with READING:
                async for chunk in _open(response).aiter_bytes():
                    await self._chunks.put(chunk)
        except TransportError as error:
            end = error
        finally:
            self._may_cancel = False
            await response.aclose()
        await self._chunks.put(end)

    async def __anext__(self) -> bytes:
        chunk = b"" if self._closed else await self._chunks.get()
        if isinstance(chunk, TransportError):
            raise chunk
        if not chunk:
            self._closed = True
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        self._closed = True
        if self._may_cancel:
            self._may_cancel = False
            self.task.cancel()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(b"")
