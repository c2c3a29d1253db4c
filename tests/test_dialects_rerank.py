from __future__ import annotations

import json
from typing import Any

import pytest

from llmrouter.dialects import Rerank
from llmrouter.dialects.common import dumps, join, loads, parse
from llmrouter.errors import InvalidRequest
from llmrouter.types import (
    Begin,
    Documents,
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

RERANK = Rerank()
COHERES = {
    "id": "r1",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}},
}
VOYAGES = {
    "object": "list",
    "data": [{"relevance_score": 0.9, "index": 1}, {"relevance_score": 0.1, "index": 0}],
    "model": "up",
    "usage": {"total_tokens": 57},
}


def fields(**more: Any) -> Fields:
    return parse(dumps({"model": "m", "query": "who?", "documents": ["one", "two"]} | more))


def facts(**more: Any) -> Facts:
    return RERANK.facts("rerank", fields(**more), {"x-llmrouter-budget": "1"})


def read(body: Any) -> tuple[Event, ...]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader = RERANK.reader("rerank", False)
    (frame,) = [*reader.feed(data[:9]), *reader.feed(data[9:]), *reader.end()]
    assert (frame.wire, frame.raw) == (Wire("rerank", False), data)
    return frame.events


def written(body: Any, verbatim: bool = True, **asked: Any) -> Any:
    raw = json.dumps(body).encode()
    writer = RERANK.writer(Request(facts(**asked), fields(**asked)))
    assert writer.write(Frame(Wire("rerank", False), raw, read(raw)), verbatim) == b""
    said = writer.end()
    return "verbatim" if said == raw else json.loads(said)


# --- requests


def test_what_routing_may_know() -> None:
    found = facts(documents=["a" * 40, {"text": "b" * 40}], llmrouter={"session": "s"})
    assert (found.op, found.asked, found.wire.stream, found.max_output) == ("rerank", "m", False, 0)
    assert (found.needs, found.hints, found.session, found.replayable) == (frozenset(), {"budget": "1"}, "s", True)
    assert found.input_tokens == (2 * len("who?") + 80) // 4, "the query is read with every document"


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": 1}, {"query": None}, {"query": ""}, {"query": ["a"]}, {"documents": []}, {"documents": "a"},
        {"documents": [1]}, {"top_n": 0}, {"top_n": 1.5}, {"top_k": "3"}, {"return_documents": "yes"},
    ],
)  # fmt: skip
def test_wrong_fields_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        facts(**wrong)
    assert caught.value.param in wrong


def test_what_is_read_is_written_back() -> None:
    given = {"query": "q", "documents": ["a", "b"], "top_n": 1, "return_documents": True, "max_tokens_per_doc": 9}
    payload = RERANK.decode("rerank", fields(**given, llmrouter={}, priority=None))
    assert payload == Documents("q", ("a", "b"), 1, {"return_documents": True, "extra": {"max_tokens_per_doc": 9}})
    encoded = RERANK.encode("rerank", payload)
    assert {name: loads(value) for name, value in encoded.fields.items()} == given
    assert encoded.dropped == ()
    assert RERANK.encode("rerank", Documents("q", ("a",), None, {"colour": 1})).dropped == ("colour",)


def test_documents_are_texts_or_have_one() -> None:
    payload = RERANK.decode("rerank", fields(documents=[{"text": "a", "x": 1}, "b", {"title": "c"}], top_k=2))
    assert payload == Documents("who?", ("a", "b", '{"title":"c"}'), 2)


def test_texts_are_no_documents() -> None:
    with pytest.raises(InvalidRequest, match="documents only"):
        RERANK.encode("rerank", Inputs(("a",)))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ('{"model":"m","documents":[ "a" ],"llmrouter":{},"x":1.0}', '{"model":"up","documents":[ "a" ],"x":1.0}'),
        ('{"documents":[],"top_k":3}', '{"documents":[],"model":"up","top_n":3}'),
        ('{"documents":[],"top_k":3,"top_n":2}', '{"documents":[],"top_n":2,"model":"up"}'),
        ('{"documents":[{"text":"a"},"b"]}', '{"documents":["a","b"],"model":"up"}'),
        ('{"documents":[{"text":"a", "id":1}]}', '{"documents":[{"text":"a", "id":1}],"model":"up"}'),
        ('{"documents":[ "{", "b"]}', '{"documents":[ "{", "b"],"model":"up"}'),
    ],
)
def test_aiming_says_the_model_and_the_words_of_most(given: str, sent: str) -> None:
    assert join(RERANK.aim(parse(given.encode()), "up", False)).decode() == sent


# --- answers


def test_answers_of_both_families_are_read() -> None:
    begin, result, spent, finish = read(COHERES)
    assert (begin, spent, finish) == (Begin("r1", ""), Spent(Usage(searches=2)), Finish("stop"))
    assert isinstance(result, Result)
    assert [(hit.index, hit.relevance_score) for hit in result.value.hits] == [(1, 0.9), (0, 0.1)]
    begin, result, spent, finish = read(VOYAGES)
    assert (begin, spent, finish) == (Begin("", "up"), Spent(Usage(input=57)), Finish("stop"))
    assert isinstance(result, Result)
    assert [(hit.index, hit.relevance_score) for hit in result.value.hits] == [(1, 0.9), (0, 0.1)]


def test_what_it_cost_and_took_is_read_wherever_it_stands() -> None:
    def usage(**said: Any) -> Usage | None:
        found = [event.usage for event in read({"results": []} | said) if isinstance(event, Spent)]
        return found[0] if found else None

    assert usage(usage={"total_tokens": 17, "cost": 3.4e-7}) == Usage(input=17, cost=3.4e-7)
    assert usage(usage={"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}) == Usage(input=9)
    assert usage(meta={"billed_units": {"input_tokens": 4, "search_units": "many"}}) == Usage(input=4)
    assert [usage(), usage(meta={}), usage(meta=1), usage(usage=[])] == [None] * 4


@pytest.mark.parametrize(
    ("body", "malformed"),
    [
        ({"detail": "no"}, False), ({"error": {"message": "no"}}, False), ({"message": "no", "id": "1"}, False),
        ({"results": [{"index": "a"}]}, True),
        ({"data": [{"index": -1, "relevance_score": 1}]}, True), ({"choices": []}, True), ([], True),
    ],
)  # fmt: skip
def test_what_is_no_ranking_is_a_fault(body: Any, malformed: bool) -> None:
    (event,) = read(body)
    assert isinstance(event, Fault)
    assert event.malformed is malformed


def test_half_an_answer_is_a_fault() -> None:
    (event,) = read(b'{"results": [{"ind')
    assert isinstance(event, Fault)
    assert event.malformed


# --- to the client


def test_an_answer_in_the_clients_words_goes_on_as_it_came() -> None:
    assert written(COHERES) == "verbatim"
    assert written(VOYAGES, top_k=2) == "verbatim"
    assert written(VOYAGES, truncation=True) == "verbatim"


def test_a_client_is_answered_in_the_words_it_asked_in() -> None:
    hits = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    assert written(VOYAGES, top_n=2) == {
        "model": "up", "id": "", "results": hits, "usage": {"total_tokens": 57},
    }  # fmt: skip
    assert written(COHERES, verbatim=False) == {
        "model": "m", "id": "r1", "results": hits, "meta": {"billed_units": {"search_units": 2}},
    }  # fmt: skip
    assert written(COHERES, top_k=2) == {
        "model": "m", "object": "list", "data": hits, "usage": {"total_tokens": 0},
    }  # fmt: skip


def test_documents_come_back_where_they_are_wanted() -> None:
    found = written(COHERES, return_documents=True, documents=["one", {"text": "two"}])
    assert [hit["document"] for hit in found["results"]] == [{"text": "two"}, {"text": "one"}]
    found = written(COHERES, return_documents=True, top_k=2)
    assert [hit["document"] for hit in found["data"]] == ["two", "one"]
    whole = VOYAGES | {"data": [{"relevance_score": 0.9, "index": 0, "document": "as it was read"}]}
    assert written(whole, return_documents=True, top_k=1) == "verbatim"
    assert written(whole, return_documents=True)["results"][0]["document"] == {"text": "as it was read"}
    assert "document" not in written(whole)["results"][0]


def test_a_document_that_nobody_sent_is_left_out() -> None:
    strange = {"results": [{"index": 7, "relevance_score": 0.5}]}
    assert "document" not in written(strange, return_documents=True)["results"][0]


def test_trouble_is_told_as_the_other_dialects_tell_it() -> None:
    trouble = Trouble(status=400, kind="invalid_request", code="x", message="No.")
    writer = RERANK.writer(Request(facts(), fields()))
    assert writer.fail(trouble) == RERANK.refuse(trouble)
    assert json.loads(RERANK.refuse(trouble))["error"]["message"] == "No."
