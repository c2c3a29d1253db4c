"""One request over HTTP/1.1 and its answer: ASGI's `receive` and `send`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llmrouter.protocols import ASGIApp, ASGIScope

if TYPE_CHECKING:
    from .protocol import Protocol

CONTROLS = bytes(code for code in (*range(32), 127) if code != 9)
"""What may not stand in a header."""
EMPTY = (204, 304)  # statuses of answers without a body
STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
BROKEN = b"Internal Server Error"
BROKEN_HEADERS = ((b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"))

Pairs = Iterable[tuple[bytes, bytes]]

log = logging.getLogger("llmrouter.server")


class Cycle:
    """The head of an answer waits for what follows it, as ASGI asks for: one packet, one system call."""

    __slots__ = (
        "_body", "_chunked", "_head", "_left", "_news", "_protocol", "_waiter", "_waiting", "complete",
        "disconnected", "expects", "keep_alive", "scope", "started", "task", "whole",
    )  # fmt: skip

    task: asyncio.Task[None]
    """Set by who starts it."""

    def __init__(self, protocol: Protocol, scope: ASGIScope, keep_alive: bool, expects: bool) -> None:
        self._protocol, self.scope = protocol, scope
        self.keep_alive = keep_alive
        self.expects = expects  # the client waits for a word before it sends the body
        self.started = self.complete = self.disconnected = False
        self.whole = False  # all of the body has come
        self._body: list[bytes] = []  # what was not received yet
        self._waiting = 0  # bytes of it
        self._news = False  # the same, or the news of its end
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""  # of the answer, until its first bytes are there
        self._chunked = False
        self._left = 0  # bytes of the answer, where it said how many there are

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self.receive, self.send)
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
            self._protocol.ended(self)

    # ---- the request

    def feed(self, data: bytes) -> int:
        """More of the body. Returns how many bytes wait to be received."""
        self._body.append(data)
        self._waiting += len(data)
        self._wake()
        return self._waiting

    def end(self) -> None:
        """The body is whole."""
        self.whole = True
        self._wake()

    def lose(self) -> None:
        """The client has left."""
        self.disconnected = True
        self._wake()

    async def receive(self) -> Any:
        if self.expects:
            self.expects = False
            self._protocol.transport.write(GO_ON)
        while not (self._news or self.disconnected or self.complete):
            self._protocol.resume_reading()
            self._waiter = self._protocol.loop.create_future()
            await self._waiter
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self._waiting, self._news = [], 0, False
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    def _wake(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the answer

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
            self._head = self._begin(message["status"], message.get("headers", ()))
            self.started, self.expects = True, False

    def _begin(self, status: int, headers: Pairs) -> bytes:
        """The head of the answer; notes how its body is framed."""
        pairs = [*self._protocol.default_headers, *headers]
        lines = b"\r\n".join([*map(b": ".join, pairs), b""])
        if len(lines) - len(lines.translate(None, CONTROLS)) != 2 * len(pairs):
            raise RuntimeError("a header of the answer holds a control character")
        said = dict(pairs)
        if b"close" in said.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines += b"connection: close\r\n"
        if b"content-length" in said:
            self._left = int(said[b"content-length"])
        elif b"transfer-encoding" in said:
            self._chunked = True
        elif self.scope["method"] != "HEAD" and status not in EMPTY:
            self._chunked = True
            lines += b"transfer-encoding: chunked\r\n"
        return b"%s%s\r\n" % (STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, lines)

    def _write(self, body: bytes, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self._left, body = 0, b""
        elif self._chunked:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its content-length")
        if head or body:
            self._protocol.transport.write(head + body)
        if not more:
            self._finish()

    def _finish(self) -> None:
        if self._left:
            raise RuntimeError("the answer is shorter than its content-length")
        self.complete = True
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
