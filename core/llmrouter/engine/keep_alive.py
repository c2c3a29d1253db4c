"""Comments to a client that waits: nothing else tells it, and what lies between, that somebody is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

COMMENT = b": keep-alive\n\n"
"""What every reader of server-sent events passes over. A writer that writes something else has an `alive`."""


class KeepAlive:
    """Calls `say` whenever nothing was written for `every` seconds, until `end`.

    Who writes says so in `wrote_at`, by the clock `now`, and lets the comment end that is just being said.
    """

    def __init__(self, every: float, say: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._every, self._say = every, say
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.wrote_at = self.now()
        self.saying: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every, self._wake)

    def end(self) -> None:
        self._timer.cancel()
        if self.saying:
            self.saying.cancel()

    def _wake(self) -> None:
        silent = self.now() - self.wrote_at
        if silent >= self._every:
            self.wrote_at, silent = self.now(), 0.0
            if self.saying is None:  # a client that does not read is told once
                self.saying = self._loop.create_task(self._said(), name="llmrouter keep-alive")
        self._timer = self._loop.call_later(self._every - silent, self._wake)

    async def _said(self) -> None:
        try:
            await self._say()
        finally:
            self.saying = None
