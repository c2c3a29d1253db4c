"""Requests of Messages → conversations."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.dialects import Messages
from llmrouter.dialects.common import dumps, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import CacheMark, Conversation, File, Image, Message, Part, Text, Thought, ToolCall, ToolOutput

NAME = "anthropic.messages"
MESSAGES = Messages()


def read(**body: Any) -> Conversation:
    found = MESSAGES.decode("chat", parse(dumps({"model": "m", "messages": [], **body})))
    assert isinstance(found, Conversation)
    return found


def parts(*blocks: dict[str, Any], role: str = "user") -> tuple[Part, ...]:
    (message,) = read(messages=[{"role": role, "content": list(blocks)}]).messages
    return message.parts


def test_a_text_alone_and_a_list_of_it_mean_the_same() -> None:
    said = read(system="be", messages=[{"role": "user", "content": "hi"}])
    assert said == read(
        system=[{"type": "text", "text": "be"}],
        messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    )
    assert said.messages == (Message("system", (Text("be"),)), Message("user", (Text("hi"),)))


def test_what_the_system_says_between_the_turns_keeps_its_place() -> None:
    said = read(messages=[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}])
    assert [message.role for message in said.messages] == ["user", "system"]


def test_media_become_addresses() -> None:
    png = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}
    text = {"type": "text", "media_type": "text/plain", "data": "hé"}
    assert parts(
        {"type": "image", "source": png},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/y"}},
        {"type": "document", "source": pdf, "title": "T"},
        {"type": "document", "source": text, "context": "Mind this."},
        {"type": "document", "source": {"type": "url", "url": "https://x.example/z"}, "title": None},
        {"type": "document", "source": {"type": "content", "content": "plainly"}},
    ) == (
        Image("data:image/png;base64,AAAA"),
        Image("https://x.example/y"),
        File("data:application/pdf;base64,BBBB", "T"),
        Text("Mind this."),
        File("data:text/plain;base64,aMOp"),
        File("https://x.example/z"),
        Text("plainly"),
    )


def test_a_search_result_is_read_as_text() -> None:
    found = {
        "type": "search_result",
        "source": "https://x",
        "title": "X",
        "content": [{"type": "text", "text": "y"}],
    }
    assert parts(found) == (Text("X https://x\ny"),)


def test_calls_and_their_outputs() -> None:
    assert parts({"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}, role="assistant") == (
        ToolCall("t", "n", '{"a":1}'),
    )
    image = {"type": "image", "source": {"type": "url", "url": "https://x.example/y"}}
    assert parts(
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, image]},
        {"type": "tool_result", "tool_use_id": "u", "content": "plain", "is_error": True},
        {"type": "tool_result", "tool_use_id": "v"},
    ) == (
        ToolOutput("t", (Text("x"), Image("https://x.example/y"))),
        ToolOutput("u", (Text("plain"),), error=True),
        ToolOutput("v", ()),
    )


def test_thoughts_know_who_signed_them() -> None:
    assert parts(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "hm", "signature": "^llmrouter:gemini.generate#abc"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "redacted_thinking", "data": "^llmrouter:openai.responses#enc"},
        role="assistant",
    ) == (
        Thought("hm", "sig", NAME),
        Thought("hm", "abc", "gemini.generate"),
        Thought("hm"),
        Thought("", "xyz", NAME, redacted=True),
        Thought("", "enc", "openai.responses", redacted=True),
    )


def test_a_cache_mark_follows_what_it_marks() -> None:
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert parts(block, {**block, "cache_control": {"type": "ephemeral"}}) == (
        Text("x"), CacheMark("1h"), Text("x"), CacheMark(),
    )  # fmt: skip
    tool = {"name": "n", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    assert read(tools=[tool]).tools == ({"name": "n", "parameters": {"type": "object"}, "cache": ""},)


def test_what_cannot_be_said_is_left_by_its_place() -> None:
    said = read(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "container_upload", "file_id": "f"},
                    {"type": "image", "source": {"type": "file", "file_id": "f"}},
                    {"type": "image", "source": "nowhere"},
                    {"type": "text", "text": "x", "citations": [{}]},
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference"}]},
                ],
            }
        ],
        tools=[{"type": "bash_20250124", "name": "bash"}, {"name": "n", "input_schema": {}, "defer_loading": True}],
        context_management={"edits": []},
        output_config={"task_budget": 7},
        metadata={"user_id": "u", "other": 1},
    )
    place = "messages[0].content"
    assert list(said.options["extra"]) == [
        f"{place}[0].container_upload",
        f"{place}[1].image",
        f"{place}[2].image",
        f"{place}[3].citations",
        f"{place}[4].content[0].tool_reference",
        "tools[0]",
        "tools[1].defer_loading",
        "context_management",
        "metadata.other",
        "output_config.task_budget",
    ]
    assert said.options["extra_of"] == "anthropic"


def test_options_have_their_canonical_names() -> None:
    said = read(
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        output_config={"format": {"type": "json_schema", "schema": {"title": "A person", "type": "object"}}},
    )
    assert said.options == {
        "max_output": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "stop": ["END"],
        "user": "u",
        "service_tier": "default",
        "format": {
            "type": "json_schema",
            "name": "A_person",
            "schema": {"title": "A person", "type": "object"},
        },
    }


@pytest.mark.parametrize(
    ("thinking", "effort", "options"),
    [
        (None, None, {}),
        (None, "high", {"effort": "high"}),
        ({"type": "enabled", "budget_tokens": 2000}, None, {"thinking_budget": 2000}),
        ({"type": "enabled", "budget_tokens": 2000, "display": "omitted"}, None,
         {"thinking_budget": 2000, "thoughts": False}),
        ({"type": "adaptive", "display": "summarized"}, "max",
         {"effort": "max", "thinking_budget": -1, "thoughts": True}),
        ({"type": "between_tools"}, None, {"thinking_budget": -1}),
        ({"type": "disabled"}, "high", {"thinking_budget": 0}),
    ],
)  # fmt: skip
def test_thinking_is_a_budget_or_an_effort(thinking: Any, effort: Any, options: dict[str, Any]) -> None:
    assert read(thinking=thinking, output_config={"effort": effort}).options == options


@pytest.mark.parametrize(
    ("choice", "meant", "parallel"),
    [
        (None, "auto", None),
        ({"type": "auto"}, "auto", None),
        ({"type": "any"}, "required", None),
        ({"type": "none"}, "none", None),
        ({"type": "tool", "name": "n"}, "n", None),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto", False),
        ({"type": "of_2030"}, "auto", None),
    ],
)
def test_the_choice_of_tools(choice: Any, meant: str, parallel: bool | None) -> None:
    said = read(tool_choice=choice)
    assert (said.tool_choice, said.options.get("parallel_tools")) == (meant, parallel)


def test_a_tool_may_be_strict_and_may_have_nothing_to_say() -> None:
    tools = [{"name": "a", "input_schema": {"type": "object"}, "strict": True, "type": "custom"}, {"name": "b"}]
    assert read(tools=tools).tools == (
        {"name": "a", "parameters": {"type": "object"}, "strict": True},
        {"name": "b", "parameters": {}},
    )


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "tool_result"}]}], "messages[0].content[0].tool_use_id"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_place(messages: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(messages=messages)
    assert caught.value.param == param
