"""Requests of Responses: what routing learns of them, and what upstreams get."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Responses, get
from llmrouter.dialects.common import dumps, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import Facts, Fields

RESPONSES = Responses()
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}
OUTPUT = {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "sun"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}


def fields(**body: Any) -> Fields:
    return parse(dumps({"model": "m", "input": "Hello"} | body))


def facts(headers: dict[str, str] | None = None, **body: Any) -> Facts:
    return RESPONSES.facts("chat", fields(**body), headers or {})


# --- facts


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({}, set()),
        ({"tools": [FUNCTION]}, {"tools"}),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}]}, {"tools"}),
        ({"tools": [{"type": "custom", "name": "c"}]}, {"tools"}),
        ({"tools": [{"type": "web_search"}, {"type": "of next year"}]}, set()),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}, {"json_schema"}),
        ({"text": {"format": {"type": "json_object"}, "verbosity": "low"}}, {"json_object"}),
        ({"text": {"format": {"type": "text"}}}, set()),
        ({"top_logprobs": 2}, {"logprobs"}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs"}),
        ({"prompt": {"id": "p"}, "input": None}, {"vendor_prompts"}),
    ],
)
def test_what_must_be_expressible_is_found(body: dict[str, Any], needs: set[str]) -> None:
    assert facts(**body).needs == needs
    assert needs <= RESPONSES.expresses


@pytest.mark.parametrize(
    ("part", "needs"),
    [
        ({"type": "input_image", "image_url": "data:image/png;base64,AA"}, {"vision"}),
        ({"type": "input_image", "image_url": "https://x.example/a"}, {"vision", "remote_media"}),
        ({"type": "input_image", "file_id": "file_1"}, {"vision", "vendor_files"}),
        ({"type": "input_file", "file_url": "https://x.example/a"}, {"files", "remote_media"}),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, {"audio"}),
    ],
)
@pytest.mark.parametrize("place", ["content", "output"])
def test_media_are_found_in_messages_and_in_outputs(part: dict[str, Any], needs: set[str], place: str) -> None:
    item = {"content": {"role": "user"}, "output": {"type": "function_call_output", "call_id": "c"}}[place]
    assert facts(input=[item | {place: [part]}]).needs == needs


def test_a_picture_counts_as_one_whatever_its_size() -> None:
    def tokens(size: int) -> int:
        image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * size}
        return facts(input=[{"role": "user", "content": [image]}]).input_tokens

    assert tokens(100_000) == tokens(1000)
    assert facts(input="x" * 4000).input_tokens >= 1000
    assert facts(instructions="x" * 4000).input_tokens >= 1000


def test_a_loop_of_tools_a_limit_and_a_session_are_seen() -> None:
    asked = facts(input=[USER, CALL, OUTPUT], max_output_tokens=99, prompt_cache_key="k", stream=True)
    assert (asked.in_tool_loop, asked.max_output, asked.session, asked.wire.stream) == (True, 99, "k", True)
    assert facts({"session-id": "s"}, prompt_cache_key="k").session == "s"
    assert not facts(input=[USER]).in_tool_loop


def test_only_what_is_fixed_and_not_stored_may_come_from_a_recording() -> None:
    assert facts(temperature=0, store=False).replayable
    for body in ({"temperature": 0}, {"store": False}, {"temperature": 0, "store": False, "tools": [FUNCTION]}):
        assert not facts(**body).replayable


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 7}, "input", "invalid_type"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 7, "prompt": {"id": "p"}}, "input", "invalid_type"),
        ({"model": 7}, "model", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"input": [7]}, "input[0]", "invalid_type"),
    ],
)
def test_what_no_upstream_should_see_is_refused(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(**body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_nulls_and_what_is_unknown_are_no_mistake() -> None:
    asked = fields(
        tool_choice=None, parallel_tool_calls=None, background=None, conversation=None, client_metadata={}
    )
    assert RESPONSES.facts("chat", asked, {}).asked == "m"
    assert RESPONSES.decode("chat", asked)


def test_a_count_is_never_a_stream() -> None:
    assert not RESPONSES.facts("count", fields(stream=True), {}).wire.stream


# --- to an upstream


def test_an_upstream_is_given_nothing_to_keep() -> None:
    aimed = RESPONSES.aim(fields(previous_response_id="resp_1", llmrouter={"task": "x"}, store=True), "up", True)
    assert dumps(aimed) == b'{"model":"up","input":"Hello","store":false,"stream":true}'
    plain = RESPONSES.aim(fields(stream=True, stream_options={"include_obfuscation": False}), "up", False)
    assert dumps(plain) == b'{"model":"up","input":"Hello","stream":false,"store":false}'


def test_untouched_fields_keep_their_bytes() -> None:
    asked = parse(b'{"model":"m","input":[{"role": "user",  "content":"\\u00e9"}],"temperature":1.0}')
    aimed = RESPONSES.aim(asked, "up", False)
    assert (aimed["input"], aimed["temperature"]) == (asked["input"], asked["temperature"])


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({"encrypted_content": "gAAA"}, True),
        ({"content": [{"type": "reasoning_text", "text": "hm"}]}, True),
        ({"encrypted_content": "^llmrouter:anthropic.messages#sig"}, False),
        ({}, False),
        ({"encrypted_content": None, "content": []}, False),
    ],
)
def test_reasoning_that_the_upstream_cannot_read_is_left_out(more: dict[str, Any], stays: bool) -> None:
    items = [USER, SEALED | more, CALL]
    aimed = RESPONSES.aim(fields(input=items), "up", False)
    assert get(aimed, "input") == (items if stays else [USER, CALL])


@pytest.mark.parametrize(
    ("body", "include"),
    [
        ({"reasoning": {"effort": "low"}}, ["reasoning.encrypted_content"]),
        ({"reasoning": {}, "include": ["x"]}, ["x", "reasoning.encrypted_content"]),
        ({"reasoning": None, "include": ["x"]}, ["x"]),
        ({}, None),
    ],
)
def test_who_speaks_of_reasoning_asks_for_it(body: dict[str, Any], include: Any) -> None:
    assert get(RESPONSES.aim(fields(**body), "up", False), "include") == include


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "output", "call_id", "name", "tools", "summary", "encrypted_content"]
            ),
            inner
            | st.sampled_from(
                ["message", "user", "assistant", "reasoning", "function_call", "namespace", "custom"]
            ),
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "include", "instructions"]), _json
    )
)
def test_no_body_is_too_strange_to_be_understood_or_refused(body: dict[str, Any]) -> None:
    try:
        asked = fields(**body)
        RESPONSES.facts("chat", asked, {})
        RESPONSES.refers(asked)
        RESPONSES.expand(asked, {})
        RESPONSES.resolve(asked, dict.fromkeys(RESPONSES.names(asked), b""))
        RESPONSES.aim(asked, "m", False)
        RESPONSES.encode("chat", RESPONSES.decode("chat", asked))
    except InvalidRequest:
        return
