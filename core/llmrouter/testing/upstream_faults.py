"""The catalogue of what an upstream can do wrong, for tests and for chaos runs.

Every fault is a script for the dialect of a `Speaker`, plain and streamed. A fault that comes `late` strikes
after the first generated output of a stream: a router may then only tell the truth. All others strike before
it, so another upstream can still serve the whole answer. `kinds` are the failure classes that describe it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from attrs import frozen

from llmrouter.types import Kind

from .speaker import Speaker
from .upstream_line import Line, Script
from .upstream_openai import Chat
from .upstream_refusals import HTML, PAGE, Fault, limits, statuses
from .upstream_scripts import JSON, answer, stream

ELSEWHERE = "/elsewhere"
"""Where the redirect leads: no router should follow it."""

_GIANT = 100 * 1024 * 1024
_PIECE = b"x" * 65536
_DRIP = 0.05
_SAID = 3  # events of output before a late fault


def faults(speaker: Speaker | None = None) -> Iterator[Fault]:
    """All faults, in the order of the layers they live on; in OpenAI's chat where nobody else speaks."""
    speaker = speaker or Chat()
    yield from _Wrong(speaker).all()
    yield from statuses(speaker)
    yield from limits(speaker)


def named(name: str, speaker: Speaker | None = None) -> Fault:
    """The fault of that name. Raises KeyError."""
    return {fault.name: fault for fault in faults(speaker)}[name]


@frozen
class _Wrong:
    """What goes wrong on the wire and inside answers: methods of a `Line` are scripts."""

    speaker: Speaker

    def all(self) -> Iterator[Fault]:
        yield from self._connection()
        yield from self._broken("early", self.speaker.opening)
        yield from self._broken("late", self.speaker.opening + _SAID)
        yield from self._framing()
        yield from self._content()

    # ---- before there is an answer

    def _connection(self) -> Iterator[Fault]:
        yield Fault("reset_before_headers", _reset, ("connect", "server_error"))
        yield Fault("close_before_headers", _close, ("connect", "server_error"))
        yield Fault("hang", Line.pause, ("timeout_headers",))
        yield Fault("hang_after_headers", self._hang_after_headers, ("timeout_ttft", "stall"))
        endless: tuple[Kind, ...] = ("connect", "server_error", "timeout_headers", "malformed_chunk")
        yield Fault("endless_headers", _endless_headers, endless)
        yield Fault("not_http", _not_http, ("connect", "server_error", "malformed_chunk"))
        yield Fault("slow_drip", self._slow_drip, ("timeout_ttft", "stall"))

    async def _hang_after_headers(self, line: Line) -> None:
        await line.head(200, self._headers(line))
        await line.pause()

    async def _slow_drip(self, line: Line) -> None:
        """Alive on the wire, and never an answer: a comment or a blank at a time."""
        await line.head(200, self._headers(line))
        while True:
            await line.body(self.speaker.alive if self.speaker.streams(line.request) else b" ")
            await line.pause(_DRIP)

    # ---- an answer that breaks off

    def _broken(self, when: str, events: int) -> Iterator[Fault]:
        late = when == "late"
        yield Fault(f"stall_{when}", self._begun(events, Line.pause), ("stall", "timeout_ttft"), late)
        yield Fault(f"reset_{when}", self._begun(events, _reset), ("truncated", "connect"), late)
        yield Fault(f"cut_{when}", self._begun(events, _close, cut=True), ("truncated",), late)
        yield Fault(f"eof_{when}", self._begun(events, Line.end), ("truncated", "malformed_chunk"), late)
        yield Fault(f"malformed_{when}", self._event(events), ("malformed_chunk",), late, ("stream",))
        told = self._event(events, self.speaker.broken())
        yield Fault(f"error_event_{when}", told, ("server_error",), late, ("stream",))

    def _begun(self, events: int, then: Script, cut: bool = False) -> Script:
        """The first events of a stream (`cut`: and a part of the next) or half of a plain answer, and then…"""

        async def script(line: Line) -> None:
            await line.head(200, self._headers(line))
            if self.speaker.streams(line.request):
                said = list(self.speaker.events(line.request))
                for one in said[:events]:
                    await line.body(one)
                await line.body(_part(said[events]) if cut else b"")
            else:
                body = self._whole(line)
                await line.body(body[: len(body) // 2])
            await line.pause(_DRIP)  # what was written is read before the line breaks
            await then(line)

        return script

    def _event(self, after: int, bad: bytes | None = None) -> Script:
        """A stream with one bad event in it, that then goes on as if nothing had been."""

        async def script(line: Line) -> None:
            said = list(self.speaker.events(line.request))
            wrong = _part(said[after]) + b"\n\n" if bad is None else bad
            await line.head(200, self.speaker.media)
            await line.body(b"".join(said[:after]))
            await line.pause(_DRIP)  # as above
            await line.body(b"".join([wrong, *said[after:]]))
            await line.end()

        return script

    # ---- HTTP that lies

    def _framing(self) -> Iterator[Fault]:
        broken: tuple[Kind, ...] = ("truncated", "malformed_chunk", "connect", "server_error")
        yield Fault("bad_chunk_size", self._bad_chunk_size, broken)
        yield Fault("short_length", self._short_length, broken)
        yield Fault("bad_gzip", self._bad_gzip, broken)
        endless: tuple[Kind, ...] = ("malformed_chunk", "truncated", "timeout_ttft", "stall")
        yield Fault("flood", self._flood, endless)
        yield Fault("giant_event", self._giant_event, endless, shapes=("stream",))

    async def _bad_chunk_size(self, line: Line) -> None:
        await line.head(200, self._headers(line))
        await line.raw(b"zz\r\nnot a chunk\r\n")
        line.close()

    async def _short_length(self, line: Line) -> None:
        await line.head(200, self._headers(line), length=5000)
        await line.body(self.speaker.alive if self.speaker.streams(line.request) else self._whole(line)[:100])
        line.close()

    async def _bad_gzip(self, line: Line) -> None:
        body = b"\x1f\x8b\x08\x00this is no gzip stream"
        await answer(200, {**self._headers(line), "content-encoding": "gzip"}, body)(line)

    async def _flood(self, line: Line) -> None:
        """100 MB where a few hundred bytes were expected."""
        await line.head(200, self._headers(line))
        await line.body(b": " if self.speaker.streams(line.request) else b'{"id": "')
        await _giant(line)

    async def _giant_event(self, line: Line) -> None:
        await line.head(200, self.speaker.media)
        await line.body(_part(list(self.speaker.events(line.request))[self.speaker.opening]))
        await _giant(line)

    # ---- a good status with something else inside

    def _content(self) -> Iterator[Fault]:
        nonsense: tuple[Kind, ...] = ("malformed_chunk", "truncated", "server_error", "degraded")
        yield Fault("error_in_200", answer(200, JSON, self.speaker.error()), ("server_error",))
        yield Fault("padded_error_in_200", _padded_error, ("server_error",))
        yield Fault("html_with_200", answer(200, HTML, PAGE), nonsense)
        yield Fault("html_as_stream", answer(200, self.speaker.media, PAGE), nonsense, shapes=("stream",))
        yield Fault("truncated_json", self._truncated_json, nonsense)
        yield Fault("json_scalar", answer(200, JSON, b"null"), nonsense)
        yield Fault("not_utf8", answer(200, JSON, b'{"id": "\xff\xfe"}'), nonsense)
        yield Fault("empty_body", answer(200, JSON, b""), nonsense)
        yield Fault(
            "empty_stream", stream([self.speaker.mark], 0.0, self.speaker.media), nonsense, shapes=("stream",)
        )
        yield Fault("no_content", answer(204), nonsense)
        yield Fault("redirect", answer(302, {"location": ELSEWHERE}), (*nonsense, "not_found"))

    async def _truncated_json(self, line: Line) -> None:
        """Half an object in a body that ends well."""
        body = self._whole(line)
        await answer(200, JSON, body[: len(body) // 2])(line)

    # ---- what the speaker says

    def _headers(self, line: Line) -> Mapping[str, str]:
        return self.speaker.media if self.speaker.streams(line.request) else JSON

    def _whole(self, line: Line) -> bytes:
        return json.dumps(self.speaker.whole(line.request)).encode()


def _part(event: bytes) -> bytes:
    """The beginning of an event, cut inside its data."""
    return event[: len(event) * 3 // 4]


async def _reset(line: Line) -> None:
    line.reset()


async def _close(line: Line) -> None:
    line.close()


async def _endless_headers(line: Line) -> None:
    await line.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await line.raw(b"x-more: " + b"y" * 2000 + b"\r\n")
        await line.pause(0)


async def _not_http(line: Line) -> None:
    await line.raw(b"220 mail.example ESMTP ready\r\n\r\n")
    line.close()


async def _giant(line: Line) -> None:
    for _ in range(_GIANT // len(_PIECE)):
        await line.body(_PIECE)
    await line.end()


async def _padded_error(line: Line) -> None:
    """Blanks keep the connection alive, and then the error of some gateway arrives in a good status."""
    await line.head(200, JSON)
    for _ in range(5):
        await line.body(b"         \n")
    await line.body(b'{"error": {"message": "scripted", "code": 502}}')
    await line.end()
