"""Events → one body of Messages, and the answer to a count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.types import Part, Refusal, Request, Text, Thought, ToolCall, Usage

from .anthropic_errors import envelope
from .anthropic_reading import NAME
from .anthropic_usage import write_usage
from .calls import arguments_of
from .common import get
from .fold import BodyWriter
from .signatures import tagged

PREFIX = "msg_"
REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def shows_thoughts(request: Request) -> bool:
    """Whether the client asked for thoughts: one that did not takes the first block for the answer."""
    said = get(request.fields, "thinking")
    return isinstance(said, dict) and said.get("type") != "disabled" and said.get("display") != "omitted"


class PlainWriter(BodyWriter):
    envelope = staticmethod(envelope)
    prefix = PREFIX

    def body(self) -> dict[str, Any]:
        fold, thinks = self._fold, shows_thoughts(self._request)
        body = message(self._id or f"{PREFIX}{self._facts.id}", self._model)
        body["content"] = [block for part in fold.parts() for block in _blocks(part, thinks)]
        body["stop_reason"] = stop_reason(fold.reason, bool(fold.calls))
        return body | {"usage": write_usage(fold.usage or Usage(input=self._facts.input_tokens))}


class CountWriter(BodyWriter):
    """The number of tokens, whoever counted them."""

    envelope = staticmethod(envelope)

    def body(self) -> dict[str, Any]:
        return {"input_tokens": self._fold.result or 0}


def _blocks(part: Part, thinks: bool) -> Iterator[dict[str, Any]]:
    match part:
        case Text(text) | Refusal(text):
            yield {"type": "text", "text": text}
        case ToolCall(id, name, arguments):
            yield {"type": "tool_use", "id": id, "name": name, "input": arguments_of(arguments)}
        case Thought() if thinks:
            signature = tagged(part.signature, part.source, NAME)
            if part.redacted:
                yield {"type": "redacted_thinking", "data": signature}
            else:
                yield {"type": "thinking", "thinking": part.text, "signature": signature}


def message(id: str, model: str) -> dict[str, Any]:
    """What every answer has."""
    return {"id": id, "type": "message", "role": "assistant", "model": model, "stop_sequence": None}


def stop_reason(reason: str, called: bool) -> str:
    """A call is always told as one: clients that hear of a plain end stop too early."""
    return "tool_use" if called and reason in ("", "stop") else REASONS.get(reason, "end_turn")
