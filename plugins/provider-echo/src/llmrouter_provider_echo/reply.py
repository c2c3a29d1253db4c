"""An answer on its way: bytes, pauses between them, and whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec
from attrs import define, field

from llmrouter.errors import TransportError

from .refusals import Refused
from .wire import DONE, Answer, Event

Step = bytes | float | TransportError | None
"""A piece of the answer, a pause in seconds, its end by an error, or silence for ever."""


@define(eq=False)
class EchoReply:
    """Plays its steps; `close` ends it wherever it is."""

    status: int
    headers: Mapping[str, str]
    _steps: Iterator[Step] = field(repr=False)
    _closed: asyncio.Event = field(factory=asyncio.Event, repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._closed.is_set():
            match next(self._steps, ...):
                case bytes() as data:
                    yield data
                case TransportError() as error:
                    raise error
                case float() | None as pause:
                    await self._wait(pause)
                case _:
                    return

    async def _wait(self, pause: float | None) -> None:
        """Until the time is over or the reply is closed."""
        if pause == 0:
            return
        try:
            async with asyncio.timeout(pause):
                await self._closed.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        self._closed.set()


def plain(answer: Answer, pace: float, fault: str) -> Iterator[Step]:
    """One body, when all its tokens are written; `fault` strikes in its middle."""
    yield float(pace * answer.tokens)
    body = msgspec.json.encode(answer.whole)
    if fault == "error":
        body = msgspec.json.encode(_broken().body())
    if fault in ("cut", "stall"):
        yield body[: len(body) // 2]
        yield from _breaks(fault)
    else:
        yield body


def streamed(answer: Answer, latency: float, pace: float, fault: str) -> Iterator[Step]:
    """Event by event; `fault` strikes when half the tokens are written."""
    written, half = 0, (answer.tokens + 1) // 2
    for event in answer.events or ():
        if fault and written >= half:
            yield from _breaks(fault)
            return
        if event.token:
            yield float(pace if written else latency)
            written += 1
        yield event.bytes()
    yield DONE


def _breaks(fault: str) -> Iterator[Step]:
    match fault:
        case "error":
            yield Event(_broken().body()).bytes()
        case "stall":
            yield None
        case _:
            yield TransportError("truncated", "the answer broke off")


def _broken() -> Refused:
    return Refused(500, "The server had an error while processing your request.")
