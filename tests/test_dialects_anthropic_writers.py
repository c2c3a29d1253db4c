"""Events → streams and bodies of Messages, as the SDK's own types have them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmrouter.dialects import Messages
from llmrouter.dialects.common import dumps, loads, parse
from llmrouter.types import (
    Begin,
    Event,
    Facts,
    Fault,
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

MESSAGES = Messages()
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
OTHER = Wire("openai.chat", True)
OWN = Wire("anthropic.messages", True)
USAGE = Usage(input=5, cache_read=3, cache_write=1, cache_write_1h=2, output=4, reasoning=2)
THINKS: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
TROUBLE = Trouble(status=529, kind="overloaded", code="c", message="sorry", request_id="req_1")


def writer(stream: bool = True, op: Any = "chat", **body: Any) -> Any:
    fields = parse(dumps({"model": "asked", "messages": [], **body}))
    facts = Facts(id="req_1", op=op, wire=Wire("anthropic.messages", stream), asked="asked", input_tokens=77)
    return MESSAGES.writer(Request(facts, fields))


def streamed(events: Iterable[Event], wire: Wire = OTHER, **body: Any) -> list[dict[str, Any]]:
    """The events that are written for each of these alone; all of them are checked."""
    made = writer(**body)
    data = b"".join([made.write(Frame(wire, b"", (event,)), False) for event in events]) + made.end()
    return told(data)


def told(data: bytes) -> list[dict[str, Any]]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        name, line = block.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] not in ("ping", "error"):
            EVENTS.validate_python(event, strict=False)
        found.append(event)
    in_order(found)
    return found


def in_order(events: Sequence[dict[str, Any]]) -> None:
    """The grammar: one block at a time, counted from 0, between the start and the end of the message."""
    assert events[0]["type"] == "message_start"
    open_block, index = False, -1
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert not open_block
                open_block, index = True, index + 1
                assert event["index"] == index
            case "content_block_delta" | "content_block_stop":
                assert open_block
                assert event["index"] == index
                open_block = event["type"] == "content_block_delta"
            case "message_delta" | "message_stop":
                assert not open_block
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]


def short(events: Sequence[dict[str, Any]]) -> list[str]:
    """What the blocks hold, one line each."""
    lines: list[str] = []
    for event in events:
        if event["type"] == "content_block_start":
            block = event["content_block"]
            lines.append(" ".join(filter(None, [block["type"], block.get("name"), block.get("data")])) + ":")
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            lines[-1] += next(value for name, value in delta.items() if name != "type")
    return lines


def whole(events: Iterable[Event], wire: Wire = OTHER, **body: Any) -> dict[str, Any]:
    made = writer(False, **body)
    assert made.write(Frame(wire, b"", tuple(events)), False) == b""
    found: dict[str, Any] = loads(made.end())
    Message.model_validate(found, strict=False)
    return found


# --- streams


def test_a_stream_from_elsewhere_has_the_whole_grammar() -> None:
    events = streamed([Begin("chatcmpl-1", "m"), Text("Hi "), Text("there"), Finish("stop"), Spent(USAGE)])
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = events[0]["message"]
    assert (message["id"], message["model"], message["content"]) == ("chatcmpl-1", "m", [])
    assert message["usage"]["input_tokens"] == 77, "an estimate: nobody has told yet"
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 6,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_a_stream_without_a_name_gets_one() -> None:
    message = streamed([Text("x"), Finish("stop")])[0]["message"]
    assert (message["id"], message["model"]) == ("msg_req_1", "asked")


def test_an_answer_of_nothing_is_an_answer() -> None:
    events = streamed([Begin("a", "m"), Text(""), Finish("length")])
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert events[1]["delta"]["stop_reason"] == "max_tokens"


def test_a_new_kind_of_output_is_a_new_block() -> None:
    events = streamed(
        [
            Thought("hm"), Thought(" so"), Text("let"), Text(" me"), ToolStart("t1", "look"),
            ToolArgs("t1", '{"a":'), ToolArgs("t1", "1}"), Text("done"), Refusal("no"), Finish("tool_calls"),
        ],
        **THINKS,
    )  # fmt: skip
    assert short(events) == ["thinking:hm so", "text:let me", 'tool_use look:{"a":1}', "text:doneno"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
def test_a_call_is_told_as_one_whatever_the_upstream_calls_its_end(reason: Any) -> None:
    events = streamed([ToolStart("t1", "look"), ToolArgs("t1", "{}"), Finish(reason)])
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_refusal_is_a_stop_reason() -> None:
    assert streamed([Refusal("no"), Finish("content_filter")])[-2]["delta"]["stop_reason"] == "refusal"


def test_a_call_without_arguments_gets_an_empty_object() -> None:
    events = streamed([ToolStart("t1", "bare"), ToolStart("t2", "bare"), ToolArgs("t2", ""), Finish("tool_calls")])
    assert short(events) == ["tool_use bare:{}", "tool_use bare:{}"]


def test_fragments_of_parallel_calls_are_sorted() -> None:
    events = streamed(
        [
            ToolStart("t1", "one"), ToolStart("t2", "two"), ToolStart("t3", "three"), ToolArgs("t1", '{"a":'),
            ToolArgs("t2", '{"b":'), ToolArgs("t3", "{}"), ToolArgs("t1", "1}"), Text("aside"),
            ToolArgs("t2", "2}"), Finish("tool_calls"),
        ]
    )  # fmt: skip
    assert short(events) == ['tool_use one:{"a":1}', 'tool_use two:{"b":2}', "tool_use three:{}", "text:aside"]


def test_a_call_that_is_whole_lets_the_next_one_through_at_once() -> None:
    made = writer()
    for event in (ToolStart("t1", "one"), ToolArgs("t1", '{"a":1}'), ToolStart("t2", "two")):
        data = made.write(Frame(OTHER, b"", (event,)), False)
    assert b'"name":"two"' in data


def test_a_call_that_is_never_whole_is_closed_at_the_end() -> None:
    events = streamed([ToolStart("t1", "one"), ToolArgs("t1", '{"a'), ToolStart("t2", "two"), Finish("length")])
    assert short(events) == ['tool_use one:{"a', "tool_use two:{}"]


def test_arguments_of_a_call_that_nobody_began_are_not_written() -> None:
    assert short(streamed([Text("x"), ToolArgs("t9", "{}"), Finish("stop")])) == ["text:x"]


def test_a_signature_ends_its_thought_and_a_foreign_one_is_marked() -> None:
    own = streamed([Thought("hm"), Thought("", "sig"), Thought("more", "two"), Finish("stop")], OWN, **THINKS)
    assert short(own) == ["thinking:hmsig", "thinking:moretwo"]
    foreign = Wire("gemini.generate", True)
    assert short(streamed([Thought("", "sig"), Text("x"), Finish("stop")], foreign, **THINKS)) == [
        "thinking:^llmrouter:gemini.generate#sig",
        "text:x",
    ]


def test_a_redacted_thought_is_a_block_of_its_own() -> None:
    redacted = Thought("", "xyz", redacted=True)
    assert short(streamed([Thought("hm"), redacted, Text("x"), Finish("stop")], OWN, **THINKS)) == [
        "thinking:hm",
        "redacted_thinking xyz:",
        "text:x",
    ]


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}, {"type": "adaptive", "display": "omitted"}])
def test_who_did_not_ask_for_thoughts_gets_none(thinking: Any) -> None:
    said: list[Event] = [Thought("hm", "sig"), Text("x"), Finish("stop")]
    assert short(streamed(said, thinking=thinking)) == ["text:x"]
    assert [block["type"] for block in whole(said, thinking=thinking)["content"]] == ["text"]


def test_an_error_in_band_has_the_envelope_and_no_end_mark() -> None:
    data = writer().fail(TROUBLE)
    name, line, *_ = data.decode().split("\n")
    assert name == "event: error"
    body = json.loads(line.removeprefix("data: "))
    assert (body["type"], body["error"]["type"], body["error"]["message"]) == ("error", "overloaded_error", "sorry")


def test_what_says_nothing_to_a_client_writes_nothing() -> None:
    made = writer()
    for event in (Keep("n", b""), Spent(USAGE), Fault(b""), Result(1), Begin("a", "m")):
        assert made.write(Frame(OTHER, b"", (event,)), False) == b""


# --- native


def native(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


BEGUN: dict[str, Any] = {
    "id": "msg_up",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
}
BEGIN = native(
    "message_start", message={**BEGUN, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
)
OPEN = native("content_block_start", index=0, content_block={"type": "text", "text": ""})
SAY = native("content_block_delta", index=0, delta={"type": "text_delta", "text": "message_stop"})
CLOSE = native("content_block_stop", index=0)
ENDED = native(
    "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}
)
STOP = native("message_stop")


def passed(made: Any, data: bytes) -> bytes:
    reader = MESSAGES.reader("chat", True)
    return b"".join([made.write(frame, True) for frame in [*reader.feed(data), *reader.end()]])


def test_a_native_stream_passes_byte_for_byte_with_its_own_end_mark() -> None:
    data = BEGIN + native("ping") + OPEN + SAY + CLOSE + ENDED + STOP
    made = writer()
    assert passed(made, data) + made.end() == data


def test_a_native_stream_without_its_end_mark_gets_it() -> None:
    made = writer()
    data = BEGIN + OPEN + SAY + CLOSE + ENDED
    events = told(passed(made, data) + made.end())
    assert events[-1] == {"type": "message_stop"}


def test_another_upstream_goes_on_where_a_native_stream_broke_off() -> None:
    made = writer()
    data = passed(made, BEGIN + OPEN + SAY)
    data += made.write(Frame(OTHER, b"", (Begin("other", "n"), Text(" more"))), False)
    data += made.write(Frame(OTHER, b"", (ToolStart("t", "n"), Finish("tool_calls"))), False)
    events = told(data + made.end())
    assert short(events) == ["text:message_stop more", "tool_use n:{}"]
    assert events[0]["message"]["id"] == "msg_up"


def test_a_native_body_passes_byte_for_byte() -> None:
    made = writer(False)
    made.write(Frame(Wire("anthropic.messages", False), b' {"x" : 1}', (Finish("stop"),)), True)
    assert made.end() == b' {"x" : 1}'


# --- bodies


def test_a_body_holds_what_the_stream_held() -> None:
    said: list[Event] = [
        Begin("chatcmpl-1", "m"), Thought("h"), Thought("m", "sig"), Thought("", "xyz", redacted=True), Text("Hi"),
        Text("!"), ToolStart("t1", "look"), ToolArgs("t1", '{"a":'), ToolArgs("t1", "1}"), ToolStart("t2", "bare"),
        Refusal("no"), Spent(USAGE), Finish("stop"),
    ]  # fmt: skip
    found = whole(said, OWN, **THINKS)
    assert found["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hi!"},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "bare", "input": {}},
        {"type": "text", "text": "no"},
    ]
    assert (found["id"], found["model"], found["stop_reason"]) == ("chatcmpl-1", "m", "tool_use")
    assert found["usage"]["output_tokens"] == 6


def test_a_body_of_foreign_thoughts_marks_who_signed_them() -> None:
    (thought,) = whole([Thought("hm", "sig"), Finish("stop")], Wire("gemini.generate", False), **THINKS)["content"]
    assert thought["signature"] == "^llmrouter:gemini.generate#sig"


def test_a_body_without_usage_and_name_has_them_all_the_same() -> None:
    found = whole([Text("x"), Finish("length")])
    assert (found["id"], found["model"], found["stop_reason"]) == ("msg_req_1", "asked", "max_tokens")
    assert found["usage"]["input_tokens"] == 77


def test_an_error_instead_of_a_body_has_the_envelope() -> None:
    assert loads(writer(False).fail(TROUBLE))["error"]["type"] == "overloaded_error"


# --- counts


def test_a_count_is_told_whoever_counted() -> None:
    made = writer(False, "count")
    made.write(Frame(Wire("", False), b"", (Begin("", "m"), Result(42), Finish("stop"))), False)
    assert loads(made.end()) == {"input_tokens": 42}
    MessageTokensCount.model_validate(loads(made.end()), strict=False)
    made.write(Frame(Wire("anthropic.messages", False), b'{"input_tokens": 7}', (Result(7),)), True)
    assert made.end() == b'{"input_tokens": 7}'
    assert loads(made.fail(TROUBLE))["type"] == "error"


# --- whatever comes

OUTPUT = st.one_of(
    st.text(max_size=5).map(Text),
    st.builds(Thought, st.text(max_size=5), st.sampled_from(["", "sig"])),
    st.just(Thought("", "xyz", redacted=True)),
    st.builds(ToolArgs, st.sampled_from("abc"), st.sampled_from(['{"x":1}', '{"', "}"])),
    st.text(max_size=3).map(Refusal),
    st.just(Spent(USAGE)),
)


@given(st.lists(OUTPUT, max_size=14), st.lists(st.integers(0, 14), min_size=3, max_size=3), st.booleans())
def test_whatever_comes_is_written_in_order_and_nothing_of_it_is_lost(
    events: list[Event], starts: list[int], thinks: bool
) -> None:
    for id, at in zip("abc", starts, strict=True):
        events.insert(at, ToolStart(id, f"tool_{id}"))
    known: set[str] = set()
    expected = dict.fromkeys("abc", "")
    for event in events:
        if isinstance(event, ToolStart):
            known.add(event.id)
        elif isinstance(event, ToolArgs) and event.id in known and not _is_json(expected[event.id]):
            expected[event.id] += event.json
    found = streamed([Begin("x", "m"), *events, Finish("stop")], OTHER, **(THINKS if thinks else {}))
    lines = short(found)
    text = "".join([line.removeprefix("text:") for line in lines if line.startswith("text:")])
    assert sorted(text) == sorted("".join([one.text for one in events if isinstance(one, Text | Refusal)]))
    for id in "abc":
        (said,) = [line.partition(":")[2] for line in lines if line.startswith(f"tool_use tool_{id}:")]
        assert said.startswith(expected[id] or "{}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
