"""`ollama.chat`: the native chat of Ollama, spoken to upstreams only.

Source: the API documentation of `POST /api/chat`, and recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from llmrouter.dialects import LineReader, raw
from llmrouter.errors import InvalidRequest
from llmrouter.types import Conversation, Encoded, Facts, Fields, Op, Payload, Request, Trouble

from .answers import ChatMeaning
from .messages import write_messages
from .options import write_options, write_tools

NAME = "ollama.chat"


class OllamaChat:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat"})
    paths: Mapping[str, Op] = {}
    expresses = frozenset({"tools", "vision", "json_schema", "json_object"})

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        _upstream_only()

    def decode(self, op: Op, fields: Fields) -> Payload:
        _upstream_only()

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        dropped: list[str] = []
        fields = {"messages": raw(write_messages(payload.messages, dropped))}
        fields |= write_tools(payload, dropped)
        fields |= write_options(payload.options, dropped)
        return Encoded(fields, tuple(dict.fromkeys(dropped)))

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """Sets the model and the shape: without a word it streams."""
        return fields | {"model": raw(model), "stream": raw(stream)}

    def reader(self, op: Op, stream: bool) -> LineReader:
        return LineReader(NAME, stream, ChatMeaning())

    def writer(self, request: Request) -> NoReturn:
        _upstream_only()

    def refuse(self, trouble: Trouble) -> bytes:
        _upstream_only()


def _upstream_only() -> NoReturn:
    raise InvalidRequest(f"{NAME} serves no clients")
