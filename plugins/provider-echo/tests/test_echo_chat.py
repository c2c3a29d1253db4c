"""Chat completions: what is said, in which form, and within which limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
TOOLS = [WEATHER, TIME]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def folded(events: list[dict[str, Any]], index: int = 0) -> dict[str, Any]:
    """A stream put together again, as a client does it."""
    message: dict[str, Any] = {"content": "", "refusal": "", "calls": {}, "finish": None}
    for event in events:
        for choice in event["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["refusal"] += delta.get("refusal") or ""
            for call in delta.get("tool_calls", ()):
                known = message["calls"].setdefault(call["index"], {"id": call.get("id"), "arguments": ""})
                known["name"] = call["function"].get("name", known.get("name"))
                known["arguments"] += call["function"]["arguments"]
            message["finish"] = choice["finish_reason"] or message["finish"]
    return message


# --- what is said


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("What is 2+2?", "2+2 = 4"),
        ("compute (3 + 4) * 2 please", "(3 + 4) * 2 = 14"),
        ("10 / 4", "10 / 4 = 2.5"),
        ("6 × 7", "6 × 7 = 42"),
        ("Say this is a test", "this is a test"),
        ('please repeat: "one two"', "one two"),
        ("How many words: a b c d", "4 words."),
        ("hello", "You said: “hello” (1 word)."),
        ("What is 1/0?", "You said: “What is 1/0?” (3 words)."),
        ("on 2025-01-31", "You said: “on 2025-01-31” (2 words)."),
        ("say", "You said: “say” (1 word)."),
        ("say ''", "Nothing."),
        ("", "You said: “” (0 words)."),
    ],
)
def test_a_prompt_gets_a_sensible_answer(client: Any, prompt: str, answer: str) -> None:
    assert client.says(prompt) == answer


def test_a_long_prompt_is_quoted_in_part(client: Any) -> None:
    assert client.says("word " * 5_000).endswith("…” (5000 words).")


@pytest.mark.parametrize("evil", ["(" * 100_000, "1" * 100_000, "1+" * 50_000, "write " * 20_000, " " * 100_000])
def test_a_hostile_prompt_takes_no_time(client: Any, evil: str) -> None:
    assert client.says(evil)


def test_a_text_of_so_many_words_is_written(client: Any) -> None:
    assert len(client.says("Write a story of 300 words").split()) == 300
    assert len(client.says("write 999999 words").split()) == 2_000


def test_images_and_other_parts_are_mentioned(client: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    sound = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    assert client.says([image, {"type": "text", "text": "say ok"}, image]) == "I see 2 images. ok"
    assert client.says([image]) == "I see 1 image."
    assert client.says([sound, {"type": "text", "text": "say ok"}]) == "I got 1 attachment. ok"


def test_the_last_user_message_is_answered(client: Any) -> None:
    messages = [
        {"role": "system", "content": "say system"},
        {"role": "user", "content": "say first"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "say second"},
    ]
    assert client.says("", messages=messages) == "second"
    assert client.says("", messages=[{"role": "developer", "content": "say alone"}]) == "alone"


def test_it_refuses_when_asked_to(client: Any) -> None:
    message = client.chat("Refuse to do this")["message"]
    assert message["content"] is None
    assert "can't help" in message["refusal"]
    stream = folded(client.events("chat", messages=user("please refuse")))
    assert stream["refusal"] == message["refusal"]
    assert stream["content"] == ""
    assert client.says("why was my connection refused?")


def test_the_same_request_gets_the_same_answer_and_n_gets_different_ones(client: Any) -> None:
    assert client.says("hello", seed=1) == client.says("hello", seed=1) != client.says("hello", seed=2)
    several = client.post("chat", messages=user("hello"), n=3)
    assert len({choice["message"]["content"] for choice in several["choices"]}) == 3
    assert [choice["index"] for choice in several["choices"]] == [0, 1, 2]


# --- its form


CASES: list[dict[str, Any]] = [
    {"messages": user("hello")},
    {"messages": user("hello!"), "n": 3},
    {"messages": user("refuse")},
    {"messages": user("get_weather and get_time"), "tools": TOOLS},
    {"messages": user("hello"), "logprobs": True, "top_logprobs": 3},
    {"messages": user("refuse"), "logprobs": True},
    {"messages": user("a person"), "response_format": {"type": "json_object"}},
    {"messages": user("write 100 words"), "max_tokens": 7},
    {"messages": user("hello"), "tools": None, "tool_choice": None, "stop": None, "seed": None, "unknown": 1},
]


@pytest.mark.parametrize("body", CASES, ids=range(len(CASES)))
def test_plain_answer_and_stream_are_what_the_sdk_takes_and_say_the_same(client: Any, body: dict[str, Any]) -> None:
    whole = client.post("chat", **body)
    ChatCompletion.model_validate(whole)
    events = client.events("chat", **body, stream_options={"include_usage": True})
    for event in events:
        ChatCompletionChunk.model_validate(event)
    for choice in whole["choices"]:
        stream = folded(events, choice["index"])
        message = choice["message"]
        assert stream["content"] == (message["content"] or "")
        assert stream["refusal"] == (message["refusal"] or "")
        assert stream["finish"] == choice["finish_reason"]
        called = [(one["id"], one["function"]["arguments"]) for one in message.get("tool_calls", ())]
        assert [(one["id"], one["arguments"]) for one in stream["calls"].values()] == called
    assert events[-1]["usage"] == whole["usage"]
    assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + whole["usage"]["completion_tokens"]


def test_a_stream_begins_with_the_role_and_ends_with_the_usage_when_asked(client: Any) -> None:
    events = client.events("chat", messages=user("hello"), stream_options={"include_usage": True})
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all(event["usage"] is None for event in events[:-1])
    assert events[-1]["choices"] == []
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
    assert not any("usage" in event for event in client.events("chat", messages=user("hello")))


def test_a_token_is_four_characters(client: Any) -> None:
    body = client.post("chat", messages=user("say 0123456789"))
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    tokens = [
        event["choices"][0]["delta"].get("content") for event in client.events("chat", messages=user("say 012345"))
    ]
    assert tokens == ["", "0123", "45", None]


def test_log_probabilities_belong_to_the_tokens(client: Any) -> None:
    entries = client.chat("say 0123456789", logprobs=True, top_logprobs=2)["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["0123", "4567", "89"]
    for entry in entries:
        assert -1 < entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode() == entry["token"]
        likeliest, other = entry["top_logprobs"]
        assert likeliest["token"] == entry["token"]
        assert other["logprob"] < likeliest["logprob"]
    assert client.chat("hello")["logprobs"] is None


# --- limits


def test_max_tokens_cuts_and_says_so(client: Any) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        choice = client.chat("write 100 words", **{name: 5})
        assert choice["finish_reason"] == "length"
        assert len(choice["message"]["content"]) == 20
    assert client.chat("say hi", max_tokens=5)["finish_reason"] == "stop"
    assert client.post("chat", messages=user("write 9 words"), max_tokens=2)["usage"]["completion_tokens"] == 2


def test_a_stop_sequence_ends_the_answer_before_it(client: Any) -> None:
    assert client.says("say one two three", stop="two") == "one "
    assert client.says("say one two three", stop=["three", "one two"]) == ""
    assert client.says("say one two three", stop=["four", ""]) == "one two three"
    assert client.chat("say one two three", stop="two")["finish_reason"] == "stop"


def test_a_call_that_is_cut_off_says_so(client: Any) -> None:
    choice = client.chat("get_weather", tools=TOOLS, max_tokens=4)
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["tool_calls"][0]["function"]["arguments"]) == 4


# --- tools


def names(choice: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for call in choice["message"].get("tool_calls", ())]


def test_a_tool_is_called_when_the_prompt_names_it(client: Any) -> None:
    choice = client.chat("What does get_weather say?", tools=TOOLS)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert names(choice) == ["get_weather"]
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "city", "unit": "C"}
    assert names(client.chat("please Get Weather now", tools=TOOLS)) == ["get_weather"]
    assert names(client.chat("what is forget_weather?", tools=TOOLS)) == []


def test_several_tools_are_called_side_by_side_unless_that_is_not_wanted(client: Any) -> None:
    choice = client.chat("use get_time and get_weather", tools=TOOLS)
    assert names(choice) == ["get_weather", "get_time"]
    assert len({call["id"] for call in choice["message"]["tool_calls"]}) == 2
    alone = client.chat("use get_time and get_weather", tools=TOOLS, parallel_tool_calls=False)
    assert names(alone) == ["get_weather"]


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
        ({"type": "function", "name": "get_time"}, ["get_time"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TIME]}},
            ["get_time"],
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TIME]}}, []),
    ],
)
def test_the_tool_choice_is_kept(client: Any, choice: Any, called: list[str]) -> None:
    assert names(client.chat("hello", tools=TOOLS, tool_choice=choice)) == called
    if choice == "none":
        assert names(client.chat("get_time", tools=TOOLS, tool_choice=choice)) == []


def test_results_of_tools_are_used(client: Any) -> None:
    called = client.chat("get_weather and get_time", tools=TOOLS)["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['function']['name']}"}
        for call in called["tool_calls"]
    ]
    messages = [*user("get_weather and get_time"), called, *results]
    answer = client.chat(messages=messages, tools=TOOLS)
    assert answer["finish_reason"] == "stop"
    assert (
        answer["message"]["content"]
        == "Get_weather returned: result of get_weather; get_time returned: result of get_time"
    )
    again = client.chat(messages=messages, tools=TOOLS, tool_choice="required")
    assert again["finish_reason"] == "tool_calls"
    assert client.says("", messages=[*messages, *user("say done")]) == "done"


def test_a_custom_tool_gets_text_and_unknown_kinds_are_let_be(client: Any) -> None:
    tools = [
        {"type": "custom", "custom": {"name": "run"}},
        {"type": "web_search"},
        {"type": "namespace", "name": "x"},
    ]
    call = client.chat("run this", tools=tools)["message"]["tool_calls"][0]
    assert call["custom"] == {"name": "run", "input": "run this"}
    deltas = [
        event["choices"][0]["delta"] for event in client.events("chat", messages=user("run this"), tools=tools)
    ]
    fragments = [one["tool_calls"][0]["custom"]["input"] for one in deltas if "tool_calls" in one]
    assert "".join(fragments) == "run this"


def test_a_tool_whose_schema_has_no_value_is_called_with_nothing(client: Any) -> None:
    tool = {
        "type": "function",
        "function": {"name": "odd", "parameters": {"required": ["x"], "properties": {"x": False}}},
    }
    bare = {"type": "function", "function": {"name": "bare"}}
    calls = client.chat("odd and bare", tools=[tool, bare])["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "{}"]


# --- structured answers


def test_an_answer_follows_its_schema(client: Any) -> None:
    format = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    assert json.loads(client.says("somebody", response_format=format)) == {"name": "name", "age": 18}


def test_a_json_object_holds_the_answer(client: Any) -> None:
    assert json.loads(client.says("2+2", response_format={"type": "json_object"})) == {"answer": "2+2 = 4"}
    assert client.says("2+2", response_format={"type": "text"}) == "2+2 = 4"


# --- what is not taken


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages.[0].content"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "call_1"}]}, "messages.[0].role"),
        ({"messages": user("x"), "temperature": 3}, "temperature"),
        ({"messages": user("x"), "top_p": -1}, "top_p"),
        ({"messages": user("x"), "n": 0}, "n"),
        ({"messages": user("x"), "n": "two"}, "n"),
        ({"messages": user("x"), "max_tokens": 0}, "max_tokens"),
        ({"messages": user("x"), "stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": user("x"), "top_logprobs": 2}, "top_logprobs"),
        ({"messages": user("x"), "stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": user("x"), "tool_choice": "required"}, "tool_choice"),
        ({"messages": user("x"), "tools": TOOLS, "tool_choice": "always"}, "tool_choice"),
        (
            {
                "messages": user("x"),
                "tools": TOOLS,
                "tool_choice": {"type": "function", "function": {"name": "no"}},
            },
            "tool_choice",
        ),
        (
            {"messages": user("x"), "tools": TOOLS, "tool_choice": {"type": "function", "function": 7}},
            "tool_choice",
        ),
        ({"messages": user("x"), "tools": [{"type": "function"}]}, "tools"),
        (
            {"messages": user("x"), "tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
        ),
        ({"messages": user("x"), "response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": user("x"), "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {
                "messages": user("x"),
                "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "odd"}}},
            },
            "response_format.json_schema.schema",
        ),
    ],
)
def test_nonsense_is_refused_and_the_field_is_named(client: Any, body: dict[str, Any], param: str) -> None:
    status, error = client.refused("chat", **body)
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
