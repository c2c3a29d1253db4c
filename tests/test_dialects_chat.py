from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Chat
from llmrouter.dialects.common import dumps, get, join, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import Facts, Fields

CHAT = Chat()
USER = {"role": "user", "content": "hi"}


def fields(**more: Any) -> Fields:
    return parse(dumps({"model": "m", "messages": [USER]} | more))


def facts(headers: dict[str, str] | None = None, **more: Any) -> Facts:
    return CHAT.facts("chat", fields(**more), headers or {})


def refused(**more: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        facts(**more)
    return caught.value


def content(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def test_a_plain_request_has_plain_facts() -> None:
    assert facts() == Facts(wire=CHAT.facts("chat", fields(), {}).wire, asked="m", input_tokens=8)
    assert (facts().wire.dialect, facts().wire.stream, facts(stream=True).wire.stream) == (
        "openai.chat",
        False,
        True,
    )


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": [USER, "hi"]}, "messages[1]"),
        ({"messages": [USER, None]}, "messages[1]"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": 1}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"stop": 1}, "stop"),
        ({"llmrouter": []}, "llmrouter"),
        ({"llmrouter": {"tsak": "coding"}}, "llmrouter.tsak"),
    ],
)
def test_what_no_upstream_should_see_is_refused_by_name(wrong: dict[str, Any], param: str) -> None:
    error = refused(**wrong)
    assert error.param == param
    assert param.split("[")[0].split(".")[0] in str(error)
    assert error.status == 400


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    given = {key: value for key, value in fields().items() if key != name}
    with pytest.raises(InvalidRequest) as caught:
        CHAT.facts("chat", given, {})
    assert (caught.value.param, caught.value.code) == (name, "missing_required_parameter")


def test_a_number_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        CHAT.facts("chat", parse(b'{"model":"m","messages":[{"role":"user"}],"seed":1e999}'), {})
    assert caught.value.param == "seed"


def test_null_and_unknown_fields_are_accepted() -> None:
    facts(stream=None, n=None, tools=None, tool_choice=None, parallel_tool_calls=None, response_format=None)
    facts(llmrouter=None, max_tokens=None, temperature=None, made_up={"x": [1]}, provider={"order": ["a"]})


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert facts(n=1.0, max_tokens=100.0).max_output == 100


def test_the_newer_limit_of_output_wins() -> None:
    assert facts(max_completion_tokens=5, max_tokens=9).max_output == 5


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"custom": {"type": "custom"}}}}}


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        ({}, set()),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": [TOOL, {"type": "custom", "custom": {"name": "c"}}]}, {"tools", "custom_tools"}),
        ({"functions": [{"name": "f"}]}, {"tools", "functions"}),
        (content(IMAGE), {"vision", "remote_media"}),
        (content({"type": "text", "text": '"image_url" "file" input_audio'}), set()),
        (content({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}), {"audio"}),
        (content({"type": "file", "file": {"file_data": "data:,", "file_id": None}}), {"files"}),
        (content({"type": "file", "file": {"file_id": "f"}}), {"files", "vendor_files"}),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}, USER]}, {"audio_out"}),
        ({"messages": [{"role": "assistant", "audio": None}, USER]}, set()),
        ({"modalities": ["text", "audio"]}, {"audio_out"}),
        ({"modalities": ["text"]}, set()),
        ({"audio": {"voice": "v"}}, {"audio_out"}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, {"json_object"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"logprobs": True}, {"logprobs"}),
        ({"logprobs": False}, set()),
        ({"top_logprobs": 2}, {"logprobs"}),
        ({"n": 2}, {"n"}),
        ({"n": 1}, set()),
        ({"web_search_options": {}}, {"web_search"}),
    ],
)
def test_needs_are_what_the_request_says(given: dict[str, Any], needs: set[str]) -> None:
    assert facts(**given).needs == needs
    assert needs <= CHAT.expresses


def test_a_tool_loop_is_seen_in_its_last_message() -> None:
    call: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    assert facts(messages=[USER, call, {"role": "tool", "tool_call_id": "c", "content": "x"}]).in_tool_loop
    assert not facts(messages=[USER, call, {"role": "tool", "tool_call_id": "c"}, USER]).in_tool_loop


@pytest.mark.parametrize(
    ("given", "replayable"),
    [
        ({}, False),
        ({"seed": 1}, False),
        ({"temperature": 0}, True),
        ({"temperature": 0.0, "seed": 7, "n": 1}, True),
        ({"temperature": 0.1}, False),
        ({"temperature": 0, "tools": [TOOL]}, False),
        ({"temperature": 0, "n": 2}, False),
        ({"temperature": 0, "store": True}, False),
        ({"temperature": 0, "logprobs": True}, False),
        ({"temperature": 0, "response_format": {"type": "json_object"}}, True),
        ({"temperature": 0} | content(IMAGE), True),
        ({"temperature": 0} | content({"type": "input_audio"}), False),
    ],
)
def test_only_what_is_meant_to_be_the_same_may_be_replayed(given: dict[str, Any], replayable: bool) -> None:
    assert facts(**given).replayable is replayable


def test_tokens_are_estimated_from_bytes_with_tools_and_without_embedded_media() -> None:
    long = facts(messages=[{"role": "user", "content": "word " * 800}]).input_tokens
    assert 900 < long < 1100
    assert facts(tools=[TOOL]).input_tokens > facts().input_tokens + 20
    data = "data:image/png;base64," + "A" * 400_000
    two = facts(**content({"type": "image_url", "image_url": {"url": data}}, IMAGE)).input_tokens
    assert 800 < two < 900
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 400_000, "format": "wav"}}
    assert 800 < facts(**content(audio)).input_tokens < 900
    assert CHAT.facts("chat", parse(json.dumps({"model": "m"} | content(audio)).encode()), {}).input_tokens < 900


def test_hints_come_from_headers_and_the_body_and_headers_win() -> None:
    headers = {"x-llmrouter-task": "coding", "x-llmrouter-dry-run": "1", "x-llmrouter-unknown": "x", "x-other": "y"}
    own = {"task": "chat", "budget": 0.5, "tags": ["a", "b"], "dry_run": False, "trace": True, "phase": None}
    hints = facts(headers, llmrouter=own).hints
    assert hints == {"task": "coding", "budget": "0.5", "tags": "a,b", "dry-run": "1", "trace": "true"}


def test_a_request_timeout_header_is_a_hint_unless_ours_is_there() -> None:
    assert facts({"x-request-timeout": "5"}).hints == {"timeout": "5"}
    assert facts({"x-request-timeout": "5", "x-llmrouter-timeout": "9"}).hints == {"timeout": "9"}


def test_a_session_is_taken_from_the_most_explicit_place() -> None:
    headers = {"x-llmrouter-session": "a", "x-session-id": "c"}
    body: dict[str, Any] = {"llmrouter": {"session": "b"}, "session_id": "d", "prompt_cache_key": "e", "user": "f"}
    assert facts(headers, **body).session == "a"
    assert facts({"x-session-id": "c"}, **body).session == "b"
    body.pop("llmrouter")
    for name in ("x-session-id", "session-id", "x-session-affinity", "x-claude-code-session-id"):
        assert facts({name: "c"}, **body).session == "c"
    for name, value in (("session_id", "d"), ("prompt_cache_key", "e"), ("user", "f")):
        assert facts(**body).session == value
        body.pop(name)
    assert facts().session is None
    assert facts(llmrouter={"session": "b"}).hints == {}


# --- aim


def test_aiming_sets_the_model_and_touches_nothing_else() -> None:
    body = b'{"messages":[ {"role":"user", "content":"\\u00e4"} ],"model":"m","temperature":0.70,"x":{"a" : 1}}'
    assert join(CHAT.aim(parse(body), "up/stream", False)) == body.replace(b'"m"', b'"up/stream"')


@given(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5) | st.lists(st.booleans()), max_size=5)
)
def test_every_other_field_goes_on_byte_for_byte(more: dict[str, Any]) -> None:
    ours = {"model", "messages", "stream", "stream_options", "llmrouter"}
    given = fields(**{name: value for name, value in more.items() if name not in ours})
    for stream in (True, False):
        aimed = CHAT.aim(given, "x", stream)
        assert {k: bytes(v) for k, v in aimed.items() if k not in ours} == {
            k: bytes(v) for k, v in given.items() if k not in ours
        }
        assert bytes(aimed["messages"]) == bytes(given["messages"])


def test_a_stream_is_always_asked_for_its_usage() -> None:
    aimed = CHAT.aim(fields(stream=True), "x", True)
    assert (get(aimed, "stream"), get(aimed, "stream_options")) == (True, {"include_usage": True})


def test_other_options_of_a_stream_are_kept() -> None:
    options = {"include_usage": False, "include_obfuscation": False}
    aimed = CHAT.aim(fields(stream=True, stream_options=options), "x", True)
    assert get(aimed, "stream_options") == {"include_usage": True, "include_obfuscation": False}
    given = parse(b'{"model":"m","stream":true,"stream_options":{ "include_usage":true }}')
    assert bytes(CHAT.aim(given, "x", True)["stream_options"]) == b'{ "include_usage":true }'


def test_without_a_stream_its_options_are_left_out() -> None:
    aimed = CHAT.aim(fields(stream=True, stream_options={"include_usage": True}), "x", False)
    assert get(aimed, "stream") is False
    assert "stream_options" not in aimed
    assert "stream" not in CHAT.aim(fields(), "x", False)


def test_the_routers_own_object_is_never_forwarded() -> None:
    given = fields(llmrouter={"task": "coding"})
    assert "llmrouter" not in CHAT.aim(given, "x", False)
    assert "llmrouter" in given
