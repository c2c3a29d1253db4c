"""Upstream bytes → frames, whichever of its two shapes the answer has.

What comes decides, not what was asked for: some upstreams answer a request for a stream with one body, and
the other way round. An answer that begins with a brace, a bracket, a quote or a tag is one body.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmrouter.types import Fault, Frame, Wire

from . import sse
from .common import BOM
from .meaning import Meaning
from .sse import CR

END_MARK = b"[DONE]"

_BODY_BEGINS = b'{[<"'
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)
"""What a meaning raises for what it cannot read, and for a value of a kind that it did not think of."""
_SHOWN = 4096  # bytes of an unreadable answer that are kept


class AnswerReader:
    """The reader of every dialect whose answers are one JSON body or server-sent events.

    A frame's bytes are those that came; an event at the very end of a stream gets the blank line it lacks,
    and one that was cut there gives no frame at all.
    """

    def __init__(self, dialect: str, stream: bool, meaning: Meaning, limit: int = sse.MAX_EVENT) -> None:
        self._stream, self._plain = Wire(dialect, True), Wire(dialect, False)
        self._asked = self._stream if stream else self._plain
        self._meaning = meaning
        self._events = sse.Events(limit)
        self._body = bytearray()
        self._limit = limit
        self._shape: Wire | None = None  # not known yet: nothing but white space came
        self._spoke = False  # an event with data was seen
        self._over = False

    def feed(self, data: bytes) -> list[Frame]:
        if self._over:
            return []
        if self._spoke:
            found = self._events.whole(data)  # an event that comes alone, as nearly all do
            if found and CR not in data and not self._events.rest and (said := found[1]) and said != END_MARK:
                try:
                    return [Frame(self._stream, data, tuple(self._meaning.event(said, "")))]
                except _UNREADABLE:
                    return [self._unreadable(data, said)]
        else:
            self._body += data
            if self._shape is None:
                self._shape = self._recognise()
                data = bytes(self._body)
            if self._shape is not self._stream:
                return self._too_long(self._plain) if len(self._body) > self._limit else []
            del self._body[_SHOWN:]
        frames = self._frames(self._events.feed(data))
        return frames + self._too_long(self._stream) if self._events.overflown else frames

    def end(self) -> list[Frame]:
        if self._over:
            return []
        self._over = True
        shape = self._shape or self._asked
        if shape is self._stream:
            return self._tail()
        body = bytes(self._body)
        try:
            events = tuple(self._meaning.body(body))
        except _UNREADABLE:
            events = (Fault(body[:_SHOWN], malformed=True),)
        return [Frame(self._plain, body, events)]

    def _recognise(self) -> Wire | None:
        if self._body.startswith(b"{"):
            return self._plain
        if BOM.startswith(self._body):
            return None
        first = self._body.removeprefix(BOM).lstrip()[:1]
        if not first:
            return None
        return self._plain if first in _BODY_BEGINS else self._stream

    def _frames(self, events: Sequence[sse.Event], whole: bool = True) -> list[Frame]:
        frames = []
        for raw, data, name in events:
            if data is None:
                frames.append(Frame(self._stream, raw, ()))
                continue
            self._spoke = True
            if data == END_MARK:
                if last := self._meaning.done():
                    frames.append(Frame(self._stream, b"", tuple(last)))
                continue
            try:
                frames.append(Frame(self._stream, raw, tuple(self._meaning.event(data, name))))
            except _UNREADABLE:
                if whole:
                    frames.append(self._unreadable(raw, data))
        return frames

    def _unreadable(self, raw: bytes, data: bytes) -> Frame:
        return Frame(self._stream, raw, (Fault(data[:_SHOWN], malformed=True),))

    def _tail(self) -> list[Frame]:
        """What follows the last blank line. Bytes without any data or comment were no stream: an error page."""
        event = self._events.end()
        frames = self._frames([event], whole=False) if event else []
        start = self._body.removeprefix(BOM).lstrip()
        if self._spoke or not start or start.startswith(b":"):
            return frames
        return [*frames, Frame(self._stream, b"", (Fault(bytes(self._body), malformed=True),))]

    def _too_long(self, wire: Wire) -> list[Frame]:
        self._over, self._body = True, bytearray()
        return [Frame(wire, b"", (Fault(b"", malformed=True),))]
