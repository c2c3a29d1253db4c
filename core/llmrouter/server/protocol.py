"""uvicorn's httptools protocol with an end to heads that are too long, or never whole."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024  # bytes; what the h11 protocol allows too
HEAD_TIME = 30.0  # seconds
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Joined:
    """A transport on which the head of an answer waits for what follows: one packet, one system call."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._head = data
            self._loop.call_soon(self._flush)  # nothing follows: an answer to HEAD, a "100 Continue"
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head:
            self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Parser(httptools.HttpRequestParser):
    """Goes on where httptools stops: after the head of a request that would like another protocol (`h2c`)."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        with suppress(AttributeError):  # as uvicorn does
            self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        while True:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as pause:
                head = self._protocol.without_upgrade()
                if not head:
                    raise
                data = head + data[pause.args[0] :]


class Protocol(HttpToolsProtocol):
    _head = 0  # bytes of a head that is not whole yet
    _timer: asyncio.TimerHandle | None = None
    _again = False  # a head was read that comes once more, without its wish for another protocol

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.parser = Parser(self)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._again = self._get_upgrade() != b"websocket"
        if not self._again:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._again:
            super().on_message_complete()

    def without_upgrade(self) -> bytes:
        """The head that was read last, to be read as one of plain HTTP; empty when there is nothing to hide."""
        if not self._again:
            return b""
        self._again = False
        version = self.parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]
        self._timer = self.loop.call_later(HEAD_TIME, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        scope: Any = self.scope  # None before the first request; it has its method when the head is whole
        if scope and "method" in scope:
            if self._timer is not None:
                self._whole()
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self.transport.write(TOO_LONG)
            self.transport.close()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIME, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._whole()

    def _whole(self) -> None:
        self._head = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
