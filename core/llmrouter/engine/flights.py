"""Identical deterministic requests that are under way at once share one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from llmrouter.types import Failure, Finish, Frame

from .attempt import Broken


class Flight:
    """The answer of one request, read by others as it comes. `id` is the request's."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._frames: list[Frame] = []
        self._over = False
        self._failure: Failure | None = None
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def begun(self) -> bool:
        """Whether there is something that others may have passed on."""
        return bool(self._frames)

    def take(self, frames: Iterable[Frame]) -> None:
        self._frames += frames
        self._wake()

    def end(self, failure: Failure | None) -> None:
        """The answer is whole, or will never be. Where it was finished, it is whole: only its first reader left."""
        self._over, self._failure = True, None if failure and self._is_finished() else failure
        self._wake()

    def _is_finished(self) -> bool:
        return any(type(event) is Finish for frame in reversed(self._frames) for event in frame.events)

    async def more(self, seen: int) -> Sequence[Frame] | None:
        """The frames after the first `seen`. None: the answer is whole. Raises Broken."""
        while len(self._frames) <= seen and not self._over:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        if len(self._frames) > seen:
            return self._frames[seen:]
        if self._failure:
            raise Broken(self._failure)
        return None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


class Flights:
    """By the meaning of their requests."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: str) -> Flight | None:
        return self._flights.get(key)

    def begin(self, key: str, id: str) -> Flight | None:
        """A flight that others may follow; None where there is one already."""
        if key in self._flights:
            return None
        flight = self._flights[key] = Flight(id)
        return flight

    def end(self, key: str, failure: Failure | None) -> None:
        self._flights.pop(key).end(failure)
