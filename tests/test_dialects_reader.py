from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Chat
from llmrouter.dialects.noting import Turn, name_of
from llmrouter.dialects.openai_answers import AnswerMeaning
from llmrouter.dialects.openai_usage import read_usage, write_usage
from llmrouter.dialects.reader import AnswerReader
from llmrouter.types import (
    OUTPUT,
    Begin,
    Event,
    Fault,
    Finish,
    Frame,
    Keep,
    Refusal,
    Spent,
    Text,
    Thought,
    ToolArgs,
    ToolStart,
    Usage,
)

CHAT = Chat()
DONE = b"data: [DONE]\n\n"


def sse(*chunks: Any) -> bytes:
    return b"".join([b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks])


def chunk(delta: dict[str, Any], reason: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "a", "object": "chat.completion.chunk", "model": "m", "choices": [choice]} | more


def body(message: dict[str, Any], reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": reason}
    return json.dumps({"id": "a", "model": "m", "choices": [choice]} | more).encode()


def frames(*parts: bytes, stream: bool = True) -> list[Frame]:
    reader = CHAT.reader("chat", stream)
    found = [frame for part in parts for frame in reader.feed(part)]
    return [*found, *reader.end()]


def events(*parts: bytes, stream: bool = True) -> list[Event]:
    return [event for frame in frames(*parts, stream=stream) for event in frame.events]


def deltas(*said: dict[str, Any]) -> list[Event]:
    return events(sse(*[chunk(delta) for delta in said]))[1:]


def finish(reason: str) -> list[Event]:
    return events(sse(chunk({"content": "x"}), chunk({}, reason)))[2:]


def calls(*fragments: list[dict[str, Any]]) -> list[Event]:
    return deltas(*[{"tool_calls": fragment} for fragment in fragments])


def fragment(arguments: Any = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}} | more


# --- streams

STREAM = (
    b": hello\n\n"
    + sse(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "grüße €𝄞"}),
        chunk({"reasoning_content": "hm"}),
        chunk({"tool_calls": [fragment('{"a"', "f", index=0, id="c1")]}),
        chunk({"tool_calls": [fragment(":1}", index=0)]}),
        chunk({}, "tool_calls"),
        {"id": "a", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    )
    + DONE
)


def kept(call: str, arguments: Any, *thoughts: Thought) -> Keep:
    return Keep(name_of(call, arguments), msgspec.json.encode(Turn("openai.chat", thoughts, {})))


def test_a_stream_is_read_event_by_event() -> None:
    assert events(STREAM) == [
        Begin("a", "m"),
        Text("grüße €𝄞"),
        Thought("hm"),
        ToolStart("c1", "f"),
        ToolArgs("c1", '{"a"'),
        ToolArgs("c1", ":1}"),
        kept("c1", {"a": 1}, Thought("hm")),
        Finish("tool_calls"),
        Spent(Usage(input=3, output=2)),
    ]


@given(st.data())
def test_any_split_of_the_bytes_gives_the_same_frames(data: st.DataObject) -> None:
    crlf = data.draw(st.booleans())
    stream = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    at = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    parts = [stream[a:b] for a, b in zip([0, *at], [*at, len(stream)], strict=True)]
    assert frames(*parts) == frames(stream)


@given(st.data())
def test_any_split_of_a_body_gives_the_same_frame(data: st.DataObject) -> None:
    whole = b"\xef\xbb\xbf \n" + body({"content": "grüße"})
    at = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=9)))
    parts = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    stream = data.draw(st.booleans())
    assert frames(*parts, stream=stream) == frames(whole, stream=stream)


def test_frames_are_the_bytes_that_came_but_for_the_end_mark() -> None:
    assert b"".join(frame.raw for frame in frames(STREAM)) == STREAM.removesuffix(DONE)
    assert {(frame.wire.dialect, frame.wire.stream) for frame in frames(STREAM)} == {("openai.chat", True)}


def test_comments_are_frames_that_mean_nothing() -> None:
    assert frames(STREAM)[0].raw == b": hello\n\n"
    assert frames(STREAM)[0].events == ()


def test_a_stream_may_end_without_a_blank_line_and_without_a_mark() -> None:
    stream = sse(chunk({"content": "x"}), chunk({}, "stop"))
    assert events(stream[:-2])[-1] == Finish("stop")
    assert frames(stream[:-2])[-1].raw.endswith(b"}\n\n")
    assert events(stream + b"data: [DONE]") == events(stream)


def test_an_event_that_was_cut_gives_no_frame_and_no_finish() -> None:
    cut = sse(chunk({"content": "x"}), chunk({}, "stop"))[:-20]
    assert events(cut) == [Begin("a", "m"), Text("x")]


def test_keep_alive_and_filter_chunks_begin_nothing() -> None:
    azure = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    assert events(sse(azure, {"object": "ping"}, chunk({"content": "x"}))) == [Begin("a", "m"), Text("x")]


def test_roles_nulls_and_empty_deltas_say_nothing() -> None:
    silent = {"role": "assistant", "content": None, "tool_calls": None, "refusal": None, "reasoning": None}
    assert deltas(silent, {}, {"content": ""}, {"tool_calls": []}) == []


def test_a_body_is_its_message_even_beside_a_delta() -> None:
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "message": {"content": "x"}}
    whole = json.dumps({"id": "a", "choices": [choice | {"finish_reason": "stop"}]}).encode()
    assert events(whole, stream=False)[1:] == [Text("x"), Finish("stop")]


@pytest.mark.parametrize(
    ("delta", "event"),
    [
        ({"reasoning": "r"}, Thought("r")),
        ({"reasoning_content": "r", "reasoning": "r"}, Thought("r")),
        ({"refusal": "no"}, Refusal("no")),
        ({"content": [{"type": "text", "text": "x"}]}, Text("x")),
        ({"content": ["x"]}, Text("x")),
        ({"content": {"type": "text", "text": "x"}}, Text("x")),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]}, Thought("t")),
        ({"content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}, Thought("t", "s")),
        ({"content": [{"type": "image", "image": "…"}]}, Text("")),
        ({"audio": {"data": "AA"}}, Text("")),
        ({"images": [{"url": "u"}]}, Text("")),
    ],
)
def test_every_vendors_way_to_say_something(delta: dict[str, Any], event: Event) -> None:
    assert deltas(delta) == [event]


def test_text_and_thoughts_of_one_chunk_are_both_heard() -> None:
    assert deltas({"content": "x", "reasoning_content": "r"}) == [Thought("r"), Text("x")]


@pytest.mark.parametrize(
    ("reason", "finish_"),
    [
        ("stop", "stop"), ("eos", "stop"), ("made_up", "stop"), ("length", "length"), ("model_length", "length"),
        ("content_filter", "content_filter"), ("sensitive", "content_filter"), ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
    ],
)  # fmt: skip
def test_reasons_to_finish_are_of_four_kinds(reason: str, finish_: Any) -> None:
    assert finish(reason) == [Finish(finish_)]


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource"])
def test_reasons_that_are_failures_are_faults(reason: str) -> None:
    (fault,) = finish(reason)
    assert isinstance(fault, Fault)
    assert not fault.malformed
    assert reason.encode() in fault.body


def test_a_finish_comes_once_however_often_it_is_repeated() -> None:
    stream = sse(chunk({"content": "x"}, "stop"), chunk({}, "stop"), chunk({"content": ""}))
    assert events(stream) == [Begin("a", "m"), Text("x"), Finish("stop")]


def test_a_stop_with_tools_to_call_is_no_stop() -> None:
    call = {"tool_calls": [fragment("{}", "f", index=0, id="c")]}
    assert events(sse(chunk(call), chunk({}, "stop")))[-1] == Finish("tool_calls")
    assert events(sse(chunk(call), chunk({}, "length")))[-1] == Finish("length")


def test_an_empty_reason_counts_when_the_end_mark_follows() -> None:
    call = {"tool_calls": [fragment("{}", "f", index=0, id="c")]}
    stream = sse(chunk(call, ""))
    assert Finish("tool_calls") not in events(stream)
    assert events(stream + DONE)[-1] == Finish("tool_calls")
    assert frames(stream + DONE)[-1].raw == b""


# --- tool calls


def test_fragments_belong_to_the_index_they_name() -> None:
    first = [fragment("", "f", index=0, id="a"), fragment("", "g", index=1, id="b")]
    assert calls(first, [fragment("1", index=1)], [fragment("2", index=0)]) == [
        ToolStart("a", "f"),
        ToolStart("b", "g"),
        ToolArgs("b", "1"),
        ToolArgs("a", "2"),
    ]


def test_a_new_id_is_a_new_call_whatever_its_index() -> None:
    found = calls(
        [fragment("1", "f", index=0, id="a")], [fragment("2", "f", index=0, id="b"), fragment("3", index=0)]
    )
    assert found == [
        ToolStart("a", "f"),
        ToolArgs("a", "1"),
        ToolStart("b", "f"),
        ToolArgs("b", "2"),
        ToolArgs("b", "3"),
    ]


def test_without_an_index_fragments_follow_the_call_before() -> None:
    found = calls(
        [fragment("1", "f", id="a")], [fragment("2")], [fragment("3", "g", id="b")], [fragment("4", id="b")]
    )
    assert found == [
        ToolStart("a", "f"),
        ToolArgs("a", "1"),
        ToolArgs("a", "2"),
        ToolStart("b", "g"),
        ToolArgs("b", "3"),
        ToolArgs("b", "4"),
    ]


def test_an_id_and_a_name_that_are_repeated_are_the_same_call() -> None:
    again = fragment("1", "f", index=0, id="a")
    assert calls([again], [again]) == [ToolStart("a", "f"), ToolArgs("a", "1"), ToolArgs("a", "1")]
    unnamed = fragment("2", "f", index=0)
    assert calls([again], [unnamed])[2:] == [ToolArgs("a", "2")]


def test_calls_without_an_id_get_one_of_their_own() -> None:
    found = calls([fragment("1", "f")], [fragment("2", "f")], [fragment("3", "g", index=5, id="")])
    starts = [event for event in found if isinstance(event, ToolStart)]
    assert [start.name for start in starts] == ["f", "f", "g"]
    assert len({start.id for start in starts}) == 3
    assert all(start.id.startswith("call_") and len(start.id) <= 40 for start in starts)
    assert found == calls([fragment("1", "f")], [fragment("2", "f")], [fragment("3", "g", index=5, id="")])
    other = events(sse(chunk({"tool_calls": [fragment("1", "f")]}, id="another")))
    assert other[1] != starts[0]


def test_arguments_may_come_as_an_object() -> None:
    assert calls([fragment({"a": 1}, "f", id="a")])[1] == ToolArgs("a", '{"a":1}')


def test_custom_and_old_calls_are_output_too() -> None:
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "raw"}}
    assert calls([custom]) == [ToolStart("a", "c"), ToolArgs("a", "raw")]
    old = deltas({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}})
    assert [type(event) for event in old] == [ToolStart, ToolArgs]


# --- several choices


def test_other_choices_are_output_and_the_finish_is_that_of_all() -> None:
    stream = sse(
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}),
        chunk({}, "length"),
        chunk({"tool_calls": [fragment("1", "f", id="x")]}, index=1),
        chunk({}, "stop", index=1),
    )
    found = events(stream)
    assert isinstance(found[1], OUTPUT)
    assert found == [Begin("a", "m"), Text(""), Text("a"), Text(""), Finish("length")]


def test_calls_of_another_choice_are_none_of_the_first() -> None:
    other = chunk({"tool_calls": [fragment("1", "f", index=0, id="x")]}, index=1)
    first = chunk({"tool_calls": [fragment("2", "g", index=0, id="y")]})
    found = [Text(""), ToolStart("y", "g"), ToolArgs("y", "2"), Text("")]
    assert events(sse(other, first, other))[1:] == found
    assert events(sse(other, chunk({}, "stop"), chunk({}, "stop", index=1)))[-1] == Finish("stop")


# --- usage


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, Usage(input=9, output=4)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 8,
                "total_tokens": 18,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(input=5, cache_read=3, cache_write=2, output=3, reasoning=5),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 3,
                "total_tokens": 18,
                "completion_tokens_details": {"reasoning_tokens": 5},
                "cost_in_usd_ticks": 25_000_000,
            },
            Usage(input=10, output=3, reasoning=5, cost=0.0025),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, Usage(input=5, cache_read=4)),
        ({"prompt_tokens": 9, "cached_tokens": 4, "cost": 0.5}, Usage(input=5, cache_read=4, cost=0.5)),
        ({"prompt_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(input=2, cache_read=9)),
        ({"completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 9}}, Usage(reasoning=9)),
        ({"total_tokens": 7}, Usage(input=7)),
        ({"prompt_tokens": None, "completion_tokens": "4", "prompt_tokens_details": None, "cost": None}, Usage()),
        ({"prompt_tokens": 3.0, "cost": 0}, Usage(input=3, cost=0.0)),
        ({"prompt_tokens": -3, "completion_tokens": 4, "prompt_tokens_details": "none"}, Usage(output=4)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": None}},
            Usage(input=7, cache_read=2),
        ),
    ],
)
def test_usage_is_read_into_exclusive_buckets(wire: dict[str, Any], usage: Usage) -> None:
    assert read_usage(wire) == usage


TOKENS = st.integers(0, 10**6)


@given(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS, st.none() | st.floats(0, 9))
def test_usage_that_is_written_is_read_the_same(i: int, r: int, w: int, o: int, t: int, cost: float | None) -> None:
    usage = Usage(input=i, cache_read=r, cache_write=w, output=o, reasoning=t, cost=cost)
    written = write_usage(usage)
    assert written["total_tokens"] == i + r + w + o + t
    assert read_usage(written) == usage


@pytest.mark.parametrize("place", ["usage", "x_groq", "choice"])
def test_usage_is_found_wherever_it_stands(place: str) -> None:
    usage = {"prompt_tokens": 1}
    last = chunk({}, "stop")
    if place == "choice":
        last["choices"][0]["usage"] = usage
    else:
        last |= {"usage": usage} if place == "usage" else {"usage": None, "x_groq": {"id": "x", "usage": usage}}
    assert events(sse(chunk({"content": "x"}), last))[-2:] == [Finish("stop"), Spent(Usage(input=1))]


# --- faults


@pytest.mark.parametrize(
    "said",
    [
        sse(
            {
                "error": {"message": "m", "code": 502},
                "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
            }
        ),
        sse({"error": "overloaded"}),
        sse({"object": "error", "message": "m"}),
        b'event: error\ndata: {"message":"m"}\n\n',
        sse([{"error": {"code": 429}}]),
    ],
)
def test_an_error_inside_a_stream_is_a_fault_a_provider_can_judge(said: bytes) -> None:
    *_, fault = events(sse(chunk({"content": "x"})) + said)
    assert isinstance(fault, Fault)
    assert not fault.malformed
    assert json.loads(fault.body)


@pytest.mark.parametrize(
    "data", [b"oops", b'{"id":', b"[1,2]", b'"x"', b'{"choices":"x"}', b'{"choices":[{"delta":1}]}']
)
def test_an_event_that_cannot_be_read_is_malformed(data: bytes) -> None:
    frame = frames(sse(chunk({"content": "x"})) + b"data: " + data + b"\n\n")[-1]
    assert frame.events == (Fault(data, malformed=True),)
    assert frame.raw == b"data: " + data + b"\n\n"


def test_an_event_too_deep_to_read_is_malformed() -> None:
    deep = b'{"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (fault,) = events(b"data: " + deep + b"\n\n")
    assert isinstance(fault, Fault)
    assert fault.malformed


def test_invalid_utf8_is_malformed_and_half_surrogates_are_not() -> None:
    assert events(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n')[0] == Fault(
        b'{"choices":[{"delta":{"content":"\xff"}}]}', malformed=True
    )
    assert events(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n')[1] == Text("�")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "page", [b"<html>\n\n<body>Bad gateway</body></html>", b"upstream connect error", b"  <x/>"]
)
def test_a_page_is_malformed_whatever_was_asked_for(page: bytes, stream: bool) -> None:
    (fault,) = events(page, stream=stream)
    assert isinstance(fault, Fault)
    assert fault.malformed
    assert fault.body in page


def test_an_empty_stream_is_cut_and_an_empty_body_is_malformed() -> None:
    assert frames(b"") == []
    assert frames(b" \n", stream=True) == []
    assert frames(b": only comments\n\n")[0].events == ()
    assert events(b": only\n\n") == []
    assert events(b"", stream=False) == [Fault(b"", malformed=True)]


def test_an_answer_past_the_limit_is_malformed_at_once() -> None:
    for stream, start in ((True, b"data: {"), (False, b"{"), (False, b" ")):
        reader = AnswerReader("openai.chat", stream, AnswerMeaning(), limit=100)
        found = [*reader.feed(start), *reader.feed(start[:1] * 100)]
        assert [frame.events for frame in found] == [(Fault(b"", malformed=True),)]
        assert reader.feed(b"x\n\n") == []
        assert reader.end() == []


# --- bodies


def test_a_body_is_one_frame() -> None:
    message = {
        "content": "x",
        "reasoning": "r",
        "tool_calls": [fragment("{}", "f", id="a"), fragment("{}", "g", id="b")],
    }
    whole = body(message, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 2})
    (frame,) = frames(whole, stream=False)
    assert frame.raw == whole
    assert not frame.wire.stream
    assert frame.events == (
        kept("a", {}, Thought("r")),
        Begin("a", "m"),
        Thought("r"),
        Text("x"),
        ToolStart("a", "f"),
        ToolArgs("a", "{}"),
        ToolStart("b", "g"),
        ToolArgs("b", "{}"),
        Finish("tool_calls"),
        Spent(Usage(input=1, output=2)),
    )


def test_white_space_before_a_body_is_fine() -> None:
    assert events(b"\n\n  \n", body({"content": "x"}), stream=False)[1] == Text("x")


@pytest.mark.parametrize("reason", [None, ""])
def test_a_whole_body_without_a_reason_has_finished(reason: str | None) -> None:
    assert events(body({"content": "x"}, reason), stream=False)[-1] == Finish("stop")
    call = {"tool_calls": [fragment("{}", "f", id="a")]}
    assert events(body(call, reason), stream=False)[-1] == Finish("tool_calls")


def test_a_body_with_several_choices_speaks_of_the_first() -> None:
    other = {"index": 1, "message": {"content": "y"}, "finish_reason": "length"}
    first = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    found = events(json.dumps({"id": "a", "model": "m", "choices": [first, other]}).encode(), stream=False)
    assert [event for event in found if event != Text("")] == [Begin("a", "m"), Text("x"), Finish("stop")]


def test_a_body_that_failed_has_not_finished() -> None:
    found = events(body({"content": "x"}, "error"), stream=False)
    assert isinstance(found[-1], Fault)


@pytest.mark.parametrize(
    ("whole", "malformed"),
    [
        (b'{"error":{"message":"m"}}', False),
        (b'{"error":"m","choices":[{"message":{"content":"x"}}]}', False),
        (b'[{"error":{"code":429}}]', False),
        (b'{"detail":"x"}', False),
        (b'{"code":500,"msg":"404 NOT_FOUND"}', False),
        (b'{"choices":[]}', True),
        (b'{"status":"ok"}', True),
        (b"[]", True),
        (b'"text"', True),
        (b'{"id":"a","choices":[{"index":0,"mess', True),
        (b"{}", True),
        (b'{"choices":[{"message":"x"}]}', True),
    ],
)
def test_a_body_that_is_no_answer_is_a_fault(whole: bytes, malformed: bool) -> None:
    assert events(whole, stream=False) == [Fault(whole, malformed=malformed)]


NAMES = "choices delta message content tool_calls function usage error id index finish_reason arguments type text"
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_no_json_whatever_is_an_exception(value: Any) -> None:
    for stream in (True, False):
        events(json.dumps(value).encode(), stream=stream)
        events(sse(value, {"choices": [value]}, {"choices": [{"delta": value}]}), stream=stream)


# --- the other shape


def test_a_body_that_came_instead_of_a_stream_is_read() -> None:
    (frame,) = frames(body({"content": "x"}), stream=True)
    assert not frame.wire.stream
    assert frame.events == (Begin("a", "m"), Text("x"), Finish("stop"))


def test_a_stream_that_came_instead_of_a_body_is_read() -> None:
    assert events(STREAM, stream=False) == events(STREAM)
    assert all(frame.wire.stream for frame in frames(STREAM, stream=False))
