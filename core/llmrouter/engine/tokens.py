"""Counting tokens where it decides: near the end of a context window the estimate by bytes is not enough."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from llmrouter.catalogue.names import Expansion
from llmrouter.dialects.translating import understood
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect, TokenCounter
from llmrouter.types import Conversation, Endpoint, Payload, Request, Text, Thought, ToolCall, ToolOutput

DOUBT = 2.0
"""An estimate may be wrong by this factor; what fits or fails beyond it needs no counting."""


def counted(request: Request, expansion: Expansion, dialect: Dialect, counter: TokenCounter) -> Request:
    """The request with its input counted, if that can decide which window it fits into."""
    facts = request.facts
    most = facts.input_tokens * DOUBT + (facts.max_output or 0)
    if most < expansion.narrowest or facts.op != "chat":
        return request
    close = _in_doubt(facts.input_tokens / DOUBT + (facts.max_output or 0), most, expansion)
    if close is None:
        return request
    try:
        payload = understood(dialect, facts.op, request.fields)
    except InvalidRequest:
        return request
    text = "\n".join(_texts(payload))
    tokens = counter.count(text, close.model)
    return request if tokens is None else replace(request, facts=replace(facts, input_tokens=tokens))


def _in_doubt(least: float, most: float, expansion: Expansion) -> Endpoint | None:
    """The first endpoint into whose window a request of so many tokens may or may not fit."""
    for tier in expansion.tiers:
        for place in tier:
            window = place.endpoint.card.window
            if window is not None and least <= window <= most:
                return place.endpoint
    return None


def _texts(payload: Payload) -> Iterable[str]:
    if not isinstance(payload, Conversation):
        return
    for message in payload.messages:
        for part in message.parts:
            match part:
                case Text(text) | Thought(text):
                    yield text
                case ToolCall(_, name, arguments):
                    yield f"{name} {arguments}"
                case ToolOutput(_, content):
                    yield from (one.text for one in content if isinstance(one, Text))
    yield from (str(tool) for tool in payload.tools)
