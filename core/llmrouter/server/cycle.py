"""uvicorn's cycle of one request and its answer, with a head that waits for what follows it.

ASGI asks for that, and it makes one packet and one system call of a whole answer. Writing the head in one go
instead of header by header is a quarter of what a small answer costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

CONTROLS = bytes(code for code in (*range(32), 127) if code != 9)
"""What may not stand in a header."""
FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
EMPTY = (204, 304)  # statuses of answers without a body

Pairs = Iterable[tuple[bytes, bytes]]


class Cycle(RequestResponseCycle):
    _head = b""  # of the answer, until its first bytes are there

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        expected = "http.response.body" if self.response_started else "http.response.start"
        if message["type"] != expected or self.response_complete:
            raise RuntimeError(f"an answer goes on with {expected}, not with {message['type']}")
        if self.response_started:
            self._body(message.get("body", b""), message.get("more_body", False))
        else:
            self._head = self._begin(message["status"], message.get("headers", ()))
            self.response_started, self.waiting_for_100_continue = True, False

    def _begin(self, status: int, headers: Pairs) -> bytes:
        """The head of the answer; notes how its body is framed."""
        pairs = [*self.default_headers, *headers]
        lines = b"".join([b"%s: %s\r\n" % pair for pair in pairs])
        if len(lines) - len(lines.translate(None, CONTROLS)) != 2 * len(pairs):
            raise RuntimeError("a header of the answer holds a control character")
        said = {name: value for name, value in pairs if name in FRAMING}
        if b"close" in said.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines += b"connection: close\r\n"
        if b"content-length" in said:
            self.chunked_encoding, self.expected_content_length = False, int(said[b"content-length"])
        elif b"transfer-encoding" in said:
            self.chunked_encoding = True
        elif self.scope["method"] != "HEAD" and status not in EMPTY:
            self.chunked_encoding = True
            lines += b"transfer-encoding: chunked\r\n"
        return b"%s%s\r\n" % (STATUS_LINE[status], lines)

    def _body(self, body: bytes, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length")
        if head or body:
            self.transport.write(head + body)
        if not more:
            self._end()

    def _end(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
