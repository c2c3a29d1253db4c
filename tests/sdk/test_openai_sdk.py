"""The official OpenAI SDK, unmodified, with its base URL pointed at the router."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_openai import TEXT
from llmrouter.testing.upstream_scripts import chosen, in_turn
from tests.faults.setups import config
from tests.harness import Serving, serving
from tests.sdk.fakes import PERSON, VECTORS, refusing
from tests.sdk.fakes import openai as fake
from tests.sdk.validating import strict, text_of

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501


class Person(BaseModel):
    name: str
    born: int


def client_of(router: Serving, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{router.base_url}/v1", api_key="any", max_retries=retries)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, Upstream]]:
    with Upstream(chosen(fake)) as upstream:
        setup = config({"p": upstream.base_url}, {"fast": ["p/m"]}, breaker=None)
        with serving(setup) as router:
            yield router, upstream


@pytest.fixture
def client(served: tuple[Serving, Upstream]) -> Iterator[openai.OpenAI]:
    router, upstream = served
    upstream.script = chosen(fake)
    upstream.clear()
    with client_of(router) as client:
        yield client


@pytest.fixture
def upstream(served: tuple[Serving, Upstream]) -> Upstream:
    return served[1]


# --- chat


def test_a_plain_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fast", messages=HELLO)
    strict(answer)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 25


def test_a_stream_without_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="fast", messages=HELLO, stream=True))
    for chunk in chunks:
        strict(chunk)
        assert chunk.choices, "a chunk of usage alone was not asked for"
        assert chunk.usage is None
    assert text_of(chunks) == TEXT
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_with_usage(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="fast", messages=HELLO, stream=True, stream_options=options))
    assert text_of(chunks) == TEXT
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 16


def test_the_stream_helper_collects_the_answer(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="fast", messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == TEXT


def test_headers_of_an_answer_can_be_seen(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="fast", messages=HELLO)
    assert raw.headers["x-llmrouter-provider"] == "p"
    assert raw.headers["x-llmrouter-model"] == "m"
    assert raw.parse()._request_id == raw.headers["x-request-id"]


@pytest.mark.parametrize("parallel", [False, True])
def test_tools_are_called_and_their_results_answered(
    client: openai.OpenAI, upstream: Upstream, parallel: bool
) -> None:
    messages = list(HELLO)
    first = client.chat.completions.create(
        model="fast", messages=messages, tools=[WEATHER], parallel_tool_calls=parallel, tool_choice="auto"
    )
    strict(first)
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls or []
    assert len(calls) == (2 if parallel else 1)
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    for call in calls:
        assert call.type == "function"
        place = json.loads(call.function.arguments)["place"]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sun in {place}"})
    second = client.chat.completions.create(model="fast", messages=messages, tools=[WEATHER])
    strict(second)
    assert second.choices[0].message.content == ("sun in Oslo and sun in Rome" if parallel else "sun in Oslo")
    assert upstream.requests[-1].json["messages"] == messages


def test_tool_calls_of_a_stream_come_whole(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="fast", messages=HELLO, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments)["place"] for call in calls] == ["Oslo", "Rome"]
    assert [call.id for call in calls] == ["call_1", "call_2"]


def test_a_schema_is_parsed_into_its_model(client: openai.OpenAI, upstream: Upstream) -> None:
    answer = client.chat.completions.parse(model="fast", messages=HELLO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(**PERSON)
    assert upstream.requests[-1].json["response_format"]["json_schema"]["strict"] is True


def test_an_image_reaches_the_upstream(client: openai.OpenAI, upstream: Upstream) -> None:
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    answer = client.chat.completions.create(model="fast", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item, misc]
    assert answer.choices[0].message.content == "saw text image_url"
    assert upstream.requests[-1].json["messages"][0]["content"] == parts


# --- the other paths


@pytest.mark.parametrize("coding", ["base64", "float", None])
def test_embeddings_arrive_in_any_coding(client: openai.OpenAI, coding: Any) -> None:
    more = {"encoding_format": coding} if coding else {}
    answer = client.embeddings.create(model="fast", input=["one", "two"], **more)
    if coding == "base64":  # asked for in so many words, it is handed over as it came
        floats = [list(struct.unpack("<3f", base64.b64decode(str(one.embedding)))) for one in answer.data]
    else:
        strict(answer)
        floats = [one.embedding for one in answer.data]
    assert floats == VECTORS
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == 4


def test_a_legacy_completion(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="fast", prompt="Once")
    Completion.model_validate(answer.model_dump())
    assert answer.choices[0].text == "Once upon a time"
    parts = list(client.completions.create(model="fast", prompt="Once", stream=True))
    assert "".join(part.choices[0].text for part in parts) == "Once upon a time"


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert "fast" in listed
    assert "p/m" in listed
    for id in listed:
        found = client.models.retrieve(id)
        Model.model_validate(found.model_dump())
        assert found.id == id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("p/none/such")


# --- errors


def ask(client: openai.OpenAI, **more: Any) -> ChatCompletion:
    answer: ChatCompletion = client.chat.completions.create(model="fast", messages=HELLO, **more)
    return answer


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (422, openai.UnprocessableEntityError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (401, openai.InternalServerError),
    ],
)
def test_errors_arrive_as_the_exceptions_of_their_kind(status: int, raised: type[openai.APIStatusError]) -> None:
    """An upstream that refuses our own key is no fault of the client's key: hence the last line."""
    with refused_with(status) as client:
        with pytest.raises(raised) as caught:
            ask(client)
        with pytest.raises(openai.APIStatusError):
            ask(client, stream=True)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]
    assert caught.value.request_id


@contextmanager
def refused_with(status: int) -> Iterator[openai.OpenAI]:
    with (
        Upstream(refusing(status)) as upstream,
        serving(config({"p": upstream.base_url}, {"fast": ["p/m"]})) as router,
        client_of(router) as client,
    ):
        yield client


def test_a_wrong_key_is_an_authentication_error(upstream: Upstream) -> None:
    key = {"name": "dev", "hash": "sha256:" + "0" * 64}
    setup = config({"p": upstream.base_url}, {"fast": ["p/m"]}, server={"keys": [key]})
    with serving(setup) as router, client_of(router) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(client)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nothing", messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_no_messages_are_a_bad_request(client: openai.OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fast", messages=[])
    assert caught.value.param == "messages"
    assert upstream.requests == []


def test_a_limit_is_waited_for_by_the_sdk_as_it_is_told() -> None:
    limited = refusing(429, {"retry-after": "1"})
    with Upstream(in_turn(limited, chosen(fake))) as upstream:
        setup = config({"p": upstream.base_url}, {"fast": ["p/m"]}, engine={"wait_max": "0s"})
        with serving(setup) as router, client_of(router, retries=2) as client:
            started = time.monotonic()
            assert ask(client).choices[0].message.content == TEXT
            assert 0.9 < time.monotonic() - started < 6


def test_an_error_inside_a_stream_is_raised(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script = named("error_event_late").script
    stream = client.chat.completions.create(model="fast", messages=HELLO, stream=True)
    seen: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    assert TEXT.startswith(text_of(seen))
    assert text_of(seen)
    assert caught.value.message


# --- the asynchronous client


def test_the_asynchronous_client_streams_and_calls_at_once(
    served: tuple[Serving, Upstream], upstream: Upstream
) -> None:
    upstream.script = chosen(fake)

    async def main() -> tuple[str, list[str | None]]:
        async with openai.AsyncOpenAI(base_url=f"{served[0].base_url}/v1", api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(model="fast", messages=HELLO, stream=True)
            text = text_of([chunk async for chunk in stream])
            calls = [client.chat.completions.create(model="fast", messages=HELLO) for _ in range(20)]
            return text, [one.choices[0].message.content for one in await asyncio.gather(*calls)]

    text, answers = asyncio.run(main())
    assert text == TEXT
    assert answers == [TEXT] * 20
