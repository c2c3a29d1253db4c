from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Chat
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Conversation,
    Encoded,
    Image,
    Inputs,
    Message,
    Refusal,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
)

CHAT = Chat()
USER = {"role": "user", "content": "hi"}
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SOME = WORDS.filter(bool)
CALL = st.fixed_dictionaries(
    {
        "id": NAMES,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": NAMES, "arguments": st.just('{"a":1}')}),
    }
)
PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}),
    st.fixed_dictionaries(
        {
            "type": st.just("image_url"),
            "image_url": st.fixed_dictionaries(
                {"url": WORDS}, optional={"detail": st.sampled_from(["low", "high"])}
            ),
        }
    ),
)
USERS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system"]), "content": WORDS | st.lists(PARTS, min_size=2, max_size=4)}
)
ASSISTANTS = st.one_of(
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": WORDS},
        optional={"reasoning_content": SOME, "refusal": SOME, "tool_calls": st.lists(CALL, min_size=1, max_size=2)},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": st.none(), "tool_calls": st.lists(CALL, min_size=1, max_size=3)}
    ),
)
TOOLS = st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": NAMES, "content": WORDS})
TOOL = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": NAMES}, optional={"description": WORDS, "parameters": st.just({"type": "object"})}
        ),
    }
)
NUMBER = st.floats(0, 2, allow_nan=False)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": NUMBER, "top_p": NUMBER, "presence_penalty": NUMBER, "frequency_penalty": NUMBER,
    "max_completion_tokens": st.integers(1, 999), "seed": st.integers(0, 9), "n": st.integers(1, 3),
    "top_k": st.integers(1, 99),
    "logprobs": st.booleans(), "top_logprobs": st.integers(0, 5), "logit_bias": st.just({"5": -1}),
    "user": SOME, "metadata": st.dictionaries(NAMES, WORDS, max_size=2), "verbosity": st.just("low"),
    "service_tier": st.just("flex"), "reasoning_effort": st.sampled_from(["low", "high"]),
    "prompt_cache_key": SOME, "stop": st.lists(SOME, min_size=1, max_size=3), "store": st.booleans(),
    "safety_identifier": SOME, "made_up": st.just({"x": [1, None]}),
    "response_format": st.sampled_from(
        [
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}},
        ]
    ),
}  # fmt: skip
MESSAGES = st.lists(USERS | ASSISTANTS | TOOLS, min_size=1, max_size=5)
REQUESTS = st.one_of(
    st.fixed_dictionaries({"messages": MESSAGES}, optional=OPTIONS),
    st.fixed_dictionaries(
        {"messages": MESSAGES, "tools": st.lists(TOOL, min_size=1, max_size=2)},
        optional=OPTIONS
        | {
            "tool_choice": st.sampled_from(["none", "required", {"type": "function", "function": {"name": "f"}}]),
            "parallel_tool_calls": st.booleans(),
        },
    ),
)


def decoded(**body: Any) -> Conversation:
    payload = CHAT.decode("chat", parse(dumps({"model": "m", "messages": [USER]} | body)))
    assert isinstance(payload, Conversation)
    return payload


def said(encoded: Encoded) -> dict[str, Any]:
    return {name: loads(value) for name, value in encoded.fields.items()}


def again(**body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    encoded = CHAT.encode("chat", decoded(**body))
    return said(encoded), encoded.dropped


def message(**wire: Any) -> Message:
    return decoded(messages=[wire]).messages[0]


@given(REQUESTS)
def test_what_is_read_is_written_back_the_same(body: dict[str, Any]) -> None:
    assert again(**body) == (body, ())


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"messages": [{"role": "developer", "content": "d"}]}, {"messages": [{"role": "system", "content": "d"}]}),
        ({"messages": [USER | {"content": [{"type": "text", "text": "hi"}]}]}, {"messages": [USER]}),
        ({"messages": [USER | {"content": None}]}, {"messages": [USER | {"content": ""}]}),
        ({"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_completion_tokens": 6}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_completion_tokens": 6}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": []}, {}),
        ({"temperature": None, "made_up": None, "tool_choice": None, "tools": []}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": None}, {}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {}),
        ({"stream": True, "stream_options": {"include_usage": True}, "llmrouter": {"task": "x"}}, {}),
    ],
)
def test_the_documented_differences(given: dict[str, Any], written: dict[str, Any]) -> None:
    assert again(**given) == ({"messages": [USER]} | written, ())


TOOL_F = {"type": "function", "function": {"name": "f"}}
TOOL_G = {"type": "function", "function": {"name": "g"}}


def test_auto_is_the_choice_where_nothing_is_said() -> None:
    assert again(tools=[TOOL_F], tool_choice="auto") == ({"messages": [USER], "tools": [TOOL_F]}, ())
    assert decoded(tools=[TOOL_F]).tool_choice == "auto"


def test_allowed_tools_leave_those_tools() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL_G]}}
    found = decoded(tools=[TOOL_F, TOOL_G], tool_choice=choice)
    assert (found.tools, found.tool_choice) == (({"name": "g"},), "required")


def test_what_a_conversation_cannot_say_is_kept_in_extra_and_reported() -> None:
    parts = [
        {"type": "text", "text": "t", "made_up": {"type": "ephemeral"}},
        {"type": "video_url", "video_url": {"url": "A"}},
        {"type": "file", "file": {"file_id": "f"}},
    ]
    calls = [{"id": "c", "type": "custom", "custom": {"name": "c", "input": "x"}}]
    messages = [
        {"role": "user", "content": parts, "name": "bob"},
        {"role": "assistant", "content": None, "tool_calls": calls},
    ]
    custom = {"type": "custom", "custom": {"name": "c"}}
    choice = {"type": "custom", "custom": {"name": "c"}}
    found = decoded(messages=messages, tools=[custom, TOOL_F | {"x": 1}], tool_choice=choice, store=True)
    assert found.options["extra"] == {
        "messages[0].name": "bob",
        "messages[0].content[0].made_up": {"type": "ephemeral"},
        "messages[0].content[1].video_url": parts[1],
        "messages[0].content[2].file": parts[2],
        "messages[1].tool_calls[0]": calls[0],
        "tools[0]": custom,
        "tools[1].x": 1,
        "tool_choice[]": choice,
        "store": True,
    }
    encoded = CHAT.encode("chat", found)
    assert encoded.dropped == (
        "messages.name", "messages.content.made_up", "messages.content.video_url", "messages.content.file",
        "messages.tool_calls", "tools", "tools.x", "tool_choice",
    )  # fmt: skip
    assert said(encoded)["store"] is True


def test_requests_that_differ_in_what_cannot_be_said_differ_as_conversations() -> None:
    one, other = ({"type": "video_url", "video_url": {"url": data}} for data in "AB")
    assert decoded(messages=[USER | {"content": [one]}]) != decoded(messages=[USER | {"content": [other]}])


def test_every_part_of_an_assistant_message_has_its_place() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    parts = [{"type": "text", "text": "t"}, {"type": "refusal", "refusal": "no"}]
    found = message(role="assistant", reasoning="hm", content=parts, tool_calls=[call], refusal="never")
    expected = (Thought("hm"), Text("t"), Refusal("no"), Refusal("never"), ToolCall("c", "f", "{}"))
    assert found == Message("assistant", expected)


def test_tool_outputs_are_of_the_user() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    found = message(role="tool", tool_call_id="c", content=content)
    assert found == Message("user", (ToolOutput("c", (Text("a"), Text("b"))),))


def test_the_old_form_of_calls_is_read_by_the_functions_name() -> None:
    call = message(role="assistant", content=None, function_call={"name": "f", "arguments": "{}"})
    assert call.parts == (ToolCall("f", "f", "{}"),)
    assert message(role="function", name="f", content="x").parts == (ToolOutput("f", (Text("x"),)),)


def test_arguments_that_came_as_an_object_become_text() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    assert message(role="assistant", tool_calls=[call]).parts == (ToolCall("c", "f", '{"a":1}'),)


def test_an_image_may_be_a_bare_string() -> None:
    assert message(role="user", content=[{"type": "image_url", "image_url": "u"}]).parts == (Image("u"),)


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        ("hi", "messages[0]"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"role": "assistant", "content": "", "tool_calls": {}}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages[0].tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "messages[0].tool_calls[0].id"),
        ({"role": "assistant", "content": "", "refusal": 1}, "messages[0].refusal"),
        ({"role": "assistant", "function_call": "f"}, "messages[0].function_call"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
    ],
)
def test_messages_that_cannot_be_understood_are_refused_with_their_place(wire: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(messages=[wire])
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"response_format": 1}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_options_that_cannot_be_understood_are_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded(**body)
    assert caught.value.param == param


@pytest.mark.parametrize("depth", range(850, 1010, 3))
def test_a_body_just_too_deep_is_refused_wherever_it_is_noticed(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for name in (b"messages", b"tools", b"made_up", b"llmrouter"):
        body = b'{"model":"m","messages":[{"role":"user","x":1}],"tools":[],"made_up":1}'
        place = {b"messages": b'"x":1', b"tools": b'"tools":[]'}.get(name, b'"made_up":1')
        key = place.partition(b":")[0] if name != b"llmrouter" else b'"llmrouter"'
        with contextlib.suppress(InvalidRequest):
            fields = parse(body.replace(place, key + b":" + deep))
            CHAT.facts("chat", fields, {})
            CHAT.encode("chat", CHAT.decode("chat", fields))


NAMED = (
    "role content type text image_url url refusal tool_calls function name arguments id allowed_tools tools mode"
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["user", "assistant", "tool", "text", "function", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMED.split()), inner, max_size=5),
    max_leaves=16,
)


@given(st.dictionaries(st.sampled_from(["messages", "tools", "tool_choice", "response_format", *OPTIONS]), JSON))
def test_no_body_whatever_is_another_exception(body: dict[str, Any]) -> None:
    fields = parse(dumps({"model": "m", "messages": [USER]} | body))
    with contextlib.suppress(InvalidRequest):
        CHAT.facts("chat", fields, {})
    with contextlib.suppress(InvalidRequest):
        CHAT.encode("chat", CHAT.decode("chat", fields))


def written(*messages: Message, **options: Any) -> tuple[list[Any], tuple[str, ...]]:
    encoded = CHAT.encode("chat", Conversation(messages=messages, options=options))
    return said(encoded)["messages"], encoded.dropped


def test_outputs_become_messages_of_their_own_and_their_images_follow() -> None:
    outputs = ToolOutput("a", (Text("x"), Image("u"))), ToolOutput("b", (), error=True)
    found, dropped = written(Message("user", (*outputs, Text("and now?"))))
    assert found == [
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and now?"},
                {"type": "image_url", "image_url": {"url": "u"}},
            ],
        },
    ]
    assert dropped == ("messages.tool_output.error",)


def test_what_only_another_vendor_understands_is_reported() -> None:
    found, dropped = written(Message("assistant", (Thought("t", "sig"), Text("x"))), budget_tokens=9)
    assert found == [{"role": "assistant", "content": "x", "reasoning_content": "t"}]
    assert dropped == ("messages.thought.signature", "budget_tokens")
    assert written(Message("user", (Thought("t"),))) == ([{"role": "user", "content": ""}], ("messages.thought",))


def test_empty_messages_stay_messages() -> None:
    assert written(Message("assistant", ()))[0] == [{"role": "assistant", "content": ""}]
    assert written(Message("user", ()))[0] == [{"role": "user", "content": ""}]


def test_inputs_are_no_conversation() -> None:
    with pytest.raises(InvalidRequest, match="conversations only"):
        CHAT.encode("chat", Inputs(("x",)))
