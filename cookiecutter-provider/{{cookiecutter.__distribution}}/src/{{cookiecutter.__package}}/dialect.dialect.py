"""`{{ cookiecutter.name }}.chat`: the wire format of {{ cookiecutter.__title }}, spoken to upstreams only.

Source: the page of its documentation, or the recorded exchange, that this is taken from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec
from llmrouter.dialects import AnswerReader, raw, unreadable
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    Conversation,
    Encoded,
    Event,
    Facts,
    Fields,
    Finish,
    Message,
    Op,
    Payload,
    Refusal,
    Request,
    Spent,
    Text,
    Trouble,
    Usage,
)

NAME = "{{ cookiecutter.name }}.chat"
OPTIONS = {"max_output": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop": "stop"}
"""What can be said beside the messages, and how. All else that a client says is reported as dropped."""


class {{ cookiecutter.__class }}Chat:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat"})
    paths: Mapping[str, Op] = {}
    expresses: frozenset[str] = frozenset()  # "tools", "vision", … once they are written and read here

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        _upstream_only()

    def decode(self, op: Op, fields: Fields) -> Payload:
        _upstream_only()

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        dropped: list[str] = []
        fields = {"messages": raw([_written(one, dropped) for one in payload.messages])}
        for name, value in payload.options.items():
            if name in OPTIONS:
                fields[OPTIONS[name]] = raw(value)
            else:
                dropped += value if name == "extra" else [name]
        return Encoded(fields, tuple(dict.fromkeys(dropped)))

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        return fields | {"model": raw(model), "stream": raw(stream)}

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, stream, AnswerMeaning())

    def writer(self, request: Request) -> NoReturn:
        _upstream_only()

    def refuse(self, trouble: Trouble) -> bytes:
        _upstream_only()


def _upstream_only() -> NoReturn:
    raise InvalidRequest(f"{NAME} serves no clients")


def _written(message: Message, dropped: list[str]) -> Mapping[str, str]:
    text = "".join([one.text for one in message.parts if isinstance(one, Text | Refusal)])
    others = [one for one in message.parts if not isinstance(one, Text | Refusal)]
    dropped.extend(f"messages.{type(one).__name__.lower()}" for one in others)
    return {"role": message.role, "text": text}


class Tokens(msgspec.Struct):
    input: int = 0
    output: int = 0


class Piece(msgspec.Struct):
    """An event of a stream, or the whole answer: they have one shape."""

    id: str = ""
    model: str = ""
    text: str | None = None
    stop: str | None = None
    usage: Tokens | None = None


class AnswerMeaning:
    """Follows one answer. What cannot be decoded is a fault, which the reader sees to."""

    def __init__(self) -> None:
        self._begun = False

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        piece = msgspec.json.decode(data, type=Piece)
        if piece.text is None and piece.stop is None:
            return unreadable(data)
        events: list[Event] = [] if self._begun else [Begin(piece.id, piece.model)]
        self._begun = True
        if piece.text:
            events.append(Text(piece.text))
        if piece.usage:
            events.append(Spent(Usage(input=piece.usage.input, output=piece.usage.output)))
        if piece.stop:
            events.append(Finish("length" if piece.stop == "length" else "stop"))
        return events

    def body(self, data: bytes) -> Sequence[Event]:
        return self.event(data, "")

    def done(self) -> Sequence[Event]:
        return ()
