"""Events → chunks and bodies of Chat Completions. Completions differ in what a choice looks like."""

from __future__ import annotations

import re
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

from .common import dumps, get
from .errors import envelope
from .fold import BodyWriter, Fold
from .openai_thoughts import signed, written_piece, written_thoughts
from .openai_usage import write_usage

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')  # quotes inside a JSON string are escaped
_NO_USAGE = b',"usage":null'


def wants_usage(request: Request) -> bool:
    """Whether the client asked for the chunk that tells the usage of a stream."""
    options = get(request.fields, "stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


class StreamWriter:
    """Chunks of one answer: one id, one `created`, one model, calls counted from 0."""

    object = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def __init__(self, request: Request) -> None:
        self._asked = wants_usage(request)
        self._created = int(request.facts.at)
        self._id, self._model = f"{self.prefix}{request.facts.id}", request.facts.asked
        self._begun = self._opened = self._told = False
        self._usage: Usage | None = None
        self._calls: dict[str, int] = {}  # id → index
        self._bare: set[str] = set()  # calls without arguments so far
        self._source = ""  # the dialect that signatures of this frame belong to
        self._unsigned: list[str] = []  # fragments of the thought under way
        self._pieces = 0

    def write(self, frame: Frame, verbatim: bool) -> bytes:
        if not verbatim or not frame.wire.stream:
            return self._encoded(frame)
        for event in frame.events:
            if type(event) is not Text:  # nearly all are
                return self._own(frame)
        return frame.raw if self._asked else frame.raw.replace(_NO_USAGE, b"")

    def fail(self, trouble: Trouble) -> bytes:
        return b"data: " + dumps(envelope(trouble)) + b"\n\n"

    def end(self) -> bytes:
        """The usage where it was asked for and not told yet, and the end mark."""
        done = b"data: [DONE]\n\n"
        if not self._asked or self._told or self._usage is None:
            return done
        return self._event([], write_usage(self._usage)) + done

    def _own(self, frame: Frame) -> bytes:
        """The upstream's bytes, without the usage that the router asked for and the client did not.

        What they say is followed all the same: another upstream may have to go on from here.
        """
        self._opened = True
        for event in frame.events:
            self._follow(event, told=True)
        if self._asked:
            return frame.raw
        if type(frame.events[-1]) is Spent and _NO_CHOICES.search(frame.raw):
            return b""
        return frame.raw.replace(_NO_USAGE, b"")

    def _encoded(self, frame: Frame) -> bytes:
        self._source = frame.wire.dialect
        for event in frame.events:
            if type(event) is not Text:
                self._follow(event, told=False)
        return b"".join([self._chunks(event) for event in frame.events])

    def _follow(self, event: Event, told: bool) -> None:
        if type(event) is ToolStart:
            self._calls.setdefault(event.id, len(self._calls))
            self._bare.add(event.id)
        elif type(event) is ToolArgs:
            self._bare.discard(event.id)
        elif type(event) is Spent:
            self._usage, self._told = event.usage, told
        elif type(event) is Begin and not self._begun:
            self._begun = True
            self._id, self._model = event.id or self._id, event.model or self._model

    def _chunks(self, event: Event) -> bytes:
        choices = self._choices(event)
        if not choices:
            return b""
        opening = b"" if self._opened else self._open()
        self._opened = True
        return opening + b"".join([self._event([choice]) for choice in choices])

    def _open(self) -> bytes:
        return self._event([_choice({"role": "assistant", "content": ""})])

    def _choices(self, event: Event) -> list[dict[str, Any]]:
        """The choices, one for each chunk, by which an event is said."""
        match event:
            case Text(text):
                return [_choice({"content": text})] if text else []
            case Thought():
                return self._thought(event)
            case ToolStart(id, name, signature):
                call = {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}
                return [self._call(id, signed(call, signature, self._source))]
            case ToolArgs(id, json) if id in self._calls:
                return [self._call(id, {"function": {"arguments": json}})]
            case Refusal(text):
                return [_choice({"refusal": text})]
            case Finish(reason):
                return self._finish(reason)
        return []

    def _thought(self, event: Thought) -> list[dict[str, Any]]:
        """One that is signed is told again in a piece: the vendor wants back what it signed, text and all."""
        delta: dict[str, Any] = {"reasoning_content": event.text} if event.text else {}
        self._unsigned += [event.text] if event.text else []
        if event.signature:
            source = event.source or self._source
            text = "" if event.redacted else "".join(self._unsigned)
            piece = written_piece(Thought(text, event.signature, source, event.redacted), self._pieces)
            delta["reasoning_details"] = [piece]
            self._unsigned, self._pieces = [], self._pieces + 1
        return [_choice(delta)] if delta else []

    def _finish(self, reason: str) -> list[dict[str, Any]]:
        """A call without arguments gets an empty object: clients parse them."""
        bare = [self._call(id, {"function": {"arguments": "{}"}}) for id in self._calls if id in self._bare]
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        return [*bare, _choice({}, reason)]

    def _call(self, id: str, said: dict[str, Any]) -> dict[str, Any]:
        return _choice({"tool_calls": [{"index": self._calls[id]} | said]})

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {
            "id": self._id,
            "object": self.object,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        if self._asked:
            chunk["usage"] = usage
        return b"data: " + dumps(chunk) + b"\n\n"


class PlainWriter(BodyWriter):
    """One body. Folding a stream keeps choice 0, and no logprobs."""

    object = "chat.completion"
    prefix = "chatcmpl-"

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self._id or f"{self.prefix}{self._facts.id}",
            "object": self.object,
            "created": int(self._facts.at),
            "model": self._model,
            "choices": [{"index": 0, "logprobs": None} | self._choice(self._fold)],
        }
        return body | {"usage": write_usage(self._fold.usage)} if self._fold.usage else body

    def _choice(self, fold: Fold) -> dict[str, Any]:
        refusal, text = fold.refusal or None, fold.text
        parts = fold.parts()
        calls = [_called(part) for part in parts if isinstance(part, ToolCall)]
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls or refusal else "")}
        message["refusal"] = refusal
        message |= written_thoughts([part for part in parts if isinstance(part, Thought)])
        if calls:
            message["tool_calls"] = calls
        reason = "tool_calls" if calls and fold.reason == "stop" else fold.reason
        return {"message": message, "finish_reason": reason}


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _called(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return signed({"id": call.id, "type": "function", "function": function}, call.signature, call.source)
