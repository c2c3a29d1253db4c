from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from llmrouter.dialects import Embed, Embeddings, get, parse
from llmrouter.errors import InvalidRequest
from llmrouter.protocols import Dialect
from llmrouter.types import (
    Begin,
    Event,
    Facts,
    Fault,
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

EMBED: Dialect = Embed()
NAME = "gemini.embed"
ONE = {"content": {"parts": [{"text": "hel"}, {"text": "lo"}]}, "outputDimensionality": 8, "taskType": "QUERY"}
TWO = {"content": {"parts": [{"text": "b"}]}, "outputDimensionality": 8}
LIST = {"requests": [{"model": "models/m", **ONE}, {"model": "models/m", **TWO}]}


def fields(body: Any) -> dict[str, msgspec.Raw]:
    return parse(json.dumps({"model": "m", **body}).encode())


def events(body: Any) -> list[Event]:
    reader = EMBED.reader("embed", False)
    return [event for frame in [*reader.feed(json.dumps(body).encode()), *reader.end()] for event in frame.events]


@pytest.mark.parametrize("verb", ["embedContent", "batchEmbedContents"])
def test_its_paths(verb: str) -> None:
    found = Embed().place(f"/v1beta/models/a/b:{verb}", "")
    assert found is not None
    assert (found[0], bytes(found[1]["model"])) == ("embed", b'"a/b"')
    assert Embed().place("/v1beta/models/m:generateContent", "") is None


@pytest.mark.parametrize(("body", "texts"), [(ONE, ("hello",)), (LIST, ("hello", "b"))])
def test_one_content_and_a_list_are_read(body: Any, texts: tuple[str, ...]) -> None:
    facts = EMBED.facts("embed", fields(body), {})
    assert (facts.asked, facts.wire, facts.needs, facts.replayable) == ("m", Wire(NAME, False), frozenset(), True)
    found = EMBED.decode("embed", fields(body))
    assert found == Inputs(texts, {"dimensions": 8, "extra": {"taskType": "QUERY"}, "extra_of": "gemini"})


def test_vectors_of_several_lengths_are_asked_of_google_alone() -> None:
    body = fields({"requests": [ONE, {**TWO, "outputDimensionality": 4}]})
    assert EMBED.facts("embed", body, {}).asked == "m"
    with pytest.raises(InvalidRequest, match="several lengths"):
        EMBED.decode("embed", body)


def test_what_any_request_of_a_list_says_is_reported() -> None:
    options = EMBED.decode("embed", fields({"requests": [TWO, {**ONE, "title": "t"}]})).options
    assert options == {"dimensions": 8, "extra": {"taskType": "QUERY", "title": "t"}, "extra_of": "gemini"}


def test_pictures_are_a_need() -> None:
    picture = {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}
    assert EMBED.facts("embed", fields(picture), {}).needs == {"vision"}


@pytest.mark.parametrize("body", [{}, {"requests": []}, {"requests": 1}, {"content": "hi"}, {"requests": [{}]}])
def test_what_says_nothing_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        EMBED.facts("embed", fields(body), {})


def test_inputs_become_a_list_and_what_is_foreign_is_reported() -> None:
    options = {"dimensions": 4, "encoding_format": "base64", "user": "u", "extra": {"truncate": 1}}
    encoded = EMBED.encode("embed", Inputs(("a", "b"), options))
    content = [{"content": {"parts": [{"text": text}]}, "outputDimensionality": 4} for text in ("a", "b")]
    assert (get(encoded.fields, "requests"), encoded.dropped) == (content, ("user", "truncate"))
    aimed = EMBED.aim(encoded.fields, "m", False)
    assert [one["model"] for one in get(aimed, "requests")] == ["models/m"] * 2


def test_its_own_words_are_not_said_to_others() -> None:
    encoded = Embeddings().encode("embed", EMBED.decode("embed", fields(ONE)))
    assert (get(encoded.fields, "dimensions"), encoded.dropped) == (8, ("taskType",))
    assert "taskType" not in encoded.fields


def test_token_ids_cannot_be_said() -> None:
    with pytest.raises(InvalidRequest):
        EMBED.encode("embed", Inputs(((1, 2),)))


def test_what_names_the_right_model_stays_as_it_came() -> None:
    raw = b'[ {"model": "models/m", "content": {"parts": [{"text": "a"}]}} ]'
    asked = {"model": msgspec.Raw(b'"x"'), "requests": msgspec.Raw(raw)}
    assert EMBED.aim(asked, "m", False) == {"requests": msgspec.Raw(raw)}
    assert get(EMBED.aim(asked, "other", False), "requests")[0]["model"] == "models/other"


@pytest.mark.parametrize("body", [{"embeddings": [{"values": [0.5, 1]}]}, {"embedding": {"values": [0.5, 1]}}])
def test_vectors_are_read(body: Any) -> None:
    counted = {"usageMetadata": {"promptTokenCount": 3}}
    begin, result, spent, finish = events(body | counted)
    assert (begin, spent, finish) == (Begin("", ""), Spent(Usage(input=3)), Finish("stop"))
    assert isinstance(result, Result)
    assert list(result.value) == [[0.5, 1]]


@pytest.mark.parametrize(
    ("body", "malformed"), [({"error": {"code": 404}}, False), ({}, True), ({"embeddings": 1}, True)]
)
def test_what_holds_no_vectors_is_a_fault(body: Any, malformed: bool) -> None:
    (fault,) = events(body)
    assert isinstance(fault, Fault)
    assert fault.malformed is malformed


@pytest.mark.parametrize(
    ("body", "written"), [(ONE, {"embedding": {"values": [1.5]}}), (LIST, {"embeddings": [{"values": [1.5]}]})]
)
def test_vectors_are_written_in_the_shape_that_was_asked_for(body: Any, written: Any) -> None:
    facts = Facts(op="embed", wire=Wire(NAME, False), asked="m")
    writer = EMBED.writer(Request(facts, fields(body)))
    writer.write(Frame(Wire("openai.embeddings", False), b"", (Result([[1.5]]),)), False)
    assert json.loads(writer.end()) == written
    writer.write(Frame(Wire(NAME, False), b"as it came", ()), True)
    assert writer.end() == b"as it came"
    trouble = Trouble(status=404, kind="not_found", code="x", message="no")
    assert writer.fail(trouble) == EMBED.refuse(trouble)
