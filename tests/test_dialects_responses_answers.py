"""What answers of Responses mean, streamed or whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Responses
from llmrouter.dialects.common import dumps
from llmrouter.dialects.noting import recalled
from llmrouter.testing.upstream_line import Received
from llmrouter.testing.upstream_responses import Responses as Speaker
from llmrouter.types import (
    Begin,
    Event,
    Fault,
    Finish,
    Keep,
    Refusal,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
)

OWN = "openai.responses"
BEGUN = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}}
BEGIN = Begin("resp_1", "m")
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "cost": 0.5,
}
SPENT = Spent(Usage(input=6, cache_read=3, cache_write=1, output=3, reasoning=2, cost=0.5))
MESSAGE = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
CUSTOM = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": 'say "x"'}


def completed(*output: Any, **more: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "m", "status": "completed", "output": list(output), "usage": USAGE}
    return {"type": "response.completed", "response": response | more}


def streamed(*told: Any) -> list[Event]:
    body = b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), dumps(one)) for one in told)
    return events(body, True)


def events(body: bytes, stream: bool) -> list[Event]:
    reader = Responses().reader("chat", stream)
    return [event for frame in [*reader.feed(body), *reader.end()] for event in frame.events]


def whole(*output: Any, **more: Any) -> list[Event]:
    return events(dumps(completed(*output, **more)["response"]), False)


def added(item: Any, index: int = 0, **empty: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item | empty}


def done(item: Any, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(kind: str, text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "output_index": index, "item_id": "i", "delta": text, **more}


# --- streams


def test_text_is_told_as_it_comes_and_not_again_when_it_is_done() -> None:
    told = [delta("output_text", "Hel"), delta("output_text", "lo"), done(MESSAGE), completed(MESSAGE)]
    assert streamed(BEGUN, added(MESSAGE, content=[]), *told) == [
        BEGIN, Text("Hel"), Text("lo"), SPENT, Finish("stop"),
    ]  # fmt: skip


@pytest.mark.parametrize("told", [[done(MESSAGE)], [added(MESSAGE, content=[]), done(MESSAGE)], []])
def test_what_no_fragment_told_is_told_by_the_finished_item_or_by_the_end(told: list[Any]) -> None:
    assert streamed(BEGUN, *told, completed(MESSAGE)) == [BEGIN, Text("Hello"), SPENT, Finish("stop")]


def test_an_answer_may_begin_with_its_end() -> None:
    assert streamed(completed(MESSAGE)) == [BEGIN, Text("Hello"), SPENT, Finish("stop")]


def test_calls_are_told_piece_by_piece() -> None:
    other = CALL | {"id": "fc_2", "call_id": "c2", "namespace": "ns"}
    told = [
        added(CALL, arguments=""),
        added(other, 1, arguments=""),
        delta("function_call_arguments", '{"a"', 0),
        delta("function_call_arguments", ":1}", 0),
        done(CALL),
        done(other, 1),
        completed(CALL, other),
    ]
    assert streamed(BEGUN, *told) == [
        BEGIN, ToolStart("c1", "f"), ToolStart("c2", "ns__f"), ToolArgs("c1", '{"a"'), ToolArgs("c1", ":1}"),
        ToolArgs("c2", '{"a":1}'), SPENT, Finish("tool_calls"),
    ]  # fmt: skip


@pytest.mark.parametrize("pieces", [[], ["say ", '"x"']])
def test_the_text_of_a_custom_call_is_its_one_argument(pieces: list[str]) -> None:
    told = [delta("custom_tool_call_input", piece) for piece in pieces]
    found = streamed(BEGUN, added(CUSTOM, input=""), *told, done(CUSTOM), completed(CUSTOM))
    assert found[1] == ToolStart("c1", "sql")
    arguments = "".join([event.json for event in found if isinstance(event, ToolArgs)])
    assert json.loads(arguments) == {"input": 'say "x"'}


def test_a_thought_is_signed_when_it_is_done() -> None:
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
        "encrypted_content": "gAAA",
    }
    told = [
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
        delta("reasoning_summary_text", "one", summary_index=0),
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 1},
        delta("reasoning_summary_text", "two", summary_index=1),
        delta("reasoning_text", "the long form of it"),
    ]
    begun = added(item, summary=[], encrypted_content="not yet")
    thoughts = [Thought("one"), Thought("\n\n"), Thought("two"), Thought("", "gAAA")]
    assert streamed(BEGUN, begun, *told, done(item), completed(item)) == [BEGIN, *thoughts, SPENT, Finish("stop")]
    assert whole(item) == [BEGIN, Thought("one\n\ntwo"), Thought("", "gAAA"), SPENT, Finish("stop")]


def test_a_thought_without_words_is_all_signature() -> None:
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    assert streamed(BEGUN, added(item), done(item), completed(item))[1] == Thought("", "gAAA", redacted=True)


def test_raw_thoughts_are_thoughts() -> None:
    item = {"id": "rs_1", "type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert streamed(BEGUN, delta("reasoning_text", "hm"), done(item), completed(item))[1] == Thought("hm")
    assert whole(item)[1] == Thought("hm")


def test_a_refusal_is_one() -> None:
    item = MESSAGE | {"content": [{"type": "refusal", "refusal": "no"}]}
    assert streamed(BEGUN, delta("refusal", "no"), done(item), completed(item))[1] == Refusal("no")
    assert whole(item)[1] == Refusal("no")


def test_what_a_vendor_did_itself_is_output_of_which_nothing_can_be_said() -> None:
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
    told = [{"type": "response.web_search_call.searching", "output_index": 0}, {"type": "response.of.next_year"}]
    assert streamed(BEGUN, added(item), *told, done(item), completed(item)) == [
        BEGIN,
        Text(""),
        SPENT,
        Finish("stop"),
    ]


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("max_output_tokens", "length"),
        ("content_filter", "content_filter"),
        ("of next year", "stop"),
        (None, "stop"),
    ],
)
def test_an_answer_may_be_incomplete(why: str | None, reason: Any) -> None:
    details = {"reason": why} if why else None
    last = completed(MESSAGE, status="incomplete", incomplete_details=details) | {"type": "response.incomplete"}
    assert streamed(BEGUN, last)[-1] == Finish(reason)
    assert whole(MESSAGE, status="incomplete", incomplete_details=details)[-1] == Finish(reason)


def test_without_its_last_event_an_answer_has_no_finish() -> None:
    found = streamed(BEGUN, added(MESSAGE), delta("output_text", "Hello"), done(MESSAGE))
    assert not [event for event in found if isinstance(event, Finish | Fault)]


@pytest.mark.parametrize(
    "told",
    [
        {"type": "response.failed", "response": {"status": "failed", "error": {"code": "x", "message": "no"}}},
        {"type": "error", "code": "x", "message": "no"},
        {"type": "error", "error": {"code": "x", "message": "no"}},
    ],
)
def test_a_failure_reads_like_any_other_error(told: dict[str, Any]) -> None:
    (fault,) = [event for event in streamed(BEGUN, told) if isinstance(event, Fault)]
    assert not fault.malformed
    error = json.loads(fault.body)["error"]
    assert (error["code"], error["message"]) == ("x", "no")


@pytest.mark.parametrize(
    ("data", "malformed"),
    [(b"{}", True), (b'{"error":{"message":"no"}}', False), (b"[1]", True), (b'{"type":7}', True), (b"{", True)],
)
def test_an_event_that_is_none_is_a_fault(data: bytes, malformed: bool) -> None:
    found = events(b"data: " + data + b"\n\ndata: [DONE]\n\n", True)
    assert [event.malformed for event in found if isinstance(event, Fault)] == [malformed]


# --- bodies


def test_a_body_says_it_all() -> None:
    assert whole(MESSAGE, CALL) == [
        BEGIN, Text("Hello"), ToolStart("c1", "f"), ToolArgs("c1", '{"a":1}'), SPENT, Finish("tool_calls"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "malformed"),
    [
        (b'{"error":{"message":"no","code":"x"}}', False),
        (b'{"status":"failed","error":{"message":"no"},"output":[]}', False),
        (b'{"id":"resp_1","status":"queued","error":null,"output":[]}', True),
        (b'{"choices":[]}', True),
        (b"null", True),
        (b"<html>", True),
        (b"", True),
    ],
)
def test_a_body_that_is_no_answer_is_a_fault(body: bytes, malformed: bool) -> None:
    found = events(body, False)
    assert [event.malformed for event in found if isinstance(event, Fault)] == [malformed]
    assert not [event for event in found if isinstance(event, Finish)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"object":"response.input_tokens","input_tokens":7}', [Begin("", ""), Result(7), Finish("stop")]),
        (b'{"error":{"message":"no"}}', [Fault(b'{"error":{"message":"no"}}')]),
        (b"data: {}\n\n", [Fault(b"{}", malformed=True)]),
        (b"{", [Fault(b"{", malformed=True)]),
    ],
)
def test_a_count_is_a_result(body: bytes, found: list[Event]) -> None:
    reader = Responses().reader("count", False)
    frames = [*reader.feed(body), *reader.end()]
    assert [event for frame in frames for event in frame.events] == found


# --- any answer


def test_a_turn_that_calls_is_kept_with_its_thoughts() -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    (keep,) = [event for event in whole(thought, CALL) if isinstance(event, Keep)]
    turn = recalled({keep.name: keep.value}, keep.name, OWN)
    assert turn is not None
    assert turn.thoughts == (Thought("", "gAAA", redacted=True),)


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_frames(data: Any) -> None:
    speaker = Speaker(
        "Ünd: so 🙂", tools=[("c1", "f", '{"a": "ü"}')] if data.draw(st.booleans()) else (), thought="hm"
    )
    asked = Received("POST", "/v1/responses", {}, b'{"model":"m","stream":true}', 0.0, 1)
    body = b"".join(speaker.events(asked))
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    reader = Responses().reader("chat", True)
    pieces = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    frames = [frame for piece in pieces for frame in reader.feed(piece)] + list(reader.end())
    at_once = Responses().reader("chat", True)
    assert frames == [*at_once.feed(body), *at_once.end()]
    assert b"".join(frame.raw for frame in frames) == body
