"""Comments to a client that waits: nothing else tells it, and what lies between, that somebody is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

COMMENT = b": keep-alive\n\n"
"""What every reader of server-sent events passes over. A writer that writes something else has an `alive`."""


class KeepAlive:
    """Calls `say` whenever nothing was written for `every` seconds, until `end`."""

    def __init__(self, every: float, say: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._every, self._say = every, say
        self._loop = asyncio.get_running_loop()
        self._wrote_at = self._loop.time()
        self._timer = self._loop.call_later(every, self._wake)
        self._saying: asyncio.Task[None] | None = None

    def writes(self) -> asyncio.Task[None] | None:
        """Something is about to be written: what comes before it, if a comment is just being said."""
        self._wrote_at = self._loop.time()
        return self._saying if self._saying and not self._saying.done() else None

    def end(self) -> None:
        self._timer.cancel()
        if self._saying:
            self._saying.cancel()

    def _wake(self) -> None:
        silent = self._loop.time() - self._wrote_at
        if silent >= self._every:
            self._wrote_at, silent = self._loop.time(), 0.0
            if self._saying is None or self._saying.done():  # a client that does not read is told once
                self._saying = self._loop.create_task(self._say(), name="llmrouter keep-alive")
        self._timer = self._loop.call_later(self._every - silent, self._wake)
