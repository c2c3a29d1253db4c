"""An answer kept as its upstream sent it. Replaying reads it again, so any client can be served."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from llmrouter.protocols import Dialect
from llmrouter.types import Begin, Frame, Op, Request, ToolStart, Value, Wire

PREFIX = "answer:"


class Recording(Value, frozen=True):
    """An answer's bytes and what they are."""

    wire: Wire
    op: Op
    endpoint: str
    id: str
    body: bytes = b""


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


def key(dialect: Dialect, request: Request, *, shared: bool) -> str:
    """The meaning of the request, whatever dialect it came in: payload, name asked for and client."""
    facts = request.facts
    meaning = ("" if shared else facts.client, facts.op, facts.asked, dialect.decode(facts.op, request.fields))
    return PREFIX + hashlib.blake2b(msgspec.msgpack.encode(meaning), digest_size=20).hexdigest()


def load(kept: bytes) -> Recording:
    """A recording from its bytes. Raises msgspec.DecodeError for what is none."""
    head, _, body = kept.partition(b"\n")
    return msgspec.structs.replace(_head.decode(head), body=body)


def replay(tape: Recording, dialects: Mapping[str, Dialect], id: str) -> Iterator[Frame]:
    """The recorded frames under a fresh id."""
    reader = dialects[tape.wire.dialect].reader(tape.op, tape.wire.stream)
    yield from reader.feed(_renamed(tape.body, tape.id, id))
    yield from reader.end()


def _renamed(body: bytes, old: str, new: str) -> bytes:
    """The body with its answer's id replaced: only where it is the value of an `id`: ids may be short words."""
    if not old:
        return body
    said = re.escape(msgspec.json.encode(old))
    return re.sub(rb'("(?:\w+_)?id"\s*:\s*)' + said, lambda found: found[1] + msgspec.json.encode(new), body)
