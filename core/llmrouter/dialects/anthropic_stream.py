"""Events → the stream of Messages.

Blocks are strictly sequential and counted from 0, while other dialects may mix the fragments of several calls: what
belongs to a later block waits until the call that is open has all its arguments.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Refusal,
    Request,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Trouble,
    Usage,
)

from .anthropic_errors import envelope
from .anthropic_reading import NAME
from .anthropic_usage import write_usage
from .anthropic_writers import PREFIX, message, shows_thoughts, stop_reason
from .common import dumps, loads
from .signatures import tagged

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_OUTPUT = (Text, Thought, ToolStart, ToolArgs, Refusal)


class Opened(msgspec.Struct, gc=False):
    type: str = ""


class Place(msgspec.Struct, gc=False):
    """What of an upstream's own event says where its stream stands."""

    type: str = ""
    index: int = 0
    content_block: Opened | None = None


_places = msgspec.json.Decoder(Place)


class StreamWriter:
    """The events of one answer."""

    prefix = PREFIX

    def __init__(self, request: Request) -> None:
        facts = request.facts
        self._id, self._model = f"{PREFIX}{facts.id}", facts.asked
        self._usage = Usage(input=facts.input_tokens)  # an estimate, until the upstream tells
        self._thinks = shows_thoughts(request)
        self._source = ""
        self._reason = ""
        self._begun = self._told = self._stopped = False
        self._index = -1  # of the block that is open, or was last
        self._open: str | None = None  # "text", "thinking", or the id of the call whose block is open
        self._arguments: list[str] = []  # of that call
        self._calls = 0
        self._held: list[Event] = []  # what belongs to later blocks

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        self._source = frame.wire.dialect
        for event in frame.events:
            if type(event) is not Text:  # nearly all are
                self._follow(event)
        if verbatim and frame.wire.stream:
            self._stand(frame)
            return frame.raw
        return b"".join([self._say(event) for event in frame.events])

    def fail(self, trouble: Trouble) -> bytes:
        return b"event: error\ndata: " + dumps(envelope(trouble)) + b"\n\n"

    def end(self) -> bytes:
        if self._stopped:
            return b""
        if self._told:
            return STOP
        delta = {"stop_reason": stop_reason(self._reason, self._calls > 0), "stop_sequence": None}
        ended = {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)}
        return self._opening() + self._event(ended) + STOP

    # ---- where the stream stands ------------------------------------------------------------------

    def _follow(self, event: Event) -> None:
        """Kept also of verbatim frames: another upstream may have to go on from here."""
        if type(event) is ToolStart:
            self._calls += 1
        elif type(event) is Spent:
            self._usage = event.usage
        elif type(event) is Finish:
            self._reason = event.reason
        elif type(event) is Begin and not self._begun:
            self._id, self._model = event.id or self._id, event.model or self._model

    def _stand(self, frame: Frame) -> None:
        """Read off an upstream's own event; its deltas change nothing."""
        self._begun = True
        find = frame.raw.find  # for bytes `in` is slow: it takes them for a number first
        if find(b"_delta") >= 0 and find(b"message_delta") < 0:
            return
        place = _place(frame.raw)
        match place.type:
            case "content_block_start":
                self._index = place.index
                self._open = place.content_block.type if place.content_block else None
            case "content_block_stop":
                self._open = None
            case "message_delta":
                self._told = True
            case "message_stop":
                self._stopped = True

    # ---- encoding -----------------------------------------------------------------------------------

    def _say(self, event: Event) -> bytes:
        kind = type(event)
        if kind is Finish:
            return self._rest() + self._close()
        if kind not in _OUTPUT:
            return b""
        if self._belongs_later(event):
            self._held.append(event)
            return b""
        return self._written(event)

    def _belongs_later(self, event: Event) -> bool:
        """Whether the call that is open still lacks arguments, and this is none of them."""
        if self._open in (None, "text", "thinking") or (isinstance(event, ToolArgs) and event.id == self._open):
            return False
        return not self._is_whole()

    def _is_whole(self) -> bool:
        """JSON that is complete stays as it is, whatever fragments follow: none do."""
        try:
            loads("".join(self._arguments).encode())
        except ValueError:
            return False
        return True

    def _written(self, event: Event) -> bytes:
        match event:
            case Text(text) | Refusal(text):
                return self._into("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": text}, text)
            case Thought() if self._thinks:
                return self._thought(event)
            case ToolStart(id, name):
                said = self._close() + self._start(id, {"type": "tool_use", "id": id, "name": name, "input": {}})
                self._arguments = []
                return said
            case ToolArgs(id, json) if json:
                return self._argument(id, json)
        return b""

    def _into(self, kind: str, block: dict[str, Any], delta: dict[str, Any], text: str) -> bytes:
        """A delta into the open block if that is of its kind, else into one that is opened for it."""
        if not text:
            return b""
        opening = b"" if self._open == kind else self._close() + self._start(kind, block)
        return opening + self._delta(delta)

    def _thought(self, thought: Thought) -> bytes:
        signature = tagged(thought.signature, thought.source or self._source, NAME)
        if thought.redacted:
            block = {"type": "redacted_thinking", "data": signature}
            return self._close() + self._start("redacted", block) + self._close()
        text = thought.text
        block = {"type": "thinking", "thinking": "", "signature": ""}
        said = self._into("thinking", block, {"type": "thinking_delta", "thinking": text}, text)
        if signature:
            delta = {"type": "signature_delta", "signature": signature}
            said += self._into("thinking", block, delta, signature) + self._close()
        return said

    def _argument(self, id: str, json: str) -> bytes:
        if id != self._open:  # of a call that nobody began, or of one that is closed
            return b""
        self._arguments.append(json)
        said = self._delta({"type": "input_json_delta", "partial_json": json})
        return said + self._next() if self._held and self._is_whole() else said

    def _next(self) -> bytes:
        """What was held back, as far as the next call that still lacks arguments."""
        held, self._held = self._held, []
        return self._close() + b"".join([self._say(event) for event in held])

    def _rest(self) -> bytes:
        """All that was held back: nothing more comes."""
        said = b""
        while self._held:
            said += self._next()
        return said

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        self._index += 1
        self._open = kind
        event = {"type": "content_block_start", "index": self._index, "content_block": block}
        return self._opening() + self._event(event)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        """A call without arguments gets an empty object: clients parse them."""
        if self._open is None:
            return b""
        bare = self._open not in ("text", "thinking", "redacted") and not self._arguments
        said = self._delta({"type": "input_json_delta", "partial_json": "{}"}) if bare else b""
        self._open = None
        return said + self._event({"type": "content_block_stop", "index": self._index})

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        usage = write_usage(self._usage) | {"output_tokens": 0}
        begun = message(self._id, self._model) | {"content": [], "stop_reason": None, "usage": usage}
        return self._event({"type": "message_start", "message": begun})

    def _event(self, event: dict[str, Any]) -> bytes:
        name: str = event["type"]
        return b"event: " + name.encode() + b"\ndata: " + dumps(event) + b"\n\n"


def _place(raw: bytes) -> Place:
    """Of the JSON in the bytes of one event; nothing where it cannot be read."""
    start, end = raw.find(b"{"), raw.rfind(b"}") + 1
    try:
        return _places.decode(raw[start:end]) if start >= 0 else Place()
    except msgspec.MsgspecError:
        return Place()
