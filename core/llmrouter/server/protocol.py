"""uvicorn's httptools protocol: less work for a request, and an end to heads too long or never whole."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .cycle import Cycle

MAX_HEAD = 64 * 1024  # bytes; what the h11 protocol allows too
HEAD_TIME = 30.0  # seconds
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


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
            self._begin()

    def _begin(self) -> None:
        """As uvicorn does, without what is never configured here, and with a cycle of ours."""
        scope: Any = self.scope
        version, url = self.parser.get_http_version(), httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = url.path, url.query or b""
        before, self.cycle = self.cycle, self._cycle(scope, version)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # the answer before this one is under way
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle(self, scope: Any, version: str) -> Cycle:
        return Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

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
        super().connection_made(transport)
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
