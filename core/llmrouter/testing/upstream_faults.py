"""The catalogue of what an upstream can do wrong, for tests and for chaos runs.

Every fault is a script for OpenAI-shaped chat, plain and streamed. A fault that comes `late` strikes after
the first generated output of a stream: a router may then only tell the truth. All others strike before it,
so another upstream can still serve the whole answer. `kinds` are the failure classes that describe it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from llmrouter.types import Kind

from .upstream_line import Line, Script
from .upstream_openai import chunks, completion, error
from .upstream_refusals import HTML, PAGE, Fault, limits, statuses
from .upstream_scripts import DONE, JSON, SSE, answer, event, stream

ELSEWHERE = "/elsewhere"
"""Where the redirect leads: no router should follow it."""

_GIANT = 100 * 1024 * 1024
_PIECE = b"x" * 65536
_DRIP = 0.05
_ROLE = 1  # events of a stream before its first output
_OUTPUT = 4


def faults() -> Iterator[Fault]:
    """All faults, in the order of the layers they live on."""
    yield from _connection()
    yield from _broken("early", _ROLE)
    yield from _broken("late", _OUTPUT)
    yield from _framing()
    yield from _content()
    yield from statuses()
    yield from limits()


def named(name: str) -> Fault:
    """The fault of that name. Raises KeyError."""
    return {fault.name: fault for fault in faults()}[name]


# --- before there is an answer


def _connection() -> Iterator[Fault]:
    yield Fault("reset_before_headers", _reset, ("connect", "server_error"))
    yield Fault("close_before_headers", _close, ("connect", "server_error"))
    yield Fault("hang", Line.pause, ("timeout_headers",))
    yield Fault("hang_after_headers", _hang_after_headers, ("timeout_ttft", "stall"))
    yield Fault(
        "endless_headers", _endless_headers, ("connect", "server_error", "timeout_headers", "malformed_chunk")
    )
    yield Fault("not_http", _not_http, ("connect", "server_error", "malformed_chunk"))
    yield Fault("slow_drip", _slow_drip, ("timeout_ttft", "stall"))


async def _reset(line: Line) -> None:
    line.reset()


async def _close(line: Line) -> None:
    line.close()


async def _hang_after_headers(line: Line) -> None:
    await line.head(200, SSE if line.request.stream else JSON)
    await line.pause()


async def _endless_headers(line: Line) -> None:
    await line.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await line.raw(b"x-more: " + b"y" * 2000 + b"\r\n")
        await line.pause(0)


async def _not_http(line: Line) -> None:
    await line.raw(b"220 mail.example ESMTP ready\r\n\r\n")
    line.close()


async def _slow_drip(line: Line) -> None:
    """Alive on the wire, and never an answer: a comment or a blank at a time."""
    await line.head(200, SSE if line.request.stream else JSON)
    while True:
        await line.body(b": waiting\n\n" if line.request.stream else b" ")
        await line.pause(_DRIP)


# --- an answer that breaks off


def _broken(when: str, events: int) -> Iterator[Fault]:
    late = when == "late"
    yield Fault(f"stall_{when}", _begun(events, Line.pause), ("stall", "timeout_ttft"), late)
    yield Fault(f"reset_{when}", _begun(events, _reset), ("truncated", "connect"), late)
    yield Fault(f"cut_{when}", _begun(events, _close, b'data: {"id":"chatcmpl-scr'), ("truncated",), late)
    yield Fault(f"eof_{when}", _begun(events, Line.end), ("truncated", "malformed_chunk"), late)
    bad = b'data: {"id": "chatcmpl-scripted", "choices": [{"index": 0, "delta": {"con\n\n'
    yield Fault(f"malformed_{when}", _event(events, bad), ("malformed_chunk",), late, ("stream",))
    yield Fault(f"error_event_{when}", _event(events, event(error())), ("server_error",), late, ("stream",))


def _begun(events: int, then: Script, rest: bytes = b"") -> Script:
    """The first events of a stream or half of a plain answer, and then…"""

    async def script(line: Line) -> None:
        if line.request.stream:
            await line.head(200, SSE)
            for one in list(chunks(line.request.json))[:events]:
                await line.body(one)
            await line.body(rest)
        else:
            body = _whole(line)
            await line.head(200, JSON)
            await line.body(body[: len(body) // 2])
        await line.pause(_DRIP)  # what was written is read before the line breaks
        await then(line)

    return script


def _event(after: int, bad: bytes) -> Script:
    """A stream with one bad event in it, that then goes on as if nothing had been."""

    async def script(line: Line) -> None:
        events = list(chunks(line.request.json))
        await stream([*events[:after], bad, *events[after:]], delay=0.002)(line)

    return script


def _whole(line: Line) -> bytes:
    return json.dumps(completion(line.request.json["model"])).encode()


# --- HTTP that lies


def _framing() -> Iterator[Fault]:
    broken: tuple[Kind, ...] = ("truncated", "malformed_chunk", "connect", "server_error")
    yield Fault("bad_chunk_size", _bad_chunk_size, broken)
    yield Fault("short_length", _short_length, broken)
    yield Fault("bad_gzip", _bad_gzip, broken)
    endless: tuple[Kind, ...] = ("malformed_chunk", "truncated", "timeout_ttft", "stall")
    yield Fault("flood", _flood, endless)
    yield Fault("giant_event", _giant_event, endless, shapes=("stream",))


async def _bad_chunk_size(line: Line) -> None:
    await line.head(200, SSE if line.request.stream else JSON)
    await line.raw(b"zz\r\nnot a chunk\r\n")
    line.close()


async def _short_length(line: Line) -> None:
    await line.head(200, SSE if line.request.stream else JSON, length=5000)
    await line.body(b": begun\n\n" if line.request.stream else _whole(line)[:100])
    line.close()


async def _bad_gzip(line: Line) -> None:
    body = b"\x1f\x8b\x08\x00this is no gzip stream"
    await answer(200, {**(SSE if line.request.stream else JSON), "content-encoding": "gzip"}, body)(line)


async def _flood(line: Line) -> None:
    """100 MB where a few hundred bytes were expected."""
    await line.head(200, SSE if line.request.stream else JSON)
    await line.body(b": " if line.request.stream else b'{"id": "')
    await _giant(line)


async def _giant_event(line: Line) -> None:
    await line.head(200, SSE)
    await line.body(b'data: {"id":"chatcmpl-scripted","choices":[{"index":0,"delta":{"content":"')
    await _giant(line)


async def _giant(line: Line) -> None:
    for _ in range(_GIANT // len(_PIECE)):
        await line.body(_PIECE)
    await line.end()


# --- a good status with something else inside


def _content() -> Iterator[Fault]:
    nonsense: tuple[Kind, ...] = ("malformed_chunk", "truncated", "server_error", "degraded")
    yield Fault("error_in_200", answer(200, JSON, error()), ("server_error",))
    yield Fault("padded_error_in_200", _padded_error, ("server_error",))
    yield Fault("html_with_200", answer(200, HTML, PAGE), nonsense)
    yield Fault("html_as_stream", answer(200, SSE, PAGE), nonsense, shapes=("stream",))
    yield Fault("truncated_json", _truncated_json, nonsense)
    yield Fault("json_scalar", answer(200, JSON, b"null"), nonsense)
    yield Fault("not_utf8", answer(200, JSON, b'{"id": "\xff\xfe"}'), nonsense)
    yield Fault("empty_body", answer(200, JSON, b""), nonsense)
    yield Fault("empty_stream", stream([DONE]), nonsense, shapes=("stream",))
    yield Fault("no_content", answer(204), nonsense)
    yield Fault("redirect", answer(302, {"location": ELSEWHERE}), (*nonsense, "not_found"))


async def _padded_error(line: Line) -> None:
    """Blanks keep the connection alive, and then the error arrives in a good status."""
    await line.head(200, JSON)
    for _ in range(5):
        await line.body(b"         \n")
    await line.body(b'{"error": {"message": "scripted", "code": 502}}')
    await line.end()


async def _truncated_json(line: Line) -> None:
    """Half an object in a body that ends well."""
    body = _whole(line)
    await answer(200, JSON, body[: len(body) // 2])(line)
