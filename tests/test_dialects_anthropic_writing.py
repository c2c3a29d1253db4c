"""Conversations → requests of Messages, as the API demands them; and back to the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmrouter.dialects import Chat, Messages
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    CacheMark,
    Conversation,
    Encoded,
    File,
    Image,
    Inputs,
    Message,
    Part,
    Refusal,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
)

NAME = "anthropic.messages"
MESSAGES = Messages()
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
TOOL = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}
CALL = ToolCall("t1", "look", '{"a":1}')
DATA = "data:image/png;base64,AAAA"


def encoded(*messages: Message, op: Any = "chat", **more: Any) -> Encoded:
    return MESSAGES.encode(op, Conversation(messages=messages, **more))


def body(found: Encoded) -> dict[str, Any]:
    return {name: loads(value) for name, value in found.fields.items()}


def written(*messages: Message, **more: Any) -> Any:
    return body(encoded(*messages, **more))["messages"]


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(Text(one) if isinstance(one, str) else one for one in parts))


def model(*parts: Part | str) -> Message:
    return Message("assistant", tuple(Text(one) if isinstance(one, str) else one for one in parts))


def options(**options: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    found = encoded(user("hi"), options=options, tools=options.pop("tools", ()))
    said = body(found)
    del said["messages"]
    return said, found.dropped


# --- turns


def test_the_system_stands_apart_and_later_words_of_it_are_the_users() -> None:
    found = body(encoded(Message("system", (Text("a"),)), user("b"), Message("system", (Text("c"),)), model("d")))
    assert found["system"] == [{"type": "text", "text": "a"}]
    assert [(one["role"], [block["text"] for block in one["content"]]) for one in found["messages"]] == [
        ("user", ["b", "c"]),
        ("assistant", ["d"]),
    ]


def test_the_user_speaks_first_and_somebody_speaks() -> None:
    assert [one["role"] for one in written(model("a"))] == ["user", "assistant"]
    assert written(Message("system", (Text("a"),))) == [
        {"role": "user", "content": [{"type": "text", "text": "."}]}
    ]


def test_no_text_is_blank_and_the_last_words_of_a_model_do_not_end_in_a_blank() -> None:
    assert written(user("", " \n", "x"), model(" ", Refusal("no "))) == [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]


def test_outputs_come_first_in_the_turn_after_their_calls_in_one_message() -> None:
    other = ToolCall("t2", "look", "{}")
    turns = written(
        user("go"),
        model("let me", CALL, other),
        user("by the way"),
        user(ToolOutput("t2", (Text("two"), Image(DATA)))),
        user(ToolOutput("t1", (Text("one"),), error=True)),
        tools=(TOOL,),
    )
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"][1] == {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
    assert turns[2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "content": [{"type": "text", "text": "one"}],
            "is_error": True,
        },
        {
            "type": "tool_result",
            "tool_use_id": "t2",
            "content": [
                {"type": "text", "text": "two"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
        },
        {"type": "text", "text": "by the way"},
    ]


@pytest.mark.parametrize("rest", [(), (user("never mind"),), (model("on my own"),)])
def test_a_call_without_an_output_gets_one_that_says_so(rest: Sequence[Message]) -> None:
    turns = written(user("go"), model(CALL), *rest, tools=(TOOL,))
    first = turns[2]["content"][0]
    assert (first["type"], first["tool_use_id"], first["is_error"]) == ("tool_result", "t1", True)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant"][: len(turns)]


def test_outputs_that_answer_no_call_or_one_twice_are_dropped_and_reported() -> None:
    output = ToolOutput("t1", (Text("one"),))
    found = encoded(user("go"), model(CALL), user(output, output, ToolOutput("t9", ())), tools=(TOOL,))
    assert found.dropped == ("messages.tool_output",)
    assert len(body(found)["messages"][2]["content"]) == 1
    found = encoded(user(ToolOutput("t9", (Text("x"),)), "hi"))
    assert body(found)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert found.dropped == ("messages.tool_output",)


@pytest.mark.parametrize(
    ("arguments", "input"),
    [("", {}), ("{}", {}), ('{"a":[1]}', {"a": [1]}), ("[1]", {"_raw": "[1]"}), ("{broken", {"_raw": "{broken"})],
)
def test_arguments_are_an_object(arguments: str, input: Any) -> None:
    turns = written(user("go"), model(ToolCall("t1", "look", arguments)), tools=(TOOL,))
    assert turns[1]["content"][0]["input"] == input


def test_names_and_ids_are_made_to_fit_and_names_are_put_back() -> None:
    call = ToolCall("functions.look:0", "my.server/look", "{}")
    tool = {**TOOL, "name": "my.server/look"}
    found = encoded(
        user("go"), model(call), user(ToolOutput(call.id, (Text("x"),))), tools=(tool,), tool_choice=tool["name"]
    )
    said = body(found)
    assert found.renamed == {"my_server_look": "my.server/look"}
    assert said["tools"][0]["name"] == said["tool_choice"]["name"] == "my_server_look"
    use, result = said["messages"][1]["content"][0], said["messages"][2]["content"][0]
    assert (use["id"], use["name"]) == ("functions_look_0", "my_server_look")
    assert result["tool_use_id"] == "functions_look_0"


def test_thoughts_are_said_to_their_own_vendor_alone() -> None:
    own, redacted = Thought("hm", "sig", NAME), Thought("", "xyz", NAME, redacted=True)
    found = encoded(
        user("go"), model(own, redacted, Thought("ja", "abc", "gemini.generate"), Thought("so"), "done")
    )
    assert body(found)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "done"},
    ]
    assert found.dropped == ("messages.thought",)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Image("https://x.example/y"), {"type": "image", "source": {"type": "url", "url": "https://x.example/y"}}),
        (Image("data:image/jpg;base64,AA", "high"),
         {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "AA"}}),
        (Image("data:image/svg+xml;base64,AA"), None),
        (Image("data:image/png,raw"), None),
        (Image("ftp://x"), None),
        (File("data:application/pdf;base64,AA", "T"),
         {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
          "title": "T"}),
        (File("data:text/markdown;charset=utf-8;base64,aMOp"),
         {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}}),
        (File("data:image/png;base64,AA"),
         {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}),
        (File("https://x.example/z"), {"type": "document", "source": {"type": "url", "url": "https://x.example/z"}}),
        (File("data:audio/mpeg;base64,AA"), None),
        (File("data:text/plain;base64,/////w=="), None),
    ],
)  # fmt: skip
def test_media_are_said_where_the_api_takes_them(part: Any, block: Any) -> None:
    found = encoded(user("see", part))
    assert body(found)["messages"][0]["content"][1:] == ([block] if block else [])
    assert found.dropped == (() if block else (f"messages.{type(part).__name__.lower()}",))


def test_a_model_shows_no_pictures() -> None:
    assert encoded(user("draw"), model("here", Image(DATA))).dropped == ("messages.image",)


def test_four_marks_at_most_and_the_last_ones() -> None:
    marked = [part for number in range(6) for part in (Text(str(number)), CacheMark("1h"))]
    found = encoded(Message("system", (Text("s"), CacheMark())), user(*marked), tools=({**TOOL, "cache": "5m"},))
    said = body(found)
    assert found.dropped == ("cache_control",)
    assert "cache_control" not in said["system"][0]
    assert "cache_control" not in said["tools"][0]
    kept = [block["text"] for block in said["messages"][0]["content"] if "cache_control" in block]
    assert kept == ["2", "3", "4", "5"]


def test_a_mark_of_nothing_and_of_a_thought_is_none() -> None:
    found = written(user(CacheMark(), "x"), model(Thought("hm", "s", NAME), CacheMark(), "y"))
    assert b"cache_control" not in dumps(found)


def test_calls_that_share_an_id_are_told_apart_and_so_are_their_outputs() -> None:
    turns = written(
        user("go"),
        model(CALL, CALL),
        user(ToolOutput("t1", (Text("one"),)), ToolOutput("t1", (Text("two"),))),
        model(CALL),
        user(ToolOutput("t1", (Text("three"),))),
        tools=(TOOL,),
    )
    called = [block["id"] for turn in turns for block in turn["content"] if block["type"] == "tool_use"]
    answered = [
        (block["tool_use_id"], block["content"][0]["text"])
        for turn in turns
        for block in turn["content"]
        if block["type"] == "tool_result"
    ]
    assert called == ["t1", "t1_2", "t1_3"]
    assert answered == [("t1", "one"), ("t1_2", "two"), ("t1_3", "three")]


# --- tools


def test_a_tool_always_takes_an_object() -> None:
    tools = ({"name": "a"}, {"name": "b", "parameters": {}}, {"name": "c", "parameters": {"properties": {"x": {}}}})
    found = body(encoded(user("hi"), tools=tools))
    empty = {"type": "object", "properties": {}}
    assert [tool["input_schema"] for tool in found["tools"]] == [
        empty,
        empty,
        {"properties": {"x": {}}, "type": "object"},
    ]


def test_a_strict_tool_has_a_schema_that_can_be_held_to() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer", "minimum": 1}}}
    (tool,) = body(encoded(user("hi"), tools=({"name": "a", "parameters": schema, "strict": True},)))["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {"x": {"type": "integer", "description": "minimum: 1"}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "said"),
    [
        ("auto", None, None),
        ("auto", True, None),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("look", None, {"type": "tool", "name": "look"}),
        ("none", False, {"type": "none"}),
    ],
)
def test_the_choice_of_tools(choice: str, parallel: bool | None, said: Any) -> None:
    more = {} if parallel is None else {"parallel_tools": parallel}
    found = encoded(user("hi"), tools=(TOOL,), tool_choice=choice, options=more)
    assert body(found).get("tool_choice") == said
    assert found.dropped == ()


def test_a_history_of_calls_has_tools_though_none_may_be_called_now() -> None:
    found = body(encoded(user("go"), model(CALL), user(ToolOutput("t1", (Text("x"),)))))
    assert found["tools"] == [{"name": "look", "input_schema": {"type": "object", "properties": {}}}]
    assert found["tool_choice"] == {"type": "none"}


# --- options


def test_options_are_said_by_their_names_here() -> None:
    said = options(max_output=9, temperature=0.5, top_k=7, stop=["END"], user="u", service_tier="default", n=1)
    fields = {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 7,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
    }
    assert said == (fields, ())


@pytest.mark.parametrize(
    ("given", "fields", "dropped"),
    [
        ({"temperature": 1.7}, {"temperature": 1}, ("temperature",)),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ("top_p",)),
        ({"top_p": 0.9}, {"top_p": 0.9}, ()),
        ({"stop": ["\n", "END", ""]}, {"stop_sequences": ["END"]}, ("stop",)),
        ({"stop": [" "]}, {}, ("stop",)),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, ()),
        ({"service_tier": "flex"}, {}, ("service_tier",)),
        ({"user": "u" * 300}, {}, ("user",)),
        ({"seed": 7, "n": 2, "logprobs": True, "verbosity": "low"}, {}, ("seed", "n", "logprobs", "verbosity")),
        ({"presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}, {}, ()),
        ({"extra": {"store": True, "messages[0].name": "x"}, "extra_of": "openai"}, {}, ("store", "messages.name")),
        ({"extra": {"speed": "fast", "tools[1]": {}, "metadata.x": 1}, "extra_of": "anthropic"},
         {"speed": "fast"}, ("tools", "metadata.x")),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_reported(given: Any, fields: Any, dropped: Any) -> None:
    assert options(**given) == (fields, dropped)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"effort": "high"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ({"effort": "minimal"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ({"effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"thinking_budget": 0, "effort": "high"}, {"thinking": {"type": "disabled"}}),
        ({"thinking_budget": -1}, {"thinking": {"type": "adaptive"}}),
        ({"thinking_budget": 128}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ({"thinking_budget": 5000, "effort": "max"},
         {"thinking": {"type": "enabled", "budget_tokens": 5000}, "output_config": {"effort": "max"}}),
        ({"thinking_budget": 5000, "max_output": 3000},
         {"thinking": {"type": "enabled", "budget_tokens": 2999}, "max_tokens": 3000}),
        ({"thinking_budget": -1, "thoughts": True}, {"thinking": {"type": "adaptive", "display": "summarized"}}),
        ({"thinking_budget": 2000, "thoughts": False},
         {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}}),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_by_budget_or_by_effort(given: Any, fields: Any) -> None:
    assert options(**given) == (fields, ())


def test_a_budget_that_leaves_no_room_for_an_answer_is_dropped() -> None:
    assert options(thinking_budget=2000, max_output=500) == ({"max_tokens": 500}, ("thinking_budget",))


def test_who_thinks_is_sampled_as_the_vendor_wants() -> None:
    said, dropped = options(effort="low", temperature=0.5, top_k=7)
    assert set(said) == {"thinking", "output_config"}
    assert dropped == ("temperature", "top_k")
    assert options(effort="low", temperature=1)[1] == ()
    assert options(thinking_budget=2000, top_p=0.97)[1] == ()
    assert options(thinking_budget=2000, top_p=0.5)[1] == ("top_p",)


def test_under_a_budget_no_tool_is_forced_so_thinking_goes() -> None:
    found = encoded(user("hi"), tools=(TOOL,), tool_choice="required", options={"thinking_budget": 2000})
    assert "thinking" not in body(found)
    assert found.dropped == ("thinking_budget",)
    found = encoded(user("hi"), tools=(TOOL,), tool_choice="required", options={"effort": "high"})
    assert body(found)["thinking"] == {"type": "adaptive"}


def test_a_schema_for_the_answer_is_one_that_it_can_be_held_to() -> None:
    schema = {
        "$defs": {
            "P": {"type": "object", "properties": {"n": {"type": "string", "maxLength": 3, "description": "N"}}}
        },
        "type": "object",
        "properties": {
            "who": {"oneOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]},
            "tags": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {}}},
        },
        "additionalProperties": True,
    }
    said, dropped = options(format={"type": "json_schema", "name": "x", "schema": schema, "strict": True})
    assert dropped == ()
    assert said["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "$defs": {
                "P": {
                    "type": "object",
                    "properties": {"n": {"type": "string", "description": "N (maxLength: 3)"}},
                    "additionalProperties": False,
                }
            },
            "type": "object",
            "properties": {
                "who": {"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]},
                "tags": {
                    "type": "array",
                    "items": {"type": "object", "properties": {}, "additionalProperties": False},
                    "description": "minItems: 1",
                },
            },
            "additionalProperties": False,
        },
    }


def test_a_schema_may_be_no_object() -> None:
    said, _ = options(format={"type": "json_schema", "name": "x", "schema": {"anyOf": [True, {"type": "null"}]}})
    assert said["output_config"]["format"]["schema"] == {"anyOf": [True, {"type": "null"}]}


def test_json_without_a_schema_is_asked_for_in_words_and_reported() -> None:
    said, dropped = options(format={"type": "json_object"})
    assert "JSON object" in said["system"][0]["text"]
    assert dropped == ("format",)


def test_a_count_is_asked_for_what_counts() -> None:
    found = encoded(user("hi"), op="count", tools=(TOOL,), options={"max_output": 9, "temperature": 0.5})
    assert set(found.fields) == {"messages", "tools"}


def test_only_conversations_can_be_said() -> None:
    with pytest.raises(InvalidRequest):
        MESSAGES.encode("chat", Inputs(("x",)))


# --- whatever is said

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
MARKS = st.sampled_from([CacheMark(), CacheMark("5m"), CacheMark("1h")])
MEDIA = st.sampled_from(
    [Image(DATA), Image("https://x.example/y"), File("data:application/pdf;base64,AA", "T"), File("https://x.example/z"),
     File("data:text/plain;base64,aMOp", "N"), File("data:audio/mpeg;base64,AA"), Image("nowhere")]
)  # fmt: skip
OUTPUTS = st.builds(ToolOutput, NAMES, st.lists(WORDS.map(Text) | MEDIA, max_size=2).map(tuple), st.booleans())
CALLS = st.builds(ToolCall, NAMES, NAMES | st.just("a.b/c"), st.sampled_from(['{"a":1}', "{}", "", "[1]", "{x"]))
THOUGHTS = st.builds(
    Thought, WORDS, st.sampled_from(["", "sig"]), st.sampled_from([NAME, "gemini.generate"]), st.booleans()
)
USERS = st.builds(
    Message,
    st.sampled_from(["user", "system"]),
    st.lists(WORDS.map(Text) | MEDIA | OUTPUTS | MARKS, max_size=4).map(tuple),
)
MODELS = st.builds(
    Message, st.just("assistant"), st.lists(WORDS.map(Text) | CALLS | THOUGHTS | MARKS, max_size=4).map(tuple)
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2), "top_p": st.floats(0, 1), "top_k": st.integers(0, 99), "n": st.just(2),
        "max_output": st.integers(1, 99_999), "stop": st.lists(WORDS, max_size=3), "user": WORDS.filter(bool),
        "effort": st.sampled_from(["none", "minimal", "low", "high", "max"]), "thoughts": st.booleans(),
        "thinking_budget": st.sampled_from([-1, 0, 128, 1024, 50_000]), "parallel_tools": st.booleans(),
        "format": st.sampled_from([{"type": "json_object"}, {"type": "json_schema", "name": "x", "schema": {}}]),
    },
)  # fmt: skip
CONVERSATIONS = st.builds(
    Conversation,
    messages=st.lists(USERS | MODELS, max_size=6).map(tuple),
    tools=st.sets(NAMES, max_size=2).map(lambda names: tuple({**TOOL, "name": name} for name in sorted(names))),
    tool_choice=st.sampled_from(["auto", "none", "required"]),
    options=SETTINGS,
)  # fmt: skip


@given(CONVERSATIONS)
def test_whatever_is_said_is_a_request_that_the_api_takes(conversation: Conversation) -> None:
    said = body(MESSAGES.encode("chat", conversation))
    PARAMS.validate_python({"max_tokens": 9, **said, "model": "m"})
    turns = said["messages"]
    roles = [turn["role"] for turn in turns]
    assert roles[0] == "user"
    assert all(one != next for one, next in pairwise(roles)), "turns alternate"
    open_calls: list[str] = []
    for turn in turns:
        blocks = turn["content"]
        assert blocks
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert answered == open_calls, "one output for each call, in order, and no other"
        assert [block["type"] for block in blocks[: len(answered)]] == ["tool_result"] * len(answered)
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert not open_calls
    assert b"gemini" not in dumps(said)
    if thinking := said.get("thinking"):
        assert thinking.get("budget_tokens", 0) < said.get("max_tokens", 10**9)
    if any(block["type"] == "tool_use" for turn in turns for block in turn["content"]):
        assert said["tools"]
    assert dumps(said).count(b'"cache_control"') <= 4


@given(CONVERSATIONS)
def test_what_was_said_once_is_said_the_same_again(conversation: Conversation) -> None:
    """What is lost is lost at the first writing: reading and writing back changes nothing more."""
    first = MESSAGES.encode("chat", conversation)
    again = MESSAGES.decode("chat", first.fields)
    second = MESSAGES.encode("chat", again)
    assert second.fields == first.fields
    assert second.dropped == ()
    assert MESSAGES.decode("chat", second.fields) == again


@given(CONVERSATIONS)
def test_every_conversation_survives_chat_completions_between(conversation: Conversation) -> None:
    over = Chat().encode("chat", conversation)
    found = Chat().decode("chat", parse(dumps(over.fields)))
    assert isinstance(found, Conversation)
    PARAMS.validate_python({"max_tokens": 9, **body(MESSAGES.encode("chat", found)), "model": "m"})
