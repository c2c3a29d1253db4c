"""Two upstreams for every wire: the first breaks off while its answer is written, the second goes to the end.

What a user says is what happens: how the first breaks (`BREAKS`) or that it is only `slow` (and `mute`), what there
is beside its text (`call`, `mixed`, `thoughtful`), and whether the second says `otherwise`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec import Raw

from llmrouter.dialects import builtin
from llmrouter.testing.speaker import TEXT, Speaker
from llmrouter.testing.upstream import Line, Received, Script
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_scripts import JSON, answer, stream
from llmrouter.types import (
    Begin,
    Event,
    Facts,
    Finish,
    Frame,
    Request,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
    Wire,
)
from tests.clients.wires import WIRES

OTHERWISE = "Sixteen other words arrive here."
THOUGHT = "Let me count them."
ARGUMENTS = '{"place": "Oslo"}'
BREAKS = ("reset", "eof", "cut", "stall", "malformed", "told")
TOKENS = (16, 17)
"""Of the answers of the first and of the second."""
SLOW = 0.2
"""Seconds of silence."""

_DIALECTS = {dialect.name: dialect for dialect in builtin()}
_DRIP = 0.05  # seconds in which the beginning is read, before it breaks
_SOURCE = Wire("somebody.else", True)


def breaking(request: Received) -> Script:
    """Speaks every wire, by the path that is asked: the place of the upstream, and its wire."""
    wire = next(wire for path, wire in WIRES.items() if path in request.path)
    words = wire.read(request.json).text.split()
    if request.path.startswith("/second"):
        return _whole(wire.speaker(), request, words)
    if "slow" in words:
        return _slow(wire.speaker(), "mute" in words)
    how = next(word for word in words if word in BREAKS)
    if not wire.speaker().streams(request):
        return _half(wire.speaker(), how)
    return _broken(wire.speaker(), how, words)


def _whole(speaker: Speaker, request: Received, words: Sequence[str]) -> Script:
    if "otherwise" in words:
        speaker = type(speaker)(OTHERWISE)
    if not speaker.streams(request):
        return answer(200, JSON, speaker.whole(request))
    events = [_counted(event) for event in _events(speaker, request, words)]
    return stream(events, headers=speaker.media)


def _broken(speaker: Speaker, how: str, words: Sequence[str]) -> Script:
    async def script(line: Line) -> None:
        events = _events(speaker, line.request, words)
        mark = b"place" if "call" in words else b"words"
        at = 1 + next(at for at, event in enumerate(events) if mark in event)
        await line.head(200, speaker.media)
        for event in events[:at]:
            await line.body(event)
        await line.pause(_DRIP)
        bad = {"cut": _part(events[at]), "malformed": _part(events[at]) + b"\n\n", "told": speaker.broken()}
        await line.body(bad.get(how, b""))
        if how in ("malformed", "told"):  # and then it goes on as if nothing had been
            await line.body(b"".join(events[at:]))
        await _end(how, line)

    return script


def _slow(speaker: Speaker, mute: bool) -> Script:
    """Silent before the answer and in the middle of it; or a stream with nothing in it."""

    async def script(line: Line) -> None:
        events = [] if mute else list(speaker.events(line.request))
        await line.head(200, speaker.media)
        for part in (events[: len(events) // 2], events[len(events) // 2 :]):
            await line.pause(SLOW)
            await line.body(b"".join(part))
        await line.end()

    return script


def _half(speaker: Speaker, how: str) -> Script:
    """Half of a plain answer, or an error in its place."""

    async def script(line: Line) -> None:
        body = json.dumps(speaker.whole(line.request)).encode()
        await line.head(200, JSON)
        await line.body(json.dumps(speaker.error()).encode() if how == "told" else body[: len(body) // 2])
        await _end(how, line)

    return script


async def _end(how: str, line: Line) -> None:
    match how:
        case "reset":
            line.reset()
        case "cut":
            line.close()
        case "stall":
            await line.pause()
        case _:
            await line.end()


def _events(speaker: Speaker, request: Received, words: Sequence[str]) -> list[bytes]:
    calling = type(speaker)("", [("call_one", "weather", ARGUMENTS)])
    if "call" in words:
        return list(calling.events(request))
    if "mixed" in words and isinstance(speaker, Generate):  # the router's own writer tells calls at the end
        return [*list(calling.events(request))[:-1], *speaker.events(request)]
    if "mixed" in words or "thoughtful" in words:
        return list(_written(speaker.dialect, words))
    return list(speaker.events(request))


def _written(name: str, words: Sequence[str]) -> Iterator[bytes]:
    """What no speaker says, written by the router's own writer: a thought or a call before the text."""
    fields = {"model": Raw(b'"m"'), "stream_options": Raw(b'{"include_usage":true}')}
    fields["thinking"] = Raw(b'{"type":"enabled"}')
    wire = Wire(name, True)
    writer = _DIALECTS[name].writer(Request(Facts(id="req_up", wire=wire, asked="m"), fields))
    said: list[Event] = [Begin("answer", "m")]
    said += [Thought(THOUGHT[:9]), Thought(THOUGHT[9:])] if "thoughtful" in words else []
    said += [ToolStart("call_one", "weather"), ToolArgs("call_one", ARGUMENTS)] if "mixed" in words else []
    said += [Text(f" {word}" if at else word) for at, word in enumerate(TEXT.split(" "))]
    for event in [*said, Spent(Usage(input=9, output=TOKENS[0])), Finish("stop")]:
        if written := writer.write(Frame(_SOURCE, b"", (event,)), False):
            yield written
    yield writer.end()


def _counted(event: bytes) -> bytes:
    """The usage of the second upstream, so that one can tell whose it is."""
    for name in (b"completion_tokens", b"output_tokens", b"candidatesTokenCount"):
        event = event.replace(b'"%b":%d' % (name, TOKENS[0]), b'"%b":%d' % (name, TOKENS[1]))
    return event


def _part(event: bytes) -> bytes:
    """The beginning of an event, cut inside its data."""
    return event[: len(event) * 3 // 4]
