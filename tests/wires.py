"""Both ends of connections to an upstream, without a socket: the test plays the other side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from llmrouter.errors import TransportError
from llmrouter.http.dial import Origin
from llmrouter.http.pool import Answered, Door
from llmrouter.http.wire import Wire
from llmrouter.testing import run


class Pipe:
    """What an event loop gives a protocol; the other side is played by the test."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.sent, self.closed, self.stopped = wire, b"", False, False
        wire.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.sent += b"".join(parts)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        self.closed = True
        asyncio.get_running_loop().call_soon(self.wire.connection_lost, error)

    def pause_reading(self) -> None:
        assert not self.stopped
        self.stopped = True

    def resume_reading(self) -> None:
        assert self.stopped
        self.stopped = False

    def paused(self) -> bool:
        return self.stopped

    def say(self, data: bytes) -> None:
        if not self.closed:
            self.wire.data_received(data)


class Dialer:
    """Opens connections to the test."""

    def __init__(self) -> None:
        self.pipes: list[Pipe] = []
        self.error: OSError | None = None

    async def open(self, origin: Origin, make: Any) -> Wire:
        if self.error:
            raise self.error
        self.pipes.append(Pipe(make()))
        return self.pipes[-1].wire


class Side:
    """A door, and both ends of what leads through it."""

    def __init__(self, limit: int | None = None) -> None:
        self.dialer = Dialer()
        places = asyncio.Semaphore(limit) if limit else None
        self.door = Door(Origin("x", 80, False), self.dialer, places)  # type: ignore[arg-type]

    async def ask(self, *pieces: bytes, skip_body: bool = False, lost: bool = False) -> Answered:
        """A request, and what is said to it; the connection may be lost after that."""
        asking = asyncio.ensure_future(self.door.ask(b"POST / HTTP/1.1\r\n", b"{}", skip_body))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for piece in pieces if self.dialer.pipes else ():
            self.pipe.say(piece)
        if lost:
            self.pipe.lose()
        return await asking

    async def whole(self, *pieces: bytes, **how: bool) -> tuple[int, bytes]:
        answered = await self.ask(*pieces, **how)
        return answered.status, b"".join([chunk async for chunk in answered.body])

    @property
    def pipe(self) -> Pipe:
        """The connection that was used last."""
        busy = [pipe for pipe in self.dialer.pipes if pipe.wire._answer]
        return busy[-1] if busy else self.dialer.pipes[-1]


def failing(*pieces: bytes, **how: bool) -> TransportError:
    with pytest.raises(TransportError) as caught:
        run(_whole(*pieces, **how))
    return caught.value


async def _whole(*pieces: bytes, **how: bool) -> tuple[int, bytes]:
    return await Side().whole(*pieces, **how)


def cut(data: bytes, at: Sequence[int]) -> Iterator[bytes]:
    marks = [0, *sorted(place % len(data) for place in at), len(data)]
    for start, end in pairwise(marks):
        if start < end:
            yield data[start:end]
