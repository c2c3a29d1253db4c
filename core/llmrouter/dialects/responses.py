"""`openai.responses`: the wire of OpenAI's newer models, and the only one of its coding agent.

Source: the API reference of `POST /v1/responses`. What the API keeps for its clients the router keeps itself, so
that the next request of a conversation may be served by anybody: to its upstreams it is stateless (see `aim`). How
it is translated stands in `responses_conversation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmrouter.errors import InvalidRequest
from llmrouter.types import Conversation, Encoded, Facts, Fields, Op, Payload, Request, Trouble, Wire

from . import hints, responses_state, responses_turns
from .checks import Flag, List, Name, Number, Object, Opened, Word, kind, require, whole
from .common import dumps, get, raw
from .errors import envelope
from .noting import Noted
from .reader import AnswerReader
from .responses_answers import AnswerMeaning
from .responses_conversation import LOGPROBS, read_conversation, write_conversation
from .responses_counts import CountMeaning, CountWriter
from .responses_peek import peek
from .responses_thoughts import NAME
from .responses_writers import PlainWriter, StreamWriter

LARGE = frozenset({"input", "tools", "instructions"})


class Said(msgspec.Struct, gc=False):
    """Fields of the API by their kinds, and those that gateways know; all others are forwarded unseen."""

    model: Name
    stream: Flag = None
    stream_options: Object = None
    store: Flag = None
    background: Flag = None
    previous_response_id: Word = None
    include: List = None
    tool_choice: str | Object = None
    parallel_tool_calls: Flag = None
    text: Object = None
    reasoning: Object = None
    metadata: Object = None
    max_output_tokens: Number = None
    max_tool_calls: Number = None
    temperature: Number = None
    top_p: Number = None
    top_logprobs: Number = None
    prompt: Any = None
    conversation: Any = None
    user: Any = None
    session_id: Any = None
    prompt_cache_key: Any = None
    llmrouter: Any = None


_open = Opened(Said, LARGE, {"model": ("string",)})

UNSERVED = ("background", "conversation")
"""What only a vendor could keep: an answer made later, and a conversation by its id."""

_REPLAYABLE = frozenset({"vision", "remote_media", "json_schema", "json_object"})
"""Needs of a request that may be answered from a recording."""


class Responses:
    name = NAME
    ops: frozenset[Op] = frozenset({"chat", "count"})
    paths: Mapping[str, Op] = {"/v1/responses": "chat", "/v1/responses/input_tokens": "count"}
    expresses = frozenset(
        {
            "tools", "vision", "audio", "files", "vendor_files", "vendor_prompts", "remote_media", "json_schema",
            "json_object", "logprobs",
        }
    )  # fmt: skip

    def facts(self, op: Op, fields: Fields, headers: Mapping[str, str]) -> Facts:
        said = _open(fields)
        _check(fields, said)
        seen = peek(fields)
        needs = seen.needs | _needs(said)
        own = hints.from_body(said.llmrouter)
        return Facts(
            op=op,
            wire=Wire(NAME, op == "chat" and bool(said.stream)),
            asked=said.model,
            hints=hints.hints(own, headers),
            needs=needs,
            input_tokens=seen.tokens,
            max_output=whole(said.max_output_tokens, "max_output_tokens", 1),
            session=hints.session(own, headers, said.session_id, said.prompt_cache_key, said.user),
            in_tool_loop=seen.in_tool_loop,
            replayable=op == "chat" and needs <= _REPLAYABLE and _is_fixed(said),
        )

    def decode(self, op: Op, fields: Fields) -> Payload:
        return read_conversation(fields)

    def encode(self, op: Op, payload: Payload) -> Encoded:
        if not isinstance(payload, Conversation):
            raise InvalidRequest(f"{NAME} says conversations only")
        return write_conversation(payload)

    def aim(self, fields: Fields, model: str, stream: bool) -> Fields:
        """Sets the model and gives the upstream nothing to keep, nor anything that it could not read."""
        fields = responses_turns.asking_for_reasoning(responses_turns.without_foreign(fields))
        aimed = hints.addressed(fields, model) | {"store": raw(False)}
        aimed.pop("previous_response_id", None)
        if stream:
            aimed["stream"] = raw(True)
        else:
            aimed.pop("stream_options", None)
            if get(fields, "stream"):
                aimed["stream"] = raw(False)
        return aimed

    def reader(self, op: Op, stream: bool) -> AnswerReader:
        if op == "count":
            return AnswerReader(NAME, False, CountMeaning())
        return AnswerReader(NAME, stream, Noted(NAME, AnswerMeaning()))

    def writer(self, request: Request) -> StreamWriter | PlainWriter | CountWriter:
        if request.facts.op == "count":
            return CountWriter(request)
        return StreamWriter(request) if request.facts.wire.stream else PlainWriter(request)

    def refuse(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    # ---- what was kept

    def refers(self, fields: Fields) -> Sequence[str]:
        return responses_state.refers(fields)

    def expand(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        return responses_state.expand(fields, found)

    def names(self, fields: Fields) -> Sequence[str]:
        return responses_turns.missing(fields)

    def resolve(self, fields: Fields, found: Mapping[str, bytes]) -> Fields:
        return responses_turns.resolved(fields, found)


def _check(fields: Fields, said: Said) -> None:
    """Raises InvalidRequest for a body that no upstream should see."""
    if said.prompt is None:
        require(fields, "input", "string", "array")
    elif "input" in fields and (found := kind(fields["input"])) not in ("string", "array", "null"):
        raise InvalidRequest(f"input must be string or array, not {found}", param="input", code="invalid_type")
    for name in UNSERVED:
        if getattr(said, name):
            message = f"{name} is not served: the answer would have to stay with one vendor"
            raise InvalidRequest(message, param=name, code="unsupported_parameter")


def _needs(said: Said) -> set[str]:
    """What an upstream's dialect must be able to say, as far as it does not stand in items and tools."""
    needs = set[str]()
    if said.prompt is not None:
        needs.add("vendor_prompts")
    if said.top_logprobs or LOGPROBS in (said.include or ()):
        needs.add("logprobs")
    format = (said.text or {}).get("format")
    if isinstance(format, dict) and format.get("type") in ("json_schema", "json_object"):
        needs.add(format["type"])
    return needs


def _is_fixed(said: Said) -> bool:
    """Whether the same request is meant to give the same answer, of which nothing is kept."""
    return said.temperature == 0 and said.store is False
