"""Answers that are JSON lines (NDJSON): every line is an event, and one line alone is a whole answer."""

from __future__ import annotations

import re

from llmrouter.types import Wire

from . import sse
from .common import BOM
from .meaning import Meaning
from .reader import AnswerReader


class Lines(sse.Events):
    """Cuts a stream into lines, each an event with the bytes it came in. Any split gives the same lines."""

    whole = re.compile(rb"([ \t]*[^ \t\n].*)\n").fullmatch

    def feed(self, data: bytes) -> list[sse.Event]:
        if self.overflown:
            return []
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self.rest) + whole[0]
            self.rest = bytearray()
        self.rest += rest
        if len(self.rest) > self._limit:
            self.overflown, self.rest = True, bytearray()
        return [_event(line + b"\n") for line in whole]

    def end(self) -> sse.Event | None:
        rest, self.rest = bytes(self.rest), bytearray()
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
