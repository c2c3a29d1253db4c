"""The official OpenAI SDK against a router that was started with nothing: no configuration, no key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.harness import Serving, serving
from tests.sdk.validating import strict, text_of

HELLO: Any = [{"role": "user", "content": "say good morning"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place", "days"],
        },
    },
}


class Book(BaseModel):
    title: str
    pages: int
    tags: list[str]


@pytest.fixture(scope="module")
def router() -> Iterator[Serving]:
    with serving(None) as router:
        yield router


@pytest.fixture(scope="module")
def client(router: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["auto", "default", "best", "cheap/echo-small", "echo-large"])
def test_every_way_of_naming_a_model_answers(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO)
    strict(answer)
    assert "good morning" in str(answer.choices[0].message.content)


def test_a_stream_says_the_same_as_a_plain_answer(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="best", messages=HELLO, stream=True, stream_options=options))
    for chunk in chunks:
        strict(chunk)
    plain = client.chat.completions.create(model="best", messages=HELLO)
    assert text_of(chunks) == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage


def test_failures_of_the_free_one_are_not_seen(client: openai.OpenAI, router: Serving) -> None:
    answers = [client.chat.completions.with_raw_response.create(model="default", messages=HELLO) for _ in range(14)]
    assert {answer.parse().choices[0].message.content for answer in answers} == {"good morning"}
    assert {answer.headers["x-llmrouter-provider"] for answer in answers} >= {"free", "cheap"}


def test_tools_are_called_with_arguments_of_their_schema(client: openai.OpenAI) -> None:
    ask: Any = [{"role": "user", "content": "use weather, please"}]
    first = client.chat.completions.create(model="best", messages=ask, tools=[TOOL], tool_choice="required")
    strict(first)
    [call] = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["place"], str)
    assert isinstance(arguments["days"], int)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sun for days"}
    messages: Any = [*ask, first.choices[0].message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="best", messages=messages, tools=[TOOL])
    assert "sun for days" in str(second.choices[0].message.content)


def test_a_schema_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="best", messages=HELLO, response_format=Book)
    assert isinstance(answer.choices[0].message.parsed, Book)


def test_embeddings_are_the_same_in_both_codings(client: openai.OpenAI) -> None:
    coded = client.embeddings.create(model="embeddings", input=["one", "two"])
    plain = client.embeddings.create(model="embeddings", input=["one", "two"], encoding_format="float")
    for first, second in zip(coded.data, plain.data, strict=True):
        assert first.embedding == pytest.approx(second.embedding, abs=1e-6)
    assert coded.data[0].embedding != coded.data[1].embedding


def test_a_legacy_completion_answers(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="best", prompt="say good night")
    strict(answer)
    assert "good night" in answer.choices[0].text


def test_all_groups_and_models_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert listed >= {"default", "best", "embeddings", "free/echo-small", "premium/echo-large"}
    assert client.models.retrieve("cheap/echo-embed").id == "cheap/echo-embed"
