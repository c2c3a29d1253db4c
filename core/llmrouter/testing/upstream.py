"""A scripted upstream: a real HTTP/1.1 server on loopback that can misbehave below HTTP too.

    with Upstream(answer(200, {"content-type": "application/json"}, b"{}")) as upstream:
        ...                               # talk to upstream.base_url
        assert upstream.requests[0].json["model"] == "some-model"

A `Script` is an async function of a `Line`: it is called once for every request and may write an honest
answer, break off half-way or say nothing for ever. `upstream_scripts` has the building blocks,
`upstream_openai` an upstream in good health, `upstream_faults` the catalogue of what can go wrong.

The server runs in a thread of its own with a loop of its own, so that pauses of a script never hold up a
test, and a test that blocks never holds up a script. Times are `time.monotonic()` seconds.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from attrs import define, field

from .upstream_line import Line, Protocol, Received, Script, read

__all__ = ["Line", "Received", "Script", "Upstream"]

_HEAD_LIMIT = 1 << 20


@define(eq=False)
class Upstream:
    """The server. `script` may be changed at any time; `requests` grows in order of arrival.

    Leaving the context raises what a script raised, so that no test passes on a script that broke.
    """

    script: Script
    requests: list[Received] = field(factory=list)
    errors: list[Exception] = field(factory=list)
    port: int = 0
    tls: ssl.SSLContext | None = None  # it speaks TLS, with the certificate of this
    _changed: threading.Condition = field(factory=threading.Condition)
    _connections: set[Protocol] = field(factory=set)
    _accepted: int = 0
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _listening: socket.socket | None = None
    _arriving: set[asyncio.Task[None]] = field(factory=set)
    _closed: socket.socket | None = None  # keeps the port ours while nobody listens on it

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Upstream:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._call(self._drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._closed:
            self._closed.close()
        if self.errors and error is None:
            raise self.errors[0]

    # ---- what a test may do -----------------------------------------------------------------------

    def refuse(self) -> None:
        """Refuse connections from now on, and reset those that are open."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Accept connections, on the same port as before."""
        self._call(self._accept())

    def until(self, true: Callable[[], object], timeout: float = 5.0) -> bool:
        """Wait until something holds; asked again at every request, hang-up and end. False: in vain."""
        with self._changed:
            return bool(self._changed.wait_for(true, timeout))

    def clear(self) -> None:
        """Forget the requests so far."""
        self.requests.clear()

    # ---- serving ----------------------------------------------------------------------------------

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _accept(self) -> None:
        if self._listening:
            return
        if self._closed:
            self._closed.close()
            self._closed = None
        self._listening = _bound(self.port)
        self._listening.setblocking(False)
        self._listening.listen(1024)
        self.port = self._listening.getsockname()[1]
        self._loop.add_reader(self._listening, self._arrive, self._listening)

    def _arrive(self, listening: socket.socket) -> None:
        """Asyncio's own server loses connections that are accepted while it closes; here none is."""
        with suppress(BlockingIOError, ConnectionError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            task = self._loop.create_task(self._connect(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _connect(self, connection: socket.socket) -> None:
        with suppress(OSError):  # a client that does not like the certificate hangs up inside the handshake
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self.tls)

    async def _refuse(self) -> None:
        if self._listening is None:
            return
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self._listening = None
        self._closed = _bound(self.port)
        await asyncio.gather(*self._arriving)
        for connection in list(self._connections):
            connection.abort()

    async def _drain(self) -> None:
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    def _protocol(self) -> Protocol:
        return Protocol(asyncio.StreamReader(limit=_HEAD_LIMIT), self._serve, self._connections)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Future[None]
    ) -> None:
        self._accepted += 1
        number = self._accepted
        try:
            while (request := await read(reader, number)) is not None:
                self._note(request)
                line = Line(request, writer)
                await self._perform(line, gone)
                if line.over or gone.done():
                    return
        except ConnectionError:
            return  # the client tore its connection down between two requests
        finally:
            writer.close()

    async def _perform(self, line: Line, gone: asyncio.Future[None]) -> None:
        playing = asyncio.ensure_future(self.script(line))
        try:
            await asyncio.wait((playing, gone), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                line.request.left = time.monotonic()
        finally:
            playing.cancel()
        try:
            await playing
        except (asyncio.CancelledError, ConnectionError):
            line.request.left = line.request.left or time.monotonic()
        except Exception as error:  # a script is the test's own code: shown when the context is left
            self.errors.append(error)
            line.reset()
        line.request.ended = time.monotonic()
        self._note()

    def _note(self, request: Received | None = None) -> None:
        with self._changed:
            if request is not None:
                self.requests.append(request)
            self._changed.notify_all()


def _bound(port: int) -> socket.socket:
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sends small writes at once only where TCP is named
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock
