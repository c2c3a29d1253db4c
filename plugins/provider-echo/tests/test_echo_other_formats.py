"""Plain completions and embeddings."""

from __future__ import annotations

import base64
import math
from array import array
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse


def test_a_completion_is_sixteen_tokens_unless_told_otherwise(client: Any) -> None:
    body = client.post("completions", prompt="write 100 words")
    Completion.model_validate(body)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 16, "total_tokens": 20}
    longer = client.post("completions", prompt="write 100 words", max_tokens=900)
    assert longer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("hello", 2), (["one", "two"], 4), ([1, 2, 3], 2), ([[1, 2], [3]], 4)],
)
def test_every_form_of_a_prompt_gets_n_answers_each(client: Any, prompt: Any, choices: int) -> None:
    body = client.post("completions", prompt=prompt, n=2)
    assert [choice["index"] for choice in body["choices"]] == list(range(choices))


@pytest.mark.parametrize("prompt", [[], [[]], ["a", 1], [1, [2]]])
def test_a_prompt_that_is_none_is_refused(client: Any, prompt: Any) -> None:
    status, error = client.refused("completions", prompt=prompt)
    assert (status, error["type"]) == (400, "invalid_request_error")


def test_too_many_answers_are_refused(client: Any) -> None:
    assert client.refused("completions", prompt=["x"] * 100, n=2)[1]["param"] == "prompt"


def test_the_prompt_is_repeated_when_asked_and_stops_hold(client: Any) -> None:
    assert client.post("completions", prompt="say one two", echo=True)["choices"][0]["text"] == "say one twoone two"
    assert client.post("completions", prompt="say one two", stop="two")["choices"][0]["text"] == "one "


def test_a_streamed_completion_says_the_same(client: Any) -> None:
    whole = client.post("completions", prompt=["say hello you", "2+2"], logprobs=1)
    events = client.events(
        "completions", prompt=["say hello you", "2+2"], logprobs=1, stream_options={"include_usage": True}
    )
    for index, choice in enumerate(whole["choices"]):
        mine = [one for event in events for one in event["choices"] if one["index"] == index]
        assert "".join(one["text"] for one in mine) == choice["text"]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        offsets = [offset for one in mine for offset in one["logprobs"]["text_offset"]]
        assert offsets == choice["logprobs"]["text_offset"]
    assert events[-1]["usage"] == whole["usage"]
    assert "usage" not in client.events("completions", prompt="hello")[-1]
    assert client.post("completions", prompt="x", logprobs=0)["choices"][0]["logprobs"]["top_logprobs"] is None


# --- embeddings


@pytest.mark.parametrize(
    ("given", "count"), [("one", 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3), (["a", [1]], 2)]
)
def test_every_form_of_an_input_gets_unit_vectors(client: Any, given: Any, count: int) -> None:
    body = client.post("embeddings", input=given)
    CreateEmbeddingResponse.model_validate(body)
    assert [one["index"] for one in body["data"]] == list(range(count))
    for one in body["data"]:
        assert len(one["embedding"]) == 256
        assert math.hypot(*one["embedding"]) == pytest.approx(1.0, abs=1e-5)
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] > 0


def test_a_text_has_one_vector_and_another_text_another(client: Any) -> None:
    one, again, other = (one["embedding"] for one in client.post("embeddings", input=["a", "a", "b"])["data"])
    assert one == again != other


def test_base64_and_floats_agree(client: Any) -> None:
    floats = client.post("embeddings", input="text", dimensions=8.0)["data"][0]["embedding"]
    coded = client.post("embeddings", input="text", dimensions=8, encoding_format="base64")["data"][0]["embedding"]
    assert array("f", base64.b64decode(coded)).tolist() == floats
    assert len(floats) == 8


def test_a_shorter_vector_is_the_beginning_of_a_longer_one(client: Any) -> None:
    long = client.post("embeddings", input="text", dimensions=16)["data"][0]["embedding"][:4]
    short = client.post("embeddings", input="text", dimensions=4)["data"][0]["embedding"]
    assert [value / math.hypot(*long) for value in long] == pytest.approx(short, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a"] * 3_000}, "input"),
        ({"input": ["a"] * 2_000, "dimensions": 4_000}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 1.5}, "dimensions"),
        ({"input": "a", "dimensions": 100_000}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({}, "input"),
    ],
)
def test_an_input_that_is_none_is_refused(client: Any, body: dict[str, Any], param: str) -> None:
    status, error = client.refused("embeddings", **body)
    assert (status, error["param"]) == (400, param)
