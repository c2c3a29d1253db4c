"""`anthropic.messages`: Messages, the wire of Claude's own clients.

Source: the API reference of `POST /v1/messages` and of `/v1/messages/count_tokens`, and what clients were seen to
send. A body that stays in this dialect is forwarded byte for byte but for what `aim` says; how it is translated
stands in `anthropic_conversation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Reader, Writer
from llmrouter.types import Conversation, Encoded, Facts, Fields, Op, Payload, Request, Trouble, Wire

from . import anthropic_memory, hints
from .anthropic_answers import AnswerMeaning, CountMeaning
from .anthropic_conversation import read_conversation, write_conversation
from .anthropic_errors import envelope
from .anthropic_peek import peek, session_of
from .anthropic_reading import NAME
from .anthropic_stream import StreamWriter
from .anthropic_writers import CountWriter, PlainWriter
from .checks import Flag, List, Name, Number, Object, Opened, require, whole
from .common import dumps, get, raw
from .noting import Noted
from .reader import AnswerReader

LARGE = frozenset({"messages", "system", "tools"})


class Said(msgspec.Struct, gc=False):
    """Fields of the API by their kinds, and those that gateways know; all others are forwarded unseen."""

    model: Name
    stream: Flag = None
    stop_sequences: List = None
    tool_choice: Object = None
    thinking: Object = None
    output_config: Object = None
    metadata: Object = None
    max_tokens: Number = None
    temperature: Number = None
    top_p: Number = None
    top_k: Number = None
    output_format: Any = None
    llmrouter: Any = None


_open = Opened(Said, LARGE, {"model": ("string",), "messages": ("array",)})

_REPLAYABLE = frozenset({"vision", "files", "remote_media", "json_schema"})
"""Needs of a request that may be answered from a recording."""


class Messages:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat", "count"})
    paths: Mapping[str, Op] = {"/v1/messages": "chat", "/v1/messages/count_tokens": "count"}
    expresses = frozenset({"tools", "vision", "files", "remote_media", "json_schema", "json_object"})
    id_header = "request-id"
    passes = (
        "anthropic-beta", "anthropic-version", "anthropic-dangerous-direct-browser-access", "user-agent", "x-app",
        "x-claude-code-session-id", "x-stainless-arch", "x-stainless-helper-method", "x-stainless-lang",
        "x-stainless-os", "x-stainless-package-version", "x-stainless-retry-count", "x-stainless-runtime",
        "x-stainless-runtime-version", "x-stainless-timeout",
    )  # fmt: skip
    """What a client says of itself and of what it understands; a provider decides which of it goes on."""

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        said = _open(fields)
        require(fields, "messages", "array")
        seen = peek(fields)
        needs = seen.needs | ({"json_schema"} if _has_format(said) else set())
        own = hints.from_body(said.llmrouter)
        return Facts(
            op=op,
            wire=Wire(NAME, op == "chat" and bool(said.stream)),
            asked=said.model,
            hints=hints.hints(own, headers),
            needs=needs,
            input_tokens=seen.tokens,
            max_output=whole(said.max_tokens, "max_tokens", 0) if op == "chat" else 0,
            session=hints.session(own, headers, session_of(said.metadata)),
            in_tool_loop=seen.in_tool_loop,
            replayable=op == "chat" and needs <= _REPLAYABLE and said.temperature == 0,
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        return read_conversation(fields)

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        return write_conversation(payload, op)

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        aimed = hints.addressed(fields, model)
        if stream or get(fields, "stream"):
            aimed["stream"] = raw(stream)
        return aimed

    def reader(self, op: Op, stream: bool) -> Reader:
        return AnswerReader(NAME, stream, CountMeaning() if op == "count" else Noted(NAME, AnswerMeaning()))

    def writer(self, request: Request) -> Writer:
        if request.facts.op == "count":
            return CountWriter(request)
        return StreamWriter(request) if request.facts.wire.stream else PlainWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def names(self, fields: Fields) -> Sequence[str]:
        return anthropic_memory.names(fields)

    def resolve(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        return anthropic_memory.resolve(fields, found)


def _has_format(said: Said) -> bool:
    format = (said.output_config or {}).get("format") or said.output_format
    return isinstance(format, dict) and format.get("type") == "json_schema"
