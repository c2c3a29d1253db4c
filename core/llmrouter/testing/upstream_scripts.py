"""Building blocks of scripts for an `Upstream`: honest answers, recorded ones, and scripts made of scripts."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .upstream_line import Line, Received, Script

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any] | str) -> bytes:
    """One server-sent event: a mapping is written as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def answer(status: int = 200, headers: Mapping[str, str] = JSON, body: bytes | Mapping[str, Any] = b"") -> Script:
    """A plain answer with its length stated; a mapping is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()

    async def script(line: Line) -> None:
        await line.head(status, headers, None if status in (204, 304) else len(data))
        await line.body(data)

    return script


def stream(events: Iterable[bytes], delay: float = 0.0, headers: Mapping[str, str] = SSE) -> Script:
    """A stream of events, `delay` seconds apart, as a well-ended chunked body."""
    events = tuple(events)

    async def script(line: Line) -> None:
        await line.head(200, headers)
        for number, one in enumerate(events):
            if number and delay:
                await line.pause(delay)
            await line.body(one)
        await line.end()

    return script


def cuts(data: bytes, draw: random.Random, most: int = 12) -> list[bytes]:
    """The bytes in up to `most` pieces, cut anywhere: inside events, lines and characters."""
    places = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(most))) if data else []
    return [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)]) if start < end]


def replay(status: int, headers: Mapping[str, str], body: bytes, draw: random.Random) -> Script:
    """A recorded answer, its bytes unchanged but cut anew at random places."""
    pieces = cuts(body, draw)

    async def script(line: Line) -> None:
        await line.head(status, headers)
        for piece in pieces:
            await line.body(piece)
            await line.pause(0)
        await line.end()

    return script


def chosen(choose: Callable[[Received], Script]) -> Script:
    """A script for each request, chosen by looking at it."""

    async def script(line: Line) -> None:
        await choose(line.request)(line)

    return script


def in_turn(*scripts: Script) -> Script:
    """One script after the other; the last one stays."""
    waiting = list(scripts)
    return chosen(lambda request: waiting.pop(0) if len(waiting) > 1 else waiting[0])


def alternating(*scripts: Script, each: int = 1) -> Script:
    """Flapping by count: `each` requests are answered by one script, the next by the next, round and round."""
    count = itertools.count()
    return chosen(lambda request: scripts[next(count) // each % len(scripts)])


def flapping(good: Script, bad: Script, every: float = 1.0) -> Script:
    """Flapping by time: bad and good take turns every so many seconds, from the first request on."""
    started: float | None = None

    def choose(request: Received) -> Script:
        nonlocal started
        started = request.at if started is None else started
        return (bad, good)[int((request.at - started) / every) % 2]

    return chosen(choose)
