"""Items, tools and options of Responses ⇄ a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.dialects import Chat, Responses, loads
from llmrouter.dialects.common import dumps, parse
from llmrouter.dialects.responses_fitting import fit
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    CacheMark,
    Conversation,
    Encoded,
    Fields,
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

RESPONSES = Responses()
OWN = "openai.responses"
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "sun"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}


def fields(**body: Any) -> Fields:
    return parse(dumps({"model": "m", "input": "Hello"} | body))


def read(*items: Any, **body: Any) -> Conversation:
    conversation = RESPONSES.decode("chat", fields(input=list(items), **body))
    assert isinstance(conversation, Conversation)
    return conversation


def parts(*items: Any) -> tuple[Part, ...]:
    (message,) = read(*items).messages
    return message.parts


def left(conversation: Conversation) -> dict[str, Any]:
    extra: dict[str, Any] = conversation.options.get("extra", {})
    return extra


def written(*messages: Message, **more: Any) -> Encoded:
    return RESPONSES.encode("chat", Conversation(messages=messages, **more))


def said(encoded: Encoded) -> dict[str, Any]:
    return {name: loads(value) for name, value in encoded.fields.items()}


# --- read


def test_a_text_is_a_message_of_the_user() -> None:
    conversation = RESPONSES.decode("chat", fields(instructions="Be brief."))
    assert isinstance(conversation, Conversation)
    assert conversation.messages == (Message("system", (Text("Be brief."),)), Message("user", (Text("Hello"),)))


@pytest.mark.parametrize("type", [{}, {"type": "message"}])
@pytest.mark.parametrize(
    ("role", "becomes"),
    [("user", "user"), ("system", "system"), ("developer", "system"), ("assistant", "assistant")],
)
def test_messages_with_and_without_a_type_are_read(type: dict[str, str], role: str, becomes: str) -> None:
    assert read(type | {"role": role, "content": "x", "id": "msg_1"}).messages == (Message(becomes, (Text("x"),)),)  # type: ignore[arg-type]


def test_every_kind_of_part_is_read() -> None:
    content = [
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "1h"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BB", "filename": "b.pdf"},
        {"type": "input_file", "file_data": "CC"},
        {"type": "input_file", "file_url": "https://x.example/d"},
        {"type": "input_audio", "input_audio": {"data": "EE", "format": "mp3"}},
    ]
    assert parts({"role": "user", "content": content}) == (
        Text("a"),
        CacheMark("1h"),
        Image("data:image/png;base64,AA", "low"),
        File("data:application/pdf;base64,BB", "b.pdf"),
        File("data:application/pdf;base64,CC"),
        File("https://x.example/d"),
        File("data:audio/mp3;base64,EE"),
    )
    spoken = [{"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "no"}]
    assert parts({"role": "assistant", "content": spoken}) == (Text("a"), Refusal("no"))


def test_what_an_assistant_did_in_a_row_is_one_message_and_so_are_outputs() -> None:
    second = {"call_id": "c2"}
    said = {"role": "assistant", "content": "Looking."}
    conversation = read(
        USER, SEALED | {"encrypted_content": "e"}, said, CALL, CALL | second, OUTPUT, OUTPUT | second
    )
    assert conversation.messages == (
        Message("user", (Text("Hello"),)),
        Message(
            "assistant",
            (
                Thought("hm", "e", OWN),
                Text("Looking."),
                ToolCall("c1", "f", '{"a": 1}'),
                ToolCall("c2", "f", '{"a": 1}'),
            ),
        ),
        Message("user", (ToolOutput("c1", (Text("sun"),)), ToolOutput("c2", (Text("sun"),)))),
    )


def test_outputs_may_be_parts_or_anything_at_all() -> None:
    image = {"type": "input_image", "image_url": "data:,"}
    assert parts(OUTPUT | {"output": [{"type": "input_text", "text": "a"}, image]}) == (
        ToolOutput("c1", (Text("a"), Image("data:,"))),
    )
    assert parts(OUTPUT | {"output": {"a": 1}}) == (ToolOutput("c1", (Text('{"a":1}'),)),)


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    tool = {"type": "custom", "name": "sql", "description": "Asks.", "format": grammar}
    call = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": 'SELECT "x"'}
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "7"}
    conversation = read(USER, call, output, tools=[tool], tool_choice={"type": "custom", "name": "sql"})
    (found,) = conversation.tools
    assert found["parameters"]["required"] == ["input"]
    assert "start: X" in found["description"]
    assert conversation.tool_choice == "sql"
    assert conversation.messages[1].parts == (ToolCall("c1", "sql", '{"input":"SELECT \\"x\\""}'),)
    assert conversation.messages[2].parts == (ToolOutput("c1", (Text("7"),)),)
    assert left(conversation) == {}


def test_a_namespace_is_flattened_in_tools_calls_and_choice() -> None:
    space = {"type": "namespace", "name": "ns", "description": "Many.", "tools": [FUNCTION]}
    choice = {"type": "function", "name": "f", "namespace": "ns"}
    conversation = read(USER, CALL | {"namespace": "ns"}, tools=[space], tool_choice=choice)
    assert [tool["name"] for tool in conversation.tools] == ["ns__f"]
    assert conversation.tool_choice == "ns__f"
    assert conversation.messages[1].parts == (ToolCall("c1", "ns__f", '{"a": 1}'),)
    assert left(conversation) == {"tools[0].description": "Many."}


def test_allowed_tools_are_all_there_is_to_choose_from() -> None:
    tools = [FUNCTION, FUNCTION | {"name": "g"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    conversation = read(USER, tools=tools, tool_choice=choice)
    assert ([tool["name"] for tool in conversation.tools], conversation.tool_choice) == (["g"], "required")


def test_tools_that_items_bring_along_are_tools() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}
    assert [tool["name"] for tool in read(USER, item).tools] == ["f"]


def test_what_a_vendor_does_itself_is_named_and_dropped() -> None:
    items = [USER, {"type": "web_search_call", "id": "ws_1"}, {"type": "of next year"}]
    conversation = read(*items, tools=[{"type": "web_search"}], tool_choice={"type": "web_search"})
    encoded = Chat().encode("chat", conversation)
    assert encoded.dropped == (
        "input.web_search_call", "input.of next year", "tools.web_search", "tool_choice",
    )  # fmt: skip


def test_options_have_their_canonical_names() -> None:
    conversation = read(
        USER,
        temperature=0.5,
        max_output_tokens=99,
        parallel_tool_calls=False,
        prompt_cache_key="k",
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": None}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto", "context": "all_turns"},
        include=["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.results"],
        store=True,
        truncation="auto",
    )
    assert conversation.options == {
        "temperature": 0.5,
        "max_output": 99,
        "parallel_tools": False,
        "cache_key": "k",
        "format": {"type": "json_schema", "name": "n", "schema": {}},
        "verbosity": "low",
        "effort": "high",
        "thoughts": True,
        "logprobs": True,
        "extra": {
            "truncation": "auto",
            "reasoning.context": "all_turns",
            "include[].web_search_call.results": True,
        },
        "extra_of": "responses",
    }


# --- signatures


@pytest.mark.parametrize(
    ("encrypted", "thought"),
    [
        ("gAAA", Thought("hm", "gAAA", OWN)),
        ("^llmrouter:anthropic.messages#c2ln", Thought("hm", "c2ln", "anthropic.messages")),
        ("^llmrouter:anthropic.messages#redacted:c2ln", Thought("hm", "c2ln", "anthropic.messages", redacted=True)),
    ],
)
def test_a_signature_comes_back_with_its_vendor(encrypted: str, thought: Thought) -> None:
    assert parts(SEALED | {"encrypted_content": encrypted}) == (thought,)


def test_the_signature_of_a_call_comes_back_before_it() -> None:
    seal = {"type": "reasoning", "summary": [], "encrypted_content": "^llmrouter:gemini.generate#call:c2ln"}
    assert parts(seal, CALL, CALL | {"call_id": "c2"}) == (
        ToolCall("c1", "f", '{"a": 1}', "c2ln", "gemini.generate"),
        ToolCall("c2", "f", '{"a": 1}'),
    )


def test_a_thought_without_words_is_all_signature() -> None:
    assert parts(SEALED | {"summary": [], "encrypted_content": "gAAA"}) == (
        Thought("", "gAAA", OWN, redacted=True),
    )
    content = {"summary": [], "content": [{"type": "reasoning_text", "text": "raw"}]}
    assert parts(SEALED | content) == (Thought("raw"),)


# --- written


def test_what_leads_as_the_systems_word_is_instructions() -> None:
    system, user = Message("system", (Text("a"),)), Message("user", (Text("b"),))
    assert said(written(system, system, user, system)) == {
        "instructions": "a\n\na",
        "input": [
            {"type": "message", "role": "user", "content": "b"},
            {"type": "message", "role": "system", "content": "a"},
        ],
    }


def test_parts_become_items_in_their_order() -> None:
    spoken = Message(
        "assistant",
        (
            Thought("hm", "gAAA", OWN),
            Text("x"),
            Refusal("no"),
            ToolCall("c1", "f", "{}"),
            Thought("not ours", "c2ln", "anthropic.messages"),
        ),
    )
    heard = Message("user", (ToolOutput("c1", (Text("a"), Image("data:,")), error=True), Text("b"), CacheMark()))
    encoded = written(spoken, heard)
    assert said(encoded)["input"] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gAAA",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "no"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:,", "detail": "auto"},
            ],
        },
        {"type": "message", "role": "user", "content": "b"},
    ]
    assert encoded.dropped == ("messages.thought", "messages.tool_output.error", "messages.cache_control")


def test_files_and_sounds_are_written() -> None:
    files = (File("data:application/pdf;base64,AA"), File("https://x.example/b"), File("data:audio/wav;base64,CC"))
    (message,) = said(written(Message("user", files)))["input"]
    assert message["content"] == [
        {"type": "input_file", "filename": "file", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_file", "file_url": "https://x.example/b"},
        {"type": "input_audio", "input_audio": {"data": "CC", "format": "wav"}},
    ]


def test_tools_say_whether_they_are_strict() -> None:
    tools = ({"name": "f", "parameters": {}, "cache": ""}, {"name": "g", "strict": True})
    encoded = written(Message("user", (Text("x"),)), tools=tools, tool_choice="f")
    found = said(encoded)
    assert [tool["strict"] for tool in found["tools"]] == [False, True]
    assert found["tool_choice"] == {"type": "function", "name": "f"}
    assert encoded.dropped == ("tools.cache_control",)


def test_options_are_written_in_their_places() -> None:
    options = {
        "max_output": 5,
        "format": {"type": "json_schema", "schema": {}},
        "verbosity": "low",
        "thinking_budget": 1024,
        "thoughts": True,
        "parallel_tools": True,
        "stop": ["x"],
        "seed": 7,
        "extra": {"store": True, "messages[0].name": "n"},
        "extra_of": "openai",
    }
    encoded = written(Message("user", (Text("x"),)), options=options)
    assert said(encoded) == {
        "input": [{"type": "message", "role": "user", "content": "x"}],
        "max_output_tokens": 16,
        "text": {"format": {"type": "json_schema", "schema": {}, "name": "answer"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    assert encoded.dropped == ("stop", "seed", "store", "messages.name")


def test_names_and_ids_that_do_not_fit_are_changed_and_known_again() -> None:
    long = "c" * 80
    call = Message("assistant", (ToolCall(long, "mcp.read/file", "{}"),))
    output = Message("user", (ToolOutput(long, (Text("x"),)),))
    tools = ({"name": "mcp.read/file"}, {"name": "fine"})
    encoded = written(call, output, tools=tools, tool_choice="mcp.read/file")
    found = said(encoded)
    assert encoded.renamed == {"mcp_read_file": "mcp.read/file"}
    assert [tool["name"] for tool in found["tools"]] == ["mcp_read_file", "fine"]
    assert found["tool_choice"]["name"] == found["input"][0]["name"] == "mcp_read_file"
    assert found["input"][0]["call_id"] == found["input"][1]["call_id"] == "c" * 64
    plain = Conversation(messages=(output,))
    assert fit(Conversation(messages=(Message("user", (Text("x"),)),)))[1] == {}
    assert fit(plain)[0].messages != plain.messages


def test_reading_and_writing_back_says_the_same() -> None:
    asked = {
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "user", "content": "Hello"},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        ],
        "tools": [FUNCTION | {"description": "d"}],
        "tool_choice": "required",
        "temperature": 0.5,
        "truncation": "auto",
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    again = RESPONSES.encode("chat", RESPONSES.decode("chat", fields(**asked)))
    assert (said(again), again.dropped) == (asked, ())


def test_it_says_conversations_only() -> None:
    with pytest.raises(InvalidRequest):
        RESPONSES.encode("chat", Inputs(("x",)))
