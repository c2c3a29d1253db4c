"""Answers that are JSON lines (NDJSON): every line is an event, and one line alone is a whole answer."""

from __future__ import annotations

from llmrouter.types import Wire

from . import sse
from .common import BOM
from .meaning import Meaning
from .reader import AnswerReader


class Lines(sse.Events):
    """Cuts a stream into lines, each an event with the bytes it came in. Any split gives the same lines."""

    def whole(self, data: bytes) -> bytes | None:
        """The data of bytes that are one line; None of any others."""
        return None if self._rest or data.find(b"\n") != len(data) - 1 else data.strip() or None

    def feed(self, data: bytes) -> list[sse.Event]:
        if self.overflown:
            return []
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._rest) + whole[0]
            self._rest = bytearray()
        self._rest += rest
        if len(self._rest) > self._limit:
            self.overflown, self._rest = True, bytearray()
        return [_event(line + b"\n") for line in whole]

    def end(self) -> sse.Event | None:
        rest, self._rest = bytes(self._rest), bytearray()
        return _event(rest + b"\n") if rest.strip() else None


class LineReader(AnswerReader):
    """The reader of a dialect whose streams are JSON lines. What was asked for decides the shape of an object."""

    def __init__(self, dialect: str, stream: bool, meaning: Meaning, limit: int = sse.MAX_EVENT) -> None:
        super().__init__(dialect, stream, meaning, limit)
        self._events = Lines(limit)

    def _recognise(self) -> Wire | None:
        first = self._body.removeprefix(BOM).lstrip()[:1]
        if not first:
            return None
        return self._asked if first == b"{" else self._plain


def _event(raw: bytes) -> sse.Event:
    return raw, raw.strip() or None, ""
