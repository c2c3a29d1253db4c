"""What answers of Messages mean, streamed and whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Messages
from llmrouter.dialects.noting import recalled
from llmrouter.types import (
    Begin,
    Event,
    Fault,
    Finish,
    Keep,
    Result,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
)

MESSAGES = Messages()
BEGUN: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
}
USAGE = {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 9}


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def ended(reason: str | None = "end_turn", **usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


BEGIN = event("message_start", message={**BEGUN, "usage": USAGE})
STOP = event("message_stop")


def read(data: bytes, stream: bool = True, op: Any = "chat") -> list[Event]:
    reader = MESSAGES.reader(op, stream)
    return [one for frame in [*reader.feed(data), *reader.end()] for one in frame.events]


def body(content: Any, reason: str | None = "end_turn", **more: Any) -> bytes:
    return json.dumps({**BEGUN, "content": content, "stop_reason": reason, "usage": USAGE, **more}).encode()


def finish(events: Sequence[Event]) -> str | None:
    return next((one.reason for one in events if isinstance(one, Finish)), None)


# --- streams


def test_a_stream_says_what_it_says() -> None:
    data = (
        BEGIN
        + start(0, type="thinking", thinking="", signature="")
        + event("ping")
        + delta(0, type="thinking_delta", thinking="hm")
        + delta(0, type="signature_delta", signature="sig")
        + event("content_block_stop", index=0)
        + start(1, type="redacted_thinking", data="xyz")
        + start(2, type="text", text="")
        + delta(2, type="text_delta", text="Hi")
        + delta(2, type="citations_delta", citation={"cited_text": "x"})
        + start(3, type="tool_use", id="toolu_1", name="look", input={})
        + delta(3, type="input_json_delta", partial_json="")
        + delta(3, type="input_json_delta", partial_json='{"a":1}')
        + ended("tool_use", output_tokens=7)
        + STOP
    )
    spent = Usage(input=5, cache_read=3, cache_write=9, output=7)
    assert [one for one in read(data) if not isinstance(one, Keep)] == [
        Begin("msg_1", "m"),
        Spent(Usage(input=5, cache_read=3, cache_write=9, output=1)),
        Thought("hm"),
        Thought("", "sig"),
        Thought("", "xyz", redacted=True),
        Text("Hi"),
        ToolStart("toolu_1", "look"),
        ToolArgs("toolu_1", '{"a":1}'),
        Spent(spent),
        Finish("tool_calls"),
    ]


def test_a_kept_turn_can_be_recalled_by_its_call() -> None:
    data = (
        BEGIN
        + delta(0, type="thinking_delta", thinking="hm")
        + delta(0, type="signature_delta", signature="sig")
        + start(1, type="tool_use", id="toolu_1", name="look", input={})
        + ended("tool_use")
    )
    keep = next(one for one in read(data) if isinstance(one, Keep))
    turn = recalled({keep.name: keep.value}, keep.name, "anthropic.messages")
    assert turn
    assert turn.thoughts == (Thought("hm", "sig"),)


def test_tools_of_the_vendors_own_are_output_and_no_calls() -> None:
    data = (
        BEGIN
        + start(0, type="server_tool_use", id="srv", name="web_search", input={})
        + delta(0, type="input_json_delta", partial_json='{"query":"x"}')
        + start(1, type="web_search_tool_result", tool_use_id="srv", content=[])
        + ended("pause_turn")
    )
    events = read(data)
    assert [one for one in events if isinstance(one, ToolStart | ToolArgs)] == []
    assert events.count(Text("")) == 2
    assert finish(events) == "length"


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"),
        ("refusal", "content_filter"), ("model_context_window_exceeded", "length"), ("of_2030", "stop"),
    ],
)  # fmt: skip
def test_a_stop_reason_is_understood_in_either_shape(reason: str, meant: str) -> None:
    assert finish(read(BEGIN + ended(reason))) == meant
    assert finish(read(body([{"type": "text", "text": "x"}], reason), False)) == meant


def test_a_stream_that_calls_tools_and_says_it_ended_calls_tools() -> None:
    assert (
        finish(read(BEGIN + start(0, type="tool_use", id="t", name="n", input={}) + ended("end_turn")))
        == "tool_calls"
    )


def test_a_stream_without_reason_is_whole_at_its_end_mark_and_not_before() -> None:
    assert finish(read(BEGIN + start(0, type="text", text="x") + ended(None))) is None
    assert finish(read(BEGIN + start(0, type="text", text="x") + ended(None) + STOP)) == "stop"
    assert finish(read(BEGIN + start(0, type="text", text="x"))) is None


def test_the_end_mark_of_another_dialect_says_nothing() -> None:
    data = BEGIN + start(0, type="text", text="x") + b"data: [DONE]\n\n"
    assert finish(read(data)) is None
    assert read(data + ended())[-1] == Finish("stop")


def test_it_finishes_once() -> None:
    assert [type(one) for one in read(BEGIN + ended() + ended() + STOP)].count(Finish) == 1


def test_an_error_in_the_middle_is_a_fault() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    (fault,) = [one for one in read(BEGIN + error) if isinstance(one, Fault)]
    assert not fault.malformed
    assert b"overloaded_error" in fault.body


@pytest.mark.parametrize(
    "data", [b"data: {broken\n\n", b"data: 7\n\n", b'data: {"choices":[]}\n\n', b"data: []\n\n"]
)
def test_what_is_no_event_of_this_dialect_is_malformed(data: bytes) -> None:
    (fault,) = [one for one in read(BEGIN + data) if isinstance(one, Fault)]
    assert fault.malformed


def test_events_and_blocks_of_a_later_version_are_no_fault() -> None:
    data = (
        BEGIN
        + event("context_hint", tokens=[1])
        + event("message_delta", delta={"stop_reason": None}, usage={"cache_creation": [7]})
        + start(0, type="hologram", data={"x": 1}, id=7, name=[])
        + delta(0, type="hologram_delta", text={"y": 2})
        + ended()
    )
    events = read(data)
    assert not [one for one in events if isinstance(one, Fault)]
    assert finish(events) == "stop"


def test_usage_keeps_what_a_relay_does_not_repeat() -> None:
    usage = [one.usage for one in read(BEGIN + ended(output_tokens=7, input_tokens=None)) if isinstance(one, Spent)]
    assert usage[-1] == Usage(input=5, cache_read=3, cache_write=9, output=7)


def test_usage_tells_how_long_the_cache_keeps_and_what_was_thought() -> None:
    counts = {
        **USAGE,
        "output_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
        "output_tokens_details": {"thinking_tokens": 6},
        "cost": 0.25,
    }
    spent = next(one for one in read(body([], usage=counts), False) if isinstance(one, Spent))
    expected = Usage(input=5, cache_read=3, cache_write=4, cache_write_1h=5, output=4, reasoning=6, cost=0.25)
    assert spent.usage == expected
    alone = {"cache_creation": counts["cache_creation"], "input_tokens": 1, "output_tokens": 1}
    spent = next(one for one in read(body([], usage=alone), False) if isinstance(one, Spent))
    assert (spent.usage.cache_write, spent.usage.cache_write_1h) == (4, 5)


# --- bodies


def test_a_body_says_what_a_stream_says() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "bare", "input": {}},
    ]
    events = [one for one in read(body(content, "tool_use"), False) if not isinstance(one, Keep)]
    assert events == [
        Begin("msg_1", "m"),
        Thought("hm", "sig"),
        Text("Hi"),
        ToolStart("toolu_1", "look"),
        ToolArgs("toolu_1", '{"a":1}'),
        ToolStart("toolu_2", "bare"),
        Spent(Usage(input=5, cache_read=3, cache_write=9, output=1)),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    ("data", "malformed"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"x"}}', False),
        (b'{"content":"a string"}', True),
        (b'{"id":"x"}', True),
        (b"[]", True),
        (b"<html>", True),
    ],
)
def test_a_body_that_is_no_answer_is_a_fault(data: bytes, malformed: bool) -> None:
    (fault,) = read(data, False)
    assert isinstance(fault, Fault)
    assert fault.malformed is malformed


def test_a_count_is_read() -> None:
    assert read(b'{"input_tokens": 42}', False, "count") == [Begin("", ""), Result(42), Finish("stop")]
    (fault,) = read(b'{"type":"error","error":{"message":"x"}}', False, "count")
    assert isinstance(fault, Fault)
    assert not fault.malformed
    assert Result(42) in read(b'data: {"input_tokens": 42}\n\ndata: [DONE]\n\n', False, "count")
    (fault,) = read(b'{"input_tokens": "many"}', False, "count")
    assert isinstance(fault, Fault)
    assert fault.malformed


# --- any split


@given(st.lists(st.integers(0, 900), max_size=12), st.text(max_size=40), st.booleans())
def test_any_split_of_the_bytes_gives_the_same_frames(cuts: list[int], text: str, crlf: bool) -> None:
    data = BEGIN + start(0, type="text", text="") + delta(0, type="text_delta", text=text) + ended() + STOP
    data = data.replace(b"\n", b"\r\n") if crlf else data
    places = sorted({0, len(data), *[cut for cut in cuts if cut < len(data)]})
    reader = MESSAGES.reader("chat", True)
    pieces = [data[a:b] for a, b in pairwise(places)]
    frames = [frame for piece in pieces for frame in reader.feed(piece)] + list(reader.end())
    whole = MESSAGES.reader("chat", True)
    assert frames == [*whole.feed(data), *whole.end()]
    assert b"".join([frame.raw for frame in frames]) == data
