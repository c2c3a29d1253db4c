"""One process that listens: uvicorn with our limits, and an end that lets answers finish."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import uvicorn

from llmrouter.settings import ServerSettings

from .app import App
from .protocol import Protocol

BACKLOG = 2048
IDLE_TIME = 75  # seconds a connection is kept for its next request; clients keep theirs for up to a minute
LAST_WORDS = 2.0  # seconds for a cancelled request to tell its client
LARGE_BODIES = 4 * 1024 * 1024  # bytes of bodies at a time whose memory is worth keeping
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError.

    Its protocol is named, for asyncio sets TCP_NODELAY only where it is: else a small answer waits 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Server(uvicorn.Server):
    """Stops accepting, lets answers finish for `drain` seconds, then ends them with a word to their clients.

    Where `signals` are somebody else's it stops when `should_exit` is set.
    """

    def __init__(
        self,
        app: App,
        settings: ServerSettings,
        on_ready: Callable[[], None] | None = None,
        *,
        signals: bool = True,
    ) -> None:
        super().__init__(_config(app, settings))
        self.ended_by = 0  # the signal
        self._app = app
        self._drain = settings.drain
        self._on_ready = on_ready
        self._signals = SIGNALS if signals else ()

    async def run_on(self, listener: socket.socket) -> int:
        """Serve until a signal comes; returns its number."""
        await self.serve([listener])
        return self.ended_by

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _keep_memory()
        if self._on_ready is not None:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        running = self._app.running
        timer = asyncio.get_running_loop().call_later(self._drain, running.stop)
        await super().shutdown(sockets)
        timer.cancel()
        running.stop()  # those that a second signal left behind
        with suppress(TimeoutError):
            await asyncio.wait_for(running.idle(), LAST_WORDS)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """uvicorn's own version raises the signal again at the end, before the router could close."""
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, self._end, number)
        try:
            yield
        finally:
            for number in self._signals:
                loop.remove_signal_handler(number)

    def _end(self, number: int) -> None:
        self.ended_by = self.ended_by or number
        self.handle_exit(number, None)


def _keep_memory() -> None:
    """Let the memory of one large body serve the next.

    glibc gives back to the kernel what is free beyond twice the largest block that it has mapped and freed, and
    each page of it has to be cleared anew when it is asked for again.
    """
    bytes(LARGE_BODIES)


def _config(app: App, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_TIME,
        timeout_graceful_shutdown=settings.drain + LAST_WORDS,  # type: ignore[arg-type]
    )
