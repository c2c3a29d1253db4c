"""Answers of scripted upstreams: bytes of a real dialect, at times of the loop's clock."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from attrs import define, field, frozen

from llmrouter.errors import TransportError
from llmrouter.protocols import Dialect
from llmrouter.types import Begin, Call, Event, Facts, Finish, Frame, Request, Spent, Text, Usage, Wire

from .trace import How

GAP = 5.0
"""Seconds between two pieces of a stream: any time-out is longer, and every piece costs time of the simulation."""
HERE = Wire("", False)
"""Of frames that are nobody's bytes: a writer says their events itself."""
GARBAGE = b"data: <html>\n\n"


@frozen
class Refused:
    """An answer that is a status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body

    def close(self) -> None:
        """There is nothing to end."""


@define(eq=False, kw_only=True)
class Answer:
    """An answer under way: its first byte at `begins`, its last at `ends`, unless an outage comes first.

    `bill` is told once how much of it was generated, 0…1. It is not told where nothing was.
    """

    parts: Sequence[str]
    write: Callable[[Sequence[str]], Iterator[bytes]]
    begins: float
    ends: float
    outage_at: float
    silent: bool  # the outage is: it goes on, and nothing comes
    how: How | None
    stream: bool
    bill: Callable[[float], None]
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    _closed: bool = False
    _waiter: asyncio.Future[None] | None = None

    async def whole(self) -> Answer:
        """Itself, when it is done: a plain answer's headers come with its body. Raises TransportError."""
        arrived = False
        try:
            arrived = await self._until(self.ends, "connect")
        finally:
            if not arrived:
                self.close()
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        chunks = [*self.write(self._said())]
        breaks = len(chunks) // 2 if self.how in ("cut", "stall", "garbage") else len(chunks)
        for number, chunk in enumerate(chunks):
            if not await self._until(self._at(number, len(chunks)), "truncated"):
                return
            if number < breaks:
                yield chunk
            elif self.how == "garbage":
                yield GARBAGE
            elif self.how == "cut":
                raise TransportError("truncated", "the connection was reset")
            elif not await self._until(math.inf, "truncated"):
                return

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
        now = min(asyncio.get_running_loop().time(), self.outage_at)
        if now >= self.begins:
            self.bill(min(1.0, (now - self.begins) / (self.ends - self.begins)))

    def _said(self) -> Sequence[str]:
        """The text in as many pieces as there is time for."""
        if self.how == "empty":
            return ()
        if not self.stream:
            return ("".join(self.parts),)
        count = min(len(self.parts), max(2, math.ceil((self.ends - self.begins) / GAP)))
        edges = [len(self.parts) * number // count for number in range(count + 1)]
        return ["".join(self.parts[start:end]) for start, end in itertools.pairwise(edges)]

    def _at(self, number: int, count: int) -> float:
        """When a chunk is there. What was asked for as one body has come when its headers have."""
        if not self.stream or count == 1:
            return self.ends
        return self.begins + (self.ends - self.begins) * number / (count - 1)

    async def _until(self, at: float, broken: str) -> bool:
        """Wait; False if nobody listens any more. Raises TransportError if an outage comes first."""
        if self.outage_at < at:
            await self._wait(self.outage_at)
            if not self.silent and not self._closed:
                raise TransportError(broken, "the connection was reset")
            at = math.inf
        await self._wait(at)
        return not self._closed

    async def _wait(self, at: float) -> None:
        loop = asyncio.get_running_loop()
        if self._closed or at <= loop.time():
            return
        self._waiter = loop.create_future()
        timer = None if at == math.inf else loop.call_at(at, _wake, self._waiter)
        try:
            await self._waiter
        finally:
            if timer:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


def written(call: Call, dialect: Dialect, at: float, usage: Usage) -> Callable[[Sequence[str]], Iterator[bytes]]:
    """Says a text in the dialect of a call, one piece for each chunk and a last one for the end."""
    facts = Facts(id=f"{at:.6f}", at=at, wire=call.wire, asked=call.endpoint.model)
    writer = dialect.writer(Request(facts, call.fields))

    def say(*events: Event) -> bytes:
        return writer.write(Frame(HERE, b"", events), False)

    def write(parts: Sequence[str]) -> Iterator[bytes]:
        first = say(Begin("", call.endpoint.model))
        for part in parts:
            if said := first + say(Text(part)):
                yield said
            first = b""
        yield first + say(Spent(usage), Finish("stop")) + writer.end()

    return write
