"""What an answer of Responses says, streamed or whole: events and bodies → events of a conversation.

Sources: the API reference of Responses, and what vendors were recorded to do otherwise: text that comes with the
finished item alone, reasoning under two names, no sequence numbers, an error before the failure that repeats it.
Of the kinds of events those are read that a conversation has words for; all others mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmrouter.types import Begin, Event, Fault, Finish, Refusal, Spent, Text, Thought, ToolArgs, ToolStart

from .common import decode, dumps
from .meaning import unreadable
from .responses_tools import called
from .responses_usage import read_usage

Reason = Literal["stop", "length", "tool_calls", "content_filter"]

INCOMPLETE: Mapping[str, Reason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
}
"""Why an answer is incomplete; any other reason is a stop."""

CALLS = ("function_call", "custom_tool_call")
UNFINISHED = ("queued", "in_progress", "cancelled")

_ENDS = ("response.completed", "response.incomplete")
_MORE = Text("")  # output of which a conversation can say nothing: a search, a picture, a command
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")


class Item(msgspec.Struct, gc=False):
    """An item of the output, begun or done."""

    type: str = ""
    id: Any = None
    call_id: Any = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = None
    input: Any = None
    content: Any = None
    summary: Any = None
    encrypted_content: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A response; what is not named here is not decoded."""

    id: Any = None
    model: Any = None
    status: str | None = None
    output: list[Item] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None


class Told(msgspec.Struct, gc=False):
    """An event of a stream."""

    type: str = ""
    delta: Any = None
    output_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    item: Item | None = None
    response: Answer | None = None
    error: Any = None
    message: Any = None
    code: Any = None
    param: Any = None


_told = msgspec.json.Decoder(Told)
_answers = msgspec.json.Decoder(Answer)

Key = int | str | None


class AnswerMeaning:
    """Follows one answer. What a finished item says and its fragments did not is said then; nothing twice."""

    def __init__(self) -> None:
        self._begun = self._finished = self._calls = False
        self._spoke: dict[Key, str] = {}  # item → the kind of event that says it
        self._started: dict[Key, str] = {}  # item → id of the call that it is
        self._done: set[Key] = set()

    def event(self, data: bytes, name: str) -> Sequence[Event]:
        told = _read(_told, data)
        if told is None:
            return unreadable(data)
        kind = told.type or name
        if kind == "response.output_text.delta":
            return self._text(told)
        if kind in _THOUGHTS:
            return self._thought(told, kind)
        return self._event(kind, told, data)

    def body(self, data: bytes) -> Sequence[Event]:
        answer = _read(_answers, data)
        if answer is None or answer.output is None or answer.status == "failed":
            return unreadable(data)
        if answer.status in UNFINISHED:
            return (Fault(data, malformed=True),)  # nobody asked for work in the background
        return [*self._begin(answer), *self._end(answer)]

    def done(self) -> Sequence[Event]:
        return ()

    # ---- events of a stream

    def _event(self, kind: str, told: Told, data: bytes) -> Sequence[Event]:
        answer, item = told.response, told.item
        if answer is not None:
            if kind == "response.failed":
                return _failed(answer)
            begin = self._begin(answer)
            return [*begin, *self._end(answer)] if kind in _ENDS else begin
        if item is not None:
            return list(self._item(_key(told), item, kind == "response.output_item.done"))
        match kind:
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._arguments(told, kind)
            case "response.refusal.delta" if told.delta:
                self._spoke[_key(told)] = kind
                return (Refusal(_text(told.delta)),)
            case "response.reasoning_summary_part.added" if told.summary_index:
                return self._thought(Told(delta="\n\n", output_index=told.output_index), _THOUGHTS[0])
            case "error":
                return (_fault(told.error or {"code": told.code, "message": told.message, "param": told.param}),)
            case "":
                return unreadable(data)
        return ()

    def _text(self, told: Told) -> Sequence[Event]:
        self._spoke[_key(told)] = told.type
        return (Text(_text(told.delta)),) if told.delta else ()

    def _thought(self, told: Told, kind: str) -> Sequence[Event]:
        """Some tell a thought and its summary: the first of the two is heard."""
        if not told.delta or self._spoke.setdefault(_key(told), kind) != kind:
            return ()
        return (Thought(_text(told.delta)),)

    def _arguments(self, told: Told, kind: str) -> Sequence[Event]:
        key = _key(told)
        id = self._started.get(key)
        if id is None or not told.delta:
            return ()
        self._spoke[key] = kind
        delta = _text(told.delta)
        return (ToolArgs(id, delta if kind.startswith("response.function") else _escaped(delta)),)

    # ---- items

    def _item(self, key: Key, item: Item, done: bool) -> Iterator[Event]:
        if key in self._done:
            return
        if item.type in CALLS and key not in self._started:
            yield from self._start(key, item)
        if not done:
            return
        self._done |= {key, item.id}
        unsaid = key not in self._spoke
        if item.type in CALLS:
            yield from self._complete(self._started[key], item, unsaid)
        elif item.type == "message":
            yield from _said(item.content) if unsaid else ()
        elif item.type == "reasoning":
            yield from _reasoned(item, unsaid)
        else:
            yield _MORE

    def _start(self, key: Key, item: Item) -> Iterator[Event]:
        id = str(item.call_id or item.id or f"call_{len(self._started)}")
        self._started[key], self._calls = id, True
        yield ToolStart(id, called(item.name or "", item.namespace))
        if item.type == "custom_tool_call":
            yield ToolArgs(id, '{"input":"')

    def _complete(self, id: str, item: Item, unsaid: bool) -> Iterator[Event]:
        if item.type == "function_call":
            if unsaid and item.arguments:
                yield ToolArgs(id, _text(item.arguments))
            return
        yield ToolArgs(id, (_escaped(_text(item.input or "")) if unsaid else "") + '"}')

    # ---- the answer

    def _begin(self, answer: Answer) -> Sequence[Event]:
        if self._begun:
            return ()
        self._begun = True
        return (Begin(str(answer.id or ""), str(answer.model or "")),)

    def _end(self, answer: Answer) -> Iterator[Event]:
        """What no event has said yet, the usage, and the finish."""
        if self._finished:
            return
        self._finished = True
        for at, item in enumerate(answer.output or ()):
            if item.id is None or item.id not in self._done:
                yield from self._item(at, item, True)
        if answer.usage:
            yield Spent(read_usage(answer.usage))
        yield Finish(self._reason(answer))

    def _reason(self, answer: Answer) -> Reason:
        if answer.status == "incomplete":
            details = answer.incomplete_details
            why = details.get("reason") if isinstance(details, dict) else None
            return INCOMPLETE.get(str(why), "stop")
        return "tool_calls" if self._calls else "stop"


def _key(told: Told) -> Key:
    if told.output_index is not None:
        return told.output_index
    return told.item_id or (told.item.id if told.item else None)


def _said(content: Any) -> Iterator[Event]:
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and (refusal := part.get("refusal")):
            yield Refusal(_text(refusal))
        elif isinstance(part, dict) and (text := part.get("text")):
            yield Text(_text(text))


def _reasoned(item: Item, unsaid: bool) -> Iterator[Event]:
    """The thought where it was not told, and the vendor's own, unreadable form of it as the signature."""
    text = _joined(item.summary, "\n\n") or _joined(item.content, "") if unsaid else ""
    if text:
        yield Thought(text)
    if item.encrypted_content:
        yield Thought("", item.encrypted_content, redacted=unsaid and not text)


def _joined(parts: Any, between: str) -> str:
    texts = [part.get("text") for part in parts or () if isinstance(part, dict)] if isinstance(parts, list) else []
    return between.join([_text(text) for text in texts if text])


def _failed(answer: Answer) -> Sequence[Event]:
    return (_fault(answer.error or {"message": f"the response is {answer.status or 'failed'}"}),)


def _fault(error: Any) -> Fault:
    """An error as every provider reads it, whatever it stood in."""
    return Fault(dumps({"error": error}))


def _read(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decode(decoder, data)
    except msgspec.ValidationError:
        return None  # JSON, but no answer


def _escaped(text: str) -> str:
    """A fragment of a text as it stands inside a JSON string."""
    return dumps(text)[1:-1].decode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode()
