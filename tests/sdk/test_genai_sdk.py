"""The official SDK of Google, unmodified, with its base URL pointed at the router; and OpenAI's, led to Gemini."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_gemini import SIGNATURE, Generate, insisting
from llmrouter.testing.upstream_openai import TEXT
from llmrouter.testing.upstream_scripts import chosen
from tests.harness import Serving, serving
from tests.sdk.fakes import PERSON
from tests.sdk.fakes import openai as fake
from tests.sdk.gemini_fakes import gemini
from tests.sdk.validating import strict, text_of

HELLO: Any = [{"role": "user", "content": "Hello"}]
PIXEL = bytes.fromhex("89504e470d0a1a0a")


class Person(BaseModel):
    name: str
    born: int


def weather(place: str) -> str:
    """The weather of a place.

    Args:
        place: its name.
    """
    return f"sun in {place}"


WEATHER = {
    "name": "weather",
    "description": "The weather of a place.",
    "parametersJsonSchema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
TOOLS: Any = types.GenerateContentConfig(
    tools=[{"function_declarations": [WEATHER]}],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def client_of(router: Serving, key: str = "any") -> genai.Client:
    options = types.HttpOptions(base_url=router.base_url, api_version="v1beta", timeout=20_000)
    return genai.Client(api_key=key, http_options=options)


@contextmanager
def led_to(google: str, other: str, **more: Any) -> Iterator[Serving]:
    """A router before Google's models and somebody else's."""
    common = {"api_key": "k", "models": {"m": {}}}
    providers = {
        "google": {"plugin": "gemini", "base_url": google, **common},
        "other": {"plugin": "openai", "profile": "custom", "base_url": f"{other}/v1", **common},
    }
    config = {"providers": providers, "breaker": None, "logging": {"level": "error"}, **more}
    with serving(json.dumps(config)) as router:
        yield router


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Serving, Upstream, Upstream]]:
    with (
        Upstream(chosen(gemini)) as google,
        Upstream(chosen(fake)) as other,
        led_to(google.base_url, other.base_url) as router,
    ):
        yield router, google, other


@pytest.fixture
def google(served: tuple[Serving, Upstream, Upstream]) -> Upstream:
    served[1].script = chosen(gemini)
    served[1].clear()
    return served[1]


@pytest.fixture
def other(served: tuple[Serving, Upstream, Upstream]) -> Upstream:
    served[2].script = chosen(fake)
    served[2].clear()
    return served[2]


@pytest.fixture
def client(served: tuple[Serving, Upstream, Upstream], google: Upstream, other: Upstream) -> Iterator[genai.Client]:
    client = client_of(served[0])
    yield client
    client.close()


@pytest.fixture
def chat(served: tuple[Serving, Upstream, Upstream], google: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served[0].base_url}/v1", api_key="any", max_retries=0) as client:
        yield client


MODELS = ("google/gemini-3-x", "other/m")
"""One that speaks the client's dialect, and one that does not."""


# --- Google's SDK


@pytest.mark.parametrize("model", MODELS)
def test_a_plain_answer(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(model=model, contents="Hello")
    assert answer.text == TEXT
    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == 25
    assert answer.response_id


@pytest.mark.parametrize("model", MODELS)
def test_a_stream(client: genai.Client, model: str) -> None:
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == TEXT
    assert len({chunk.response_id for chunk in chunks}) == 1
    last = chunks[-1]
    assert last.candidates
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.candidates_token_count == 16


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_functions_are_called_and_their_results_answered(
    client: genai.Client, google: Upstream, model: str, stream: bool
) -> None:
    asked: list[Any] = [types.Content(role="user", parts=[types.Part(text="Hello")])]
    said = _content(client, model, asked, stream)
    calls = [part.function_call for part in said.parts or () if part.function_call]
    assert [(call.name, call.args) for call in calls] == [
        ("weather", {"place": "Oslo"}),
        ("weather", {"place": "Rome"}),
    ]
    parts = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": f"sun in {call.args['place']}"}
            )
        )
        for call in calls
        if call.args
    ]
    second = client.models.generate_content(
        model=model, contents=[*asked, said, types.Content(role="user", parts=parts)], config=TOOLS
    )
    assert second.text == "sun in Oslo and sun in Rome"
    if model.startswith("google"):
        assert google.requests[-1].json["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE


def _response(call: types.FunctionCall) -> types.FunctionResponse:
    place = (call.args or {})["place"]
    return types.FunctionResponse(id=call.id, name=call.name, response={"output": f"sun in {place}"})


def _content(client: genai.Client, model: str, asked: list[Any], stream: bool) -> types.Content:
    if not stream:
        answer = client.models.generate_content(model=model, contents=asked, config=TOOLS)
        assert answer.candidates
        assert answer.candidates[0].content
        return answer.candidates[0].content
    chunks = client.models.generate_content_stream(model=model, contents=asked, config=TOOLS)
    parts = [
        part
        for chunk in chunks
        for one in chunk.candidates or ()
        for part in (one.content.parts if one.content else None) or ()
        if part.function_call
    ]
    return types.Content(role="model", parts=parts)


@pytest.mark.parametrize("model", MODELS)
def test_functions_are_called_by_the_sdk_itself(client: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(tools=[weather])
    answer = client.models.generate_content(model=model, contents="Hello", config=config)
    assert answer.text == "sun in Oslo and sun in Rome"


@pytest.mark.parametrize("model", MODELS)
def test_a_schema_is_parsed_into_its_model(client: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=Person.model_json_schema()
    )
    answer = client.models.generate_content(model=model, contents="Hello", config=config)
    assert json.loads(answer.text or "") == PERSON


@pytest.mark.parametrize(("model", "kind"), [(MODELS[0], "inlineData"), (MODELS[1], "image_url")])
def test_a_picture_reaches_the_upstream(client: genai.Client, model: str, kind: str) -> None:
    parts: Any = ["What?", types.Part.from_bytes(data=PIXEL, mime_type="image/png")]
    answer = client.models.generate_content(model=model, contents=parts)
    assert answer.text == f"saw text {kind}"


def test_the_system_and_the_options_reach_another_wire(client: genai.Client, other: Upstream) -> None:
    config = types.GenerateContentConfig(
        system_instruction="Be kind.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=99,
        stop_sequences=["x"],
        seed=3,
        thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW),
    )
    client.models.generate_content(model="other/m", contents="Hello", config=config)
    sent = other.requests[-1].json
    assert sent["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    assert (sent["temperature"], sent["top_p"], sent["stop"], sent["seed"]) == (0.5, 0.9, ["x"], 3)
    assert (sent["max_completion_tokens"], sent["reasoning_effort"]) == (99, "low")


def test_tokens_are_counted_upstream_or_here(client: genai.Client) -> None:
    assert client.models.count_tokens(model=MODELS[0], contents="Hello").total_tokens == 7
    counted = client.models.count_tokens(model=MODELS[1], contents="Hello" * 100).total_tokens
    assert counted is not None
    assert counted > 100


def test_embeddings_of_both(client: genai.Client) -> None:
    texts: Any = ["one", "three"]
    answer = client.models.embed_content(model="google/gemini-embedding-001", contents=texts)
    assert [one.values for one in answer.embeddings or ()] == [[3.0, 0.5], [5.0, 0.5]]
    answer = client.models.embed_content(model="other/m", contents=texts)
    assert [len(one.values or ()) for one in answer.embeddings or ()] == [3, 3]


@pytest.mark.parametrize(
    ("status", "raised", "name"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (404, errors.ClientError, "NOT_FOUND"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (503, errors.ServerError, "UNAVAILABLE"),
    ],
)
def test_errors_arrive_as_the_exceptions_of_their_kind(status: int, raised: type[Exception], name: str) -> None:
    with Upstream(Generate().refuse(status)) as google, led_to(google.base_url, google.base_url) as router:
        client = client_of(router)
        with pytest.raises(raised) as caught:
            client.models.generate_content(model=MODELS[0], contents="Hello")
        with pytest.raises(errors.APIError):
            list(client.models.generate_content_stream(model=MODELS[0], contents="Hello"))
        client.close()
    assert isinstance(caught.value, errors.APIError)
    assert (caught.value.code, caught.value.status) == (status, name)
    assert caught.value.message


def test_a_wrong_key_and_an_unknown_model(served: tuple[Serving, Upstream, Upstream], client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        client.models.generate_content(model="nothing", contents="Hello")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    keys = {"keys": [{"name": "dev", "hash": "sha256:" + "0" * 64}]}
    with led_to(served[1].base_url, served[2].base_url, server=keys) as router:
        stranger = client_of(router)
        with pytest.raises(errors.ClientError) as refused:
            stranger.models.generate_content(model=MODELS[0], contents="Hello")
        stranger.close()
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")


def test_an_error_inside_a_stream_is_raised(client: genai.Client, google: Upstream) -> None:
    async def script(line: Any) -> None:
        await line.head(200, {"content-type": "text/event-stream"})
        for event in list(Generate().events(line.request))[:3]:
            await line.body(event)
        await line.body(Generate().broken())
        await line.end()

    google.script = script
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(model=MODELS[0], contents="Hello"))


# --- OpenAI's SDK, led to Gemini


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_drops_signatures_gets_through_a_loop_of_tools(
    chat: openai.OpenAI, google: Upstream, stream: bool
) -> None:
    function = {"name": "weather", "parameters": WEATHER["parametersJsonSchema"]}
    tools: Any = [{"type": "function", "function": function}]
    messages: list[Any] = list(HELLO)
    if stream:
        with chat.chat.completions.stream(model=MODELS[0], messages=messages, tools=tools) as streamed:
            for _ in streamed:
                pass
            choice: Any = streamed.get_final_completion().choices[0]
    else:
        first = chat.chat.completions.create(model=MODELS[0], messages=messages, tools=tools)
        strict(first)
        choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [json.loads(call.function.arguments)["place"] for call in calls] == ["Oslo", "Rome"]
    said = [one.model_dump(include={"id", "type", "function"}) for one in calls]
    messages.append({"role": "assistant", "tool_calls": said})
    messages += [{"role": "tool", "tool_call_id": one.id, "content": "sun"} for one in calls]
    second = chat.chat.completions.create(model=MODELS[0], messages=messages, tools=tools)
    assert second.choices[0].message.content == "sun and sun"
    assert google.requests[-1].json["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE


def test_a_signature_that_nobody_kept_is_stood_in_for(chat: openai.OpenAI, google: Upstream) -> None:
    call = {"id": "call_of_another", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[Any] = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_of_another", "content": "sun"},
    ]
    answer = chat.chat.completions.create(model=MODELS[0], messages=messages)
    assert answer.choices[0].message.content == "sun"


def test_the_upstream_of_these_tests_insists() -> None:
    unsigned = {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]}
    with Upstream(insisting(Generate())) as google, led_to(google.base_url, google.base_url) as router:
        got = router.post("/v1beta/models/google/gemini-2.5-x:generateContent", unsigned)
    assert got.status == 400


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_gemini_fits_openais_types(chat: openai.OpenAI, stream: bool) -> None:
    if not stream:
        answer = chat.chat.completions.create(model=MODELS[0], messages=HELLO)
        strict(answer)
        assert answer.choices[0].message.content == TEXT
        return
    options: Any = {"include_usage": True}
    chunks = list(
        chat.chat.completions.create(model=MODELS[0], messages=HELLO, stream=True, stream_options=options)
    )
    for chunk in chunks:
        strict(chunk)
    assert text_of(chunks) == TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 25


def test_a_schema_of_openais_sdk_is_one_of_geminis(chat: openai.OpenAI, google: Upstream) -> None:
    answer = chat.chat.completions.parse(model=MODELS[0], messages=HELLO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(**PERSON)
    assert google.requests[-1].json["generationConfig"]["responseMimeType"] == "application/json"


def test_an_embedding_of_gemini_in_openais_words(chat: openai.OpenAI, google: Upstream) -> None:
    answer = chat.embeddings.create(model="google/gemini-embedding-2", input=["one", "three"], dimensions=2)
    assert [one.embedding for one in answer.data] == [[3.0, 0.5], [5.0, 0.5]]
    assert google.requests[-1].json["requests"][0] == {
        "model": "models/gemini-embedding-2",
        "content": {"parts": [{"text": "one"}]},
        "outputDimensionality": 2,
    }
