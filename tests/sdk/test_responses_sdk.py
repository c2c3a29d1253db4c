"""The official SDK's Responses, in front of an upstream that speaks chat and of one that speaks Responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_openai import TEXT
from llmrouter.testing.upstream_responses import Responses
from llmrouter.testing.upstream_scripts import chosen
from tests.harness import Serving, serving
from tests.sdk.fakes import PERSON, PLACES
from tests.sdk.fakes import openai as chat
from tests.sdk.validating import strict

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501
HELLO = "Hello"

_events: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


class Person(BaseModel):
    name: str
    born: int


def script(request: Received) -> Script:
    """The answer that fits the request, in the dialect of its path."""
    return _responses(request.json) if request.path.endswith("/responses") else chat(request)


def _responses(asked: Any) -> Script:
    if ((asked.get("text") or {}).get("format") or {}).get("type") == "json_schema":
        return Responses(json.dumps(PERSON)).answer()
    items = asked["input"] if isinstance(asked["input"], list) else []
    if results := [item["output"] for item in items if item.get("type") == "function_call_output"]:
        return Responses(" and ".join(results)).answer()
    if asked.get("tools"):
        return Responses(tools=PLACES[: 1 if asked.get("parallel_tool_calls") is False else 2]).answer()
    content = items[-1]["content"] if items else ""
    if isinstance(content, list):
        return Responses("saw " + " ".join(part["type"].removeprefix("input_") for part in content)).answer()
    return Responses().answer()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, Upstream]]:
    with Upstream(chosen(script)) as upstream:
        known = {"plugin": "openai", "base_url": f"{upstream.base_url}/v1", "api_key": "k", "models": {"m": {}}}
        setup = {
            "providers": {"chat": {**known, "profile": "custom"}, "own": {**known, "profile": "openai"}},
            "breaker": None,
            "logging": {"level": "error"},
        }
        with serving(json.dumps(setup)) as router:
            yield router, upstream


@pytest.fixture
def upstream(served: tuple[Serving, Upstream]) -> Upstream:
    served[1].script = chosen(script)
    served[1].clear()
    return served[1]


@pytest.fixture
def client(served: tuple[Serving, Upstream], upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served[0].base_url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(params=["chat/m", "own/m"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def checked(stream: Any) -> list[Any]:
    """The events of a stream, each one valid, numbered from 0."""
    events = list(stream)
    for event in events:
        _events.validate_python(event.model_dump(mode="json", exclude_unset=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    return events


# --- answers


def test_a_plain_answer(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input=HELLO, instructions="Be brief.")
    strict(answer)
    assert answer.output_text == TEXT
    assert answer.status == "completed"
    assert answer.instructions == "Be brief."
    assert answer.usage is not None
    assert answer.usage.total_tokens == 25


def test_a_stream_tells_every_step(client: openai.OpenAI, model: str) -> None:
    events = checked(client.responses.create(model=model, input=HELLO, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == TEXT
    assert sum(event.type in ("response.completed", "response.failed") for event in events) == 1
    order = [event.type for event in events if not event.type.endswith("delta")]
    assert order[2:] == [
        f"response.{kind}"
        for kind in (
            "output_item.added",
            "content_part.added",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        )
    ]


def test_the_stream_helper_collects_the_answer(client: openai.OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.output_text.delta" in kinds
    assert final.output_text == TEXT


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_answered(
    client: openai.OpenAI, model: str, parallel: bool, stream: bool
) -> None:
    items: Any = [{"role": "user", "content": HELLO}]
    how: Any = {"model": model, "tools": [WEATHER], "parallel_tool_calls": parallel}
    first = _answer(client, stream, input=items, **how)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.call_id for call in calls] == (["call_1", "call_2"] if parallel else ["call_1"])
    items += [item.model_dump(exclude_none=True) for item in first.output]
    for call in calls:
        place = json.loads(call.arguments)["place"]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": f"sun in {place}"})
    second = _answer(client, stream, input=items, **how)
    assert second.output_text == ("sun in Oslo and sun in Rome" if parallel else "sun in Oslo")


def _answer(client: openai.OpenAI, stream: bool, **how: Any) -> Response:
    if not stream:
        answer: Response = client.responses.create(**how)
        strict(answer)
        return answer
    with client.responses.stream(**how) as streamed:
        return streamed.get_final_response()


def test_a_schema_is_parsed_into_its_model(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.parse(model=model, input=HELLO, text_format=Person)
    assert answer.output_parsed == Person(**PERSON)


def test_an_image_reaches_the_upstream(client: openai.OpenAI, model: str) -> None:
    content: Any = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": PIXEL}]
    answer = client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert answer.output_text in ("saw text image_url", "saw text image")


def test_tokens_are_counted(client: openai.OpenAI, upstream: Upstream) -> None:
    counted = client.responses.input_tokens.count(model="chat/m", input=HELLO)
    strict(counted)
    assert counted.input_tokens > 0
    assert upstream.requests == [], "no upstream counts here, so the router does"


# --- state


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_goes_on_from_the_response_before(
    client: openai.OpenAI, upstream: Upstream, model: str, stream: bool
) -> None:
    first = _answer(client, stream, model=model, input="My name is Ada.", instructions="Be brief.")
    second = _answer(client, stream, model=model, input="What is it?", previous_response_id=first.id)
    third = _answer(client, stream, model=model, input="Sure?", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    sent = upstream.requests[-1].json
    said = [item["content"] for item in sent.get("input") or sent["messages"]]
    texts = [one if isinstance(one, str) else one[0]["text"] for one in said]
    assert texts == ["My name is Ada.", TEXT, "What is it?", TEXT, "Sure?"], "and no instructions"
    assert sent.get("store", False) is False
    assert "previous_response_id" not in sent


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_retrieved_listed_and_deleted(client: openai.OpenAI, model: str, stream: bool) -> None:
    first = _answer(client, stream, model=model, input=[{"role": "user", "content": "One"}])
    second = _answer(client, stream, model=model, input="Two", previous_response_id=first.id)
    found = client.responses.retrieve(second.id)
    strict(found)
    assert found.output_text == second.output_text
    assert found.to_dict()["store"] is True
    pages = client.responses.input_items.list(second.id, limit=1, order="asc")
    items: list[Any] = [item.to_dict() for item in pages]
    assert [item["content"][0]["text"] for item in items] == ["One", TEXT, "Two"]
    assert len({item["id"] for item in items}) == 3
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input="Three", previous_response_id=second.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
    assert client.responses.retrieve(first.id).id == first.id


def test_what_is_not_to_be_stored_is_not(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input=HELLO, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_an_item_is_referred_to_by_its_id(client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    first = client.responses.create(model=model, input=HELLO)
    referring: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "So?"}]
    assert client.responses.create(model=model, input=referring).output_text == TEXT
    assert TEXT in upstream.requests[-1].body.decode()
    unknown: Any = [{"type": "item_reference", "id": "msg_nobody"}]
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=model, input=unknown)


def test_only_work_in_the_background_is_cancelled(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input=HELLO)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(answer.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input=HELLO, background=True)
    assert caught.value.param == "background"


# --- errors


def test_errors_arrive_as_the_exceptions_of_their_kind(
    client: openai.OpenAI, upstream: Upstream, model: str
) -> None:
    upstream.script = Responses().refuse(400, "no such value")
    with pytest.raises(openai.BadRequestError, match="no such value") as caught:
        client.responses.create(model=model, input=HELLO)
    assert caught.value.code == "invalid_value"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=model, input=HELLO, stream=True)
    with pytest.raises(openai.BadRequestError, match="input"):
        client.responses.create(model=model, input=[])


@pytest.mark.parametrize("fault", ["error_event_late", "eof_late", "reset_late"])
def test_a_broken_stream_is_raised_and_ends_in_a_failure_under_the_same_id(
    client: openai.OpenAI, upstream: Upstream, model: str, fault: str
) -> None:
    own = model == "own/m"
    upstream.script = named(fault, Responses()).script if own else named(fault).script
    with pytest.raises(openai.APIError) as caught:
        list(client.responses.create(model=model, input=HELLO, stream=True))
    assert caught.value.body["llmrouter"]["class"] in ("server_error", "truncated", "connect")  # type: ignore[index]
    with client.responses.with_streaming_response.create(model=model, input=HELLO, stream=True) as raw:
        told = [json.loads(line[6:]) for line in raw.iter_lines() if line.startswith("data: ")]
    events = checked([_events.validate_python(one) for one in told])
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1].response.id == events[0].response.id
    assert events[-1].response.error.code == "server_error"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said
    assert events[-1].response.output_text == said
