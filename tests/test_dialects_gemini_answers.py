from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects import Generate
from llmrouter.dialects.noting import name_of, recalled
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Begin,
    Event,
    Facts,
    Fault,
    Finish,
    Frame,
    Keep,
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

GEMINI: Dialect = Generate()
OWN = "gemini.generate"
STREAM, PLAIN = Wire(OWN, True), Wire(OWN, False)
CHAT = Wire("openai.chat", True)


def answer(*parts: Any, reason: str = "", usage: Any = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [*parts], "role": "model"}, "index": 0}
    candidate |= {"finishReason": reason} if reason else {}
    counted = {"usageMetadata": usage} if usage else {}
    return {"candidates": [candidate], **counted, "modelVersion": "m-1", "responseId": "r", **more}


def stream(*answers: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in answers)


def frames(data: bytes, streamed: bool = True, cuts: Sequence[int] = ()) -> list[Frame]:
    reader = GEMINI.reader("chat", streamed)
    places = [0, *sorted(one % (len(data) + 1) for one in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    return [frame for piece in pieces for frame in reader.feed(piece)] + list(reader.end())


def events(*answers: Any) -> list[Event]:
    return [event for frame in frames(stream(*answers)) for event in frame.events]


def of_body(body: Any, op: Any = "chat") -> list[Event]:
    reader = GEMINI.reader(op, False)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [event for frame in [*reader.feed(data), *reader.end()] for event in frame.events]


def call(name: str, args: Any = None, id: str = "", **more: Any) -> dict[str, Any]:
    said = {"name": name} | ({"args": args} if args is not None else {}) | ({"id": id} if id else {})
    return {"functionCall": said, **more}


# --- read


def test_a_stream_is_read_as_it_comes_and_ends_with_its_reason() -> None:
    first, last = {"promptTokenCount": 5, "totalTokenCount": 5}, {"promptTokenCount": 5, "candidatesTokenCount": 2}
    found = events(
        answer({"text": "hm", "thought": True}, usage=first),
        answer({"text": "hel"}, usage=first),
        answer({"text": "lo"}, reason="STOP", usage={**last, "thoughtsTokenCount": 3, "totalTokenCount": 10}),
    )
    assert found == [
        Begin("r", "m-1"), Thought("hm"), Spent(Usage(input=5)), Text("hel"), Spent(Usage(input=5)), Text("lo"),
        Spent(Usage(input=5, output=2, reasoning=3)), Finish("stop"),
    ]  # fmt: skip


def test_a_reason_waits_for_calls_that_come_later_and_bytes_do_not() -> None:
    data = [answer({"text": "a"}, reason="STOP"), answer(call("f", {}, "c"), reason="STOP")]
    reader = GEMINI.reader("chat", True)
    first = list(reader.feed(stream(data[0])))
    assert [frame.raw for frame in first] == [stream(data[0])]
    assert [type(event) for event in first[0].events] == [Begin, Text]
    rest = [event for frame in [*reader.feed(stream(data[1])), *reader.end()] for event in frame.events]
    assert rest == [ToolStart("c", "f"), ToolArgs("c", "{}"), Finish("tool_calls")]


def test_a_stream_without_a_reason_was_cut() -> None:
    assert not any(isinstance(event, Finish) for event in events(answer({"text": "a"})))


def test_an_end_mark_of_a_relay_ends_it_once() -> None:
    found = [
        event
        for frame in frames(stream(answer({"text": "a"}, reason="STOP")) + b"data: [DONE]\n\n")
        for event in frame.events
    ]
    assert [event for event in found if isinstance(event, Finish)] == [Finish("stop")]


def test_usage_is_exclusive() -> None:
    counted = {
        "promptTokenCount": 100, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 7,
        "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 115,
    }  # fmt: skip
    found = of_body(answer({"text": "a"}, reason="STOP", usage=counted))
    assert Spent(Usage(input=47, cache_read=60, output=5, reasoning=3)) in found


def test_usage_without_counts_is_none() -> None:
    found = events(answer({"text": "a"}, usage={"trafficType": "ON_DEMAND"}), answer(reason="STOP"))
    assert not any(isinstance(event, Spent) for event in found)


def test_calls_without_ids_get_some_that_stay() -> None:
    parts = [call("f", {"n": 1}), call("f", {"n": 2})]
    started = [event for event in of_body(answer(*parts, reason="STOP")) if isinstance(event, ToolStart)]
    assert len({event.id for event in started}) == 2
    again = [
        event for event in events(answer(parts[0]), answer(parts[1], reason="STOP")) if isinstance(event, ToolStart)
    ]
    assert again == started
    other = of_body(answer(*parts, reason="STOP", responseId="another"))
    assert not {event.id for event in other if isinstance(event, ToolStart)} & {event.id for event in started}


def test_a_call_in_pieces_is_told_when_it_is_whole() -> None:
    def piece(path: str, **value: Any) -> dict[str, Any]:
        return {"functionCall": {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}}

    found = events(
        answer({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2ln"}),
        answer(piece("$.place.name", stringValue="Os", willContinue=True)),
        answer(piece("$.place.name", stringValue="lo")),
        answer(piece("$.days[1]", numberValue=2), piece("$.days[0]", boolValue=True)),
        answer(piece("$['a b']", nullValue="NULL_VALUE"), piece("nonsense", stringValue="x"), piece("$.x")),
        answer({"functionCall": {}}),
        answer(call("g"), reason="STOP"),
    )
    started = [event for event in found if isinstance(event, ToolStart)]
    told = {event.id: json.loads(event.json) for event in found if isinstance(event, ToolArgs)}
    assert [(one.name, one.signature) for one in started] == [("f", "c2ln"), ("g", "")]
    assert told == {
        started[0].id: {"place": {"name": "Oslo"}, "days": [True, 2], "a b": None},
        started[1].id: {},
    }


def test_signatures_of_texts_stand_behind_them() -> None:
    found = of_body(
        answer({"text": "a", "thoughtSignature": "c2ln"}, {"text": "", "thoughtSignature": "bw=="}, reason="STOP")
    )
    assert found[1:4] == [Text("a"), Thought("", "c2ln", OWN), Thought("", "bw==", OWN)]


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("STOP", "stop"),
        ("FINISH_REASON_UNSPECIFIED", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
    ],
)
def test_reasons_to_finish(reason: str, means: str) -> None:
    assert of_body(answer({"text": "a"}, reason=reason))[-1] == Finish(means)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE"])
def test_a_model_that_failed_and_said_nothing_is_a_fault(reason: str) -> None:
    body = answer({"text": "hm", "thought": True}, reason=reason)
    assert [type(event) for event in of_body(body)][-1] is Fault
    assert [type(event) for event in events(body)].count(Fault) == 1


def test_a_blocked_prompt_is_filtered_content() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r", "modelVersion": "m-1"}
    expected = [Begin("r", "m-1"), Finish("content_filter")]
    assert of_body(blocked) == expected
    assert events(blocked) == expected


def test_a_safety_stop_without_content_is_filtered_content() -> None:
    assert of_body({"candidates": [{"finishReason": "SAFETY", "content": {}}]})[-1] == Finish("content_filter")


def test_other_candidates_and_other_parts_count_as_output_only() -> None:
    second = {"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "STOP"}
    body = answer({"text": "a"}, {"executableCode": {"code": "1"}}, reason="STOP")
    body["candidates"].append(second)
    assert [event for event in of_body(body) if isinstance(event, Text)] == [Text("a"), Text(""), Text("")]


@pytest.mark.parametrize(
    "body", [{"error": {"code": 503, "message": "x"}}, [{"error": {"code": 429}}], {"responseId": "r"}]
)
def test_an_error_inside_a_good_status_is_for_the_provider_to_judge(body: Any) -> None:
    (fault,) = [event for event in of_body(body) if isinstance(event, Fault)]
    assert not fault.malformed


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"candidates":1}', b"", b"[1]"])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    (fault,) = [event for event in of_body(body) if isinstance(event, Fault)]
    assert fault.malformed


def test_an_error_inside_a_stream_is_a_fault() -> None:
    found = events(answer({"text": "a"}), {"error": {"code": 503, "message": "overloaded"}})
    assert [type(event) for event in found] == [Begin, Text, Fault]


def test_a_list_of_chunks_is_one_answer() -> None:
    chunks = [answer({"text": "a"}), answer({"text": "b"}, reason="STOP")]
    body = json.dumps(chunks).encode()
    (frame,) = frames(body)
    assert (frame.wire, frame.raw) == (PLAIN, body)
    assert frame.events == (Begin("r", "m-1"), Text("a"), Text("b"), Finish("stop"))


def test_a_turn_that_called_is_kept_under_its_first_call() -> None:
    found = of_body(
        answer(
            {"text": "hm", "thought": True},
            call("f", {}, "c", thoughtSignature="c2ln"),
            call("g", {}, "d"),
            reason="STOP",
        )
    )
    (keep,) = [event for event in found if isinstance(event, Keep)]
    assert keep.name == name_of("c", {})
    turn = recalled({keep.name: keep.value}, keep.name, OWN)
    assert turn is not None
    assert turn.signatures == {"c": "c2ln"}


@pytest.mark.parametrize(("body", "count"), [({"totalTokens": 7}, 7), ({"promptTokensDetails": []}, 0)])
def test_a_count_is_a_number(body: Any, count: int) -> None:
    assert of_body(body, "count") == [Begin("", ""), Result(count), Finish("stop")]


@pytest.mark.parametrize(
    ("body", "malformed"), [({"error": {"code": 404}}, False), ([1], True), ({"totalTokens": "x"}, True)]
)
def test_what_is_no_count_is_a_fault(body: Any, malformed: bool) -> None:
    (fault,) = of_body(body, "count")
    assert isinstance(fault, Fault)
    assert fault.malformed is malformed


_chunks = st.lists(
    st.sampled_from(
        [
            answer({"text": "größe \u2603"}),
            answer({"text": "hm", "thought": True}),
            answer(call("f", {"a": "é"})),
            answer({"text": "", "thoughtSignature": "c2ln"}),
            answer({"text": "b"}, reason="STOP"),
            answer({"text": "x"}, usage={"promptTokenCount": 1, "totalTokenCount": 1}),
        ]
    ),
    min_size=1,
    max_size=5,
)


@given(_chunks, st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_of_the_bytes_means_the_same(chunks: list[Any], cuts: list[int]) -> None:
    data = stream(*chunks)
    assert frames(data, cuts=cuts) == frames(data)
    assert b"".join(frame.raw for frame in frames(data, cuts=cuts)) == data


@given(st.lists(st.integers(0, 5000), max_size=8), st.binary(max_size=60))
def test_no_bytes_are_an_exception(cuts: list[int], data: bytes) -> None:
    for streamed in (True, False):
        frames(data, streamed, cuts)
        frames(b'{"candidates":[{"content":' + data, streamed, cuts)


# --- written


def request(stream: bool, op: Any = "chat", **fields: Any) -> Request:
    facts = Facts(id="req_1", op=op, wire=Wire(OWN, stream), asked="asked")
    return Request(facts, {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()})


SAID: Sequence[Event] = (
    Begin("id", "up"), Thought("hm"), Thought("", "x", ""), Text("hel"), Text("lo"),
    ToolStart("c", "f", "sig"), ToolArgs("c", '{"a"'), ToolArgs("c", ":1}"), ToolStart("d", "g"),
    Finish("tool_calls"), Spent(Usage(input=4, cache_read=6, output=5, reasoning=2)),
)  # fmt: skip


def chunks(*said: Event, wire: Wire = CHAT) -> list[Any]:
    writer = GEMINI.writer(request(True))
    data = b"".join(writer.write(Frame(wire, b"", (event,)), False) for event in said) + writer.end()
    assert data.endswith(b"\n\n")
    return [json.loads(block.removeprefix(b"data: ")) for block in data.strip().split(b"\n\n")]


def parts(chunk: Any) -> Any:
    return chunk["candidates"][0]["content"]["parts"]


def test_a_stream_is_written_as_whole_responses_and_calls_at_its_end() -> None:
    found = chunks(*SAID)
    assert [parts(one) for one in found[2:]] == [
        [{"text": "hel"}],
        [{"text": "lo"}],
        [
            {
                "functionCall": {"id": "c", "name": "f", "args": {"a": 1}},
                "thoughtSignature": parts(found[-1])[0]["thoughtSignature"],
            },
            {"functionCall": {"id": "d", "name": "g", "args": {}}},
        ],
    ]
    assert parts(found[0]) == [{"text": "hm", "thought": True}]
    assert {(one["responseId"], one["modelVersion"]) for one in found} == {("id", "up")}
    assert ["finishReason" in one["candidates"][0] for one in found] == [False] * 4 + [True]
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"
    assert found[-1]["usageMetadata"] == {
        "promptTokenCount": 10, "cachedContentTokenCount": 6, "candidatesTokenCount": 5, "thoughtsTokenCount": 2,
        "totalTokenCount": 17,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "written"), [("stop", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY")]
)
def test_reasons_are_written(reason: Any, written: str) -> None:
    assert chunks(Text("a"), Finish(reason))[-1]["candidates"][0]["finishReason"] == written
    assert plain(Text("a"), Finish(reason))["candidates"][0]["finishReason"] == written


def test_what_keeps_a_client_waiting_is_no_comment() -> None:
    """Google's SDK for Python takes every line that is no data for an answer; blank ones it passes over."""
    writer = GEMINI.writer(request(True))
    assert writer.alive == b"\n\n"  # type: ignore[attr-defined]
    own = stream(answer({"text": "a"}))
    written = b"".join([writer.write(frame, True) for frame in frames(b": a relay's\n\n" + own)])
    assert written == b"\n\n" + own


def plain(*said: Event, wire: Wire = CHAT, **fields: Any) -> Any:
    writer = GEMINI.writer(request(False, **fields))
    for event in said:
        assert writer.write(Frame(wire, b"", (event,)), False) == b""
    return json.loads(writer.end())


def test_a_body_has_everything_in_its_order() -> None:
    found = plain(*SAID, wire=Wire("anthropic.messages", True))
    assert [sorted(part) for part in parts(found)] == [
        ["text", "thought", "thoughtSignature"], ["text"], ["functionCall", "thoughtSignature"], ["functionCall"],
    ]  # fmt: skip
    assert (found["responseId"], found["modelVersion"]) == ("id", "up")


def test_an_answer_that_says_nothing_has_no_parts() -> None:
    assert plain(Begin("", ""), Finish("stop"))["candidates"][0]["content"] == {"role": "model"}


def test_a_stream_of_no_events_is_a_list() -> None:
    (only,) = plain(Text("a"), Finish("stop"), alt="json")
    assert parts(only) == [{"text": "a"}]


def test_foreign_signatures_are_marked_and_come_back() -> None:
    found = plain(*SAID, wire=Wire("anthropic.messages", True))
    body = {"contents": [found["candidates"][0]["content"]]}
    again = GEMINI.decode("chat", {"contents": msgspec.Raw(json.dumps(body["contents"]).encode())})
    said = [(part.signature, part.source) for part in again.messages[0].parts if hasattr(part, "signature")]  # type: ignore[union-attr]
    assert said == [("x", "anthropic.messages"), ("sig", "anthropic.messages"), ("", "")]


def test_its_own_bytes_go_on_as_they_came() -> None:
    data = stream(answer({"text": "a"}), answer(call("f", {}, "c"), reason="STOP"))
    writer = GEMINI.writer(request(True))
    assert b"".join(writer.write(frame, True) for frame in frames(data)) + writer.end() == data
    body = json.dumps(answer({"text": "a"}, reason="STOP"), indent=1).encode()
    writer = GEMINI.writer(request(False))
    assert [writer.write(frame, True) for frame in frames(body, False)] == [b""]
    assert writer.end() == body


def test_what_was_written_reads_the_same() -> None:
    found = events(*chunks(*SAID, wire=STREAM))
    assert [one for one in found if isinstance(one, ToolStart)] == [ToolStart("c", "f", "sig"), ToolStart("d", "g")]
    assert [json.loads(event.json) for event in found if isinstance(event, ToolArgs)] == [{"a": 1}, {}]
    assert "".join(event.text for event in found if isinstance(event, Text)) == "hello"
    assert Finish("tool_calls") in found


def test_a_count_is_written() -> None:
    writer = GEMINI.writer(request(False, "count"))
    writer.write(Frame(Wire("", False), b"", (Begin("", "m"), Result(12), Finish("stop"))), False)
    assert writer.end() == b'{"totalTokens":12}'
    writer.write(Frame(PLAIN, b'{"totalTokens": 3, "x": 1}', (Result(3),)), True)
    assert writer.end() == b'{"totalTokens": 3, "x": 1}'


def test_trouble_is_a_status_of_google_rpc() -> None:
    trouble = Trouble(
        status=429,
        kind="rate_limited",
        code="rate_limit_exceeded",
        message="Slow down.",
        retry_after=2.5,
        param="model",
    )
    error = json.loads(GEMINI.refuse(trouble))["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "Slow down.")
    kinds = {one["@type"].rpartition(".")[2]: one for one in error["details"]}
    assert kinds["RetryInfo"]["retryDelay"] == "2.500s"
    assert kinds["ErrorInfo"]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert kinds["BadRequest"]["fieldViolations"][0]["field"] == "model"
    assert error["llmrouter"]["class"] == "rate_limited"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
def test_statuses_have_googles_names(status: int, name: str) -> None:
    trouble = Trouble(status=status, kind="internal", code="", message="x")
    assert json.loads(GEMINI.refuse(trouble))["error"]["status"] == name
    for op, streamed in (("chat", True), ("chat", False), ("count", False)):
        failed = GEMINI.writer(request(streamed, op)).fail(trouble)
        assert json.loads(failed.removeprefix(b"data: "))["error"]["status"] == name
