"""An answer kept as its upstream sent it. Replaying gives its frames again, so any client can be served."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from llmrouter.dialects.translating import understood
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Op,
    Refusal,
    Request,
    Spent,
    Text,
    Thought,
    ToolStart,
    Value,
    Wire,
)

PREFIX = "answer:"
PLAIN = frozenset({Begin, Text, Thought, Refusal, Spent, Finish})
"""Events that do not name the answer they are part of; the first of them does."""


class Recording(Value, frozen=True):
    """What an answer's bytes are: the first line of what is kept."""

    wire: Wire
    op: Op
    endpoint: str
    id: str


_head = msgspec.json.Decoder(Recording)


class Recorder:
    """Takes down the frames of one answer. Kept are whole answers without tool calls."""

    def __init__(self, wire: Wire, op: Op, endpoint: str) -> None:
        self._wire, self._op, self._endpoint, self._id = wire, op, endpoint, ""
        self._frames: list[bytes] = []
        self._tools = False

    def take(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._frames.append(frame.raw)
            for event in frame.events:
                if isinstance(event, Begin):
                    self._id = self._id or event.id
                elif isinstance(event, ToolStart):
                    self._tools = True

    def done(self) -> bytes | None:
        """The recording as bytes: a line that says what it is, then the answer itself. None: not to be kept."""
        if self._tools:
            return None
        head = Recording(self._wire, self._op, self._endpoint, self._id)
        return b"\n".join((msgspec.json.encode(head), b"".join(self._frames)))


def key(dialect: Dialect, request: Request, client: str) -> str:
    """The meaning of the request, whatever dialect it came in: payload, name asked for and client ("" is any).

    Raises InvalidRequest where nobody knows what it means.
    """
    facts = request.facts
    meaning = (client, facts.op, facts.asked, understood(dialect, facts.op, request.fields))
    return PREFIX + hashlib.blake2b(msgspec.msgpack.encode(meaning), digest_size=20).hexdigest()


class Tape:
    """A recording that was read, to be replayed any number of times, each under an id of its own."""

    def __init__(self, kept: bytes, dialects: Mapping[str, Dialect]) -> None:
        """Raises msgspec.DecodeError for bytes that are no recording."""
        head, _, self._body = kept.partition(b"\n")
        self._head = _head.decode(head)
        self.endpoint = self._head.endpoint
        # Only where it is the value of an `id`: ids may be short words.
        said = re.escape(msgspec.json.encode(self._head.id))
        self._place = re.compile(rb'"(?:(?:\w+_)?id|responseId)"\s*:\s*(' + said + rb")")
        frames = [*self._read(self._body, dialects)]
        self._frames = [(frame.wire, self._pieces(frame.raw), *self._parted(frame.events)) for frame in frames]
        self._is_plain = all(type(event) in PLAIN for frame in frames for event in frame.events)

    def replay(self, dialects: Mapping[str, Dialect], id: str) -> Iterable[Frame]:
        """The recorded frames under a fresh id. Read once more where its events may speak of it, too."""
        said = msgspec.json.encode(id)
        if self._is_plain:
            return [
                Frame(wire, said.join(pieces), (Begin(id, first.model, first.via), *events) if first else events)
                for wire, pieces, first, events in self._frames
            ]
        return self._read(said.join(self._pieces(self._body)), dialects)

    def _read(self, body: bytes, dialects: Mapping[str, Dialect]) -> Iterator[Frame]:
        reader = dialects[self._head.wire.dialect].reader(self._head.op, self._head.wire.stream)
        yield from reader.feed(body)
        yield from reader.end()

    def _pieces(self, body: bytes) -> list[bytes]:
        """What stands before, between and behind the answer's id."""
        pieces, at = [], 0
        for found in self._place.finditer(body) if self._head.id else ():
            pieces.append(body[at : found.start(1)])
            at = found.end(1)
        return [*pieces, body[at:]]

    def _parted(self, events: tuple[Event, ...]) -> tuple[Begin | None, tuple[Event, ...]]:
        """The event that names the answer, and those behind it; all of them where none does."""
        if events and type(first := events[0]) is Begin and first.id == self._head.id:
            return first, events[1:]
        return None, events
