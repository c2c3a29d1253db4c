"""Events → chunks and bodies of `generateContent`: each is a whole GenerateContentResponse, none an end mark."""

from __future__ import annotations

from typing import Any

from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Refusal,
    Request,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolStart,
    Trouble,
    Usage,
)

from .calls import arguments_of
from .common import dumps
from .fold import BodyWriter
from .gemini_common import written_signature
from .gemini_errors import envelope
from .gemini_usage import write_usage

REASONS = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
"""Reasons to finish; all others are STOP."""

Part = dict[str, Any]


class StreamWriter:
    """Chunks of one answer: one id, one model.

    Arguments are told as an object, so calls wait until the answer has finished; the reason waits for the usage,
    which some upstreams tell after it.
    """

    prefix = ""
    alive = b"\n\n"  # Google's SDK for Python takes a comment for an answer that it cannot read

    def __init__(self, request: Request) -> None:
        self._id, self._model = request.facts.id, request.facts.asked
        self._begun = False
        self._usage: Usage | None = None
        self._calls: dict[str, tuple[Part, list[str]]] = {}  # id → the part and fragments of its arguments
        self._finish = ""  # that is still to be written

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        if verbatim and frame.wire.stream:
            for event in frame.events:
                self._follow(event)
            return self.alive if frame.raw.startswith(b":") else frame.raw
        return b"".join([self._encoded(event, frame.wire.dialect) for event in frame.events])

    def fail(self, trouble: Trouble) -> bytes:
        return b"data: " + dumps(envelope(trouble)) + b"\n\n"

    def end(self) -> bytes:
        if not self._finish:
            return b""
        calls = [_with_args(part, "".join(pieces)) for part, pieces in self._calls.values()]
        return self._chunk(calls or [{"text": ""}], REASONS.get(self._finish, "STOP"))

    def _follow(self, event: Event) -> None:
        """Kept also of verbatim frames: another upstream may have to go on from here."""
        if type(event) is Spent:
            self._usage = event.usage
        elif type(event) is Begin and not self._begun:
            self._begun = True
            self._id, self._model = event.id or self._id, event.model or self._model

    def _encoded(self, event: Event, dialect: str) -> bytes:
        match event:
            case Text(text) | Refusal(text):
                return self._chunk([{"text": text}]) if text else b""
            case Thought(text, signature):
                return self._chunk([_thought(event, dialect)]) if text or signature else b""
            case ToolStart(id):
                self._calls.setdefault(id, (_call(event, dialect), []))
            case ToolArgs(id, json) if id in self._calls:
                self._calls[id][1].append(json)
            case Finish(reason):
                self._finish = reason
            case _:
                self._follow(event)
        return b""

    def _chunk(self, parts: list[Part], reason: str = "") -> bytes:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        chunk: dict[str, Any] = {"candidates": [candidate]}
        if self._usage:
            chunk["usageMetadata"] = write_usage(self._usage)
        return b"data: " + dumps(chunk | {"modelVersion": self._model, "responseId": self._id}) + b"\n\n"


class PlainWriter(BodyWriter):
    """One body; in a list where a stream was asked for that is no stream of events."""

    envelope = staticmethod(envelope)
    prefix = ""

    def __init__(self, request: Request, listed: bool = False) -> None:
        super().__init__(request)
        self._listed = listed

    def end(self) -> bytes:
        body = super().end()
        return b"[" + body + b"]" if self._listed and not body.lstrip().startswith(b"[") else body

    def body(self) -> dict[str, Any]:
        parts = [_part(part) for part in self._fold.parts()]
        content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        candidate = {"content": content, "finishReason": REASONS.get(self._fold.reason, "STOP"), "index": 0}
        body: dict[str, Any] = {"candidates": [candidate]}
        if self._fold.usage:
            body["usageMetadata"] = write_usage(self._fold.usage)
        return body | {"modelVersion": self._model, "responseId": self._id or self._facts.id}


class CountWriter(BodyWriter):
    """The answer of `countTokens`."""

    envelope = staticmethod(envelope)

    def body(self) -> dict[str, Any]:
        return {"totalTokens": self._fold.result or 0}


def _part(part: Any) -> Part:
    match part:
        case Thought():
            return _thought(part, part.source)
        case ToolCall():
            return _with_args(_call(part, part.source), part.arguments)
    return {"text": part.text}


def _thought(thought: Thought, dialect: str) -> Part:
    """What has a signature and no text signs what stands before it."""
    signature = written_signature(thought.signature, thought.source or dialect)
    part: Part = {"text": thought.text, "thought": True} if thought.text or not signature else {"text": ""}
    return part | ({"thoughtSignature": signature} if signature else {})


def _call(call: ToolStart | ToolCall, dialect: str) -> Part:
    part: Part = {"functionCall": {"id": call.id, "name": call.name}}
    signature = written_signature(call.signature, dialect)
    return part | ({"thoughtSignature": signature} if signature else {})


def _with_args(part: Part, arguments: str) -> Part:
    return part | {"functionCall": part["functionCall"] | {"args": arguments_of(arguments)}}
