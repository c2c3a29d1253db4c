"""The official Anthropic SDK, in front of an upstream that speaks Messages and of one that speaks chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

from llmrouter.testing.upstream import Received, Upstream
from llmrouter.testing.upstream_anthropic import SIGNATURE, TOKENS, Messages
from llmrouter.testing.upstream_faults import named
from llmrouter.testing.upstream_line import Script
from llmrouter.testing.upstream_openai import TEXT, Chat
from llmrouter.testing.upstream_scripts import chosen
from tests.harness import Serving, serving
from tests.sdk.fakes import PERSON, PLACES
from tests.sdk.fakes import openai as chat
from tests.sdk.validating import strict

WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HELLO: Any = [{"role": "user", "content": "Hello"}]
THINKING: Any = {"type": "enabled", "budget_tokens": 2000}
LONG = " ".join(["word"] * 3000)

_events: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


class Person(BaseModel):
    name: str
    born: int


def script(request: Received) -> Script:
    """The answer that fits the request, in the dialect of its path."""
    return _messages(request.json) if "/messages" in request.path else chat(request)


def _messages(asked: Any) -> Script:
    if (asked.get("output_config") or {}).get("format"):
        return Messages(json.dumps(PERSON)).answer()
    content = asked["messages"][-1]["content"]
    blocks = content if isinstance(content, list) else []
    if results := [_text_of(block) for block in blocks if block["type"] == "tool_result"]:
        return Messages(" and ".join(results)).answer()
    if asked.get("tools"):
        alone = (asked.get("tool_choice") or {}).get("disable_parallel_tool_use")
        return Messages(tools=PLACES[: 1 if alone else 2], thought="Where is it?").answer()
    if len(blocks) > 1:
        return Messages("saw " + " ".join(block["type"] for block in blocks)).answer()
    return Messages(thought="Let me see.").answer()


def _text_of(result: Any) -> str:
    content = result["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, Upstream]]:
    with Upstream(chosen(script)) as upstream:
        known = {"profile": "custom", "base_url": upstream.base_url, "api_key": "k", "models": {"m": {}}}
        setup = {
            "providers": {"chat": {**known, "plugin": "openai"}, "own": {**known, "plugin": "anthropic"}},
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
def client(served: tuple[Serving, Upstream], upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served[0].base_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(params=["chat/m", "own/m"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(client: anthropic.Anthropic, stream: bool, **how: Any) -> Message:
    """The answer, whole or collected by the SDK from its stream; either way it is checked."""
    asked = {"max_tokens": 4000, "messages": HELLO, **how}
    if stream:
        with client.messages.stream(**asked) as streamed:
            answer: Message = streamed.get_final_message()
    else:
        answer = client.messages.create(**asked)
    strict(answer)
    return answer


def text_of(answer: Message) -> str:
    return "".join([block.text for block in answer.content if block.type == "text"])


# --- answers


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    answer = ask(client, stream, model=model, system="Be brief.")
    assert text_of(answer) == TEXT
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.stop_reason, answer.role, answer.type) == ("end_turn", "assistant", "message")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 16)


def test_a_stream_tells_every_step(client: anthropic.Anthropic, model: str) -> None:
    events = list(client.messages.create(model=model, max_tokens=9, messages=HELLO, stream=True))
    for event in events:
        _events.validate_python(event.model_dump(mode="json", exclude_unset=True), strict=False)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_the_stream_helper_tells_the_text_as_it_comes(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=9, messages=HELLO) as stream:
        words = list(stream.text_stream)
    assert len(words) > 10
    assert "".join(words) == TEXT


def test_a_long_stream_arrives_whole(client: anthropic.Anthropic, upstream: Upstream, model: str) -> None:
    upstream.script = (Messages(LONG) if model == "own/m" else Chat(LONG)).answer()
    assert text_of(ask(client, True, model=model)) == LONG


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_answered(
    client: anthropic.Anthropic, model: str, parallel: bool, stream: bool
) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": not parallel}
    how: Any = {"model": model, "tools": [WEATHER], "tool_choice": choice}
    first = ask(client, stream, **how)
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.id, call.input) for call in calls] == [
        ("call_1", {"place": "Oslo"}),
        ("call_2", {"place": "Rome"}),
    ][: len(calls)]
    assert len(calls) == (2 if parallel else 1)
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"sun in {call.input['place']}"}
        for call in calls
    ]
    turns = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = ask(client, stream, **how, messages=turns)
    assert text_of(second) == ("sun in Oslo and sun in Rome" if parallel else "sun in Oslo")


def test_a_schema_is_parsed_into_its_model(client: anthropic.Anthropic, model: str) -> None:
    answer = client.messages.parse(model=model, max_tokens=99, messages=HELLO, output_format=Person)
    assert answer.parsed_output == Person(**PERSON)


def test_an_image_reaches_the_upstream(client: anthropic.Anthropic, model: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "text", "text": "What?"}, {"type": "image", "source": source}]
    answer = ask(client, False, model=model, messages=[{"role": "user", "content": content}])
    assert text_of(answer) in ("saw text image_url", "saw text image")


def test_tokens_are_counted_by_who_can(client: anthropic.Anthropic, upstream: Upstream, model: str) -> None:
    counted = client.messages.count_tokens(model=model, messages=HELLO, system="Be brief.")
    strict(counted)
    own = model == "own/m"
    assert counted.input_tokens == TOKENS if own else counted.input_tokens > 0
    assert [one.path for one in upstream.requests] == (["/v1/messages/count_tokens"] if own else [])


# --- thinking


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_come_signed(client: anthropic.Anthropic, stream: bool) -> None:
    answer = ask(client, stream, model="own/m", thinking=THINKING)
    thought = answer.content[0]
    assert thought.type == "thinking"
    assert (thought.thinking, thought.signature) == ("Let me see.", SIGNATURE)
    assert text_of(answer) == TEXT


def test_thoughts_that_a_client_drops_are_put_back(client: anthropic.Anthropic, upstream: Upstream) -> None:
    how: Any = {"model": "own/m", "tools": [WEATHER], "thinking": THINKING}
    first = ask(client, False, **how)
    calls: Any = [block.model_dump() for block in first.content if block.type == "tool_use"]
    results: Any = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sun"} for call in calls]
    turns = [*HELLO, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    ask(client, False, **how, messages=turns)
    said = upstream.requests[-1].json
    assert said["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Where is it?",
        "signature": SIGNATURE,
    }
    assert said["thinking"] == THINKING


def test_thoughts_that_nobody_kept_switch_thinking_off_and_that_is_told(
    client: anthropic.Anthropic, upstream: Upstream
) -> None:
    call: Any = {"type": "tool_use", "id": "toolu_unknown", "name": "weather", "input": {}}
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_unknown", "content": "sun"}
    turns: Any = [*HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    answer = client.messages.with_raw_response.create(
        model="own/m", max_tokens=4000, messages=turns, tools=[WEATHER], thinking=THINKING
    )
    assert answer.headers["x-llmrouter-dropped"] == "thinking"
    assert "thinking" not in upstream.requests[-1].json


# --- what goes on


def test_what_the_client_understands_goes_on_and_who_it_is_does_not(
    client: anthropic.Anthropic, upstream: Upstream
) -> None:
    more = {"anthropic-beta": "a-feature-2030", "x-app": "cli"}
    answer = client.messages.with_raw_response.create(
        model="own/m", max_tokens=9, messages=HELLO, extra_headers=more
    )
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["request-id"] == answer.parse()._request_id
    headers = upstream.requests[-1].headers
    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("a-feature-2030", "2023-06-01")
    assert headers["user-agent"].startswith("llmrouter/")
    assert not [name for name in headers if name.startswith(("x-stainless", "x-app"))]


# --- errors


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (404, "not_found_error", anthropic.NotFoundError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (529, "overloaded_error", anthropic.APIStatusError),
        (500, "api_error", anthropic.InternalServerError),
        (401, "api_error", anthropic.InternalServerError),  # the router's own key was refused
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_arrive_as_the_exceptions_of_their_kind(
    client: anthropic.Anthropic, upstream: Upstream, status: int, kind: str, error: type[Exception], stream: bool
) -> None:
    upstream.script = Messages().refuse(status, "no such luck")
    with pytest.raises(error) as caught:
        client.messages.create(model="own/m", max_tokens=9, messages=HELLO, stream=stream)
    assert isinstance(caught.value, anthropic.APIStatusError)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == caught.value.request_id


def test_a_fault_of_the_request_is_told_at_the_door(client: anthropic.Anthropic, upstream: Upstream) -> None:
    with pytest.raises(anthropic.BadRequestError, match="messages is empty"):
        client.messages.create(model="own/m", max_tokens=9, messages=[])
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody/knows", max_tokens=9, messages=HELLO)
    assert upstream.requests == []


@pytest.mark.parametrize("fault", ["error_event_late", "eof_late", "reset_late"])
def test_a_broken_stream_ends_in_an_error(
    client: anthropic.Anthropic, upstream: Upstream, model: str, fault: str
) -> None:
    own = model == "own/m"
    upstream.script = named(fault, Messages()).script if own else named(fault).script
    said: list[str] = []
    with (
        client.messages.stream(model=model, max_tokens=9, messages=HELLO) as stream,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        said.extend(stream.text_stream)
    body: Any = caught.value.body
    assert body["error"]["type"] in ("api_error", "overloaded_error")
    assert said
    assert TEXT.startswith("".join(said))
