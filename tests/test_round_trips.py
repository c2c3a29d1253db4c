"""A conversation, said in a dialect and understood again, is the same; an answer, written and read again, too.

What a dialect cannot keep is a loss: each stands in `LOSSES`, in `docs/explanation/translation.md`, and is shown
here to be told where it happens. Texts, pictures, names, ids and arguments of calls, their order, the reason to
finish and the sums of usage may not be among them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.dialects import builtin
from llmrouter.dialects.common import raw
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Begin,
    CacheMark,
    Conversation,
    Event,
    Facts,
    Fields,
    File,
    Finish,
    Frame,
    Image,
    Message,
    Part,
    Refusal,
    Request,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolOutput,
    ToolStart,
    Usage,
    Wire,
)

CHATS = [one for one in builtin() if "chat" in one.ops and one.name != "openai.completions"]
dialects = pytest.mark.parametrize("dialect", CHATS, ids=lambda one: one.name)
TOOL = {
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "name": "person", "schema": SCHEMA}

# --- conversations

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    str.strip
)
pictures = st.binary(min_size=1, max_size=12).map(
    lambda data: Image("data:image/png;base64," + base64.b64encode(data).decode())
)
arguments = st.dictionaries(words, st.one_of(words, st.integers(-9, 9), st.booleans(), st.none()), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Turns of user and assistant, with calls that are all answered at once."""
    messages = [Message("system", (Text(draw(words)),))] if draw(st.booleans()) else []
    count = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", tuple(draw(st.lists(words.map(Text) | pictures, min_size=1, max_size=3)))))
        said: list[Part] = [Text(draw(words))] if draw(st.booleans()) else []
        calls = []
        for _ in range(draw(st.integers(0, 2))):
            calls.append(
                ToolCall(f"call_{count}", draw(st.sampled_from(["weather", "f_2"])), json.dumps(draw(arguments)))
            )
            count += 1
        if said or calls:
            messages.append(Message("assistant", (*said, *calls)))
        if calls:
            messages.append(Message("user", tuple([ToolOutput(one.id, (Text(draw(words)),)) for one in calls])))
    messages.append(Message("user", (Text(draw(words)),)))
    return Conversation(messages=tuple(messages), tools=(TOOL, {**TOOL, "name": "f_2"}))


def skeleton(conversation: Conversation) -> list[Any]:
    """What may never be lost, in its order: borders between messages of one role are nobody's."""
    return [
        (message.role, *_bone(part))
        for message in conversation.messages
        for part in message.parts
        if not isinstance(part, CacheMark)
    ]


def _bone(part: Part) -> Sequence[Any]:
    match part:
        case ToolCall(id, name, said):
            return "call", id, name, json.loads(said)
        case ToolOutput(id, content, error):
            return "output", id, tuple([_bone(one) for one in content]), error
        case Image(url):
            return "image", url
        case File(url):
            return "file", url
        case Text(text) | Thought(text) | Refusal(text):
            return type(part).__name__, text
    raise AssertionError(part)


def again(dialect: Dialect, conversation: Conversation) -> tuple[Conversation, Sequence[str]]:
    """Said and understood again, and what was reported as lost."""
    encoded = dialect.encode("chat", conversation)
    fields: Fields = {"model": raw("m"), "max_tokens": raw(9)} | encoded.fields
    found = dialect.decode("chat", fields)
    assert isinstance(found, Conversation)
    return found, encoded.dropped


@dialects
@settings(deadline=None)
@given(conversation=conversations())
def test_a_conversation_comes_back_as_it_was(dialect: Dialect, conversation: Conversation) -> None:
    found, dropped = again(dialect, conversation)
    assert skeleton(found) == skeleton(conversation)
    assert [dict(tool) | {"strict": False} for tool in found.tools] == [
        dict(tool) | {"strict": False} for tool in conversation.tools
    ]
    assert not dropped


@pytest.mark.parametrize("first", CHATS, ids=lambda one: one.name)
@pytest.mark.parametrize("second", CHATS, ids=lambda one: one.name)
@settings(deadline=None, max_examples=25)
@given(conversation=conversations())
def test_a_conversation_survives_every_two_dialects(
    first: Dialect, second: Dialect, conversation: Conversation
) -> None:
    found, _ = again(second, again(first, conversation)[0])
    assert skeleton(found) == skeleton(conversation)


# --- options and rarer parts: kept, or reported

OPTIONS: Mapping[str, Any] = {
    "temperature": 0.5, "top_p": 0.25, "top_k": 7, "seed": 3, "presence_penalty": 0.5, "frequency_penalty": -0.5,
    "logit_bias": {"5": 1.0}, "max_output": 77, "stop": ["END"], "format": FORMAT, "effort": "low",
    "parallel_tools": False,
    "cache_key": "k", "user": "u", "metadata": {"a": "b"}, "verbosity": "low", "service_tier": "default",
}  # fmt: skip


def _with(**options: Any) -> Conversation:
    return Conversation(messages=(Message("user", (Text("hi"),)),), tools=(TOOL,), options=options)


def _after(*parts: Part, role: Any = "assistant") -> Conversation:
    hi = Message("user", (Text("hi"),))
    return Conversation(messages=(hi, Message(role, parts), hi), tools=(TOOL,))


PARTS: Mapping[str, Conversation] = {
    "a thought": _after(Thought("hm"), Text("x")),
    "a signature": _after(Thought("hm", "c2ln", "somebody.else"), Text("x")),
    "a signature of a call": Conversation(
        messages=(
            Message("user", (Text("hi"),)),
            Message("assistant", (ToolCall("c", "weather", "{}", "c2ln", "somebody.else"),)),
            Message("user", (ToolOutput("c", (Text("x"),)),)),
        ),
        tools=(TOOL,),
    ),
    "a refusal": _after(Refusal("no")),
    "a mark of the cache": _after(Text("x"), CacheMark("5m"), role="user"),
    "a later system message": _after(Text("x"), role="system"),
    "a document": _after(File("data:application/pdf;base64,AAAA", "a.pdf"), role="user"),
    "a sound": _after(File("data:audio/wav;base64,AAAA"), role="user"),
    "a failed output": Conversation(
        messages=(
            Message("user", (Text("hi"),)),
            Message("assistant", (ToolCall("c", "weather", "{}"),)),
            Message("user", (ToolOutput("c", (Text("x"),), error=True),)),
        ),
        tools=(TOOL,),
    ),
    "a picture in an output": Conversation(
        messages=(
            Message("user", (Text("hi"),)),
            Message("assistant", (ToolCall("c", "weather", "{}"),)),
            Message("user", (ToolOutput("c", (Text("x"), Image("data:image/png;base64,AAAA"))),)),
        ),
        tools=(TOOL,),
    ),
}
NO_FIELD = "reported"
UNSIGNED = "reported: only its own signed thoughts are taken back"
FOREIGN = "left out: another vendor's"
LOSSES: Mapping[str, Mapping[str, str]] = {
    "openai.chat": {
        "a signature": NO_FIELD,
        "a signature of a call": NO_FIELD,
        "a mark of the cache": NO_FIELD,
        "a failed output": NO_FIELD,
        "a picture in an output": "said behind the output, as the user's",
    },
    "openai.responses": {
        **dict.fromkeys(("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "stop"), NO_FIELD),
        "a thought": UNSIGNED,
        "a signature": UNSIGNED,
        "a signature of a call": FOREIGN,
        "a mark of the cache": NO_FIELD,
        "a failed output": NO_FIELD,
    },
    "anthropic.messages": {
        **dict.fromkeys(("seed", "presence_penalty", "frequency_penalty", "logit_bias"), NO_FIELD),
        **dict.fromkeys(("cache_key", "metadata", "verbosity"), NO_FIELD),
        "format": "the schema has no name",
        "a thought": UNSIGNED,
        "a signature": UNSIGNED,
        "a signature of a call": FOREIGN,
        "a refusal": "text",
        "a later system message": "the user's text in its place",
        "a sound": NO_FIELD,
    },
    "gemini.generate": {
        **dict.fromkeys(("logit_bias", "parallel_tools", "cache_key", "user", "metadata", "verbosity"), NO_FIELD),
        "format": "the schema has no name",
        "a signature": NO_FIELD,
        "a signature of a call": NO_FIELD,
        "a refusal": "text",
        "a mark of the cache": NO_FIELD,
        "a later system message": "the user's text in its place",
        "a picture in an output": "said behind the output, as the user's",
    },
}
"""By dialect, what does not come back: "reported" reaches the client, the rest says what becomes of it."""


def outcome(dialect: Dialect, what: str) -> str:
    """kept, reported or changed."""
    if what in OPTIONS:
        said = _with(**{what: OPTIONS[what]})
        found, dropped = again(dialect, said)
        kept = found.options.get(what) == OPTIONS[what]
    else:
        said = PARTS[what]
        found, dropped = again(dialect, said)
        kept = _marks(found) == _marks(said) and skeleton(found) == skeleton(said)
    return "kept" if kept else "reported" if dropped else "changed"


def _marks(conversation: Conversation) -> list[Any]:
    """What the skeleton leaves out."""
    parts = [part for message in conversation.messages for part in message.parts]
    signed = [(one.signature, one.source) for one in parts if isinstance(one, Thought | ToolCall)]
    return [*signed, *[one for one in parts if isinstance(one, CacheMark)]]


@dialects
@pytest.mark.parametrize("what", [*OPTIONS, *PARTS])
def test_whatever_does_not_come_back_is_a_loss_that_is_known(dialect: Dialect, what: str) -> None:
    known = LOSSES[dialect.name].get(what, "kept")
    expected = known if known == "kept" else "reported" if known.startswith("reported") else "changed"
    assert outcome(dialect, what) == expected


def test_what_may_never_be_lost_is_in_no_row() -> None:
    named = {what for losses in LOSSES.values() for what in losses}
    assert named <= {*OPTIONS, *PARTS}
    assert not named & {"max_output", "temperature", "top_p", "effort", "service_tier"}


def test_the_losses_stand_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs/explanation/translation.md").read_text("utf-8")
    rows = {
        tuple(cell.strip() for cell in line.strip("|").split("|")) for line in page.splitlines() if line[:1] == "|"
    }
    missing = [
        (what, name, becomes)
        for name, losses in LOSSES.items()
        for what, becomes in losses.items()
        if not any(row[0] == what and becomes in row[1 + [one.name for one in CHATS].index(name)] for row in rows)
    ]
    assert not missing


# --- answers

finishes: st.SearchStrategy[Any] = st.sampled_from(["stop", "length", "content_filter"])


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer as its upstream tells it: thoughts, text, calls, usage, and why it ended."""
    thought = [Thought(one) for one in draw(st.lists(words, max_size=2))]
    text = [Text(one) for one in draw(st.lists(words, min_size=1, max_size=3))]
    calls: list[Event] = []
    for number in range(draw(st.integers(0, 2))):
        said = json.dumps(draw(arguments))
        cut = draw(st.integers(0, len(said)))
        id = f"call_{number}"
        calls += [ToolStart(id, "weather"), *(ToolArgs(id, part) for part in (said[:cut], said[cut:]) if part)]
    usage = Usage(
        input=draw(st.integers(1, 99)), cache_read=draw(st.integers(0, 9)),
        output=draw(st.integers(1, 99)), reasoning=draw(st.integers(0, 9)),
    )  # fmt: skip
    finish = Finish("tool_calls" if calls else draw(finishes))
    return [Begin("answer-1", "m"), *thought, *text, *calls, finish, Spent(usage)]


def told(events: Sequence[Event]) -> tuple[Any, ...]:
    """What may never be lost of an answer."""
    calls: dict[str, list[str]] = {}
    usage, finish = Usage(), ""
    for event in events:
        match event:
            case ToolStart(id, name):
                calls[id] = [name, ""]
            case ToolArgs(id, said):
                calls[id][1] += said
            case Spent(spent):
                usage = spent
            case Finish(reason):
                finish = reason
    parsed = [(id, name, json.loads(said or "{}")) for id, (name, said) in calls.items()]
    texts = "".join([event.text for event in events if isinstance(event, Text)])
    thoughts = "".join([event.text for event in events if isinstance(event, Thought)])
    return texts, thoughts, parsed, finish, (usage.prompt, usage.completion, usage.cache_read)


@dialects
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@settings(deadline=None)
@given(events=answers(), cut=st.integers(1, 50))
def test_an_answer_is_read_as_it_was_written(dialect: Dialect, stream: bool, events: list[Event], cut: int) -> None:
    asked = {"stream": stream, "stream_options": {"include_usage": True}, "thinking": {"type": "adaptive"}}
    fields: Fields = {"model": raw("m")} | {name: raw(value) for name, value in asked.items()}
    wire = Wire(dialect.name, stream)
    writer = dialect.writer(Request(Facts(id="req_1", wire=wire, asked="m"), fields))
    source = Wire("somebody.else", stream=True)
    written = b"".join([writer.write(Frame(source, b"", (event,)), False) for event in events]) + writer.end()
    reader = dialect.reader("chat", stream)
    pieces = [written[at : at + cut] for at in range(0, len(written), cut)]
    frames = [frame for piece in pieces for frame in reader.feed(piece)] + [*reader.end()]
    assert told([event for frame in frames for event in frame.events]) == told(events)
