"""Virtual time: a loop that never waits, because it moves its own clock to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Polls; when nothing is ready and a timer is due later, the time until then has passed."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.loop.now += timeout
        if not ready and timeout is None:
            ready = super().select(None)  # only a thread or a socket can wake the loop now
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` is `now` and moves in jumps. Its clock doubles as the router's."""

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self.now = start
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6  # an epoch in a float has steps of 0.2 µs: a timer must not be missed by one

    def time(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, T], start: float = 1_000_000_000.0) -> T:
    """Run a coroutine in virtual time: hours of `asyncio.sleep` take no time at all."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)
