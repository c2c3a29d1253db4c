from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from llmrouter.dialects import Embeddings
from llmrouter.dialects.common import dumps, join, loads, parse
from llmrouter.dialects.openai_embeddings import floats, pack
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    Conversation,
    Event,
    Facts,
    Fault,
    Fields,
    Finish,
    Frame,
    Inputs,
    Request,
    Result,
    Spent,
    Trouble,
    Usage,
    Wire,
)

EMBED = Embeddings()


def fields(**more: Any) -> Fields:
    return parse(dumps({"model": "m", "input": "text"} | more))


def facts(**more: Any) -> Facts:
    return EMBED.facts("embed", fields(**more), {"x-llmrouter-budget": "1"})


def request(**more: Any) -> Request:
    return Request(facts(**more), fields(**more))


def read(body: bytes) -> tuple[Event, ...]:
    reader = EMBED.reader("embed", False)
    (frame,) = [*reader.feed(body[:9]), *reader.feed(body[9:]), *reader.end()]
    assert frame.wire == Wire("openai.embeddings", False)
    assert frame.raw == body
    return frame.events


def body(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage} | more).encode()


@pytest.mark.parametrize(
    ("input", "tokens", "texts", "needs"),
    [
        ("word " * 8, 10, ("word " * 8,), set()),
        (["ab", "cdef"], 1, ("ab", "cdef"), set()),
        ([1, 2, 3], 3, ((1, 2, 3),), {"token_ids"}),
        ([[1, 2], [3]], 3, ((1, 2), (3,)), {"token_ids"}),
    ],
)
def test_an_input_has_four_forms(input: Any, tokens: int, texts: Any, needs: set[str]) -> None:
    found = facts(input=input)
    assert (found.op, found.input_tokens, set(found.needs), found.max_output) == ("embed", tokens, needs, 0)
    assert (found.replayable, found.hints, found.wire.stream) == (True, {"budget": "1"}, False)
    assert EMBED.decode("embed", fields(input=input)) == Inputs(texts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": ""}, {"input": []}, {"input": None}, {"input": [1, "a"]}, {"input": 5}, {"input": [{"x": 1}]},
        {"model": None}, {"model": 1}, {"dimensions": 1.5}, {"dimensions": 0}, {"dimensions": "3"},
        {"encoding_format": 1},
    ],
)  # fmt: skip
def test_wrong_fields_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(**wrong)
    assert caught.value.param in wrong


def test_dimensions_may_be_written_as_a_float() -> None:
    facts(dimensions=1.0)
    assert EMBED.decode("embed", fields(dimensions=256.0)) == Inputs(("text",), {"dimensions": 256})


def test_what_is_read_is_written_back() -> None:
    given = {"input": ["a", "b"], "dimensions": 8, "encoding_format": "base64", "user": "u", "truncate": True}
    payload = EMBED.decode("embed", fields(**given, llmrouter={}, stream=None))
    encoded = EMBED.encode("embed", payload)
    assert {name: loads(value) for name, value in encoded.fields.items()} == given
    assert encoded.dropped == ()
    assert EMBED.encode("embed", Inputs(("x",), {"task": "query"})).dropped == ("task",)


def test_a_conversation_is_no_input() -> None:
    with pytest.raises(InvalidRequest, match="inputs only"):
        EMBED.encode("embed", Conversation(messages=()))


def test_aiming_sets_the_model_only() -> None:
    given = parse(b'{"input":[ "a" ],"llmrouter":{},"model":"m","dimensions":1.0}')
    assert join(EMBED.aim(given, "x", False)) == b'{"input":[ "a" ],"model":"x","dimensions":1.0}'


def test_an_answer_is_read_in_the_order_of_its_indexes() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": pack([1.0])}]
    begin, result, spent, finish = read(body(data=data))
    assert (begin, spent, finish) == (Begin("", "m"), Spent(Usage(input=4)), Finish("stop"))
    assert isinstance(result, Result)
    assert list(result.value) == [[1.0], [2.0]]
    assert result.value[0:1] == [[1.0]]


def test_usage_may_be_missing_or_a_total_alone() -> None:
    assert not any(isinstance(event, Spent) for event in read(body([1.0], usage=None)))
    assert Spent(Usage(input=7)) in read(body([1.0], usage={"total_tokens": 7}))


@pytest.mark.parametrize(
    ("whole", "malformed"),
    [
        (b'{"error":{"message":"m"}}', False), (b'{"detail":"x"}', False), (b"[]", True), (b"{}", True),
        (b'{"da', True), (b"<html>", True), (b"", True), (b'{"data":[{"index":0}]}', True),
    ],
)  # fmt: skip
def test_a_body_that_is_no_answer_is_a_fault(whole: bytes, malformed: bool) -> None:
    assert read(whole) == (Fault(whole, malformed=malformed),)


def test_events_of_a_stream_are_read_as_bodies() -> None:
    reader = EMBED.reader("embed", False)
    frames = list(reader.feed(b"data: " + body([1.0]) + b"\n\ndata: [DONE]\n\n"))
    assert len(frames) == 1
    assert frames[0].events[0] == Begin("", "m")


def test_a_native_answer_is_the_very_bytes() -> None:
    writer = EMBED.writer(request(encoding_format="base64"))
    raw = body(pack([1.0, 2.0]))
    reader = EMBED.reader("embed", False)
    for frame in [*reader.feed(raw), *reader.end()]:
        assert writer.write(frame, True) == b""
    assert writer.end() == raw


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors_are_written_in_the_encoding_asked_for(encoding: str | None) -> None:
    writer = EMBED.writer(request(encoding_format=encoding))
    events = (
        Begin("", "served"),
        Result([[0.5, -2.0], [1.0]]),
        Spent(Usage(input=3, cache_read=1)),
        Finish("stop"),
    )
    assert writer.write(Frame(Wire("gemini.generate", False), b"", events), False) == b""
    written = json.loads(writer.end())
    vectors = [one["embedding"] for one in written["data"]]
    if encoding == "base64":
        assert all(isinstance(one, str) for one in vectors)
    else:
        CreateEmbeddingResponse.model_validate(written)
    assert [floats(one) for one in vectors] == [[0.5, -2.0], [1.0]]
    assert [one["index"] for one in written["data"]] == [0, 1]
    assert (written["model"], written["usage"]) == ("served", {"prompt_tokens": 4, "total_tokens": 4})


def test_a_vector_that_came_packed_is_written_as_floats() -> None:
    writer = EMBED.writer(request())
    writer.write(Frame(Wire("x", False), b"", read(body(pack([0.25])))), False)
    assert json.loads(writer.end())["data"][0]["embedding"] == [0.25]


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_packing_is_little_endian_and_loses_nothing(vector: list[float]) -> None:
    assert floats(pack(vector)) == vector
    assert floats(pack([1.0])) == list(struct.unpack("<f", b"\0\0\x80\x3f"))


def test_errors_have_the_envelope_of_the_api() -> None:
    trouble = Trouble(status=404, kind="not_found", code="model_not_found", message="No.")
    assert json.loads(EMBED.refuse(trouble))["error"]["code"] == "model_not_found"
    assert EMBED.writer(request()).fail(trouble) == EMBED.refuse(trouble)


def test_facts_are_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(facts()), type=Facts) == facts()


def test_a_usage_without_prompt_tokens_gets_them_and_nothing_else_is_touched() -> None:
    raw = body([1.0], usage={"total_tokens": 4}, extra=[1.00])
    writer = EMBED.writer(request())
    writer.write(Frame(Wire("openai.embeddings", False), raw, read(raw)), True)
    assert json.loads(writer.end()) == json.loads(raw) | {"usage": {"prompt_tokens": 4, "total_tokens": 4}}
    CreateEmbeddingResponse.model_validate_json(writer.end(), strict=True)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 4, "total_tokens": 4}, {"total_tokens": 0}, None])
def test_any_other_usage_goes_on_as_it_came(usage: Any) -> None:
    raw = body([1.0], usage=usage)
    writer = EMBED.writer(request())
    writer.write(Frame(Wire("openai.embeddings", False), raw, read(raw)), True)
    assert writer.end() == raw
