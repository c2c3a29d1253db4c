"""What an answer of Messages says, streamed or whole: events and bodies → our events.

Sources: the API reference of `POST /v1/messages` and its streaming page, and what was recorded: blocks of tools
that the vendor runs itself, relays that leave out counts in the last usage, errors inside a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmrouter.types import Begin, Event, Finish, Result, Spent, Text, Thought, ToolArgs, ToolStart

from .anthropic_usage import Counts, merged, read_usage
from .common import decode, dumps, loads
from .meaning import BodyMeaning, unreadable

Reason = Literal["stop", "length", "tool_calls", "content_filter"]

REASONS: Mapping[str, Reason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # the vendor's own tools are still running: it wants to be asked to go on
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Stop reasons; any other is a stop."""

_MORE = Text("")  # output of which a conversation can say nothing: a search of the vendor's own, a compaction


class Block(msgspec.Struct, gc=False):
    """A block of content, or the delta of one: whatever it is, it has these fields or lacks them."""

    type: str = ""
    text: Any = None
    thinking: Any = None
    signature: Any = None
    data: Any = None
    id: Any = None
    name: Any = None
    input: msgspec.Raw = msgspec.Raw(b"")
    partial_json: Any = None
    stop_reason: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A whole body, or the start of a stream."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Counts | None = None


class Told(msgspec.Struct, gc=False):
    """One event of a stream; what is not named here is not decoded."""

    type: str = ""
    index: int = 0
    delta: Block | None = None
    content_block: Block | None = None
    message: Answer | None = None
    usage: Counts | None = None


class Counted(msgspec.Struct, gc=False):
    input_tokens: int


_told = msgspec.json.Decoder(Told)
_answers = msgspec.json.Decoder(Answer)
_counted = msgspec.json.Decoder(Counted)


class AnswerMeaning:
    """Follows one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, str] = {}  # index of a block → id of the call it is
        self._counts: Counts | None = None
        self._begun = self._finished = False

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        try:
            told = decode(_told, data)
        except msgspec.ValidationError:
            return () if _has_type(data) else unreadable(data)
        match told.type:
            case "content_block_delta" if told.delta is not None:
                return self._delta(told.index, told.delta)
            case "content_block_start" if told.content_block is not None:
                self._begun = True
                return list(self._start(told.index, told.content_block))
            case "message_start" if told.message is not None:
                self._begun = True
                return [Begin(told.message.id or "", told.message.model or ""), *self._spent(told.message.usage)]
            case "message_delta":
                return [*self._spent(told.usage), *self._end(told.delta.stop_reason if told.delta else None)]
            case "message_stop":  # of an answer that never began it is the end of nothing
                return self._end("end_turn" if self._begun else None)
            case "error" | "":
                return unreadable(data)
        return ()  # a ping, or what a later version of the API tells

    def body(self, data: bytes) -> Sequence[Event]:
        try:
            answer = decode(_answers, data)
        except msgspec.ValidationError:
            return unreadable(data)
        if answer.content is None:
            return unreadable(data)
        events: list[Event] = [Begin(answer.id or "", answer.model or "")]
        for index, block in enumerate(answer.content):
            events.extend(self._start(index, block))
        return [*events, *self._spent(answer.usage), *self._end(answer.stop_reason or "end_turn")]

    def done(self) -> Sequence[Event]:
        """Some relays write the end mark of another dialect; it says nothing here."""
        return ()

    def _start(self, index: int, block: Block) -> Iterator[Event]:
        """A block that begins, or a whole one."""
        match block.type:
            case "text":
                if block.text:
                    yield Text(_text(block.text))
            case "thinking":
                if block.thinking or block.signature:
                    yield Thought(_text(block.thinking), _text(block.signature))
            case "redacted_thinking":
                yield Thought("", _text(block.data), redacted=True)
            case "tool_use":
                id = self._calls[index] = _text(block.id) or f"toolu_{index}"
                yield ToolStart(id, _text(block.name))
                if len(block.input) > 2 and (input := loads(block.input)):
                    yield ToolArgs(id, dumps(input).decode())
            case _:
                yield _MORE

    def _delta(self, index: int, delta: Block) -> Sequence[Event]:
        match delta.type:
            case "text_delta":
                return (Text(_text(delta.text)),) if delta.text else ()
            case "input_json_delta" if delta.partial_json and index in self._calls:
                return (ToolArgs(self._calls[index], _text(delta.partial_json)),)
            case "thinking_delta" | "signature_delta" if delta.thinking or delta.signature:
                return (Thought(_text(delta.thinking), _text(delta.signature)),)
        return ()

    def _spent(self, counts: Counts | None) -> Sequence[Event]:
        if counts is None:
            return ()
        self._counts = merged(self._counts, counts)
        return (Spent(read_usage(self._counts)),)

    def _end(self, reason: str | None) -> Sequence[Event]:
        """Some relays call it a stop when tools are to be called; clients then stop too early."""
        if reason is None or self._finished:
            return ()
        self._finished = True
        meant = REASONS.get(reason, "stop")
        return (Finish("tool_calls" if meant == "stop" and self._calls else meant),)


class CountMeaning(BodyMeaning):
    """The answer to a question for the number of tokens: always one body."""

    def body(self, data: bytes) -> Sequence[Event]:
        try:
            counted = decode(_counted, data)
        except msgspec.ValidationError:
            return unreadable(data)
        return (Begin("", ""), Result(counted.input_tokens), Finish("stop"))


def _has_type(data: bytes) -> bool:
    """Whether it is an event all the same: one whose fields are not those that are known."""
    value = loads(data)
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] != "error"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
