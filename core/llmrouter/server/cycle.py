"""One request over HTTP/1.1 and its answer: a `Channel`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llmrouter.protocols import ASGIScope

from .channel import tamed

if TYPE_CHECKING:
    from .app import App
    from .protocol import Protocol

CONTROLS = bytes(code for code in (*range(32), 127) if code != 9)
"""What may not stand in a header."""
EMPTY = (204, 304)  # statuses of answers without a body
STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}".encode() for one in HTTPStatus}
CHUNKED = b"transfer-encoding: chunked\r\n"
LAST = b"0\r\n\r\n"  # chunk
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
BROKEN = b"Internal Server Error"
BROKEN_HEADERS = ((b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"))

log = logging.getLogger("llmrouter.server")


class Cycle:
    """The head of an answer waits for what follows it, as ASGI asks for: one packet, one system call."""

    __slots__ = (
        "_body", "_chunked", "_head", "_left", "_news", "_protocol", "_waiter", "_waiting", "complete",
        "disconnected", "keep_alive", "scope", "started", "task", "whole",
    )  # fmt: skip

    task: asyncio.Task[Any]
    """Set by who starts it."""

    def __init__(
        self, protocol: Protocol, scope: ASGIScope, keep_alive: bool, body: bytes = b"", whole: bool = False
    ) -> None:
        self._protocol, self.scope = protocol, scope
        self.keep_alive = keep_alive
        self.started = self.complete = self.disconnected = False
        self.whole = whole  # all of the body has come
        self._body = [body]  # what was not received yet
        self._waiting = len(body)  # bytes of it
        self._news = whole or body != b""  # the same, or the news of its end
        self._waiter: asyncio.Future[None] | None = None  # of whoever receives; most bodies are at hand
        self._head = b""  # of the answer, until its first bytes are there

    async def run(self, app: App) -> None:
        try:
            await app.serve(self.scope, self)
        except Exception:
            log.exception("the app failed")
            await self._break_off()
        except asyncio.CancelledError:
            await self._break_off()
            raise
        else:
            if not self.complete and not self.disconnected:
                log.error("the app returned without a whole answer")
                await self._break_off()
        finally:
            self._protocol.state.tasks.discard(self.task)

    # ---- the request

    def feed(self, data: bytes) -> int:
        """More of the body. Returns how many bytes wait to be received."""
        self._body.append(data)
        self._waiting += len(data)
        self._news = True
        if self._waiter is not None:
            self._wake()
        return self._waiting

    def end(self) -> None:
        """The body is whole."""
        self.whole = self._news = True
        if self._waiter is not None:
            self._wake()

    def lose(self) -> None:
        """The client has left."""
        self.disconnected = True
        if self._waiter is not None:
            self._wake()

    def at_hand(self, most: int) -> bytes | None:
        if not self.whole or self.disconnected or self._waiting > most:
            return None
        body, self._body, self._news = b"".join(self._body), [], False
        return body

    async def receive(self) -> Any:
        while not (self._news or self.disconnected or self.complete):
            if self._waiter is None and not self.whole and not self.started:
                self._ask_for_body()
            self._protocol.resume_reading()
            self._waiter = self._protocol.loop.create_future()
            await self._waiter
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        body = b"".join(self._body)
        self._body, self._waiting, self._news = [], 0, False
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    def _ask_for_body(self) -> None:
        """A client may wait for a word before it sends any of it."""
        if any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.scope["headers"]):
            self._protocol.transport.write(GO_ON)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the answer, as ASGI has it

    async def send(self, message: Any) -> None:
        if self._protocol.is_full:
            await self._protocol.drain()
        if self.disconnected:
            return
        expected = "http.response.body" if self.started else "http.response.start"
        if message["type"] != expected or self.complete:
            raise RuntimeError(f"an answer goes on with {expected}, not with {message['type']}")
        if self.started:
            self._write(message.get("body", b""), message.get("more_body", False))
        else:
            self._start(message["status"], [*message.get("headers", ())])

    def _start(self, status: int, pairs: list[tuple[bytes, bytes]]) -> None:
        """Make the head of the answer; note how its body is framed."""
        lines = b"\r\n".join([*map(b": ".join, pairs), b""])
        if len(lines) - len(lines.translate(None, CONTROLS)) != 2 * len(pairs):
            raise RuntimeError("a header of the answer holds a control character")
        said = dict(pairs)
        self._chunked = False
        self._left = 0  # bytes of the answer, where it said how many there are
        if b"content-length" in said:
            self._left = int(said[b"content-length"])
        elif b"transfer-encoding" in said:
            self._chunked = True
        elif self.scope["method"] != "HEAD" and status not in EMPTY:
            self._chunked = True
            lines += CHUNKED
        self._open(status, lines, b"close" in said.get(b"connection", b"").lower())

    def _write(self, body: bytes, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self._left, body = 0, b""
        elif self._chunked:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else LAST)
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its content-length")
        if head or body:
            self._protocol.transport.write(head + body)
        if not more:
            if self._left:
                raise RuntimeError("the answer is shorter than its content-length")
            self._complete()

    # ---- the answer, the short way

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Awaitable[None] | None:
        if self._protocol.is_full:
            return self._answer_later(status, headers, body)
        if not self.disconnected:
            lines = _lines(headers) + b"content-length: %d\r\n" % len(body)
            self._open(status, lines, "close" in headers.get("connection", ""))
            self._protocol.transport.write(self._head + body if self.scope["method"] != "HEAD" else self._head)
            self._complete()
        return None

    async def _answer_later(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self._protocol.drain()
        if wait := self.answer(status, headers, body):
            await wait

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._open(status, _lines(headers) + CHUNKED, "close" in headers.get("connection", ""))

    def write(self, data: bytes) -> Awaitable[None] | None:
        protocol = self._protocol
        if data and not self.disconnected:
            chunk = b"%x\r\n%s\r\n" % (len(data), data)
            if self._head:
                chunk, self._head = self._head + chunk, b""
            protocol.transport.write(chunk)
        return protocol.drain() if protocol.is_full else None

    def finish(self) -> None:
        if not self.disconnected:
            self._protocol.transport.write(self._head + LAST)
            self._complete()

    # ---- both

    def _open(self, status: int, lines: bytes, closes: bool) -> None:
        if self.started:
            raise RuntimeError("an answer has only one head")
        self.started = True
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines += b"connection: close\r\n"
        first = STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
        self._head = b"\r\n".join([first, *map(b": ".join, self._protocol.state.default_headers), lines, b""])

    def _complete(self) -> None:
        self.complete = True
        if self._waiter is not None:
            self._wake()
        if not self.keep_alive:
            self._protocol.transport.close()
        self._protocol.answered()

    async def _break_off(self) -> None:
        if self.started:
            self._protocol.transport.close()
        elif not self.disconnected:
            await self.send({"type": "http.response.start", "status": 500, "headers": BROKEN_HEADERS})
            await self.send({"type": "http.response.body", "body": BROKEN})


def _lines(headers: Mapping[str, str]) -> bytes:
    """Headers as they stand in a head. What may not stand there costs a character, not the answer."""
    text = "\r\n".join([*map(": ".join, headers.items()), ""])
    if text.isascii():
        lines = text.encode()
        if len(lines) - len(lines.translate(None, CONTROLS)) == 2 * len(headers):
            return lines
    return b"".join([b"%s: %s\r\n" % (tamed(name), tamed(value)) for name, value in headers.items()])
