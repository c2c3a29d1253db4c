"""One connection to an upstream over HTTP/1.1: httptools reads, an `Answer` is told what it finds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import httptools

from llmrouter.protocols import Take

from .body import READING, Body, Garbled, named

MAX_HEAD = 64 * 1024  # bytes of a head, where it does not come at once; a read of the socket is at most 256 KiB
MAX_WAITING = 256 * 1024  # bytes that came and were not taken; then no more are read for a while
JOINED = 64 * 1024  # bytes up to which head and body are one write
SWITCHING = 101  # the one informational status that is an answer
FRAMES = frozenset({"content-length", "transfer-encoding"})


class Keeper(Protocol):
    """Who has use for a connection when its answer is whole."""

    def take_back(self, wire: Wire, usable: bool) -> None: ...

    def lost(self, wire: Wire) -> None: ...


class Wire(asyncio.Protocol):
    """A connection; between `ask` and the end of the answer it is in use."""

    transport: asyncio.Transport

    def __init__(self, keeper: Keeper, loop: asyncio.AbstractEventLoop) -> None:
        self._keeper, self.loop = keeper, loop
        self._parser = _parser(self)
        self._answer: Answer | None = None
        self._skips = False  # the answer has no body, whatever its head says
        self._usable = False  # for another request
        self.stale = False  # was idle when idle ones were looked at last

    def ask(self, head: bytes, body: bytes, skip_body: bool) -> Answer:
        """Send a request, on a connection that is not in use."""
        answer = self._answer = Answer(self)
        self._skips = skip_body
        if len(body) > JOINED:
            self.transport.writelines([head, b"\r\n", body])
        else:
            self.transport.write(b"%s\r\n%s" % (head, body))
        return answer

    def drop(self) -> None:
        """Give it up with a reset: nothing is flushed, and the other side stops generating."""
        self._answer = None
        self.transport.abort()
        self._keeper.lost(self)

    # ---- what comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            return self.drop()  # it speaks unasked: what comes next on it would be nobody's answer
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            answer.whole, self._usable = True, False
        except httptools.HttpParserError as error:
            return self._fail(answer, Garbled(f"not HTTP: {error}"))
        waiting = answer.waiting = answer.waiting + len(data)
        if answer.whole:
            self._release(answer)
        elif waiting > MAX_HEAD:
            if not answer.status:
                return self._fail(answer, Garbled(f"a head of more than {MAX_HEAD} bytes"))
            if waiting > MAX_WAITING and not answer.paused:
                answer.paused = True
                self.transport.pause_reading()
        return answer.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            if exc is None and answer.status and FRAMES.isdisjoint(answer.headers):
                answer.whole = True  # the end of the connection is the end of the body
            else:
                answer.error = exc or ConnectionError("the connection was closed before the answer was whole")
            answer.tell()
        self._keeper.lost(self)
        del self._parser  # which knows this object

    def _fail(self, answer: Answer, error: Exception) -> None:
        answer.error = error
        answer.tell()
        self.drop()

    def _release(self, answer: Answer) -> None:
        self._answer = None
        if answer.paused:
            answer.resume()
        self._keeper.take_back(self, self._usable)

    # ---- what the parser finds

    def on_message_begin(self) -> None:
        self._usable = False  # until it is whole, and again when another one follows that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer and not answer.status:  # else it is a trailer
            headers, key, text = answer.headers, named(name), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        answer, status = self._answer, self._parser.get_status_code()
        if not answer or answer.status:
            return
        if status < 100:
            raise Garbled(f"status {status}")
        if status < 200 and status != SWITCHING:
            answer.headers.clear()  # the real head is still to come
            return
        answer.status = status
        if self._skips:
            answer.whole, self._usable = True, self._parser.should_keep_alive()
            self._parser = _parser(self)  # the old one waits for a body

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer and not answer.whole:
            answer.chunks.append(data)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer and answer.status and not answer.whole:
            answer.whole, self._usable = True, self._parser.should_keep_alive()


class Answer(Body):
    """What comes on a wire for one request. `status` is 0 until the head is there."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._loop = wire, wire.loop
        self.status = 0
        self.headers: dict[str, str] = {}  # as `joined` gives them
        self.chunks: list[bytes] = []  # of the body, not taken yet
        self.waiting = 0  # bytes that came since
        self.paused = False
        self.whole = False
        self.error: Exception | None = None  # why nothing more will come
        self._closed = False
        self._waiter: asyncio.Future[Awaitable[None] | None] | None = None
        self._take: Take | None = None  # gets the bytes at once, while `pour` waits

    def news(self) -> asyncio.Future[Awaitable[None] | None]:
        """Done when there is more of it. Raises OSError or Garbled: there will be no more."""
        if self.error:
            raise self.error
        waiter = self._waiter = self._loop.create_future()
        return waiter

    async def __anext__(self) -> bytes:
        while not self.chunks:
            if self._is_over():
                raise StopAsyncIteration
            waiter = self._waiter = self._loop.create_future()
            await waiter
        return self._taken()

    async def pour(self, take: Take) -> Awaitable[None] | None:
        wait = None
        while wait is None:
            if self.chunks:
                wait = take(self._taken())
            elif self._is_over():
                return None
            else:
                wait = await self._poured(take)
        return wait

    async def _poured(self, take: Take) -> Awaitable[None] | None:
        """Let what comes be taken where it comes in. What was to be waited for then, or None at the end."""
        waiter: asyncio.Future[Awaitable[None] | None] = self._loop.create_future()
        self._waiter, self._take = waiter, take
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                left = waiter.result()
                if asyncio.iscoroutine(left):
                    left.close()  # nobody will wait for it now
            raise
        finally:
            self._take = None

    def _is_over(self) -> bool:
        """Whether nothing more will come. Raises TransportError where that is not as it should be."""
        if self.whole or self._closed:
            return True
        if self.error:
            raise READING.told(self.error) from self.error
        return False

    def _taken(self) -> bytes:
        chunks, self.chunks = self.chunks, []
        self.waiting = 0
        if self.paused:
            self.resume()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        if self._closed:
            return
        self._closed, self.chunks = True, []
        if not self.whole and not self.error:
            self._wire.drop()
        self.tell()

    def tell(self) -> None:
        """There is news for who waits; bytes that are poured need wake nobody."""
        waiter, wait = self._waiter, None
        if waiter is None or waiter.done():
            return None
        if self._take is not None and self.chunks:
            try:
                wait = self._take(self._taken())
            except Exception as error:  # it is for who pours
                return waiter.set_exception(error)
            if wait is None and not (self.whole or self.error or self._closed):
                return None
        return waiter.set_result(wait)

    def resume(self) -> None:
        self.paused = False
        self._wire.transport.resume_reading()


def _parser(wire: Wire) -> httptools.HttpResponseParser:
    """As lenient as servers are careless: with lines that end in LF alone, and spaces behind a chunk's size."""
    parser = httptools.HttpResponseParser(wire)
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
    return parser
