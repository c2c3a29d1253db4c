from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Generate, get, parse
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect, Remembers
from llmrouter.types import (
    CacheMark,
    Conversation,
    Encoded,
    Fields,
    File,
    Image,
    Message,
    Part,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
)

GEMINI: Dialect = Generate()
OWN = "gemini.generate"
PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


def body(*contents: Any, **more: Any) -> Fields:
    return parse(json.dumps({"contents": [*contents], **more}).encode())


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [*parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [*parts]}


def written(*messages: Message, **more: Any) -> Encoded:
    return GEMINI.encode("chat", Conversation(messages=messages, **more))


def contents(encoded: Encoded) -> Any:
    return get(encoded.fields, "contents")


def said(encoded: Encoded, name: str) -> Any:
    return get(encoded.fields, name)


# --- written


def test_the_system_speaks_first_and_later_as_the_user() -> None:
    encoded = written(
        Message("system", (Text("one"),)),
        Message("system", (Text("two"),)),
        Message("user", (Text("hi"),)),
        Message("system", (Text("later"),)),
    )
    assert said(encoded, "systemInstruction") == {"parts": [{"text": "one"}, {"text": "two"}]}
    assert contents(encoded) == [user({"text": "hi"}, {"text": "later"})]


def test_a_system_alone_is_what_the_user_said() -> None:
    encoded = written(Message("system", (Text("do"),)))
    assert (contents(encoded), said(encoded, "systemInstruction")) == ([user({"text": "do"})], None)


def test_roles_alternate_and_nothing_is_empty() -> None:
    encoded = written(
        Message("assistant", (Text("hello"),)),
        Message("user", (Text(""),)),
        Message("user", (Text("a"),)),
        Message("user", (Text("b"),)),
        Message("assistant", ()),
    )
    assert contents(encoded) == [user({"text": " "}), model({"text": "hello"}), user({"text": "a"}, {"text": "b"})]


def test_outputs_name_the_function_that_was_called() -> None:
    encoded = written(
        Message("user", (Text("go"),)),
        Message("assistant", (ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g", ""))),
        Message("user", (ToolOutput("c2", (Text("two"),)), ToolOutput("c1", (Text("one"),), error=True))),
    )
    assert contents(encoded)[1:] == [
        model(
            {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
            {"functionCall": {"id": "c2", "name": "g", "args": {}}},
        ),
        user(
            {"functionResponse": {"id": "c2", "name": "g", "response": {"output": "two"}}},
            {"functionResponse": {"id": "c1", "name": "f", "response": {"error": "one"}}},
        ),
    ]


def test_pictures_of_an_output_stand_beside_it() -> None:
    picture = Image(f"data:image/png;base64,{PNG}")
    encoded = written(Message("user", (ToolOutput("c", (Text("see"), picture)),)))
    assert contents(encoded)[0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": PNG}}


def test_arguments_that_are_no_object_are_told_as_they_were_said() -> None:
    encoded = written(Message("assistant", (ToolCall("c", "f", "[1]"), ToolCall("d", "f", "{oops"))))
    args = [part["functionCall"]["args"] for part in contents(encoded)[1]["parts"]]
    assert args == [{"_raw": "[1]"}, {"_raw": "{oops"}]


def test_only_its_own_signatures_are_sent() -> None:
    encoded = written(
        Message("user", (Text("go"),)),
        Message(
            "assistant",
            (
                Thought("mine", "bWluZQ==", OWN),
                Thought("theirs", "x", "anthropic.messages"),
                Thought("", "y", "anthropic.messages", redacted=True),
                ToolCall("c", "f", "{}", "Y2FsbA==", OWN),
                ToolCall("d", "f", "{}", "z", "openai.responses"),
            ),
        ),
    )
    assert contents(encoded)[1]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "bWluZQ=="},
        {"text": "theirs", "thought": True},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "Y2FsbA=="},
        {"functionCall": {"id": "d", "name": "f", "args": {}}},
    ]
    assert encoded.dropped == ("messages.thought.signature",)


def test_media_that_google_does_not_fetch_are_reported() -> None:
    encoded = written(
        Message(
            "user", (Text("see"), Image("https://a.example/b.png"), File("https://youtu.be/x"), Image("gs://a/b"))
        ),
    )
    assert contents(encoded)[0]["parts"][1:] == [
        {"fileData": {"fileUri": "https://youtu.be/x"}},
        {"fileData": {"fileUri": "gs://a/b"}},
    ]
    assert encoded.dropped == ("messages.image",)


def test_a_cache_mark_is_reported_by_the_name_that_clients_know() -> None:
    encoded = written(Message("user", (Text("see"), CacheMark("5m"))))
    assert contents(encoded) == [user({"text": "see"})]
    assert encoded.dropped == ("messages.cache_control",)


def test_a_data_url_without_base64_is_encoded() -> None:
    encoded = written(Message("user", (File("data:text/plain,a%20b"),)))
    assert contents(encoded) == [user({"inlineData": {"mimeType": "text/plain", "data": "YSBi"}})]


def test_functions_take_json_schema_as_it_is() -> None:
    tools = ({"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}, {"name": "g"})
    encoded = written(Message("user", (Text("hi"),)), tools=tools, tool_choice="g")
    declared = [{"name": "f", "description": "d", "parametersJsonSchema": SCHEMA}, {"name": "g"}]
    assert said(encoded, "tools") == [{"functionDeclarations": declared}]
    calling = {"mode": "ANY", "allowedFunctionNames": ["g"]}
    assert said(encoded, "toolConfig") == {"functionCallingConfig": calling}
    assert encoded.dropped == ("tools.strict",)


@pytest.mark.parametrize(("choice", "mode"), [("required", "ANY"), ("none", "NONE")])
def test_a_choice_is_a_mode(choice: str, mode: str) -> None:
    encoded = written(Message("user", (Text("hi"),)), tools=({"name": "f"},), tool_choice=choice)
    assert said(encoded, "toolConfig") == {"functionCallingConfig": {"mode": mode}}


def test_names_that_do_not_fit_are_changed_everywhere() -> None:
    name = "mcp/server tool"
    encoded = written(
        Message("assistant", (ToolCall("c", name, "{}"),)),
        Message("user", (ToolOutput("c", (Text("x"),)),)),
        tools=({"name": name},),
        tool_choice=name,
    )
    assert encoded.renamed == {"mcp_server_tool": name}
    assert "mcp/server" not in json.dumps({one: get(encoded.fields, one) for one in encoded.fields})


def test_options_are_written_by_googles_names() -> None:
    encoded = written(
        Message("user", (Text("hi"),)),
        options={
            "temperature": 0.5, "top_p": 0.9, "top_k": 4, "seed": 1, "max_output": 99, "presence_penalty": 0.1,
            "stop": ["a", "", "b", "c", "d", "e", "f"], "n": 1, "logprobs": False,
            "format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True},
            "effort": "high", "thinking_budget": 9, "thoughts": True, "service_tier": "default",
            "user": "u", "parallel_tools": False,
        },
        tools=({"name": "f"},),
    )  # fmt: skip
    assert said(encoded, "generationConfig") == {
        "temperature": 0.5, "topP": 0.9, "topK": 4, "seed": 1, "maxOutputTokens": 99, "presencePenalty": 0.1,
        "stopSequences": ["a", "b", "c", "d", "e"],
        "responseMimeType": "application/json", "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True},
    }  # fmt: skip
    assert said(encoded, "serviceTier") == "standard"
    assert sorted(encoded.dropped) == ["parallel_tools", "stop", "user"]


def test_several_candidates_and_probabilities_have_their_names() -> None:
    options = {"n": 2, "logprobs": True, "top_logprobs": 1, "format": {"type": "json_object"}}
    encoded = written(Message("user", (Text("hi"),)), options=options)
    assert said(encoded, "generationConfig") == {
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 1,
        "responseMimeType": "application/json",
    }


def test_extras_go_back_to_their_own_family_only() -> None:
    own = {"safetySettings": [1], "generationConfig.speechConfig": {}, "contents[0].parts[0].videoMetadata": 1}
    encoded = written(Message("user", (Text("hi"),)), options={"extra": own, "extra_of": "gemini"})
    assert said(encoded, "safetySettings") == [1]
    assert said(encoded, "generationConfig") == {"speechConfig": {}}
    assert encoded.dropped == ("contents.parts.videoMetadata",)
    foreign = written(Message("user", (Text("hi"),)), options={"extra": {"store": True}, "extra_of": "openai"})
    assert (list(foreign.fields), foreign.dropped) == (["contents"], ("store",))


def test_a_count_of_more_than_contents_is_a_whole_request() -> None:
    plain = GEMINI.encode("count", Conversation(messages=(Message("user", (Text("hi"),)),)))
    assert plain.fields.keys() == {"contents"}
    messages = (Message("system", (Text("s"),)), Message("user", (Text("hi"),)))
    whole = GEMINI.encode("count", Conversation(messages=messages, options={"temperature": 1}))
    aimed = GEMINI.aim(whole.fields, "m", False)
    inner = get(aimed, "generateContentRequest")
    assert inner.pop("model") == "models/m"
    assert inner.keys() == {"contents", "systemInstruction"}


def test_aiming_takes_out_what_the_path_says() -> None:
    fields = body(user({"text": "hi"})) | {
        name: msgspec.Raw(b'"x"') for name in ("model", "stream", "alt", "llmrouter")
    }
    aimed = GEMINI.aim(fields, "m", True)
    assert aimed.keys() == {"contents"}
    assert aimed["contents"] is fields["contents"]


def test_it_remembers() -> None:
    assert isinstance(GEMINI, Remembers)


# --- there and back

_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
_user_parts = st.one_of(
    st.builds(Text, _words),
    st.just(Image(f"data:image/png;base64,{PNG}")),
    st.just(File(f"data:application/pdf;base64,{PNG}")),
)
_model_parts = st.one_of(
    st.builds(Text, _words),
    st.builds(
        lambda text, signed: Thought(text, "c2ln" if signed else "", OWN if signed else ""), _words, st.booleans()
    ),
)


@st.composite
def _turns(draw: st.DrawFn) -> tuple[Message, ...]:
    """Users and models in turn; every call is answered in the next message."""
    messages = [Message("user", (Text(draw(_words)),))]
    for number in range(draw(st.integers(0, 3))):
        calls: list[Part] = [
            ToolCall(
                f"call_{number}_{at}", draw(_names), json.dumps({"a": draw(st.integers())}, separators=(",", ":"))
            )
            for at in range(draw(st.integers(0, 2)))
        ]
        spoken: list[Part] = [draw(_model_parts)]
        messages.append(Message("assistant", (*spoken, *calls)))
        outputs: list[Part] = [
            ToolOutput(call.id, (Text(draw(_words)),), draw(st.booleans()))
            for call in calls
            if isinstance(call, ToolCall)
        ]
        messages.append(Message("user", (*outputs, draw(_user_parts))))
    return tuple(messages)


@given(_turns(), st.lists(_names, unique=True, max_size=3), st.booleans())
def test_a_conversation_comes_back_as_it_was(messages: tuple[Message, ...], names: list[str], system: bool) -> None:
    tools = tuple({"name": name, "description": "d", "parameters": SCHEMA} for name in names)
    first = (Message("system", (Text("be kind"),)),) if system else ()
    options = {
        "temperature": 1,
        "stop": ["x"],
        "format": {"type": "json_schema", "name": "response", "schema": SCHEMA},
    }
    before = Conversation(messages=first + messages, tools=tools, options=options)
    encoded = GEMINI.encode("chat", before)
    assert encoded.dropped == ()
    assert GEMINI.decode("chat", encoded.fields) == before


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "role",
                        "parts",
                        "text",
                        "functionCall",
                        "name",
                        "args",
                        "inlineData",
                        "thoughtSignature",
                        "functionResponse",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_contents_are_too_strange_to_be_understood_or_refused(value: Any) -> None:
    fields = parse(json.dumps({"model": "m", "contents": value}).encode())
    for work in (lambda: GEMINI.facts("chat", fields, {}), lambda: GEMINI.decode("chat", fields)):
        with suppress(InvalidRequest):
            work()
