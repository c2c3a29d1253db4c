"""What Ollama's chat answers: a line for every piece, or one object → events.

Thoughts and text come in pieces, every call of a tool whole. The last line says why it ended, and the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmrouter.dialects import synthetic
from llmrouter.types import Begin, Event, Fault, Finish, Spent, Text, Thought, ToolArgs, ToolStart, Usage


class Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Called(msgspec.Struct, gc=False):
    function: Function
    id: str | None = None


class Said(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Called] | None = None


class Piece(msgspec.Struct, gc=False):
    """A line, or the whole."""

    model: str = ""
    created_at: Any = None
    message: Said | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int = 0
    eval_count: int = 0
    error: Any = None


_pieces = msgspec.json.Decoder(Piece)


class ChatMeaning:
    """Follows one answer."""

    def __init__(self) -> None:
        self._begun = False
        self._seed = ""
        self._calls = 0

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        piece = _pieces.decode(data)
        if piece.error or (piece.message is None and not piece.done):
            return (Fault(data, malformed=not piece.error),)
        events: list[Event] = [] if self._begun else [self._begin(piece)]
        if piece.message is not None:
            self._say(piece.message, events)
        if piece.done:
            events += self._end(piece)
        return events

    def body(self, data: bytes) -> Sequence[Event]:
        return self.event(data, "")

    def done(self) -> Sequence[Event]:
        return ()

    def _begin(self, piece: Piece) -> Event:
        """Answers have no ids: when they were made has to do."""
        self._begun, self._seed = True, f"{piece.model}/{piece.created_at}"
        return Begin("", piece.model)

    def _say(self, said: Said, events: list[Event]) -> None:
        if said.thinking:
            events.append(Thought(said.thinking))
        if said.content:
            events.append(Text(said.content))
        for call in said.tool_calls or ():
            id = call.id or synthetic(self._seed, self._calls)  # older servers give none
            self._calls += 1
            events += [ToolStart(id, call.function.name), ToolArgs(id, bytes(call.function.arguments).decode())]

    def _end(self, piece: Piece) -> Sequence[Event]:
        spent = Spent(Usage(input=piece.prompt_eval_count, output=piece.eval_count))
        if piece.done_reason == "length":
            return spent, Finish("length")
        return spent, Finish("tool_calls" if self._calls else "stop")
