"""One connection of a client over HTTP/1.1: httptools reads, a `Cycle` answers, uvicorn's server looks after both.

It stands in for uvicorn's own protocol, which takes twice as long for a request and waits for ever for the end of
a head: here heads are bounded in length and in time. WebSockets and other protocols are not spoken.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from .cycle import Cycle
from .heads import Heads, Scope

if TYPE_CHECKING:
    from .app import App

MAX_HEAD = 64 * 1024  # bytes; what the h11 protocol allows too
HEAD_TIME = 30.0  # seconds
MOST_WAITING = 64 * 1024  # bytes of a body that the app has not received yet
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
GARBLED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
ASGI = {"version": "3.0", "spec_version": "2.3"}

log = logging.getLogger("llmrouter.server")


class Protocol(asyncio.Protocol):
    """What uvicorn makes for each connection, and asks for its `shutdown`."""

    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # what its lifespan keeps; the app has none
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app: App = config.app  # type: ignore[assignment]
        self._idle_time = float(config.timeout_keep_alive)
        self.state = server_state
        self.loop = _loop or asyncio.get_event_loop()
        self._parser = _parser(self)
        self._cycle: Cycle | None = None  # whose request was read last
        self._pipeline: deque[Cycle] = deque()  # those whose turn has not come
        self._again = False  # a head was read that comes once more, without its wish for another protocol
        self._in_head, self._head = True, 0  # whether a head is being read, and how much of it has come
        self._heads = Heads()
        self._rests = True  # the parser, between two messages
        self._owed = 0  # bytes of a body whose head came again: the parser sees neither
        self._paused = False  # reading
        self.is_full = False  # the client does not read what is written
        self._drained: asyncio.Future[None] | None = None
        self._due = math.inf  # when the connection is given up, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.state.connections.add(self)  # type: ignore[arg-type]
        self._same = {
            "type": "http",
            "asgi": ASGI,
            "root_path": "",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "scheme": "https" if is_ssl(transport) else "http",
        }
        self._wait(HEAD_TIME)

    def data_received(self, data: bytes) -> None:
        if self._owed:
            data = self._paid(data)
        if self._rests and (found := self._heads.again(data)):
            return self._repeat(*found)
        before, rested, rest = self._cycle, self._rests, data
        while rest:
            try:
                self._parser.feed_data(rest)
                break
            except httptools.HttpParserUpgrade as pause:  # it stops after a head that wishes for another protocol
                rest = self._without_upgrade(rest[pause.args[0] :])
            except httptools.HttpParserError as error:
                log.info("a client sent what is not HTTP: %s", error)
                return self._give_up(GARBLED)
        if not self._in_head:
            if rested and self._cycle is not before:
                self._learn(data)
            return None
        self._head += len(data)
        if self._head > MAX_HEAD:
            return self._give_up(TOO_LONG)
        if self._head == len(data):
            self._wait(HEAD_TIME)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections.discard(self)
        for cycle in (self._cycle, *self._pipeline):
            if cycle is not None and not cycle.complete:
                cycle.lose()
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()

    def shutdown(self) -> None:
        """End it: at once, or with the answer that is under way."""
        if self._is_idle:
            self.transport.close()
        elif self._cycle is not None:
            self._cycle.keep_alive = False

    @property
    def _is_idle(self) -> bool:
        return self._cycle is None or self._cycle.complete

    def _give_up(self, word: bytes) -> None:
        if self._is_idle:  # else it would stand in the middle of an answer
            self.transport.write(word)
        self.transport.close()

    # ---- what it need not find again

    def _learn(self, data: bytes) -> None:
        """A head was read that data begins with. One that ends the connection comes once."""
        cycle = self._cycle
        if cycle is not None and cycle.keep_alive and not self._parser.should_upgrade():
            self._heads.learn(data, cycle.scope)

    def _repeat(self, scope: Scope, owed: int, body: bytes) -> None:
        self._due, self._owed = math.inf, owed
        self._begin(Cycle(self, scope, True, body, not owed))

    def _paid(self, data: bytes) -> bytes:
        """Hand on what data holds of a body; the rest."""
        body = data[: self._owed]
        self._owed -= len(body)
        self.on_body(body)
        if not self._owed:
            self.on_message_complete()
        return data[len(body) :]

    # ---- what the parser finds

    def on_message_begin(self) -> None:
        self._in_head, self._rests = True, False
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade() and parser.get_method() != b"CONNECT":
            self._again = self._upgrade() != b"websocket"
            if self._again:
                return
        self._in_head, self._head, self._due = False, 0, math.inf
        version = parser.get_http_version()
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self._begin(Cycle(self, self._scope(version), keep_alive))

    def on_body(self, body: bytes) -> None:
        if self._cycle and not self._again and not self._cycle.complete and self._cycle.feed(body) > MOST_WAITING:
            self._pause_reading()

    def on_message_complete(self) -> None:
        self._rests = True
        if self._cycle and not self._again:
            self._cycle.end()

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The head that was read last, as one of plain HTTP, and what follows it; nothing where it has to stand."""
        if not self._again:
            return b""
        self._again = False
        version = self._parser.get_http_version().encode()
        lines = [b"%s: %s\r\n" % pair for pair in self._headers if pair[0] != b"upgrade"]
        first = b"%s %s HTTP/%s\r\n" % (self._parser.get_method(), self._url, version)
        return b"".join([first, *lines, b"\r\n", rest])

    def _upgrade(self) -> bytes:
        """The protocol that the client would rather speak, where it says so properly."""
        said = dict(self._headers)
        wishes = [wish.strip() for wish in said.get(b"connection", b"").lower().split(b",")]
        return said.get(b"upgrade", b"").lower() if b"upgrade" in wishes else b""

    def _scope(self, version: str) -> dict[str, Any]:
        url = httptools.parse_url(self._url)
        path = url.path.decode("ascii")
        return {
            **self._same,
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self._headers,
        }

    # ---- cycles

    def _begin(self, cycle: Cycle) -> None:
        before, self._cycle = self._cycle, cycle
        if before is None or before.complete:
            self._start(cycle)
        else:
            self._pause_reading()
            self._pipeline.append(cycle)

    def _start(self, cycle: Cycle) -> None:
        cycle.task = self.loop.create_task(cycle.run(self._app))
        self.state.tasks.add(cycle.task)

    def answered(self) -> None:
        """An answer is whole: on with the next request, or with waiting for one."""
        if self.transport.is_closing():
            return
        if self._paused:
            self.resume_reading()
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif not self._in_head:
            self._wait(self._idle_time)

    # ---- flow and time

    def _pause_reading(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def drain(self) -> None:
        """Wait until the client has read some of what was written."""
        if self.is_full and not self.transport.is_closing():
            self._drained = self.loop.create_future()
            await self._drained

    def _wait(self, seconds: float) -> None:
        """Give the connection up unless something comes in time. One timer serves them all: it comes when it
        was set for, and is set again where more time was given since."""
        self._due = self.loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.loop.time() < self._due:
            if self._due < math.inf:
                self._timer = self.loop.call_at(self._due, self._look)
        elif self._is_idle:
            self.transport.close()
        else:
            self._wait(HEAD_TIME)


def _parser(protocol: Protocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
