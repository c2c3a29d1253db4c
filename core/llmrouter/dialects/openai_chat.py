"""`openai.chat`: Chat Completions, the wire most clients and most upstreams speak.

Source: the API reference of `POST /v1/chat/completions`. A body that stays in this dialect is forwarded byte for
byte but for what `aim` says; how it is translated stands in `openai_conversation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Conversation, Encoded, Facts, Fields, Op, Payload, Request, Trouble, Wire

from . import hints, openai_memory
from .checks import Flag, List, Name, Number, Object, Opened, Word, kind, whole
from .common import dumps, get, raw
from .errors import envelope
from .openai_conversation import read_conversation, write_conversation
from .openai_peek import peek
from .openai_text import TextMeaning
from .openai_thoughts import NAME
from .openai_writers import PlainWriter, StreamWriter
from .reader import AnswerReader

MOST_CHOICES = 128
MOST_FALLBACKS = 8
"""Names in `models` that are looked at."""

LARGE = frozenset({"messages", "tools", "functions", "prediction"})


class Said(msgspec.Struct, gc=False):
    """Fields of the API by their kinds, and those that gateways know; all others are forwarded unseen."""

    model: Name
    stream: Flag = None
    stream_options: Object = None
    tool_choice: str | Object = None
    parallel_tool_calls: Flag = None
    response_format: Object = None
    stop: str | List = None
    logit_bias: Object = None
    logprobs: bool | Number = None
    modalities: List = None
    audio: Object = None
    metadata: Object = None
    store: Flag = None
    user: Word = None
    n: Number = None
    max_tokens: Number = None
    max_completion_tokens: Number = None
    temperature: Number = None
    top_p: Number = None
    top_logprobs: Number = None
    seed: Number = None
    presence_penalty: Number = None
    frequency_penalty: Number = None
    web_search_options: Any = None
    models: Any = None
    session_id: Any = None
    prompt_cache_key: Any = None
    llmrouter: Any = None


_open = Opened(Said, LARGE, {"model": ("string",), "messages": ("array",)})

_NEEDING = frozenset(
    {"functions", "n", "logprobs", "top_logprobs", "audio", "modalities", "web_search_options", "response_format"}
)
"""Fields that may ask for more than every dialect can say."""

_REPLAYABLE = frozenset({"vision", "remote_media", "json_schema", "json_object"})
"""Needs of a request that may be answered from a recording."""


class Chat:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat"})
    paths: Mapping[str, Op] = {"/v1/chat/completions": "chat"}
    expresses = frozenset(
        {
            "tools", "custom_tools", "functions", "vision", "audio", "audio_out", "files", "vendor_files",
            "remote_media", "json_schema", "json_object", "logprobs", "n", "web_search",
        }
    )  # fmt: skip

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        said = _open(fields)
        seen = peek(fields)
        needs = seen.needs if _NEEDING.isdisjoint(fields) else seen.needs | _needs(fields, said)
        own = hints.from_body(said.llmrouter)
        return Facts(
            op=op,
            wire=Wire(NAME, bool(said.stream)),
            asked=said.model,
            fallbacks=_fallbacks(said.models),
            hints=hints.hints(own, headers),
            needs=needs,
            input_tokens=seen.tokens,
            max_output=whole(said.max_completion_tokens, "max_completion_tokens", 1)
            or whole(said.max_tokens, "max_tokens", 1),
            session=hints.session(own, headers, said.session_id, said.prompt_cache_key, said.user),
            in_tool_loop=seen.in_tool_loop,
            replayable=needs <= _REPLAYABLE and _is_fixed(said),
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        return read_conversation(fields)

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        return write_conversation(payload)

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        aimed = aim(fields, model, stream)
        if "messages" in fields:
            aimed["messages"] = openai_memory.own(fields["messages"])
        return aimed

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        return AnswerReader(NAME, stream, TextMeaning())

    def writer(self, request: Request) -> StreamWriter | PlainWriter:
        return StreamWriter(request) if request.facts.wire.stream else PlainWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def names(self, fields: Fields) -> Sequence[str]:
        return openai_memory.names(fields)

    def resolve(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        return openai_memory.resolve(fields, found)


def aim(fields: Fields, model: str, stream: bool) -> Fields:
    """Sets the model, and asks every stream for its usage. Options of a stream mean nothing without one."""
    aimed = hints.addressed(fields, model)
    if stream:
        aimed["stream"] = raw(True)
        aimed["stream_options"] = _with_usage(fields)
    else:
        aimed.pop("stream_options", None)
        if get(fields, "stream"):
            aimed["stream"] = raw(False)
    return aimed


def _with_usage(fields: Fields) -> msgspec.Raw:
    options = get(fields, "stream_options") or {}
    if options.get("include_usage") is True:
        return fields["stream_options"]
    return raw(options | {"include_usage": True})


def _needs(fields: Fields, said: Said) -> set[str]:
    """What an upstream's dialect must be able to say, as far as it does not stand in messages and tools."""
    needs = set[str]()
    if "functions" in fields and kind(fields["functions"]) == "array":
        needs |= {"tools", "functions"}
    if (whole(said.n, "n", 1, MOST_CHOICES) or 1) > 1:
        needs.add("n")
    if said.logprobs or said.top_logprobs:
        needs.add("logprobs")
    if said.audio or "audio" in (said.modalities or ()):
        needs.add("audio_out")
    if said.web_search_options is not None:
        needs.add("web_search")
    if (format := said.response_format) and format.get("type") in ("json_schema", "json_object"):
        needs.add(format["type"])
    return needs


def _fallbacks(models: Any) -> tuple[str, ...]:
    """OpenRouter's `models`: what may serve where the first model cannot."""
    if not isinstance(models, list):
        return ()
    return tuple([name for name in models if isinstance(name, str)][:MOST_FALLBACKS])


def _is_fixed(said: Said) -> bool:
    """Whether the same request is meant to give the same answer."""
    return said.temperature == 0 and not said.store
