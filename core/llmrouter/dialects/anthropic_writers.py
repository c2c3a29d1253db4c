"""Events → one body of Messages, and the answer to a count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmrouter.types import Begin, Frame, Part, Refusal, Request, Result, Text, Thought, ToolCall, Trouble, Usage

from .anthropic_errors import envelope
from .anthropic_reading import NAME
from .anthropic_schema import as_input
from .anthropic_usage import write_usage
from .common import dumps, get
from .fold import Fold
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


class PlainWriter:
    """One body, returned by `end`."""

    prefix = PREFIX

    def __init__(self, request: Request) -> None:
        self._request = request
        self._thinks = shows_thoughts(request)
        self._fold = Fold()
        self._raw, self._source = b"", ""

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        if verbatim and not frame.wire.stream:
            self._raw = frame.raw
            return b""
        self._source = frame.wire.dialect
        for event in frame.events:
            self._fold.add(event)
        return b""

    def fail(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def end(self) -> bytes:
        if self._raw:
            return self._raw
        facts, fold = self._request.facts, self._fold
        begin = fold.begin or Begin("", "")
        body = message(begin.id or f"{PREFIX}{facts.id}", begin.model or facts.asked)
        body["content"] = [block for part in fold.parts() for block in self._blocks(part)]
        body["stop_reason"] = stop_reason(fold.reason, bool(fold.calls))
        return dumps(body | {"usage": write_usage(fold.usage or Usage(input=facts.input_tokens))})

    def _blocks(self, part: Part) -> Iterator[dict[str, Any]]:
        match part:
            case Text(text) | Refusal(text):
                yield {"type": "text", "text": text}
            case ToolCall(id, name, arguments):
                yield {"type": "tool_use", "id": id, "name": name, "input": as_input(arguments)}
            case Thought() if self._thinks:
                signature = tagged(part.signature, part.source or self._source, NAME)
                if part.redacted:
                    yield {"type": "redacted_thinking", "data": signature}
                else:
                    yield {"type": "thinking", "thinking": part.text, "signature": signature}


class CountWriter:
    """The number of tokens, whoever counted them."""

    def __init__(self) -> None:
        self._raw, self._tokens = b"", 0

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        self._raw = frame.raw if verbatim else b""
        for event in frame.events:
            if isinstance(event, Result):
                self._tokens = event.value
        return b""

    def fail(self, trouble: Trouble) -> bytes:
        return dumps(envelope(trouble))

    def end(self) -> bytes:
        return self._raw or dumps({"input_tokens": self._tokens})


def message(id: str, model: str) -> dict[str, Any]:
    """What every answer has."""
    return {"id": id, "type": "message", "role": "assistant", "model": model, "stop_sequence": None}


def stop_reason(reason: str, called: bool) -> str:
    """A call is always told as one: clients that hear of a plain end stop too early."""
    return "tool_use" if called and reason in ("", "stop") else REASONS.get(reason, "end_turn")
