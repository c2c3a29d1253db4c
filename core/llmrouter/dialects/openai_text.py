"""Answers of Chat Completions that say text and nothing more: nearly all do, and are known by their shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from llmrouter.types import Begin, Event, Finish, Spent, Text

from .noting import Noted
from .openai_answers import AnswerMeaning
from .openai_thoughts import NAME
from .openai_usage import Count, Used, usage_of

Empty = Annotated[list[Any], msgspec.Meta(max_length=0)]


class Said(msgspec.Struct, gc=False):
    """The delta of a chunk, or the message of a body. What is not named here says nothing."""

    content: str
    refusal: None = None
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    tool_calls: Empty | None = None
    function_call: None = None
    audio: None = None
    images: None = None


class Piece(msgspec.Struct, gc=False):
    delta: Said
    index: Literal[0] = 0
    text: str | None = None  # one vendor says it here, too
    message: None = None
    finish_reason: None = None
    usage: None = None


class Whole(msgspec.Struct, gc=False):
    message: Said
    finish_reason: Literal["stop", "length"]
    index: Literal[0] = 0
    delta: None = None
    text: None = None
    usage: None = None


class Groq(msgspec.Struct, gc=False):
    usage: None = None


class Chunk(msgspec.Struct, gc=False):
    choices: tuple[Piece]
    usage: None = None
    error: None = None
    x_groq: Groq | None = None


class Counted(Used, gc=False, kw_only=True):
    prompt_tokens: Count  # an object that says nothing is no usage


class Body(msgspec.Struct, gc=False):
    id: str
    model: str
    choices: tuple[Whole]
    provider: str = ""
    usage: Counted | None = None
    error: None = None
    x_groq: Groq | None = None


_chunks = msgspec.json.Decoder(Chunk)
_bodies = msgspec.json.Decoder(Body)


class TextMeaning:
    """Looks closely only at what does not have the shape of text."""

    def __init__(self) -> None:
        self._flows = False  # a chunk said text, and its choice goes on

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        if self._flows and not name:
            try:
                (piece,) = _chunks.decode(data).choices
            except (ValueError, RecursionError):
                pass
            else:
                text = piece.text or piece.delta.content
                return (Text(text),) if text else ()
        events = self._closely.event(data, name)
        self._flows = len(events) == 1 and type(events[0]) is Text and self._answer.goes_on
        return events

    def body(self, data: bytes) -> Sequence[Event]:
        try:
            body = _bodies.decode(data)
        except (ValueError, RecursionError):
            return self._closely.body(data)
        (whole,) = body.choices
        events: list[Event] = [Begin(body.id, body.model, body.provider)]
        if text := whole.message.content:
            events.append(Text(text))
        events.append(Finish(whole.finish_reason))
        if body.usage:
            events.append(Spent(usage_of(body.usage)))
        return events

    def done(self) -> Sequence[Event]:
        return self._closely.done()

    @cached_property
    def _answer(self) -> AnswerMeaning:
        return AnswerMeaning()

    @cached_property
    def _closely(self) -> Noted:
        return Noted(NAME, self._answer)
