from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmrouter_provider_ollama.dialect import OllamaChat

from llmrouter.dialects import join, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    CacheMark,
    Conversation,
    Event,
    Fault,
    Finish,
    Image,
    Inputs,
    Message,
    Refusal,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolCall,
    ToolOutput,
    ToolStart,
    Usage,
)

OLLAMA = OllamaChat()
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object"}}


def said(*messages: Message, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    encoded = OLLAMA.encode("chat", Conversation(messages=messages, **more))
    return {name: loads(value) for name, value in encoded.fields.items()}, encoded.dropped


def messages(*given: Message) -> Any:
    return said(*given)[0]["messages"]


# --- messages


def test_texts_become_one_and_pictures_are_base64() -> None:
    user = Message("user", (Text("a"), Image("data:image/png;base64,AAAA"), Text("b"), Image("BBBB")))
    assert messages(Message("system", (Text("s"),)), user) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "ab", "images": ["AAAA", "BBBB"]},
    ]


def test_a_turn_has_thoughts_and_calls_with_arguments_as_objects() -> None:
    turn = Message("assistant", (Thought("h"), Thought("m"), Text("t"), ToolCall("c1", "f", '{"a": [1.0]}')))
    outputs = Message("user", (ToolOutput("c1", (Text("o"),)), Text("and?")))
    assert messages(turn, outputs) == [
        {
            "role": "assistant",
            "content": "t",
            "thinking": "hm",
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": [1.0]}}}],
        },
        {"role": "tool", "tool_call_id": "c1", "tool_name": "f", "content": "o"},
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [("", {}), ("{}", {}), ("[1]", {"_raw": "[1]"}), ("{", {"_raw": "{"})],
)
def test_arguments_are_an_object_in_any_case(arguments: str, sent: Any) -> None:
    (turn,) = messages(Message("assistant", (ToolCall("c", "f", arguments),)))
    assert turn["tool_calls"][0]["function"]["arguments"] == sent


def test_an_output_of_a_call_that_nobody_made_has_no_name() -> None:
    assert messages(Message("user", (ToolOutput("c9", (Text("o"), Image("data:x;base64,AA"))),))) == [
        {"role": "tool", "tool_call_id": "c9", "content": "o", "images": ["AA"]}
    ]


def test_a_message_without_parts_stays_a_message() -> None:
    assert messages(Message("assistant", ())) == [{"role": "assistant", "content": ""}]


def test_what_cannot_be_said_is_named() -> None:
    parts = (Text("a"), CacheMark("5m"), Image("data:,A", "high"), Thought("t", "sig", "x"), Refusal("no"))
    body, dropped = said(Message("user", parts), Message("user", (ToolOutput("c", (), error=True),)))
    assert body["messages"][0]["content"] == "ano"
    assert set(dropped) == {
        "messages.image.detail",
        "messages.cache_control",
        "messages.thought.signature",
        "messages.tool_output.error",
    }


# --- tools and options


def test_a_choice_of_tools_is_said_by_the_tools_there_are() -> None:
    tools = (TOOL | {"strict": True}, TOOL | {"name": "g"})
    written = [{"type": "function", "function": TOOL}, {"type": "function", "function": TOOL | {"name": "g"}}]
    assert said(tools=tools) == ({"messages": [], "tools": written}, ("tools.strict",))
    assert said(tools=tools, tool_choice="none") == ({"messages": []}, ())
    assert said(tools=tools, tool_choice="g") == ({"messages": [], "tools": written[1:]}, ())
    assert said(tools=tools[1:], tool_choice="required") == (
        {"messages": [], "tools": written[1:]},
        ("tool_choice",),
    )


def test_options_get_the_names_of_ollama() -> None:
    given = {"temperature": 0, "top_k": 4, "stop": ["a"], "max_output": 9, "user": "u", "parallel_tools": False}
    body, dropped = said(options=given)
    assert body == {"messages": [], "options": {"temperature": 0, "top_k": 4, "stop": ["a"], "num_predict": 9}}
    assert dropped == ("user", "parallel_tools")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"format": {"type": "json_object"}}, {"format": "json"}),
        (
            {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
            {"format": {"type": "object"}},
        ),
        ({"effort": "none"}, {"think": False}),
        ({"effort": "minimal"}, {"think": "low"}),
        ({"effort": "max", "thoughts": True}, {"think": "high"}),
        ({"thinking_budget": 2000}, {"think": "medium"}),
        ({"thinking_budget": -1}, {}),
    ],
)
def test_formats_and_efforts(options: dict[str, Any], fields: dict[str, Any]) -> None:
    assert said(options=options) == ({"messages": []} | fields, ())


def test_its_own_words_may_stand_in_another_body() -> None:
    extra = {
        "num_ctx": 9,
        "keep_alive": "1m",
        "think": True,
        "options": {"mirostat": 1},
        "store": True,
        "tools[0]": {},
    }
    body, dropped = said(options={"seed": 1, "extra": extra, "extra_of": "openai"})
    assert body == {
        "messages": [],
        "keep_alive": "1m",
        "think": True,
        "options": {"seed": 1, "num_ctx": 9, "mirostat": 1},
    }
    assert dropped == ("store", "tools")


def test_it_says_conversations_to_upstreams() -> None:
    with pytest.raises(InvalidRequest, match="conversations only"):
        OLLAMA.encode("chat", Inputs(("a",)))
    for serves in (lambda: OLLAMA.facts("chat", {}, {}), lambda: OLLAMA.decode("chat", {})):
        with pytest.raises(InvalidRequest, match="serves no clients"):
            serves()


def test_aiming_sets_model_and_shape() -> None:
    assert (
        join(OLLAMA.aim(parse(b'{"messages":[ ]}'), "m", False)) == b'{"messages":[ ],"model":"m","stream":false}'
    )


# --- answers


def line(done: bool = False, **more: Any) -> bytes:
    return json.dumps({"model": "m", "created_at": "t", "done": done} | more).encode() + b"\n"


def text(content: str, **more: Any) -> bytes:
    return line(message={"role": "assistant", "content": content} | more)


CALL = {"function": {"name": "f", "arguments": {"a": 1.0}}}
END = line(
    True, message={"role": "assistant", "content": ""}, done_reason="stop", prompt_eval_count=4, eval_count=2
)
STREAM = text("", thinking="hm") + text("größer 🦊") + text("", tool_calls=[CALL | {"id": "c1"}, CALL]) + END


def read(body: bytes, stream: bool = True, cuts: tuple[int, ...] = ()) -> list[Event]:
    reader = OLLAMA.reader("chat", stream)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    frames = [f for at, to in itertools.pairwise(places) for f in reader.feed(body[at:to])] + reader.end()
    if body.endswith(b"\n"):
        assert b"".join([frame.raw for frame in frames]) == body
    return [event for frame in frames for event in frame.events]


def test_a_stream_is_read() -> None:
    begin, thought, said, start, arguments, second, more, spent, finish = read(STREAM)
    assert (begin, thought, said) == (Begin("", "m"), Thought("hm"), Text("größer 🦊"))
    assert (start, arguments) == (ToolStart("c1", "f"), ToolArgs("c1", '{"a": 1.0}'))
    assert isinstance(second, ToolStart)
    assert second.id.startswith("call_")
    assert isinstance(more, ToolArgs)
    assert more.id == second.id
    assert (spent, finish) == (Spent(Usage(input=4, output=2)), Finish("tool_calls"))


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_the_bytes_gives_the_same(cuts: list[int]) -> None:
    assert read(STREAM, cuts=tuple(cuts)) == read(STREAM)


def test_one_line_is_a_whole_answer_in_either_shape() -> None:
    whole = line(True, message={"content": "hi"}, done_reason="length").strip()
    for stream in (True, False):
        events = read(whole + b"\n" if stream else whole, stream)
        assert events == [Begin("", "m"), Text("hi"), Spent(Usage()), Finish("length")]


def test_the_last_line_may_lack_its_end() -> None:
    assert read((text("hi") + END)[:-1])[-1] == Finish("stop")


def test_a_line_that_was_cut_is_none() -> None:
    assert read(text("hi") + END[:-9]) == [Begin("", "m"), Text("hi")]


@pytest.mark.parametrize(
    ("body", "malformed"),
    [
        (b'{"error":"no"}\n', False), (text("hi") + b'{"error":"no"}\n', False), (text("hi") + b'{"mess\n', True),
        (b"{}\n", True), (b"<html>\n", True), (b'{"message": 1}\n', True), (b"Bad gateway", True),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_fault(body: bytes, malformed: bool) -> None:
    last = read(body)[-1]
    assert isinstance(last, Fault)
    assert last.malformed is malformed


def test_a_line_without_an_end_is_not_waited_for() -> None:
    reader = OLLAMA.reader("chat", True)
    found = [
        event for _ in range(70) for frame in reader.feed(b'{"a":"' + b"x" * 1024 * 1024) for event in frame.events
    ]
    assert found == [Fault(b"", malformed=True)]
    assert reader.feed(b"\n") == []
