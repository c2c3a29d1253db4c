from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llmrouter.dialects import Chat, Generate, parse
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect, Places
from llmrouter.types import (
    Conversation,
    Facts,
    Fields,
    Image,
    Text,
    Thought,
    ToolCall,
    ToolOutput,
    Wire,
)

GEMINI: Dialect = Generate()
PLACES: Places = Generate()
OWN = "gemini.generate"
PNG = "iVBORw0KGgo="
HELLO = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}


def body(*contents: Any, **more: Any) -> Fields:
    return parse(json.dumps({"contents": [*contents], **more}).encode())


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [*parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [*parts]}


def facts(fields: Fields, op: Any = "chat", **headers: str) -> Facts:
    return GEMINI.facts(op, {"model": msgspec.Raw(b'"m"'), **fields}, headers)


def read(*contents: Any, **more: Any) -> Conversation:
    found = GEMINI.decode("chat", body(*contents, **more))
    assert isinstance(found, Conversation)
    return found


# --- paths


@pytest.mark.parametrize(
    ("path", "query", "op", "fields"),
    [
        ("/v1beta/models/m:generateContent", "", "chat", {"model": "m"}),
        ("/v1/models/m:generateContent", "key=k", "chat", {"model": "m"}),
        ("/v1beta/models/a/b:free:generateContent", "", "chat", {"model": "a/b:free"}),
        ("/v1beta/models/m:streamGenerateContent", "alt=sse&key=k", "chat", {"model": "m", "stream": True}),
        ("/v1beta/models/m:streamGenerateContent", "", "chat", {"model": "m", "alt": "json"}),
        ("/v1beta/models/m:countTokens", "", "count", {"model": "m"}),
        (
            "/v1beta1/projects/p/locations/us-central1/publishers/google/models/m:generateContent",
            "",
            "chat",
            {"model": "m"},
        ),
    ],
)
def test_a_path_names_the_model_and_what_is_to_be_done(path: str, query: str, op: str, fields: Any) -> None:
    found = PLACES.place(path, query)
    assert found is not None
    assert (found[0], {name: msgspec.json.decode(value) for name, value in found[1].items()}) == (op, fields)


@pytest.mark.parametrize(
    "path", ["/v1beta/models/m:embedContent", "/v1beta/models/m", "/v1beta/models/:generateContent", "/v1/models"]
)
def test_other_paths_are_not_its_own(path: str) -> None:
    assert PLACES.place(path, "") is None


# --- facts


def test_the_facts_of_a_plain_request() -> None:
    found = facts(parse(json.dumps(HELLO).encode()))
    assert (found.wire, found.asked, found.op, found.needs) == (Wire(OWN, False), "m", "chat", frozenset())
    assert found.input_tokens == len(json.dumps(HELLO["contents"])) // 4


@pytest.mark.parametrize("name", ["cachedContent", "cached_content"])
def test_a_prompt_that_google_keeps_a_part_of_is_for_google_alone(name: str) -> None:
    found = facts(parse(json.dumps({**HELLO, name: "cachedContents/x"}).encode()))
    assert found.needs == {"vendor_files"}


@pytest.mark.parametrize(
    ("part", "needs"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": PNG}}, {"vision"}),
        ({"inline_data": {"mime_type": "image/png", "data": PNG}}, {"vision"}),
        ({"inlineData": {"mimeType": "audio/mpeg", "data": PNG}}, {"audio"}),
        ({"inlineData": {"mimeType": "application/pdf", "data": PNG}}, {"files"}),
        ({"fileData": {"mimeType": "image/png", "fileUri": "https://a.example/b.png"}}, {"vision", "remote_media"}),
        ({"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}}, {"files", "vendor_files"}),
        ({"file_data": {"mime_type": "image/png", "file_uri": "gs://a/b"}}, {"vision", "vendor_files"}),
    ],
)
def test_media_are_needs(part: Any, needs: set[str]) -> None:
    assert facts(body(user({"text": "see"}, part))).needs == needs


def test_the_bytes_of_media_are_no_tokens() -> None:
    large = {"inlineData": {"mimeType": "image/png", "data": "A" * 40_000}}
    assert 800 <= facts(body(user(large))).input_tokens < 900


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        ({"candidateCount": 2}, {"n"}),
        ({"candidateCount": 1}, set()),
        ({"responseLogprobs": True}, {"logprobs"}),
        ({"responseModalities": ["AUDIO"]}, {"audio_out"}),
        ({"responseMimeType": "application/json"}, {"json_object"}),
        ({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}, {"json_schema"}),
        ({"response_mime_type": "application/json", "response_json_schema": {}}, {"json_schema"}),
    ],
)
def test_options_that_change_the_answer_are_needs(config: Any, needs: set[str]) -> None:
    assert facts(body(user({"text": "hi"}), generationConfig=config)).needs == needs


def test_functions_are_a_need_and_tools_of_googles_own_are_none() -> None:
    declared = [{"functionDeclarations": [{"name": "f"}]}]
    assert facts(body(user({"text": "hi"}), tools=declared)).needs == {"tools"}
    assert facts(body(user({"text": "hi"}), tools=[{"googleSearch": {}}])).needs == set()
    assert facts(body(user({"text": "hi"}), tools=[{"functionDeclarations": None}])).needs == set()


def test_a_response_of_a_function_at_the_end_is_a_tool_loop() -> None:
    answered = user({"functionResponse": {"name": "f", "response": {}}})
    assert facts(body(user({"text": "hi"}), model({"functionCall": {"name": "f"}}), answered)).in_tool_loop
    assert not facts(body(user({"text": "hi"}))).in_tool_loop


def test_only_what_is_meant_to_be_fixed_is_replayable() -> None:
    assert facts(body(user({"text": "hi"}), generationConfig={"temperature": 0})).replayable
    assert not facts(body(user({"text": "hi"}), generationConfig={"temperature": 0.1})).replayable
    assert not facts(body(user({"text": "hi"}))).replayable


def test_a_count_looks_into_the_request_that_it_holds() -> None:
    inner = {"model": "models/m", **HELLO, "systemInstruction": {"parts": [{"text": "x" * 400}]}}
    found = facts(parse(json.dumps({"generateContentRequest": inner}).encode()), "count")
    assert (found.op, found.input_tokens > 100, found.max_output) == ("count", True, 0)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (b"{}", "contents"),
        (b'{"contents":[]}', "contents"),
        (b'{"contents":"hi"}', "contents"),
        (b'{"contents":[1]}', "contents[0]"),
        (b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"candidateCount":"many"}}', "candidateCount"),
    ],
)
def test_what_nobody_could_answer_is_refused_at_the_door(given: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        facts(parse(given))
    assert refused.value.param == param


# --- read


def test_both_spellings_and_both_alphabets_mean_the_same() -> None:
    camel = read(
        user({"inlineData": {"mimeType": "image/png", "data": "a+/="}}),
        systemInstruction={"parts": [{"text": "s"}]},
        generationConfig={"maxOutputTokens": 5},
    )
    snake = read(
        user({"inline_data": {"mime_type": "image/png", "data": "a-_"}}),
        system_instruction={"parts": {"text": "s"}},
        generation_config={"max_output_tokens": 5},
    )
    assert camel == snake
    assert camel.messages[1].parts == (Image("data:image/png;base64,a+/="),)


def test_calls_without_ids_are_answered_by_name_and_in_order() -> None:
    calls = model(*({"functionCall": {"name": name, "args": {"n": n}}} for n, name in enumerate("aba")))
    outputs = user(
        *({"functionResponse": {"name": name, "response": {"output": said}}} for name, said in ("a1", "b2", "a3"))
    )
    found = read(user({"text": "go"}), calls, outputs)
    asked = [part for part in found.messages[1].parts if isinstance(part, ToolCall)]
    told = [part for part in found.messages[2].parts if isinstance(part, ToolOutput)]
    assert len({one.id for one in asked}) == 3
    assert [one.id for one in told] == [one.id for one in asked]
    assert found == read(user({"text": "go"}), calls, outputs), "the ids are the same when the history comes again"


@pytest.mark.parametrize(
    ("response", "texts", "error"),
    [
        ({"output": "fine"}, ["fine"], False),
        ({"output": ["one", "two"]}, ["one", "two"], False),
        ({"error": "no"}, ["no"], True),
        ({"result": "fine"}, ["fine"], False),
        ({"result": 3}, ['{"result":3}'], False),
        ({"output": {"a": 1}}, ['{"output":{"a":1}}'], False),
    ],
)
def test_the_response_of_a_function_is_its_output(response: Any, texts: list[str], error: bool) -> None:
    (message,) = read(user({"functionResponse": {"id": "x", "name": "f", "response": response}})).messages
    assert message.parts == (ToolOutput("x", tuple(map(Text, texts)), error),)


def test_thoughts_and_signatures_are_read_where_they_stand() -> None:
    found = read(
        user({"text": "go"}),
        model(
            {"text": "hm", "thought": True},
            {"text": "well", "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "c", "name": "f"}, "thoughtSignature": "Y2FsbA=="},
        ),
    )
    assert found.messages[1].parts == (
        Thought("hm"),
        Text("well"),
        Thought("", "c2ln", OWN),
        ToolCall("c", "f", "{}", "Y2FsbA==", OWN),
    )


def test_schemas_of_openapi_become_json_schema() -> None:
    declared = {
        "type": "OBJECT",
        "properties": {
            "n": {"type": "INTEGER", "nullable": True},
            "l": {"type": "ARRAY", "items": {"type": "STRING"}},
        },
        "propertyOrdering": ["n"],
        "minProperties": "1",
    }
    found = read(user({"text": "hi"}), tools=[{"functionDeclarations": [{"name": "f", "parameters": declared}]}])
    assert found.tools[0]["parameters"] == {
        "type": "object",
        "properties": {"n": {"type": ["integer", "null"]}, "l": {"type": "array", "items": {"type": "string"}}},
        "minProperties": 1,
    }


@pytest.mark.parametrize(
    ("calling", "choice", "tools"),
    [
        ({"mode": "AUTO"}, "auto", ["f", "g"]),
        ({"mode": "VALIDATED"}, "auto", ["f", "g"]),
        ({"mode": "none"}, "none", ["f", "g"]),
        ({"mode": "ANY"}, "required", ["f", "g"]),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, "g", ["f", "g"]),
        ({"mode": "ANY", "allowed_function_names": ["f", "g", "h"]}, "required", ["f", "g"]),
    ],
)
def test_the_mode_of_calling_is_a_choice(calling: Any, choice: str, tools: list[str]) -> None:
    declared = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    found = read(user({"text": "hi"}), tools=declared, toolConfig={"functionCallingConfig": calling})
    assert (found.tool_choice, [tool["name"] for tool in found.tools]) == (choice, tools)


def test_what_a_conversation_cannot_say_is_kept_by_its_place_and_reported_elsewhere() -> None:
    found = read(
        user({"text": "hi", "videoMetadata": {"fps": 1}}, {"executableCode": {"code": "1"}}),
        tools=[{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "behavior": "BLOCKING"}]}],
        generationConfig={"speechConfig": {}, "topK": 3, "thinkingConfig": {"thinkingLevel": "LOW"}},
        safetySettings=[{"category": "c"}],
        serviceTier="standard",
        cachedContent="cachedContents/x",
    )
    assert found.options == {
        "top_k": 3,
        "effort": "low",
        "service_tier": "default",
        "extra_of": "gemini",
        "extra": {
            "contents[0].parts[0].videoMetadata": {"fps": 1},
            "contents[0].parts[1].executableCode": {"code": "1"},
            "tools[0].googleSearch": {},
            "tools[1].functionDeclarations[0].behavior": "BLOCKING",
            "generationConfig.speechConfig": {},
            "safetySettings": [{"category": "c"}],
            "cachedContent": "cachedContents/x",
        },
    }
    dropped = {*Chat().encode("chat", found).dropped}
    assert {"tools.googleSearch", "safetySettings", "contents.parts.executableCode", "cachedContent"} <= dropped


def test_an_unknown_role_is_no_conversation() -> None:
    with pytest.raises(InvalidRequest, match="role"):
        read({"role": "robot", "parts": [{"text": "hi"}]})
