from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llmrouter.dialects import Chat
from llmrouter.dialects.common import dumps, parse
from llmrouter.dialects.signatures import MARK
from llmrouter.types import (
    Attempt,
    Begin,
    Event,
    Failure,
    Finish,
    Frame,
    Keep,
    Refusal,
    Request,
    Skip,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Trouble,
    Usage,
    Wire,
)

CHAT = Chat()
OTHER = Wire("anthropic.messages", True)
DONE = b"data: [DONE]\n\n"
USAGE = Usage(input=5, cache_read=3, cache_write=1, output=4, reasoning=2, cost=0.25)


def request(stream: bool, **more: Any) -> Request:
    fields = parse(dumps({"model": "asked", "messages": [{"role": "user"}], "stream": stream} | more))
    facts = msgspec.structs.replace(CHAT.facts("chat", fields, {}), id="r1", at=1700000000.9)
    return Request(facts, fields)


def asking(usage: bool) -> Request:
    return request(True, **({"stream_options": {"include_usage": True}} if usage else {}))


def read(*parts: bytes, stream: bool = True) -> list[Frame]:
    reader = CHAT.reader("chat", stream)
    return [frame for part in parts for frame in reader.feed(part)] + list(reader.end())


def streamed(events: Iterable[Event], usage: bool = False, verbatim: bool = False) -> list[dict[str, Any]]:
    """The chunks a client sees; each one valid to the SDK, the end mark last."""
    writer = CHAT.writer(asking(usage))
    written = (
        b"".join(writer.write(Frame(OTHER, b"never shown", (event,)), False) for event in events) + writer.end()
    )
    return chunks(written)


def chunks(written: bytes) -> list[dict[str, Any]]:
    *parts, last, empty = written.split(b"\n\n")
    assert (last, empty) == (b"data: [DONE]", b"")
    found = [json.loads(part.removeprefix(b"data: ")) for part in parts]
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk)
    return found


def folded(*frames: Frame, verbatim: bool = False) -> dict[str, Any]:
    writer = CHAT.writer(request(False))
    assert b"".join(writer.write(frame, verbatim) for frame in frames) == b""
    body: dict[str, Any] = json.loads(writer.end())
    ChatCompletion.model_validate(body)
    return body


ANSWER: list[Event] = [
    Begin("id1", "served"),
    Spent(Usage(input=1)),
    Thought("hm", "signature"),
    Text("a"),
    Text(""),
    Text("b"),
    ToolStart("c1", "f"),
    ToolArgs("c1", '{"x"'),
    ToolStart("c2", "g"),
    ToolArgs("c1", ":1}"),
    Keep("c1", b"kept"),
    Finish("stop"),
    Spent(USAGE),
]

SIGNED = {"type": "reasoning.text", "text": "hm", "signature": f"{MARK}{OTHER.dialect}#signature", "index": 0}
THOUGHT = {"reasoning_content": "hm", "reasoning_details": [SIGNED]}


# --- streams, encoded


def test_chunks_come_in_order_and_are_all_of_one_answer() -> None:
    found = streamed(ANSWER)
    assert {(one["id"], one["created"], one["model"], one["object"]) for one in found} == {
        ("id1", 1700000000, "served", "chat.completion.chunk")
    }
    assert [one["choices"][0]["delta"] for one in found] == [
        {"role": "assistant", "content": ""},
        THOUGHT,
        {"content": "a"},
        {"content": "b"},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [one["choices"][0]["finish_reason"] for one in found] == [None] * 9 + ["tool_calls"]
    assert not any("usage" in one for one in found)


def test_usage_is_the_last_chunk_where_it_was_asked_for() -> None:
    *before, last = streamed(ANSWER, usage=True)
    assert all(one["usage"] is None for one in before)
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens"] == 9
    assert last["usage"]["completion_tokens"] == 6
    assert last["usage"]["total_tokens"] == 15
    assert last["usage"]["cost"] == 0.25


def test_without_any_usage_there_is_no_usage_chunk() -> None:
    assert all(one["choices"] for one in streamed([Begin("a", "m"), Text("x"), Finish("stop")], usage=True))


def test_a_refusal_is_a_refusal() -> None:
    found = streamed([Begin("a", "m"), Refusal("no"), Finish("content_filter")])
    assert found[1]["choices"][0]["delta"] == {"refusal": "no"}
    assert found[2]["choices"][0]["finish_reason"] == "content_filter"


def test_an_answer_without_a_beginning_is_named_after_the_request() -> None:
    found = streamed([Text("x"), Finish("stop")])
    assert (found[0]["id"], found[0]["model"]) == ("chatcmpl-r1", "asked")
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_what_means_nothing_is_not_said_in_another_dialect() -> None:
    writer = CHAT.writer(asking(True))
    assert writer.write(Frame(OTHER, b": ping\n\n", ()), False) == b""


def test_arguments_of_a_call_that_never_began_are_left_out() -> None:
    assert len(streamed([Begin("a", "m"), ToolArgs("x", "{}"), Text("x"), Finish("stop")])) == 3


EVENTS = st.one_of(
    st.builds(Text, st.text(max_size=4)),
    st.builds(Thought, st.text(max_size=4)),
    st.builds(Refusal, st.text(max_size=4)),
    st.builds(ToolStart, st.sampled_from("abc"), st.sampled_from("fgh")),
    st.builds(ToolArgs, st.sampled_from("abc"), st.text(max_size=4)),
    st.builds(Spent, st.builds(Usage, input=st.integers(0, 9))),
    st.builds(Begin, st.text(max_size=3), st.text(max_size=3)),
)


@given(st.lists(EVENTS, max_size=12), st.sampled_from(["stop", "length", "content_filter"]), st.booleans())
def test_whatever_was_said_is_valid_to_the_sdk_in_both_shapes(
    events: list[Event], reason: Any, usage: bool
) -> None:
    events = [*events, Finish(reason)]
    found = streamed(events, usage)
    folded(Frame(OTHER, b"", tuple(events)))
    indexes = [
        call["index"]
        for one in found
        for choice in one["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert set(indexes) == set(range(len(set(indexes))))


@given(st.lists(st.builds(Text, st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), min_size=1))
def test_a_stream_that_was_written_is_read_the_same(texts: list[Event]) -> None:
    events = [Begin("a", "m"), *texts, Finish("length"), Spent(USAGE)]
    writer = CHAT.writer(asking(True))
    written = b"".join(writer.write(Frame(OTHER, b"", (event,)), False) for event in events) + writer.end()
    assert [event for frame in read(written) for event in frame.events] == events


# --- streams, verbatim


def sse(*parts: str) -> bytes:
    return b"".join(b"data: " + part.encode() + b"\n\n" for part in parts)


HEAD = '{"id":"a","object":"chat.completion.chunk","created":1,"model":"m"'
NATIVE = sse(
    HEAD + ',"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":{}}],"usage":null}',
    HEAD + ',"choices":[{"index":0,"delta":{"content":",\\"usage\\":null"},"finish_reason":null}],"usage":null}',
    HEAD + ',"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}',
)
TOLD = sse(HEAD + ',"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}')


def verbatim(stream: bytes, usage: bool) -> bytes:
    writer = CHAT.writer(asking(usage))
    return b"".join(writer.write(frame, True) for frame in read(stream)) + writer.end()


def test_a_client_that_asked_for_usage_gets_the_very_bytes() -> None:
    assert verbatim(b": hi\n\n" + NATIVE + TOLD + DONE, usage=True) == b": hi\n\n" + NATIVE + TOLD + DONE


def test_a_client_that_did_not_ask_never_hears_of_usage() -> None:
    assert (
        verbatim(b": hi\n\n" + NATIVE + TOLD + DONE, usage=False)
        == b": hi\n\n" + NATIVE.replace(b',"usage":null', b"") + DONE
    )


def test_usage_inside_the_last_choice_is_left_where_it_is() -> None:
    last = sse(HEAD + ',"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}')
    for usage in (False, True):
        assert verbatim(last, usage) == last + DONE
        assert verbatim(NATIVE + last, usage).endswith(last + DONE)


def test_include_usage_must_be_true_to_ask() -> None:
    for options in (None, {}, {"include_usage": False}):
        writer = CHAT.writer(request(True, stream_options=options))
        assert b"".join(writer.write(frame, True) for frame in read(TOLD)) == b""


def test_what_another_upstream_goes_on_with_fits_what_was_written() -> None:
    writer = CHAT.writer(asking(True))
    first = sse(
        HEAD + ',"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":'
        '[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}]}}]}'
    )
    written = b"".join(writer.write(frame, True) for frame in read(first))
    assert written == first
    rest: list[Event] = [Begin("other", "other"), ToolStart("c2", "g"), ToolArgs("c2", "{}"), Finish("stop")]
    found = chunks(b"".join(writer.write(Frame(OTHER, b"", (event,)), False) for event in rest) + writer.end())
    assert {(one["id"], one["model"]) for one in found} == {("a", "m")}
    assert [one["choices"][0]["delta"].get("role") for one in found] == [None, None, None]
    assert found[0]["choices"][0]["delta"]["tool_calls"][0]["index"] == 1


def test_the_usage_of_the_one_that_goes_on_is_told_too() -> None:
    writer = CHAT.writer(asking(True))
    early = sse(HEAD + ',"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}')
    assert b"".join(writer.write(frame, True) for frame in read(early)) == early
    rest: list[Event] = [Text("b"), Finish("stop"), Spent(Usage(input=7, output=8))]
    found = chunks(b"".join(writer.write(Frame(OTHER, b"", (event,)), False) for event in rest) + writer.end())
    assert found[-1]["usage"]["total_tokens"] == 15


# --- the other shape


def test_a_stream_is_folded_for_a_client_that_waits() -> None:
    found = folded(*[Frame(OTHER, b"", (event,)) for event in ANSWER])
    calls = [(call["id"], call["function"]) for call in found["choices"][0]["message"].pop("tool_calls")]
    assert calls == [("c1", {"name": "f", "arguments": '{"x":1}'}), ("c2", {"name": "g", "arguments": "{}"})]
    assert found["choices"] == [
        {
            "index": 0,
            "logprobs": None,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "ab", "refusal": None} | THOUGHT,
        }
    ]
    assert (found["id"], found["created"], found["model"]) == ("id1", 1700000000, "served")
    assert found["usage"]["total_tokens"] == 15


def test_a_native_stream_is_folded_even_when_it_is_said_to_be_verbatim() -> None:
    found = folded(*read(NATIVE + TOLD + DONE), verbatim=True)
    assert found["choices"][0]["message"]["content"] == ',"usage":null'


BODY = (
    b'{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"x"},"finish_reason":"stop","logprobs":{"content":[],"refusal":null}}],"usage":{"prompt_tokens":1,'
    b'"completion_tokens":1,"total_tokens":2},"extra":  1}'
)


def test_a_native_body_is_the_very_bytes() -> None:
    writer = CHAT.writer(request(False))
    assert b"".join(writer.write(frame, True) for frame in read(BODY, stream=False)) == b""
    assert writer.end() == BODY


def test_a_body_is_cut_into_chunks_for_a_client_that_streams() -> None:
    for verbatim_ in (True, False):
        writer = CHAT.writer(asking(True))
        found = chunks(b"".join(writer.write(frame, verbatim_) for frame in read(BODY)) + writer.end())
        assert [one["choices"][0]["delta"] for one in found[:-1]] == [
            {"role": "assistant", "content": ""},
            {"content": "x"},
            {},
        ]
        assert found[-1]["usage"]["total_tokens"] == 2


def test_silence_is_an_empty_text_and_calls_alone_are_null() -> None:
    assert folded(Frame(OTHER, b"", (Finish("stop"),)))["choices"][0]["message"]["content"] == ""
    call = (ToolStart("c", "f"), Finish("tool_calls"))
    assert folded(Frame(OTHER, b"", call))["choices"][0]["message"]["content"] is None
    refused = folded(Frame(OTHER, b"", (Refusal("n"), Refusal("o"), ToolArgs("x", "1"))))["choices"][0]["message"]
    assert (refused["content"], refused["refusal"]) == (None, "no")
    assert folded(Frame(OTHER, b"", (Text("x"),)))["id"] == "chatcmpl-r1"


# --- errors

FAILED = Failure(kind="overloaded", scope="endpoint", status=503, message="busy")
TRIED = Attempt(
    endpoint="p/m",
    account="one",
    started=0.0,
    first_output=None,
    ended=1.0,
    failure=FAILED,
    usage=Usage(),
    cost=None,
)
LOST = msgspec.structs.replace(TRIED, account="two", failure=None)
HELD = Skip(endpoint="p/m", account="three", reason="limit")


def trouble(status: int, **more: Any) -> Trouble:
    given: dict[str, Any] = {"kind": "server_error", "code": "upstream_error", "message": "It failed."}
    return Trouble(status=status, request_id="r1", steps=(TRIED, HELD, LOST), **given | more)


def test_an_error_says_what_the_api_says_and_what_was_tried() -> None:
    assert json.loads(CHAT.refuse(trouble(503, kind="overloaded", param="model"))) == {
        "error": {
            "message": "It failed.",
            "type": "overloaded_error",
            "param": "model",
            "code": "upstream_error",
            "llmrouter": {
                "class": "overloaded",
                "request_id": "r1",
                "attempts": [
                    {"endpoint": "p/m", "account": "one", "class": "overloaded", "status": 503, "message": "busy"},
                    {"endpoint": "p/m", "account": "two", "class": None, "status": None, "message": ""},
                ],
            },
        }
    }


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"), (404, "invalid_request_error"), (413, "invalid_request_error"),
        (422, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (429, "rate_limit_error"), (500, "server_error"), (502, "server_error"),
        (503, "server_error"), (504, "timeout"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_every_status_has_its_type(status: int, type_: str) -> None:
    error = json.loads(CHAT.refuse(trouble(status, code="")))["error"]
    assert (error["type"], error["code"], error["param"]) == (type_, "server_error", None)


def test_a_stream_that_breaks_ends_with_an_error_and_no_end_mark() -> None:
    broken = CHAT.writer(asking(False)).fail(trouble(502))
    assert broken == b"data: " + CHAT.refuse(trouble(502)) + b"\n\n"
    assert CHAT.writer(request(False)).fail(trouble(502)) == CHAT.refuse(trouble(502))
