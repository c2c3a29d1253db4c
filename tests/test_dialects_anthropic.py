"""Messages at the door: what routing is told, what goes on, how it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from anthropic.types import ErrorResponse

from llmrouter.dialects import Messages
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import Attempt, Conversation, Facts, Failure, Fields, Text, Trouble, Usage

MESSAGES = Messages()
USER = {"role": "user", "content": "hi"}
PNG = {"type": "base64", "media_type": "image/png", "data": "A" * 4000}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "AA"}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "AA"}
FAR = {"type": "url", "url": "https://x.example/y"}
KEPT = {"type": "file", "file_id": "file_1"}
SEEN = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": PNG}]}


def fields(**more: Any) -> Fields:
    return parse(dumps({"model": "m", "max_tokens": 9, "messages": [USER], **more}))


def facts(headers: Mapping[str, str] | None = None, **more: Any) -> Facts:
    return MESSAGES.facts("chat", fields(**more), headers or {})


def said(*blocks: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(blocks)}]


# --- facts


def test_routing_is_told_model_shape_and_limit() -> None:
    found = facts(stream=True)
    assert (found.asked, found.wire.dialect, found.wire.stream) == ("m", "anthropic.messages", True)
    assert (found.max_output, found.needs, found.in_tool_loop, found.session) == (9, frozenset(), False, None)


def test_a_missing_limit_is_no_fault_here() -> None:
    assert (
        MESSAGES.facts("chat", parse(b'{"model":"m","messages":[{"role":"user","content":"x"}]}'), {}).max_output
        is None
    )


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"tools": [{"name": "t", "input_schema": {"type": "object"}}]}, {"tools"}),
        ({"tools": [{"type": "custom", "name": "t", "input_schema": {}}]}, {"tools"}),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, set()),
        ({"tools": [{"type": "made_up_in_2030", "name": "x"}]}, set()),
        ({"messages": said({"type": "image", "source": PNG})}, {"vision"}),
        ({"messages": said({"type": "image", "source": FAR})}, {"vision", "remote_media"}),
        ({"messages": said({"type": "document", "source": PDF})}, {"files"}),
        ({"messages": said({"type": "image", "source": KEPT})}, {"vision", "vendor_files"}),
        ({"messages": said({"type": "container_upload", "file_id": "f"})}, {"vendor_files"}),
        ({"messages": said({"type": "document", "source": PLAIN})}, set()),
        ({"messages": said(SEEN)}, {"vision"}),
        ({"messages": said({"type": "a_block_of_2030", "source": 7})}, set()),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"json_schema"}),
        ({"output_format": {"type": "json_schema", "schema": {}}}, {"json_schema"}),
        ({"output_config": {"effort": "high"}}, set()),
    ],
)  # fmt: skip
def test_what_an_answer_depends_on_is_needed(more: dict[str, Any], needs: set[str]) -> None:
    assert facts(**more).needs == needs


def test_a_picture_costs_the_same_whatever_its_size() -> None:
    small = facts(messages=said({"type": "image", "source": {**PNG, "data": "A"}})).input_tokens
    assert abs(facts(messages=said({"type": "image", "source": PNG})).input_tokens - small) <= 1
    assert small > 800


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        ('{"device_id": "d", "session_id": "s-1"}', "s-1"),
        ("user_1_account__session_2", "user_1_account__session_2"),
        ('{"no": "session"}', '{"no": "session"}'),
        ("{broken", "{broken"),
        (7, None),
    ],
)
def test_the_user_id_keeps_a_conversation_together(user_id: Any, session: str | None) -> None:
    assert facts(metadata={"user_id": user_id}).session == session


def test_the_session_that_a_header_names_wins() -> None:
    assert facts({"x-claude-code-session-id": "s"}, metadata={"user_id": "u"}).session == "s"


def test_outputs_of_tools_make_a_tool_loop_also_before_a_word_of_the_operators() -> None:
    loop = said({"type": "tool_result", "tool_use_id": "t", "content": "42"})
    assert facts(messages=loop).in_tool_loop
    assert facts(messages=[*loop, {"role": "system", "content": "be brief"}]).in_tool_loop
    assert not facts(messages=[*loop, USER]).in_tool_loop


def test_what_is_meant_to_be_the_same_may_be_replayed() -> None:
    assert facts(temperature=0).replayable
    assert not facts(temperature=1).replayable
    assert not facts(temperature=0, tools=[{"name": "t", "input_schema": {}}]).replayable


def test_a_count_has_no_answer_to_wait_for() -> None:
    found = MESSAGES.facts("count", fields(stream=True), {})
    assert (found.op, found.wire.stream, found.max_output, found.replayable) == ("count", False, 0, False)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"tool_choice": "auto"}, "tool_choice"),
    ],
)
def test_what_no_upstream_should_see_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(**more)
    assert caught.value.param == param


def test_what_claude_code_sends_is_accepted_and_can_be_said_elsewhere() -> None:
    body = {
        "model": "some-name",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        ],
        "tools": [{"name": "Bash", "description": "Run it.", "input_schema": {"type": "object", "properties": {}}}],
        "metadata": {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-7"})},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "say hi"}]},
            {"role": "system", "content": "The date has changed."},
        ],
    }
    whole = parse(dumps(body))
    found = MESSAGES.facts("chat", whole, {"anthropic-beta": "claude-code-20250219"})
    assert found.session == "s-7"
    assert found.needs == {"tools"}
    conversation = MESSAGES.decode("chat", whole)
    assert isinstance(conversation, Conversation)
    assert [message.role for message in conversation.messages] == ["system", "user", "system"]
    assert conversation.messages[2].parts == (Text("The date has changed."),)
    assert (conversation.options["effort"], conversation.options["thinking_budget"]) == ("high", -1)


# --- what goes on


def test_model_and_stream_are_aimed_and_nothing_else() -> None:
    before = parse(b'{"model":"p/m", "x" : [ 1.0 ],"messages":[],"llmrouter":{"task":"coding"},"stream":true}')
    assert MESSAGES.aim(before, "m", True) == parse(b'{"model":"m","x":[ 1.0 ],"messages":[],"stream":true}')
    assert loads(MESSAGES.aim(before, "m", False)["stream"]) is False
    assert "stream" not in MESSAGES.aim(parse(b'{"model":"m","messages":[]}'), "m", False)


# --- errors


@pytest.mark.parametrize(
    ("status", "kind", "type_"),
    [
        (400, "invalid_request", "invalid_request_error"),
        (401, "auth", "authentication_error"),
        (402, "payment", "billing_error"),
        (403, "forbidden_model", "permission_error"),
        (404, "not_found", "not_found_error"),
        (413, "invalid_request", "request_too_large"),
        (415, "invalid_request", "invalid_request_error"),
        (429, "rate_limited", "rate_limit_error"),
        (500, "internal", "api_error"),
        (502, "server_error", "api_error"),
        (502, "overloaded", "overloaded_error"),
        (503, "overloaded", "overloaded_error"),
        (504, "timeout_ttft", "timeout_error"),
        (529, "overloaded", "overloaded_error"),
    ],
)
def test_an_error_has_the_type_that_clients_look_for(status: int, kind: Any, type_: str) -> None:
    failure = Failure(kind="auth", scope="account", status=401, message="no")
    step = Attempt(
        endpoint="p/m",
        account="a",
        started=0,
        first_output=None,
        ended=1,
        failure=failure,
        usage=Usage(),
        cost=None,
    )
    trouble = Trouble(status=status, kind=kind, code="c", message="sorry", request_id="req_1", steps=(step,))
    body = loads(MESSAGES.refuse(trouble))
    if status != 413:  # a type of the reference that the SDK does not list
        ErrorResponse.model_validate(body, strict=False)
    assert (body["type"], body["request_id"]) == ("error", "req_1")
    assert (body["error"]["type"], body["error"]["message"]) == (type_, "sorry")
    assert body["error"]["llmrouter"]["class"] == kind
    assert body["error"]["llmrouter"]["attempts"][0]["class"] == "auth"
