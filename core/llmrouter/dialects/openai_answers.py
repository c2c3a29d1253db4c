"""What an answer of the OpenAI family says, streamed or whole: chunks and bodies → events.

Sources: the API reference of Chat Completions and Completions, and what compatible vendors were recorded to do
otherwise: tool calls without index or id, thoughts under two names, usage in four places, reasons to finish of
their own, an error inside a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmrouter.types import Begin, Event, Fault, Finish, Refusal, Spent, Text, ToolArgs, ToolStart

from .calls import synthetic
from .common import decode
from .meaning import unreadable
from .openai_thoughts import as_text, google_signature, read_thinking, read_thoughts
from .openai_usage import read_usage

Reason = Literal["stop", "length", "tool_calls", "content_filter"]

REASONS: Mapping[str, Reason] = {
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}
"""Reasons to finish; any other that is no failure is a stop."""

FAILED = frozenset({"error", "network_error", "insufficient_system_resource", "aborted", "abort"})
"""Reasons to finish by which a vendor says that it failed."""

_MORE = Text("")  # output of which a conversation can say nothing: another choice, a sound, a picture


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None
    input: Any = None


class Called(msgspec.Struct, gc=False):
    """A fragment of a tool call."""

    index: int | str | None = None
    id: str | int | None = None
    function: Function | None = None
    custom: Function | None = None
    extra_content: Any = None


class Said(msgspec.Struct, gc=False):
    """The delta of a chunk, or the message of a body."""

    content: Any = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    extra_content: Any = None
    tool_calls: list[Called] | None = None
    function_call: Function | None = None
    audio: Any = None
    images: Any = None


class Choice(msgspec.Struct, gc=False):
    index: int | None = 0
    delta: Said | None = None
    message: Said | None = None
    text: str | None = None
    finish_reason: str | None = None
    usage: Any = None


class Answer(msgspec.Struct, gc=False):
    """A chunk or a body; what is not named here is not decoded."""

    id: Any = None
    model: Any = None
    provider: Any = None
    object: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


_answers = msgspec.json.Decoder(Answer)


class AnswerMeaning:
    """Follows one answer. Events speak of choice 0; other choices count as output and nothing more.

    `Finish` comes once, when every choice that was seen has ended.
    """

    def __init__(self) -> None:
        self._begun = self._finished = self._blank = False
        self._reason: Reason = "stop"
        self._open: set[int] = set()  # choices under way
        self._calls = Calls()

    @property
    def goes_on(self) -> bool:
        """Whether choice 0 has begun and not ended."""
        return 0 in self._open

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        try:
            answer: Answer | None = _answers.decode(data)
        except (msgspec.DecodeError, RecursionError):
            answer = _answer(data)
        if answer is None:
            return unreadable(data)
        if answer.error or name == "error" or (answer.object == "error" and not answer.choices):
            return (Fault(data),)
        return self._events(answer, data)

    def body(self, data: bytes) -> Sequence[Event]:
        answer = _answer(data)
        if answer is None or answer.error or not answer.choices:
            return unreadable(data)
        for choice in answer.choices:
            if choice.message is not None:
                choice.delta = None  # one vendor adds an empty one
        events = self._events(answer, data)
        if self._finished or any(type(event) is Fault for event in events):
            return events
        return [*events, self._finish()]

    def done(self) -> Sequence[Event]:
        return (self._finish(),) if self._blank and not self._finished else ()

    def _events(self, answer: Answer, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not self._begun and (answer.id or answer.choices):
            self._begun, self._calls.answer = True, str(answer.id or "")
            via = answer.provider if isinstance(answer.provider, str) else ""
            events.append(Begin(self._calls.answer, str(answer.model or ""), via))
        usage = answer.usage
        for choice in answer.choices or ():
            self._choice(choice, data, events)
            usage = usage or choice.usage
        if answer.x_groq and not usage and isinstance(answer.x_groq, dict):
            usage = answer.x_groq.get("usage")
        if usage and isinstance(usage, dict):
            events.append(Spent(read_usage(usage)))
        return events

    def _choice(self, choice: Choice, data: bytes, events: list[Event]) -> None:
        index, said = choice.index or 0, choice.delta or choice.message
        if index:
            events.extend([_MORE] if choice.text or (said and _speaks(said)) else ())
        elif choice.text:
            events.append(Text(choice.text))
        elif said is not None:
            self._said(said, events)
        if choice.finish_reason is None:
            self._open.add(index)
        else:
            self._end(choice.finish_reason, index, data, events)

    def _said(self, said: Said, events: list[Event]) -> None:
        if (plain := said.reasoning_content or said.reasoning) or said.reasoning_details:
            events.extend(read_thoughts(plain, said.reasoning_details))
        content = said.content
        if type(content) is str:
            if content:
                events.append(Text(content))
        elif content:
            events.extend(_parts(content))
        if said.refusal:
            events.append(Refusal(said.refusal))
        if said.tool_calls:
            self._calls.signature = google_signature(said.extra_content) if said.extra_content else ""
            for call in said.tool_calls:
                events.extend(self._calls.read(call))
        if said.function_call and _calls_function(said):
            events.extend(self._calls.read(Called(index="function_call", function=said.function_call)))
        if said.audio or said.images:
            events.append(_MORE)

    def _end(self, reason: str, index: int, data: bytes, events: list[Event]) -> None:
        if reason in FAILED:
            events.append(Fault(data))
        elif not reason:
            self._blank = True  # some send it with every chunk, some at the end of a tool call
        else:
            self._open.discard(index)
            self._reason = REASONS.get(reason, "stop") if index == 0 else self._reason
            if not self._open and not self._finished:
                events.append(self._finish())

    def _finish(self) -> Finish:
        """Some vendors call it a stop when tools are to be called; clients then stop too early."""
        self._finished = True
        return Finish("tool_calls" if self._reason == "stop" and self._calls.count else self._reason)


class Calls:
    """Fragments of tool calls → events."""

    def __init__(self) -> None:
        self.answer = ""
        self.count = 0
        self.signature = ""  # of the message, where older models sign that instead of its first call
        self._latest: tuple[str, str] | None = None
        self._by_index: dict[int | str, tuple[str, str]] = {}  # index → id and name of the call

    def read(self, call: Called) -> Iterator[Event]:
        said = call.function or call.custom or Function()
        id, name = str(call.id or ""), said.name or ""
        known = self._latest if call.index is None else self._by_index.get(call.index)
        if known is None or (name and self._is_new(call, id, name, known)):
            known = (id or synthetic(self.answer, self.count), name)
            self.count += 1
            yield ToolStart(*known, google_signature(call.extra_content) or self.signature)
            self.signature = ""
        self._latest = known
        if call.index is not None:
            self._by_index[call.index] = known
        if arguments := said.arguments or said.input:
            yield ToolArgs(known[0], as_text(arguments))

    def _is_new(self, call: Called, id: str, name: str, known: tuple[str, str]) -> bool:
        """Some give every call the index 0, some give none, some repeat id and name with every fragment."""
        if id:
            return id != known[0]
        return call.index is None or name != known[1]


def _answer(data: bytes) -> Answer | None:
    """None for JSON that is no answer. Raises ValueError for what is no JSON."""
    try:
        return decode(_answers, data)
    except msgspec.ValidationError:
        return None


def _calls_function(said: Said) -> bool:
    """Snowflake sends a call of nothing with every answer."""
    call = said.function_call
    return call is not None and bool(call.name or call.arguments)


def _speaks(said: Said) -> bool:
    calls = said.tool_calls or _calls_function(said)
    thoughts = said.reasoning_content or said.reasoning or said.reasoning_details
    return bool(said.content or thoughts or calls or said.refusal or said.audio or said.images)


def _parts(content: Any) -> Iterator[Event]:
    """Content as a list: text, and thoughts that are lists of text themselves."""
    for part in content if isinstance(content, list) else (content,):
        if not isinstance(part, dict):
            yield Text(as_text(part))
        elif part.get("type") == "thinking":
            yield read_thinking(part)
        elif part.get("text"):
            yield Text(as_text(part["text"]))
        else:
            yield _MORE
