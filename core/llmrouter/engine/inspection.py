"""Whether an answer is what was asked for: neither empty, nor a loop, nor spoiled JSON, nor an impossible call.

One `Inspection` reads along the events of one answer of a chat. It says what is wrong as soon as that is known,
without a word of what the answer says. Answers that were cut are not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import field

from llmrouter.dialects.common import loads
from llmrouter.dialects.translating import understood
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Conversation,
    Event,
    Fields,
    Message,
    Op,
    Refusal,
    Result,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolStart,
    Value,
)

from .loops import Strand
from .schemas import breach

MOST_JSON = 1024 * 1024
"""Characters of JSON that is looked into; a longer one is taken for what it should be."""
ENDS = ("stop", "tool_calls")
"""Reasons to finish by which an answer is all that its model had to say."""

TURNS = ("messages", "input", "contents")
"""Fields of the turns of a conversation, in any dialect."""
LONG = 16 * 1024  # bytes

LOOP = "the answer repeats itself without end"
EMPTY = "an empty answer"
NO_JSON = "JSON was asked for, and the answer is none"
NO_TOOL = "a call of a tool that the request does not have"
NO_OBJECT = "a call whose arguments are no JSON object"


class Expected(Value, frozen=True, kw_only=True):
    """What a request demands of its answer. A tool is its parameters, and whether they are strictly meant."""

    json: bool = False
    schema: Any = None  # of that JSON
    tools: Mapping[str, tuple[Any, bool]] = field(default_factory=dict)
    all_tools: bool = True  # there are no others, of which a conversation cannot say what they are
    may_be_empty: bool = False


ANYTHING = Expected(all_tools=False, may_be_empty=True)


class Inspection(msgspec.Struct, eq=False):
    """`expect` is asked at most once, when the answer has something that it decides on.

    `json` is whether the text may have to be JSON: where that is known to be false, `expect` is not asked for it.
    """

    expect: Callable[[], Expected]
    json: bool = True
    _text: Strand = field(default_factory=Strand)
    _thought: Strand | None = None
    _known: Expected | None = None
    _calls: dict[str, tuple[ToolStart, list[str]]] = {}  # by id, with fragments of the arguments
    _spoke: bool = False  # something else than text: a refusal, a result
    _wrong: str = ""

    def see(self, event: Event) -> str:
        """What is wrong with the answer so far; "" as long as nothing is."""
        if type(event) is Text:  # nearly all are, and `isinstance` asks the metaclass of a struct
            if self._text.add(event.text):
                self._wrong = LOOP
        elif type(event) is Thought:
            if self._thought is None:
                self._thought = Strand()
            if self._thought.add(event.text):
                self._wrong = LOOP
        elif type(event) is ToolArgs:
            if call := self._calls.get(event.id):
                call[1].append(event.json)
        elif type(event) is ToolStart:
            self._calls.setdefault(event.id, (event, []))
        elif isinstance(event, Refusal | Result):
            self._spoke = True
        return self._wrong

    def strand(self, kind: type[Event]) -> Strand | None:
        """The short way for more of what was seen last: its words need only be added here."""
        if kind is Text:
            return self._text
        return self._thought if kind is Thought else None

    def end(self, reason: str) -> str:
        """What is wrong with the whole answer, which finished for that `reason`."""
        if not self._wrong and (self._text.loops() or (self._thought and self._thought.loops())):
            self._wrong = LOOP
        if self._wrong or reason not in ENDS:
            return self._wrong
        if self._calls:
            self._wrong = next((wrong for id in self._calls if (wrong := self.complete_call(id))), "")
        elif not self._spoke:
            self._wrong = self._wrong_text()
        return self._wrong

    def complete_call(self, id: str) -> str:
        """What is wrong with a call that is complete."""
        call = self._call(id)
        tool = self.expected.tools.get(call.name)
        if tool is None and not self.expected.all_tools:
            return ""  # its arguments may be a text
        if tool is None and self.expected.tools:
            return NO_TOOL
        return _wrong_arguments(call.arguments, *(tool or (None, False)))

    @property
    def text(self) -> str:
        return "".join(self._text.pieces)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far. The last one may lack some of its arguments until the answer is finished."""
        return tuple([self._call(id) for id in self._calls])

    def _call(self, id: str) -> ToolCall:
        start, fragments = self._calls[id]
        return ToolCall(id, start.name, "".join(fragments) or "{}", start.signature)

    @property
    def expected(self) -> Expected:
        """What the request demands."""
        if self._known is None:
            self._known = self.expect()
        return self._known

    def _wrong_text(self) -> str:
        text = self.text
        if not text or text.isspace():
            wordless = "" in self._text.pieces  # output that an event has no words for, such as a picture
            return "" if wordless or self.expected.may_be_empty else EMPTY
        return _wrong_json(text, self.expected.schema) if self.json and self.expected.json else ""


def expected_of(dialect: Dialect, op: Op, fields: Fields) -> Expected:
    """What a request demands of its answer; anything will do where that cannot be told.

    So it is with a continuation of a text, and with several choices, of which the events tell the first alone.
    """
    if op != "chat" or "completions_native" in dialect.expresses:
        return ANYTHING
    try:
        asked = understood(dialect, op, _shortened(fields))
    except InvalidRequest:  # its upstream may know what it means
        return ANYTHING
    if not isinstance(asked, Conversation) or (asked.options.get("n") or 1) != 1:
        return ANYTHING
    form = asked.options.get("format")
    form = form if isinstance(form, Mapping) else {}
    part = bool(asked.options.get("stop")) or _is_begun(asked.messages)
    tools = () if asked.tool_choice == "none" else asked.tools
    return Expected(
        json=form.get("type") in ("json_object", "json_schema") and not part,
        schema=form.get("schema"),
        tools={str(tool.get("name")): (tool.get("parameters"), tool.get("strict") is True) for tool in tools},
        all_tools=not any(place.startswith(("tools", "functions")) for place in asked.options.get("extra", ())),
        may_be_empty=part,
    )


def _shortened(fields: Fields) -> Fields:
    """A long conversation with its last turn only: what came before demands nothing, and takes time to read."""
    for name in TURNS:
        if len(turns := bytes(fields.get(name, b""))) > LONG and turns.startswith(b"["):
            last = msgspec.json.decode(turns, type=list[msgspec.Raw])[-1]
            return fields | {name: msgspec.Raw(b"[" + bytes(last) + b"]")}
    return fields


def _is_begun(messages: tuple[Message, ...]) -> bool:
    """Whether the answer was begun by the client: what comes then is the rest of it, which may be nothing."""
    return bool(messages) and messages[-1].role == "assistant"


def _wrong_json(text: str, schema: Any) -> str:
    if len(text) > MOST_JSON:
        return ""
    try:
        value = loads(text.encode())
    except ValueError:
        return NO_JSON
    broken = breach(schema, value) if isinstance(schema, dict) else ""
    return f"the JSON breaks `{broken}` of the schema that was asked for" if broken else ""


def _wrong_arguments(arguments: str, parameters: Any, strict: bool) -> str:
    if len(arguments) > MOST_JSON:
        return ""
    try:
        value = loads(arguments.encode()) if arguments.strip() else {}
    except ValueError:
        return NO_OBJECT
    if not isinstance(value, dict):
        return NO_OBJECT
    broken = breach(parameters, value) if strict and isinstance(parameters, dict) else ""
    return f"a call whose arguments break `{broken}` of its tool's parameters" if broken else ""
