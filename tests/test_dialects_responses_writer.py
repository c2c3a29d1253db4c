"""What clients of Responses are told, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai._models import construct_type_unchecked
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from llmrouter.dialects import Responses
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.dialects.responses_passed import Passed
from llmrouter.dialects.responses_state import name_of, name_of_item
from llmrouter.testing.upstream_line import Received
from llmrouter.testing.upstream_responses import Responses as Speaker
from llmrouter.types import (
    Begin,
    Event,
    Finish,
    Frame,
    Keep,
    Refusal,
    Request,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Trouble,
    Usage,
    Wire,
)

RESPONSES = Responses()
OWN = Wire("openai.responses", True)
OTHER = Wire("anthropic.messages", True)
GEMINI = Wire("gemini.generate", True)
TROUBLE = Trouble(status=502, kind="stall", code="upstream_timeout", message="Silent.", request_id="req_1")
USAGE = Usage(input=5, cache_read=3, cache_write=1, output=4, reasoning=2)
STOP: Sequence[Event] = (Spent(USAGE), Finish("stop"))

_events: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def request(stream: bool = True, **body: Any) -> Request:
    fields = parse(dumps({"model": "asked", "input": "Hello", "stream": stream} | body))
    return Request(replace(RESPONSES.facts("chat", fields, {}), id="req_1", at=1700000000.9), fields)


def streamed(*events: Event, wire: Wire = OTHER, **body: Any) -> list[dict[str, Any]]:
    writer = RESPONSES.writer(request(**body))
    body_ = b"".join([writer.write(Frame(wire, b"never shown", (event,)), False) for event in events])
    return told(body_ + writer.end())


def told(written: bytes, last: str = "response.completed") -> list[dict[str, Any]]:
    """The events of a stream: valid, numbered, and in an order that the SDK's own helper accepts."""
    *blocks, empty = written.split(b"\n\n")
    assert empty == b""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    found = []
    for number, block in enumerate(blocks):
        name, data = block.decode().split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        _events.validate_python(event)
        state.handle_event(construct_type_unchecked(type_=ResponseStreamEvent, value=event))  # type: ignore[arg-type]
        found.append(event)
    ends = [event["type"] for event in found if event["type"] in ENDS]
    assert ends == [found[-1]["type"]] == [last]
    return found


ENDS = ("response.completed", "response.incomplete", "response.failed")


def output(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output of the last event, which is what its items were when they were done."""
    items: list[dict[str, Any]] = found[-1]["response"]["output"]
    done = {event["output_index"]: event["item"] for event in found if event["type"].endswith("output_item.done")}
    assert items == [done[index] for index in sorted(done)]
    return items


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


# --- streams


def test_text_goes_through_every_step() -> None:
    found = streamed(Begin("x", "served"), Text("Hel"), Text(""), Text("lo"), *STOP)
    assert kinds(found) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    (message,) = output(found)
    assert message["content"][0]["text"] == "Hello"
    response = found[-1]["response"]
    assert (response["id"], response["model"], response["created_at"]) == ("resp_1", "served", 1700000000)
    assert response["usage"]["input_tokens_details"] == {"cached_tokens": 3, "cache_write_tokens": 1}
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
    assert response["usage"]["total_tokens"] == 15


def test_an_answer_without_a_word_is_an_answer() -> None:
    assert kinds(streamed(*STOP)) == ["created", "in_progress", "completed"]


def test_a_refusal_is_a_part_of_its_own() -> None:
    found = streamed(Text("Well, "), Refusal("no"), *STOP)
    (message,) = output(found)
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]


def test_calls_come_by_turns_and_are_done_at_the_end() -> None:
    found = streamed(
        Text("Looking."), ToolStart("c1", "f"), ToolStart("c2", "g"), ToolArgs("c2", '{"b":'),
        ToolArgs("c1", '{"a"'), ToolArgs("c1", ":1}"), ToolArgs("c2", "2}"), ToolStart("c3", "h"),
        ToolArgs("nobody", "x"), *STOP,
    )  # fmt: skip
    calls = output(found)[1:]
    assert [(one["call_id"], one["name"], one["arguments"]) for one in calls] == [
        ("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}'), ("c3", "h", "{}"),
    ]  # fmt: skip


def test_a_thought_is_a_summary_with_the_seal_of_its_vendor() -> None:
    found = streamed(Thought("h"), Thought("m"), Thought("", "c2ln"), Text("x"), *STOP)
    thought, _ = output(found)
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert thought["encrypted_content"] == "^llmrouter:anthropic.messages#c2ln"
    assert "reasoning_summary_part.done" in kinds(found)


def test_a_vendors_own_seal_stands_as_it_is() -> None:
    thought, _ = output(streamed(Thought("hm", "gAAA"), Text("x"), *STOP, wire=OWN))
    assert thought["encrypted_content"] == "gAAA"


def test_redacted_thoughts_and_signed_calls_have_items_of_their_own() -> None:
    found = output(streamed(Thought("", "c2ln", redacted=True), ToolStart("c1", "f", "c2ln"), *STOP, wire=GEMINI))
    assert [item.get("encrypted_content") for item in found] == [
        "^llmrouter:gemini.generate#redacted:c2ln",
        "^llmrouter:gemini.generate#call:c2ln",
        None,
    ]
    again = RESPONSES.decode("chat", parse(dumps({"input": found})))
    assert again.messages[0].parts[0] == Thought("", "c2ln", "gemini.generate", redacted=True)  # type: ignore[union-attr]
    assert again.messages[0].parts[1].signature == "c2ln"  # type: ignore[union-attr]


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(reason: Any, why: str) -> None:
    writer = RESPONSES.writer(request())
    written = writer.write(Frame(OTHER, b"", (Text("Hel"), Finish(reason), Spent(USAGE))), False) + writer.end()
    last = told(written, "response.incomplete")[-1]["response"]
    assert last["incomplete_details"] == {"reason": why}
    assert last["output"][0]["status"] == "incomplete"
    assert last["usage"]["input_tokens"] == 9, "told after the finish"


def test_tools_have_the_names_that_the_client_gave_them() -> None:
    tools = [
        {"type": "custom", "name": "sql"},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "function", "name": "f"}]},
        {"type": "web_search"},
    ]
    found = streamed(
        ToolStart("c1", "sql"), ToolArgs("c1", '{"input":'), ToolArgs("c1", ' "say \\"x\\""}'),
        ToolStart("c2", "ns__f"), ToolStart("c3", "g"), ToolArgs("c3", "{}"), *STOP, tools=tools,
    )  # fmt: skip
    custom, inner, plain = output(found)
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "sql", 'say "x"')
    assert (inner["name"], inner["namespace"]) == ("f", "ns")
    assert (plain["name"], "namespace" in plain) == ("g", False)
    deltas = [event["delta"] for event in found if event["type"] == "response.custom_tool_call_input.delta"]
    assert deltas == ['say "x"']


@pytest.mark.parametrize("arguments", ["SELECT 1", '{"query": "SELECT 1"}', '{"input": 7}'])
def test_a_custom_tool_gets_what_the_model_wrote(arguments: str) -> None:
    tools = [{"type": "custom", "name": "sql"}]
    (call,) = output(streamed(ToolStart("c1", "sql"), ToolArgs("c1", arguments), *STOP, tools=tools))
    assert call["input"] == arguments


def test_tools_that_items_brought_along_are_known_too() -> None:
    brought = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "sql"}]}
    (call,) = output(streamed(ToolStart("c1", "sql"), *STOP, input=[brought, {"role": "user", "content": "x"}]))
    assert call["type"] == "custom_tool_call"


def test_the_request_is_echoed() -> None:
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "user": None,
        "prompt_cache_key": "k",
        "text": {"verbosity": "low"},
    }
    response = streamed(*STOP, **asked)[0]["response"]
    for name in ("instructions", "temperature", "tool_choice", "parallel_tool_calls", "prompt_cache_key", "text"):
        assert response[name] == asked[name]
    assert response["tools"] == [{"type": "function", "name": "f", "parameters": None, "strict": False}]
    assert response["store"] is True
    assert response["metadata"] == {}
    assert "user" not in response
    assert (response["usage"], response["output"]) == (None, [])


def test_a_failure_is_told_under_the_same_id() -> None:
    writer = RESPONSES.writer(request())
    written = writer.write(Frame(OTHER, b"", (Begin("x", "m"), Text("Hel"))), False) + writer.fail(TROUBLE)
    found = told(written, "response.failed")
    error, last = found[-2], found[-1]["response"]
    assert (error["type"], error["code"]) == ("error", "upstream_timeout")
    assert error["error"]["llmrouter"]["class"] == "stall"
    assert last["id"] == found[0]["response"]["id"]
    assert last["output"][0]["content"][0]["text"] == "Hel"
    assert last["error"]["code"] == "server_error"
    assert last["error"]["llmrouter"]["class"] == "stall"


@pytest.mark.parametrize(
    ("kind", "code"), [("rate_limited", "rate_limit_exceeded"), ("content_filter", "invalid_prompt")]
)
def test_a_failure_has_one_of_the_apis_few_codes(kind: Any, code: str) -> None:
    failed = told(RESPONSES.writer(request()).fail(replace(TROUBLE, kind=kind)), "response.failed")
    assert failed[-1]["response"]["error"]["code"] == code


# --- bodies


def folded(*events: Event, **body: Any) -> dict[str, Any]:
    writer = RESPONSES.writer(request(False, **body))
    assert b"".join([writer.write(Frame(OTHER, b"", (event,)), False) for event in events]) == b""
    response: dict[str, Any] = json.loads(writer.end())
    Response.model_validate(response)
    return response


def test_a_body_says_what_a_stream_does() -> None:
    events = (Begin("x", "m"), Thought("hm", "s"), Text("Hel"), Text("lo"), ToolStart("c1", "f"), *STOP)
    assert folded(*events) == streamed(*events)[-1]["response"]
    assert Response.model_validate(folded(*events)).output_text == "Hello"


def test_a_refused_request_has_the_familys_envelope() -> None:
    error = json.loads(RESPONSES.refuse(TROUBLE))["error"]
    assert error["code"] == "upstream_timeout"
    assert RESPONSES.writer(request(False)).fail(TROUBLE) == RESPONSES.refuse(TROUBLE)


def test_a_count_is_written_or_passed_on() -> None:
    asked = request(False)
    count = Request(replace(asked.facts, op="count"), asked.fields)
    frame = Frame(Wire("", False), b"", (Begin("", ""), Result(7), Finish("stop")))
    writer = RESPONSES.writer(count)
    assert writer.write(frame, False) == b""
    assert writer.end() == b'{"object":"response.input_tokens","input_tokens":7}'
    own = RESPONSES.writer(count)
    own.write(replace(frame, raw=b'{"input_tokens": 7}'), True)
    assert own.end() == b'{"input_tokens": 7}'
    assert own.fail(TROUBLE) == RESPONSES.refuse(TROUBLE)


# --- what goes through as it came


def upstream(stream: bool, **how: Any) -> list[Frame]:
    asked = Received("POST", "/v1/responses", {}, dumps({"model": "m", "store": False}), 0.0, 1)
    speaker = Speaker("Hello there", **how)
    body = b"".join(speaker.events(asked)) if stream else dumps(speaker.whole(asked))
    reader = RESPONSES.reader("chat", stream)
    return [*reader.feed(body), *reader.end()]


def test_a_stream_of_its_own_dialect_keeps_its_bytes() -> None:
    frames = upstream(True)
    writer = RESPONSES.writer(request(store=False))
    assert b"".join([writer.write(frame, True) for frame in frames]) + writer.end() == b"".join(
        [frame.raw for frame in frames]
    )
    assert list(writer.keeps()) == []  # type: ignore[union-attr]


def test_its_end_is_held_back_until_the_answer_is_kept() -> None:
    *frames, last = upstream(True)
    writer = RESPONSES.writer(request())
    for frame in frames:
        assert writer.write(frame, True)
    assert writer.write(last, True) == b""
    (keep, _) = list(writer.keeps())  # type: ignore[union-attr]
    assert b"response.completed" in writer.end()
    assert loads(keep.value)["response"]["output"][0]["content"][0]["text"] == "Hello there"


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_upstream_cannot_know_is_put_in(stream: bool) -> None:
    writer = RESPONSES.writer(request(stream, previous_response_id="resp_0"))
    written = b"".join([writer.write(frame, True) for frame in upstream(stream)])
    kept = list(writer.keeps())  # type: ignore[union-attr]
    written += writer.end()
    found = (
        [event["response"] for event in told(written) if "response" in event] if stream else [json.loads(written)]
    )
    assert {(one["store"], one["previous_response_id"]) for one in found} == {(True, "resp_0")}
    assert [keep.name for keep in kept] == [
        name_of(found[-1]["id"]),
        name_of_item(found[-1]["output"][0]["id"]),
    ]


def test_an_end_without_output_is_kept_with_what_was_told_before() -> None:
    *frames, last = upstream(True)
    event = json.loads(last.raw.split(b"data: ")[1])
    event["response"]["output"] = None
    writer = RESPONSES.writer(request())
    for frame in [*frames, replace(last, raw=b"data: " + dumps(event) + b"\n\n")]:
        writer.write(frame, True)
    (keep, _) = list(writer.keeps())  # type: ignore[union-attr]
    assert loads(keep.value)["response"]["output"][0]["content"][0]["text"] == "Hello there"


@pytest.mark.parametrize("how", [{}, {"tools": [("c1", "f", '{"a": 1}')]}, {"thought": "Let me see"}])
@given(data=st.data())
def test_another_upstream_goes_on_wherever_the_first_broke_off(how: dict[str, Any], data: Any) -> None:
    frames = upstream(True, **how)[:-1]
    cut = data.draw(st.integers(2, len(frames)))
    writer = RESPONSES.writer(request())
    written = b"".join([writer.write(frame, True) for frame in frames[:cut]])
    if data.draw(st.booleans()):
        events: Sequence[Event] = (Text(" and on"), ToolStart("c9", "g"), *STOP)
        written += writer.write(Frame(OTHER, b"", tuple(events)), False)
        told(written + writer.end())
    else:
        told(written + writer.fail(TROUBLE), "response.failed")


@pytest.mark.parametrize(
    ("events", "number"),
    [
        ([], 0),
        ([b"data: {}"], 1),
        ([b'data: {"sequence_number":7}'], 8),
        ([b": wait", b"data: {}", b"data: {}"], 2),
    ],
)
def test_numbers_go_on_where_the_upstream_left_them(events: list[bytes], number: int) -> None:
    assert Passed([event + b"\n\n" for event in events]).number == number


# --- kept


def test_what_is_kept_is_the_response_and_what_it_was_made_from() -> None:
    writer = RESPONSES.writer(request(False))
    writer.write(Frame(OTHER, b"", (Text("x"), *STOP)), False)
    response, item = list(writer.keeps())  # type: ignore[union-attr]
    assert isinstance(response, Keep)
    assert response.name == name_of("resp_1")
    assert response.ttl == 30 * 86400
    stored = loads(response.value)
    assert stored["input"] == [{"type": "message", "role": "user", "content": "Hello"}]
    assert stored["response"] == json.loads(writer.end())
    assert item.name == name_of_item(stored["response"]["output"][0]["id"])
